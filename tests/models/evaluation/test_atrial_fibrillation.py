"""How atrial fibrillation is scored: by time and by record, flutter in two ways."""

import pytest

from models.data.rhythms import Stretch
from models.evaluation.alarms.atrial_fibrillation import (
    COUNTED,
    LEFT_OUT,
    evaluate_labels,
    evaluate_rhythms,
    joined,
    without,
)
from models.evaluation.alarms.spans import AlarmSpan
from models.evaluation.report.alarms.sections import TITLES
from tests.support.databases import database

KIND = "atrial_fibrillation"


def silent(text: str) -> None:
    """Ignore a step."""


def span(begin_s: float, end_s: float) -> AlarmSpan:
    """Return an alarm that was raised 30 s after it began."""
    return AlarmSpan(KIND, begin_s, begin_s + 30, end_s, "")


@pytest.mark.parametrize(
    ("flutter", "left"),
    [
        ((300, 400), [(100, 200)]),
        ((150, 160), [(100, 150), (160, 200)]),
        ((50, 120), [(120, 200)]),
        ((180, 250), [(100, 180)]),
        ((50, 250), []),
    ],
)
def test_time_in_flutter_is_cut_out_of_alarms(
    flutter: tuple[float, float], left: list[tuple[float, float]]
) -> None:
    """Before, within, over an edge, over all of it."""
    parts = without([span(100, 200)], [Stretch("AFL", *flutter)])
    assert [(part.begin_s, part.end_s) for part in parts] == left
    assert all(part.sure_s >= part.begin_s for part in parts)


def test_fibrillation_and_flutter_in_turn_are_one_episode() -> None:
    """Where one begins as the other ends; what lies apart stays apart."""
    named = [Stretch("AFIB", 0, 10), Stretch("AFL", 10, 30), Stretch("AFIB", 40, 50)]
    assert [(one.begin_s, one.end_s) for one in joined(named)] == [(0, 30), (40, 50)]


def test_records_are_called_by_their_label() -> None:
    """Of three fibrillating and three normal records, F1 by hand; each wrong one is named."""
    names = [f"af/A00{n}" for n in ("009", "067", "071")]
    normal = sorted((database("cinc17") / "normal").glob("*.hea"))[:3]
    names += [f"normal/{path.stem}" for path in normal]
    result = evaluate_labels(database("cinc17"), names, silent)
    assert (result.records, result.tp + result.fn, result.fp + result.tn) == (6, 3, 3)
    assert result.f1.value == pytest.approx(
        2 * result.tp / (2 * result.tp + result.fn + result.fp), abs=1e-3
    )
    assert len(result.wrong) == result.fn + result.fp


def test_alarms_of_a_patient_agree_with_the_rhythms() -> None:
    """Record 219, one of the test half, fibrillates for 79 % of its time."""
    result = evaluate_rhythms(database("mitdb"), ["219"], silent)
    [row] = result.rows
    assert row.share == pytest.approx(row.alarms_s / row.seconds, abs=0.02)
    assert result.agreement["DS1"][LEFT_OUT].episodes == 0
    for flutter in (LEFT_OUT, COUNTED):
        found = result.agreement["DS2"][flutter]
        assert found == result.agreement["all"][flutter]
        assert found.duration_sensitivity is not None
        assert found.duration_sensitivity > 90
    assert {"mitdb rhythms", "cinc17 labels"} <= set(TITLES)
