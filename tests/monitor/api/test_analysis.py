"""`monitor.analyze`: what is found, in what, and what is refused."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import monitor
from models.files.calibration import load_calibration
from models.inference.beat_scorer import load_scorer
from monitor.api.beat_table import BeatTable
from pipeline.stream.embedded import EmbeddedRunner
from replay.headers import DEMO_RECORD
from replay.lead_sets.frames import wfdb_library
from replay.recording.edf import write_edf
from replay.records import RecordSource
from tests.monitor.api.conftest import FS, LEADS
from tests.replay.recording.test_source import write_segment


def same(one: BeatTable, other: BeatTable) -> bool:
    """Return whether two tables hold the same bytes."""
    return one.dtype == other.dtype and one.tobytes() == other.tobytes()


def test_a_record_gives_what_a_scan_gives() -> None:
    """The same beats with the same scores and classes, and alarms that begin at the same time."""
    source = RecordSource(DEMO_RECORD, speed=None)
    leads = source.info.leads
    runner = EmbeddedRunner(
        "demo", source.info.fs_hz, load_scorer(), load_calibration(), leads=leads
    )
    outcomes = list(runner.run(block for block in source.blocks() if block is not None))

    found = monitor.analyze("demo")

    assert same(found.beats, BeatTable.of([b for one in outcomes for b in one.notes], None))
    begun = [a for one in outcomes for a in one.alerts if a.begins]
    assert sorted((a.kind, a.time_s) for a in begun) == sorted(
        (a.kind, a.known_s) for a in found.alarms
    )
    assert found.summary.beats == runner.counters.beats
    assert found.summary.name == "demo"


def test_a_wfdb_record_gives_what_its_files_give() -> None:
    """With physical samples and with digital ones, the saturated samples included."""
    path = str(DEMO_RECORD.with_suffix(""))
    expected = monitor.analyze(DEMO_RECORD).beats

    with wfdb_library() as wfdb:
        records = [wfdb.rdrecord(path), wfdb.rdrecord(path, physical=False)]
    assert all(same(monitor.analyze(record).beats, expected) for record in records)


def test_a_record_made_by_hand_is_an_array_with_names_and_units(
    signal: NDArray[np.float32], night: monitor.Analysis
) -> None:
    """Microvolts become mV; a signal that is no ECG is left out, and that is said."""
    record = SimpleNamespace(
        record_name="own", fs=FS, d_signal=None, sig_name=["II", "RESP", "V1"],
        units=["uV", "V", "mV"], base_datetime=datetime(2026, 1, 2, 3, 4, 5),
        p_signal=np.column_stack([1e3 * signal[:, 0], signal[:, 0], signal[:, 1]]),
    )  # fmt: skip
    found = monitor.analyze(record)

    assert found.summary.leads == LEADS
    assert "'RESP'" in found.summary.notes[0]
    assert found.beats["sample"].tolist() == night.beats["sample"].tolist()
    assert found.beats["time"][0] == np.datetime64("2026-01-02T03:04:05") + np.rint(
        1e6 * found.beats["time_s"][0]
    ).astype("timedelta64[us]")


def test_the_table_of_beats_is_complete(night: monitor.Analysis) -> None:
    """Each beat that can be analysed has a class, which is the most probable one, and a score."""
    beats = night.beats
    known = beats[beats["analysable"]]
    classes = np.array(["N", "S", "V", "F"])
    chances = np.stack([known[name] for name in classes], axis=1)

    assert len(known) > 100
    assert known["beat_class"].tolist() == classes[chances.argmax(axis=1)].tolist()
    assert np.allclose(chances.sum(axis=1), 1.0, atol=0.003)
    assert np.isfinite(known["score"]).all()
    assert set(known["lead"]) <= set(LEADS)
    assert np.allclose(beats["sample"] / FS, beats["time_s"], atol=1e-4)
    assert type(beats["rr_s"]) is np.ndarray
    assert type(known) is monitor.BeatTable
    assert np.isnat(beats["time"]).all()
    assert beats[beats["beat_class"] == "V"]["anomalous"].any()


def test_the_table_becomes_a_data_frame(night: monitor.Analysis) -> None:
    """A column for each field, of the same values."""
    pytest.importorskip("pandas")
    frame = night.beats.to_pandas()

    assert list(frame.columns) == list(night.beats.dtype.names)
    assert frame["beat_class"].tolist() == night.beats["beat_class"].tolist()


def test_a_start_gives_dates(signal: NDArray[np.float32]) -> None:
    """In the time zone of the start, in the array in UTC."""
    zone = timezone(timedelta(hours=2))
    start = datetime(2026, 7, 1, 23, 59, tzinfo=zone)
    found = monitor.analyze(signal[: round(60 * FS)], FS, start=start)
    alarm = found.alarms[0]

    assert alarm.begin == start + timedelta(seconds=alarm.begin_s)
    assert alarm.end == start + timedelta(seconds=alarm.end_s or 0.0)
    utc = start.astimezone(UTC).replace(tzinfo=None)
    assert found.beats["time"][3] == np.datetime64(
        utc + timedelta(seconds=float(found.beats["time_s"][3]))
    )


def test_missing_samples_cannot_be_analysed(signal: NDArray[np.float32]) -> None:
    """NaN is a stretch of its own; the share and the beats say so, and the rest is analysed."""
    holed = signal.copy()
    holed[round(40 * FS) : round(70 * FS)] = np.nan
    found = monitor.analyze(holed, FS)

    (stretch,) = [one for one in found.rhythms if one.kind == "not_analysable"]
    assert stretch.message == "no signal values"
    assert 40 <= stretch.begin_s <= 41.5
    assert 70 <= stretch.end_s <= 73
    assert found.summary.analysable_share == pytest.approx(
        1 - (stretch.end_s - stretch.begin_s) / 120, abs=1e-3
    )
    times = found.beats["time_s"]
    assert not ((times > 41) & (times < 69)).any()
    assert {"analysable again", "end of the stream"} & {alarm.ended for alarm in found.alarms}


def test_the_summary_adds_up(night: monitor.Analysis) -> None:
    """Classes and beats that have none are all beats; rates are in order."""
    found = night.summary

    assert sum(found.classes.values()) + found.not_analysable == found.beats == len(night.beats)
    assert sum(found.alarms.values()) == len(night.alarms)
    assert found.duration_s == 120.0
    assert found.bpm_min is not None
    assert found.bpm_mean is not None
    assert found.bpm_max is not None
    assert found.bpm_min <= found.bpm_mean <= found.bpm_max
    assert found.analysable_share == 1.0
    assert found.notes == []
    assert found.to_dict()["leads"] == LEADS


@pytest.mark.parametrize(
    ("factor", "note"), [(10.0, "is the gain 20, not 200"), (0.001, "is the signal in V?")]
)
def test_an_amplitude_that_no_heart_has_is_a_note(
    signal: NDArray[np.float32], factor: float, note: str
) -> None:
    """A wrong gain is asked about, and the signal is analysed all the same."""
    (found,) = monitor.analyze(factor * signal[: round(30 * FS)], FS).summary.notes

    assert note in found


def record_of(**fields: Any) -> SimpleNamespace:
    """Return a record as wfdb has it, with some fields."""
    usual = {"record_name": "r", "fs": FS, "sig_name": ["II"], "units": ["mV"]}
    return SimpleNamespace(**{**usual, "p_signal": None, "d_signal": None, **fields})


GOOD = np.zeros(2500)
REFUSED: list[tuple[Any, dict[str, Any], str]] = [
    (GOOD, {}, "give it as fs="),
    (GOOD, {"fs": 20}, "50 to 10,000 Hz"),
    (GOOD, {"fs": float("nan")}, "cannot be used"),
    (GOOD[:1000], {"fs": 250}, "4 s long: 5 s are needed"),
    (GOOD.astype(np.int16), {"fs": 250}, r"\(values - baseline\) / gain"),
    (GOOD.astype(complex), {"fs": 250}, "real numbers in mV"),
    (np.array(["a"]), {"fs": 250}, "real numbers in mV"),
    (np.zeros((2, 2, 2)), {"fs": 250}, r"\[n\] or \[n, leads\]"),
    (np.zeros(0), {"fs": 250}, r"\[n\] or \[n, leads\]"),
    (np.zeros((2, 2500)), {"fs": 250}, "Give signal.T"),
    (np.zeros((2500, 2)), {"fs": 250, "leads": "II"}, "2 different names"),
    (np.zeros((2500, 2)), {"fs": 250, "leads": "II,II"}, "2 different names"),
    (GOOD, {"fs": 250, "false_alerts_per_hour": 1e9}, "false alerts an hour"),
    (GOOD, {"fs": 250, "alarms": "/nowhere.toml"}, "cannot read the alarm settings"),
    (GOOD, {"fs": 250, "unit": "uV"}, "unit= and columns= are for files"),
    ("/nowhere/100", {}, "no record"),
    ("demo", {"columns": "II"}, "has leads and no columns"),
    ("demo", {"unit": "uV"}, "is in 'mV', and unit says uV: leave unit out"),
    ("demo", {"fs": 250}, "has 360 Hz, and fs says 250: leave fs out"),
    ("demo", {"leads": "V6"}, "has no lead 'V6'"),
    (record_of(), {}, "wfdb.rdrecord"),
    (record_of(p_signal=np.zeros((2500, 2))), {}, "1 names for signals of shape"),
    (record_of(p_signal=np.zeros((2500, 1)), units=["mmHg"]), {}, "no signal that may be an ECG"),
    (SimpleNamespace(segments=[]), {}, "multi_to_single"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "options", "reason"), REFUSED)
def test_what_cannot_be_used_is_one_clear_value_error(
    source: Any, options: dict[str, Any], reason: str
) -> None:
    """It says what is wrong and what to do, in one line."""
    with pytest.raises(ValueError, match=reason) as refused:
        monitor.analyze(source, **options)

    assert "\n" not in str(refused.value)


def test_a_folder_of_several_records_is_refused(tmp_path: Path) -> None:
    """One at a time."""
    for name in ("a", "b"):
        (tmp_path / f"{name}.hea").write_text(f"{name} 1 250 10\n")

    with pytest.raises(ValueError, match="2 records"):
        monitor.analyze(tmp_path)


def test_a_recording_with_its_edf_beside_it_is_one_record(tmp_path: Path) -> None:
    """A folder of ``--record --record-format edf`` is analysed as a folder of one record is."""
    header = write_segment(tmp_path, n=2500, leads=("II", "V1"), gains=(1000.0, 1000.0))
    write_edf(header)

    summary = monitor.analyze(tmp_path).summary
    assert (summary.duration_s, summary.leads) == (10.0, ("II", "V1"))
    assert summary.start == datetime.fromtimestamp(1e9, UTC)


def test_a_stretch_is_drawn_and_shown_in_a_notebook(night: monitor.Analysis) -> None:
    """A row for each lead, the class of each beat; times outside are refused."""
    pytest.importorskip("matplotlib")
    figure = night.plot(12.0, 22.0)
    rows = figure.get_axes()
    times = night.beats["time_s"]
    shown = night.beats[(times >= 12) & (times <= 22)]

    assert [axes.get_ylabel() for axes in rows] == ["II, mV", "V1, mV"]
    letters = [text.get_text() for text in rows[0].texts if len(text.get_text()) == 1]
    assert letters == [name or "?" for name in shown["beat_class"]]
    assert figure._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]
    for begin_s, end_s in ((200.0, 210.0), (5.0, 5.0), (0.0, 1000.0)):
        with pytest.raises(ValueError, match=" s "):
            night.plot(begin_s, end_s)


def test_an_analysis_shows_itself(signal: NDArray[np.float32]) -> None:
    """In a line, and as a table without markup of somebody else."""
    found = monitor.analyze(signal[: round(20 * FS)], FS, name="<b>night</b>")

    assert repr(found).startswith("<Analysis of <b>night</b>: 20 s, ")
    assert "&lt;b&gt;night" in found._repr_html_()
    assert "<b>" not in found._repr_html_()


def test_the_signal_of_a_record_is_read_again(demo: NDArray[np.float32]) -> None:
    """Any stretch of it, cut at its ends."""
    found = monitor.analyze("demo")

    assert np.array_equal(found.signal(119.0, 1e9), [demo[119 * 360 :]])
    assert np.array_equal(found.signal(-5.0, 1.0), [demo[:360]])
