"""R21: a stream that was saved and restored goes on as if nothing had happened."""

import contextlib
from collections.abc import Callable
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.constants import MEASURES
from pipeline.errors import SnapshotError
from pipeline.schema.state import State
from pipeline.signal.kernels.candidates import WAITING
from pipeline.signal.samples import SampleBlock
from pipeline.stream.embedded import score_beats
from pipeline.stream.snapshot import STATE_VERSION, pack, unpack
from pipeline.stream.stream import Stream
from pipeline.stream.stream_state import StreamState
from replay.devices.synthetic import PatientConfig, SyntheticPatient
from replay.lead_sets.troubles import LeadTrouble
from tests.support.running import CONFIG, TrivialScorer

FS_HZ = 250.0
PATIENT = PatientConfig(ectopic=0.1, sve=0.05, pause=0.02, leadoff=0.02, fs=FS_HZ, seed=5)
SIGNAL = SyntheticPatient(PATIENT).generate(round(600 * FS_HZ))
LEADS = ("II", "V1", "V5")
TROUBLES = (LeadTrouble("off", "II", 60.0, 40.0), LeadTrouble("noisy", "V1", 120.0, 30.0))
SIGNALS = SyntheticPatient(replace(PATIENT, leads=LEADS, troubles=TROUBLES)).generate(
    round(200 * FS_HZ)
)


def begun(state: StreamState | None = None, leads: int = 1) -> Stream:
    """Return a stream as every one of these tests begins it, or goes on with it."""
    names = LEADS[: leads if state is None else len(state.segmenter.leads)]
    return Stream("p", FS_HZ, CONFIG, lambda: 0.0, leads=names, state=state)


def restored(data: bytes) -> Stream:
    """Return a stream that goes on from bytes."""
    return begun(unpack(data, StreamState))


def saved(stream: Stream) -> Stream:
    """Return another stream that was restored from the bytes of ``stream``."""
    return restored(pack(stream.state))


class Run:
    """A stream, its scorer, and all that it published."""

    def __init__(self, leads: int = 1) -> None:
        self.stream = begun(leads=leads)
        self.signal = SIGNAL if leads == 1 else SIGNALS
        self.published: list[str] = []

    def save(self) -> None:
        """Go on with a stream that was restored from bytes."""
        self.stream = saved(self.stream)

    def take(self, a: int, b: int) -> None:
        """Push samples; a step of the source's clock and its stamps included."""
        stamp_s = 1e9 + b / FS_HZ * 1.0001 + (3600.0 if b > 60_000 else 0.0)
        samples, flags = self.signal.samples[..., a:b], self.signal.flags[..., a:b]
        taken = self.stream.take(SampleBlock(a, samples, flags=flags, stamp_s=stamp_s))
        self._absorb(taken)

    def score(self, most: int) -> None:
        """Bring back up to ``most`` scores and classes."""
        score_beats(self.stream, self.stream.beats.waiting[:most], TrivialScorer())
        for one in self.stream.drain():
            self.published += [repr(one.note), *map(repr, one.alerts)]

    def finish(self) -> list[str]:
        """End the stream; return all that was published, and its counters and alarms."""
        self._absorb(self.stream.finish())
        self.score(len(self.stream.beats.waiting))
        self.published += map(repr, self.stream.close())
        return [*self.published, repr(self.stream.counters), repr(self.stream.alarms)]

    def _absorb(self, taken: object) -> None:
        self.published += map(repr, taken.alerts)


@pytest.mark.parametrize(("leads", "seconds"), [(1, 600), (3, 200)])
def test_restored_at_every_boundary_of_chunks_the_output_is_identical(
    leads: int, seconds: int
) -> None:
    """Minutes, saved and restored after every chunk: the same beats, alerts and counters."""
    kept, interrupted = Run(leads), Run(leads)
    for a in range(0, round(seconds * FS_HZ), 500):
        for run in (kept, interrupted):
            run.take(a, a + 500)
            run.score(3)
        interrupted.save()
    expected = kept.finish()

    assert interrupted.finish() == expected
    assert len(expected) > 1.1 * seconds


@settings(max_examples=25)
@given(
    steps=st.lists(
        st.tuples(
            st.integers(1, 3000),
            st.sampled_from(["next", "skip", "repeat", "late", "epoch"]),
            st.integers(0, 5),
            st.booleans(),
        ),
        max_size=40,
    )
)
def test_restored_anywhere_the_output_is_identical(
    steps: list[tuple[int, str, int, bool]],
) -> None:
    """With gaps, repeats, holes that are filled late and new epochs, saved at any of them."""
    kept, interrupted = Run(), Run()
    at = epoch = 0
    for length, how, scores, save in steps:
        at += 400 if how == "skip" else 0
        first = max(0, at - 700) if how in ("repeat", "late") else at
        for run in (kept, interrupted):
            if how == "epoch":
                run._absorb(run.stream.begin_epoch(epoch + 1, at))
            if how == "late":
                run.take(at + 100, at + 200)
            run.take(first, at + length)
            run.score(scores)
        epoch += how == "epoch"
        at += length
        if save:
            interrupted.save()
    assert interrupted.finish() == kept.finish()


def test_acknowledged_and_latched_alarms_are_in_the_state() -> None:
    """Active alarms and their acknowledgement outlive the process."""
    stream = begun()
    stream.take(SampleBlock(0, np.zeros(3000, np.float32)))
    stream.acknowledge()
    assert {alarm.state for alarm in stream.alarms} == {"ack"}

    assert saved(stream).alarms == stream.alarms


def busy_state() -> bytes:
    """Return the state of a stream with all kinds of memory in it."""
    run = Run()
    for a in range(0, 5_000, 500):
        run.take(a, a + 500)
        run.score(2)
    run.take(5_200, 5_300)
    return pack(run.stream.state)


BUSY = busy_state()


@settings(max_examples=300)
@given(place=st.floats(0, 1), value=st.integers(0, 255), cut=st.booleans())
def test_damaged_state_is_one_named_error_or_a_state(place: float, value: int, cut: bool) -> None:
    """Bytes that are no state raise `SnapshotError`, and nothing else, whatever they are."""
    data = bytearray(BUSY)
    at = round(place * (len(data) - 1))
    data[at] = value
    with contextlib.suppress(SnapshotError):
        restored(bytes(data[:at] if cut else data))


@given(data=st.binary(max_size=200))
def test_any_bytes_are_one_named_error(data: bytes) -> None:
    """Nothing is read that was not written."""
    with pytest.raises(SnapshotError):
        restored(data)


def test_state_of_another_version_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither an older nor a newer program's state is taken for ours."""
    data = pack(begun().state)
    monkeypatch.setattr("pipeline.stream.snapshot.STATE_VERSION", STATE_VERSION + 1)
    ours, other = STATE_VERSION, STATE_VERSION + 1
    with pytest.raises(SnapshotError, match=f"version {ours}, this program reads {other}"):
        restored(data)
    newer = pack(begun().state)
    monkeypatch.undo()
    with pytest.raises(SnapshotError, match=f"version {other}, this program reads {ours}"):
        restored(newer)


def test_state_before_structs_is_refused_by_name() -> None:
    """Version 2 wrote the attributes of objects by name, within a list of this form."""
    data = msgspec.msgpack.encode([2, ["object", "StreamSession", {"ending": False}]])
    with pytest.raises(SnapshotError, match=f"state of version 2, .* reads {STATE_VERSION}"):
        restored(data)


def test_measures_of_waiting_beats_are_restored_bit_for_bit() -> None:
    """A scorer that is asked again after a restart sees the same, and so do later beats."""
    kept = begun(unpack(BUSY, StreamState))
    again = saved(kept)
    rest = SIGNAL.samples[5_300:9_000]
    for stream in (kept, again):
        stream.take(SampleBlock(5_300, rest))
    waiting = [
        [(beat.id, beat.measures.tobytes()) for beat in stream.beats.waiting]
        for stream in (kept, again)
    ]
    assert waiting[0] == waiting[1]
    assert len(waiting[0]) > 10


def changed(change: Callable[[StreamState], None]) -> bytes:
    """Return a state in which something was changed."""
    state = unpack(BUSY, StreamState)
    change(state)
    return pack(state)


WRONG: dict[str, Callable[[StreamState], None]] = {
    "an array of another dtype": lambda s: setattr(s.segmenter.leads[0], "tail", np.zeros(2048)),
    "an array of another shape": lambda s: setattr(s.segmenter.leads[0], "raw", np.zeros(2)),
    "a window of another length": lambda s: setattr(
        s.beats.beats[0], "window", np.zeros(3, np.float32)
    ),
    "the resampler of another rate": lambda s: setattr(
        s.segmenter.leads[0], "history", np.zeros(0, np.float32)
    ),
    "an index that a kernel would follow": (
        lambda s: s.segmenter.leads[0].detector.__setitem__(WAITING, 10**9)
    ),
    "a beat of another stream": lambda s: setattr(s.beats.beats[0], "id", ("q", 0, 1)),
    "an alarm of no kind": lambda s: s.alarms.machine.alarms.update(
        x=next(iter(s.alarms.machine.alarms.values()))
    ),
    "a text for a number": lambda s: setattr(s, "epoch", "0"),
    "a beat with too few measures": lambda s: setattr(
        s.beats.beats[0], "measures", np.zeros(MEASURES - 1, np.float32)
    ),
    "a beat that no scorer would take": (
        lambda s: s.beats.beats[0].measures.__setitem__(3, np.nan)
    ),
    "a beat with probabilities that are none": lambda s: setattr(
        s.beats.beats[0], "probabilities", np.full(4, np.nan, np.float32)
    ),
    "places of measures that a kernel would follow": (
        lambda s: s.features[0].counters.__setitem__(slice(None), 10**9)
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_state_that_does_not_fit_is_refused(what: str) -> None:
    """What is well-formed but none of this stream's is found before the stream goes on."""
    assert restored(changed(lambda state: None)).pending
    with pytest.raises(SnapshotError):
        restored(changed(WRONG[what]))


def test_what_is_no_part_of_a_state_is_not_packed() -> None:
    """An object that could not be read back is found when it is written."""

    class Novelty(State):
        what: object

    with pytest.raises(TypeError, match="complex"):
        pack(Novelty(1j))
