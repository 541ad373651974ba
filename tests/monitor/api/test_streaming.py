"""`monitor.stream`: the same results as of the whole, as soon as they are known."""

from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import monitor
from monitor.api import run
from monitor.api.events import AlarmBook
from pipeline.schema.public import Alert
from pipeline.signal.samples import SampleBlock
from replay.headers import DEMO_RECORD
from replay.records import RecordSource
from replay.source import SourceInfo
from tests.monitor.api.conftest import FS, LEADS

PARTS = 30


def facts(events: list[monitor.Beat | monitor.Alarm]) -> tuple[list[object], list[object]]:
    """Return beats, and alarms that are over in order of time."""
    beats = [
        (e.time_s, e.beat_class, e.score, e.lead) for e in events if isinstance(e, monitor.Beat)
    ]
    over = [e for e in events if isinstance(e, monitor.Alarm) and e.state == "off"]
    return list(beats), sorted(over, key=lambda alarm: (alarm.begin_s, alarm.episode))


@settings(max_examples=8)
@given(cuts=st.lists(st.integers(1, round(120 * FS) - 1), max_size=PARTS, unique=True))
def test_chunks_of_any_length_give_what_the_whole_gives(
    signal: NDArray[np.float32], night: monitor.Analysis, cuts: list[int]
) -> None:
    """The same beats, classes and scores, and the same alarms."""
    chunks = np.split(signal, sorted(cuts))
    beats, alarms = facts(list(monitor.stream(chunks, FS, leads=LEADS)))

    expected = night.beats
    assert [beat[0] for beat in beats] == expected["time_s"].tolist()  # type: ignore[index]
    assert [beat[1] or "" for beat in beats] == expected["beat_class"].tolist()  # type: ignore[index]
    assert alarms == night.alarms


def test_an_event_comes_with_the_chunk_that_shows_it(signal: NDArray[np.float32]) -> None:
    """A beat is known a second after its R peak at the latest, without waiting for other beats."""
    sent = 0

    def chunks() -> Iterator[NDArray[np.float32]]:
        nonlocal sent
        step = round(0.1 * FS)
        for at in range(0, round(30 * FS), step):
            sent = at + step
            yield signal[at : at + step]

    delays = [
        sent / FS - event.time_s
        for event in monitor.stream(chunks(), FS)
        if isinstance(event, monitor.Beat)
    ]
    assert len(delays) > 20
    assert max(delays[3:]) < 1.0


def test_a_source_is_streamed_and_closed() -> None:
    """It knows its rate, its leads and its name; its last alarms end with it."""
    source = RecordSource(DEMO_RECORD, speed=None)
    beats, alarms = facts(list(monitor.stream(source)))

    found = monitor.analyze("demo")
    assert [beat[0] for beat in beats] == found.beats["time_s"].tolist()  # type: ignore[index]
    assert alarms == found.alarms
    assert source._closed


def test_closing_ends_the_alarms(signal: NDArray[np.float32]) -> None:
    """What is still on is over then; the source is not asked again, and nothing comes after."""
    flat = np.concatenate([signal[: round(20 * FS), 0], np.zeros(round(60 * FS), np.float32)])
    closed = []

    def chunks() -> Iterator[NDArray[np.float32]]:
        try:
            yield from np.split(flat, 80)
        finally:
            closed.append(True)

    with monitor.stream(chunks(), FS) as events:
        begun = next(e for e in events if isinstance(e, monitor.Alarm) and e.kind == "asystole")
        rest = events.close()

    assert (begun.state, begun.priority, begun.end_s) == ("on", "high", None)
    (ended,) = [e for e in rest if isinstance(e, monitor.Alarm) and e.episode == begun.episode]
    assert (ended.state, ended.ended) == ("off", "end of the stream")
    assert ended.end_s is not None
    assert closed == [True]
    assert list(events) == events.close() == []


def test_alarms_do_not_latch(signal: NDArray[np.float32]) -> None:
    """Each time that the heart stands still is an episode of its own, with its own beginning."""
    part = signal[: round(20 * FS), 0]
    still = np.full(round(8 * FS), part[-1])
    found = monitor.analyze(np.concatenate([part, still, part, still, part]), FS)

    stops = [alarm for alarm in found.alarms if alarm.kind == "asystole"]
    assert len(stops) == 2
    assert all(
        one.end_s is not None and one.end_s < other.begin_s for one, other in pairwise(stops)
    )
    assert [one.kind for one in found.rhythms if one.kind == "asystole"] == ["asystole"] * 2


def test_an_alarm_keeps_what_was_read_while_it_was_on() -> None:
    """Its message and where it was known; its end says why it is over and how often it was."""
    book = AlarmBook(None)
    facts = {"stream": "s", "kind": "pause", "category": "physiological", "priority": "medium"}
    on = Alert(**facts, sample=100, time_s=1.0, reason="no QRS", episode="e", begin_s=0.5, count=1)
    off = Alert(
        **facts, state="off", sample=900, time_s=9.0, reason="2 times", episode="e",
        begin_s=0.5, end_s=3.0, count=2,
    )  # fmt: skip

    assert book.take(on).end_s is None
    over = book.take(off)
    assert (over.message, over.ended, over.count) == ("no QRS", "2 times", 2)
    assert (over.begin_s, over.known_s, over.end_s) == (0.5, 1.0, 3.0)
    assert book.alarms == [over]


def test_a_source_with_a_clock_gives_dates() -> None:
    """Those of its clock, to beats and alarms alike, whatever start was said."""
    samples = np.zeros(round(30 * FS), np.float32)

    class Device:
        """Sends a flat line, a second at a time, each stamped."""

        info = SourceInfo(stream="device", fs_hz=FS, leads=("II",))

        def blocks(self) -> Iterator[SampleBlock | None]:
            yield None
            for second in range(30):
                first = round(second * FS)
                block = samples[first : first + round(FS)]
                yield SampleBlock(first, block, stamp_s=1e9 + second + 1 - 1 / FS)

        def seek(self, epoch: int, sample: int) -> None: ...

        def close(self) -> None: ...

    events = list(monitor.stream(Device(), start=datetime(1999, 1, 1)))
    stop = next(e for e in events if isinstance(e, monitor.Alarm) and e.kind == "asystole")

    assert stop.begin is not None
    assert stop.begin.timestamp() == pytest.approx(1e9 + stop.begin_s, abs=0.01)


def test_what_no_chunk_can_be_is_refused(signal: NDArray[np.float32]) -> None:
    """One array in place of chunks, other leads than before, and a rate that is missing."""
    with pytest.raises(ValueError, match="takes chunks"):
        monitor.stream(signal, FS)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="fs="):
        monitor.stream([signal])
    with pytest.raises(ValueError, match="leads"):
        list(monitor.stream([signal[:500], signal[500:900, 0]], FS))
    assert list(monitor.stream([], FS)) == list(monitor.stream([signal[:0]], FS)) == []


def test_compiling_the_kernels_is_announced_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As a warning, which Python shows on stderr; not where they lie in the cache."""
    monkeypatch.setattr(run, "compiled_before", lambda: False)
    run._announce_compilation.cache_clear()
    for _ in range(2):
        run.StreamRun("a", FS, LEADS)

    monkeypatch.setattr(run, "compiled_before", lambda: True)
    run._announce_compilation.cache_clear()
    run.StreamRun("a", FS, LEADS)

    assert [record.message for record in caplog.records] == [
        "compiling the signal kernels, once on this machine: this takes minutes"
    ]
