"""A recording of ``--record`` in Python: one signal, whatever its segments, gaps and epochs are."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

import monitor
from monitor.api.analysis import analysis_of
from monitor.api.recordings import Recording
from monitor.cli.app import app
from pipeline.schema.messages import FLAG_LEAD_OFF
from pipeline.signal.samples import SampleBlock
from tests.monitor.api.conftest import FS, LEADS
from tests.support.recorded import record

BEGAN = datetime(2026, 3, 1, 23, 59, 30, tzinfo=UTC)
"""Half a minute before another day, with which another segment begins."""

RATE = round(FS)


def blocks_of(signal: NDArray[np.float32], *, first_sample: int = 0) -> Iterator[SampleBlock]:
    """Yield seconds of a signal, float32[n, 2]; an electrode is off, and some are missing."""
    for at in range(0, len(signal), RATE):
        second = at // RATE
        if 40 <= second < 45 or 70 <= second < 85:  # a gap in a segment, and one between two
            continue
        samples = np.ascontiguousarray(signal[at : at + RATE].T)
        flags = np.zeros(samples.shape, dtype=np.uint8)
        flags[:, :] = FLAG_LEAD_OFF if 20 <= second < 30 else 0
        yield SampleBlock(first_sample + at, samples, flags if flags.any() else None)


def expected(signal: NDArray[np.float32]) -> monitor.Analysis:
    """Return the analysis of what was recorded, without a recording."""
    return analysis_of(
        Recording(
            name="bed1", fs_hz=FS, leads=LEADS, n=len(signal), start=BEGAN,
            blocks=lambda: blocks_of(signal), read=lambda first, last: signal[first:last].T,
        )
    )  # fmt: skip


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory, signal: NDArray[np.float32]) -> Path:
    """Return the folder of a recording that begins far into its stream."""
    folder = tmp_path_factory.mktemp("recording")
    microvolts = np.rint(1e3 * signal).astype(np.float32) / 1e3
    early_s = BEGAN.timestamp() - 1000.0  # segments before were removed
    record(folder, blocks_of(microvolts, first_sample=1000 * RATE), FS, LEADS, early_s)
    return folder


def test_segments_gaps_and_flags_are_analysed_as_the_signal_was(
    recording: Path, signal: NDArray[np.float32]
) -> None:
    """The same beats and alarms, at the same times, as of the samples that were recorded."""
    assert len(list(recording.glob("*.hea"))) == 3
    microvolts = np.rint(1e3 * signal).astype(np.float32) / 1e3

    found, wanted = monitor.analyze(recording), expected(microvolts)

    assert found.beats.tobytes() == wanted.beats.tobytes()
    facts = [(a.kind, a.begin_s, a.known_s, a.end_s, a.begin, a.end) for a in found.alarms]
    assert facts == [(a.kind, a.begin_s, a.known_s, a.end_s, a.begin, a.end) for a in wanted.alarms]
    assert {"lead_off", "not_analysable"} <= {rhythm.kind for rhythm in found.rhythms}
    assert found.rhythms == wanted.rhythms
    assert (found.summary.name, found.summary.duration_s) == ("bed1", 120.0)
    assert found.summary.leads == LEADS


def test_the_signal_of_a_recording_is_read_from_any_place(
    recording: Path, signal: NDArray[np.float32]
) -> None:
    """Over gaps and segments; what is missing is NaN."""
    found = monitor.analyze(recording)
    whole = signal.T.copy()
    whole[:, 40 * RATE : 45 * RATE] = whole[:, 70 * RATE : 85 * RATE] = np.nan

    for begin_s, end_s in ((0.0, 120.0), (38.0, 46.0), (69.0, 86.0), (71.0, 72.0)):
        read = found.signal(begin_s, end_s)
        part = whole[:, round(begin_s * FS) : round(end_s * FS)]
        np.testing.assert_allclose(read, part, atol=6e-4)


def test_what_follows_a_restart_is_placed_by_the_clock(
    tmp_path: Path, signal: NDArray[np.float32], night: monitor.Analysis
) -> None:
    """Half an hour later, counted from 0 again: beats and alarms are where they were."""
    later = BEGAN - timedelta(hours=2)
    for n in range(2):
        blocks = (
            SampleBlock(at, np.ascontiguousarray(signal[at : at + RATE].T))
            for at in range(0, len(signal), RATE)
        )
        began_s = (later + n * timedelta(minutes=30)).timestamp()
        record(tmp_path, blocks, FS, LEADS, began_s, log_id=f"log{n}")

    found = monitor.analyze(tmp_path)

    beats, times = found.beats, night.beats["time_s"]
    second = beats["time_s"] >= 1800
    assert len(beats) == 2 * len(times)
    np.testing.assert_allclose(beats["time_s"][~second], times, atol=0.006)
    np.testing.assert_allclose(beats["time_s"][second], 1800 + times, atol=0.006)
    np.testing.assert_allclose(beats["sample"] / FS, beats["time_s"], atol=1e-4)
    assert found.summary.duration_s == 1920.0
    assert all(a.end_s is not None and a.begin_s <= a.end_s for a in found.alarms)
    assert any(a.begin_s >= 1800 for a in found.alarms)
    assert np.isnan(found.signal(300.0, 301.0)).all()
    (pause,) = [one for one in found.rhythms if one.message == "nothing was recorded"]
    assert (pause.kind, pause.begin_s, pause.end_s) == ("not_analysable", 120.0, 1800.0)
    assert found.summary.analysable_share == pytest.approx(240 / 1920, abs=0.01)


def test_two_stays_under_one_name_are_not_one_recording(
    tmp_path: Path, signal: NDArray[np.float32]
) -> None:
    """More than a month from the first sample to the last is refused, with what to do."""
    for n in range(2):
        blocks = [SampleBlock(0, np.ascontiguousarray(signal[: 10 * RATE].T))]
        began_s = (BEGAN + n * timedelta(days=60)).timestamp()
        record(tmp_path, blocks, FS, LEADS, began_s, log_id=f"log{n}")

    with pytest.raises(ValueError, match=r"spans 60 days, .* name its segments one by one"):
        monitor.analyze(tmp_path)
    header = min(tmp_path.glob("*.hea"))
    assert monitor.analyze(header).summary.duration_s == 10.0


def test_a_recording_is_one_report_under_the_name_of_its_stream(recording: Path) -> None:
    """One row, and one object, over all of its segments."""
    printed = CliRunner().invoke(app, ["report", str(recording), "--json", "--jobs", "1"]).stdout

    (content,) = map(json.loads, printed.splitlines())
    summary = content["summary"]
    assert (summary["name"], summary["duration_s"]) == ("bed1", 120.0)
    assert summary["start"] == BEGAN.isoformat()
    assert content["hours"][-1]["end_s"] == 120.0


def test_a_file_is_called_by_its_name(tmp_path: Path, signal: NDArray[np.float32]) -> None:
    """With umlauts and spaces, not as a stream is called on the wire."""
    path = tmp_path / "Möller Nacht.npy"
    np.save(path, signal[: 10 * RATE])

    assert monitor.analyze(path, FS, unit="mV").summary.name == "Möller Nacht"
