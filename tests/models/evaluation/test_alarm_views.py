"""Pictures of what was called wrongly: which place is meant, and what is drawn of it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from models.data.rhythms import Stretch
from models.evaluation.alarms.evaluate import DATABASES, Database
from models.evaluation.alarms.spans import AlarmSpan
from models.evaluation.alarms.views import Place, View, look_at, parse_place, places_of
from models.evaluation.alarms.wrong import WrongCall
from models.evaluation.report.alarms.pictures import draw_view
from monitor.measure.evaluate import draw_places
from pipeline.errors import ConfigError, InputError
from tests.support.databases import database


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("vfdb/424@1537.5", Place("vfdb", "424", 1537.5)),
        ("mitdb/100", Place("mitdb", "100", None)),
        ("cinc17/normal/A00002@0", Place("cinc17", "normal/A00002", 0.0)),
    ],
)
def test_a_place_is_written_as_it_is_listed(text: str, place: Place) -> None:
    """Database, record and, after an @, the second."""
    assert parse_place(text) == place


def test_a_record_without_a_second_means_all_that_is_wrong_in_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One picture each; a record without a wrong call has none to draw."""

    class Made:
        def __init__(self, folder: Path, records: Sequence[str], on_step: object) -> None:
            self.wrong = [
                WrongCall(record=f"cu/{records[0]}", at_s=at_s, wrong="w", ours="o")
                for at_s in (3.0, 70.0)
                if records == ["bad"]
            ]

    monkeypatch.setitem(DATABASES, "cu", Database("cu", lambda folder: [], Made))
    bad, good = Place("cu", "bad", None), Place("cu", "good", None)
    assert places_of(tmp_path, bad) == [Place("cu", "bad", 3.0), Place("cu", "bad", 70.0)]
    assert places_of(tmp_path, good._replace(at_s=5.0)) == [Place("cu", "good", 5.0)]
    with pytest.raises(InputError, match="cu/good@SECONDS"):
        places_of(tmp_path, good)


@pytest.mark.parametrize(
    "text",
    ["", "vfdb", "vfdb/", "fever/424@1", "vfdb/424@", "vfdb/424@-1", "vfdb/424@nan", "cu/../x"],
)
def test_what_names_no_place_is_refused(text: str) -> None:
    """With the form that is meant."""
    with pytest.raises(ConfigError, match="DATABASE/RECORD@SECONDS"):
        parse_place(text)


def test_a_picture_needs_a_folder() -> None:
    """Before anything is read."""
    with pytest.raises(ConfigError, match="--pictures"):
        draw_places(None, ["vfdb/424@1"], None)


def test_a_place_is_drawn_with_all_that_is_known_of_it(tmp_path: Path) -> None:
    """Signal with a gap, reference and alarms, one of them of a kind without a colour."""
    mv = np.sin(np.arange(2000) / 20).astype(np.float32)
    mv[100:200] = np.nan
    view = View(
        name="made/folder/r",
        at_s=110.0,
        first_s=100.0,
        fs_hz=100.0,
        mv=mv,
        reference=[Stretch("VF", 90.0, 112.0), Stretch("NOISE", 112.0, 130.0)],
        annotated=[(101.0, "N"), (102.0, "V")],
        alarms=[
            AlarmSpan("ventricular_fibrillation", 101.0, 105.0, 125.0, "why"),
            AlarmSpan("couplet", 101.0, 102.0, 103.0, "why"),
        ],
        detected=[(101.0, "N")],
    )
    file = draw_view(view, tmp_path)
    assert file == tmp_path / "made_folder_r_110.0s.png"
    assert file.read_bytes().startswith(b"\x89PNG")


def test_a_view_holds_what_lies_around_a_place() -> None:
    """Record 118 with noise: twenty seconds, annotated and detected beats; none after its end."""
    data = database("nstdb").parent
    view = look_at(data, Place("nstdb", "118e00", 100.0))
    assert (view.first_s, view.mv.size) == (90.0, 20 * 360)
    annotated_s, detected_s = [at for at, _ in view.annotated], [at for at, _ in view.detected]
    assert 20 < len(annotated_s) < 30
    assert detected_s == pytest.approx(annotated_s, abs=0.1)  # the noise begins at five minutes
    with pytest.raises(InputError, match="ends at"):
        look_at(data, Place("nstdb", "118e00", 9999.0))
