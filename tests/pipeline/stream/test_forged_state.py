"""A saved state whose numbers somebody has changed: refused, or the stream goes on."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.errors import SnapshotError
from pipeline.schema.state import State
from pipeline.signal import segmenter_state as slots
from pipeline.signal.kernels import agreement as kernel
from pipeline.signal.kernels import candidates, evidence, sampling
from pipeline.signal.samples import SampleBlock
from pipeline.signal.segmenter import Segmenter
from pipeline.signal.segmenter_state import SegmenterState
from pipeline.stream.snapshot import pack, unpack
from pipeline.stream.stream import Stream
from pipeline.stream.stream_state import StreamState
from replay.devices.synthetic import PatientConfig, SyntheticPatient
from tests.support.limits import examples
from tests.support.running import CONFIG

pytestmark = pytest.mark.system

FS_HZ = 250.0
LEADS = {1: ("II",), 2: ("II", "V1")}
SIGNALS = {
    n: SyntheticPatient(
        PatientConfig(leads=leads, ectopic=0.2, pause=0.05, leadoff=0.02, fs=FS_HZ, seed=7)
    ).generate(round(80 * FS_HZ))
    for n, leads in LEADS.items()
}
EVEN = np.full(4, 0.25, np.float32)
SAVED_AT = round(20.3 * FS_HZ)
INTEGERS = (-(2**63), -(2**62), -(2**31), -1000, -1, 0, 1, 2, 7, 255, 481, 2**31, 2**53, 2**63 - 1)
FLOATS = (float("nan"), float("inf"), -float("inf"), 1e308, -1e308, -1.0, 0.0, 1.0, 1e9)


def _take(stream: Stream, begin: int, end: int) -> None:
    signal = SIGNALS[len(stream.leads)]
    for a in range(begin, end, 1500):
        b = min(a + 1500, end)
        samples, flags = signal.samples[..., a:b], signal.flags[..., a:b]
        block = SampleBlock(a, samples, flags=flags, stamp_s=1e9 + b / FS_HZ)
        for beat in stream.take(block).windows:
            stream.beats.scored(beat.id, 0.5, np.zeros(320, np.float32), EVEN, 0.0)
        stream.drain()
        stream.take_trends()


def _begun(leads: int, state: StreamState | None = None) -> Stream:
    return Stream("p", FS_HZ, CONFIG, lambda: 0.0, leads=LEADS[leads], state=state)


def saved(leads: int) -> bytes:
    """Return the state of a stream after some seconds."""
    stream = _begun(leads)
    _take(stream, 0, SAVED_AT)
    return pack(stream.state)


SAVED = {leads: saved(leads) for leads in LEADS}


def numbers(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield the path and value of every number, and array of numbers, in a state."""
    if isinstance(value, np.ndarray | bool | int | float):
        yield path, value
    elif isinstance(value, State):
        for name in value.__struct_fields__:
            yield from numbers(getattr(value, name), (*path, name))
    elif isinstance(value, list):
        for i in range(len(value))[-2:]:
            yield from numbers(value[i], (*path, i))


PLACES = {
    leads: [path for path, _ in numbers(unpack(data, StreamState))] for leads, data in SAVED.items()
}
OF_LEADS = [path for path in PLACES[2] if {"agreement", "rhythms", "pending"} & set(path)]
"""What only several leads have."""


def changed(leads: int, path: tuple[Any, ...], at: int, which: int, *, everywhere: bool) -> bytes:
    """Return the saved state with another number at a place."""
    holder: Any = unpack(SAVED[leads], StreamState)
    state = holder
    for step in path[:-1]:
        holder = holder[step] if isinstance(holder, list) else getattr(holder, step)
    last = path[-1]
    before = holder[last] if isinstance(holder, list) else getattr(holder, last)
    if isinstance(before, np.ndarray):
        _change(before, at, which, everywhere=everywhere)
        return pack(state)
    one: Any = FLOATS[which % len(FLOATS)] if isinstance(before, float) else INTEGERS[which]
    one = not before if isinstance(before, bool) else one
    if isinstance(holder, list):
        holder[last] = one
    else:
        setattr(holder, last, one)
    return pack(state)


def _change(array: NDArray[Any], at: int, which: int, *, everywhere: bool) -> None:
    assume(array.size)
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):
            value = np.array(FLOATS[which % len(FLOATS)]).astype(array.dtype)
    else:
        limits = np.iinfo(array.dtype)
        value = np.array(min(max(INTEGERS[which], limits.min), limits.max)).astype(array.dtype)
    if everywhere:
        array[...] = value
    else:
        array.flat[at % array.size] = value


@settings(max_examples=examples(60, 250), deadline=None, database=None, derandomize=True)
@given(
    where=st.one_of(
        *(st.tuples(st.just(leads), st.sampled_from(PLACES[leads])) for leads in LEADS),
        st.tuples(st.just(2), st.sampled_from(OF_LEADS)),
    ),
    at=st.integers(0, 5000),
    which=st.integers(0, len(INTEGERS) - 1),
    everywhere=st.booleans(),
)
def _any_number_may_be_another(
    where: tuple[int, tuple[Any, ...]], at: int, which: int, *, everywhere: bool
) -> None:
    leads, path = where
    data = changed(leads, path, at, which, everywhere=everywhere)
    try:
        stream = _begun(leads, unpack(data, StreamState))
    except (SnapshotError, ValueError, OverflowError):  # `journal` takes these for damage
        return
    _take(stream, SAVED_AT, SIGNALS[leads].samples.shape[-1])
    stream.finish()


def test_a_state_with_any_number_changed_is_refused_or_goes_on_for_a_minute() -> None:
    """In a process of its own: what a kernel would do with a wrong index ends that one."""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-m", __name__],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


BEYOND = {
    "resample": (sampling.REST, 10**6),
    "counters": (slots.DONE, 10**9),
    "detector": (candidates.NOW, 2**62),
    "pending": (0, 2**63 - 1),
    "watch": (0, -1),
    "sanitise": (0, float("nan")),
    "filters": (0, float("inf")),
}


@pytest.mark.parametrize("name", BEYOND)
def test_a_number_that_no_signal_leaves_behind_is_refused(name: str) -> None:
    """An index beyond its array, a code of nothing, a filter that no signal gets out of."""
    state = unpack(SAVED[1], StreamState)
    at, value = BEYOND[name]
    part = state.segmenter if hasattr(state.segmenter, name) else state.segmenter.leads[0]
    getattr(part, name).flat[at] = value
    if name == "pending":
        state.segmenter.counters[slots.PENDING] = 1
    with pytest.raises(SnapshotError, match="no signal leaves behind"):
        _begun(1, state)


def _waiting(state: SegmenterState) -> NDArray[np.int64]:
    """Return a row of what a lead has found, as one that waits."""
    state.agreement.waiting[1] = 1
    row: NDArray[np.int64] = state.agreement.found[1, 0]
    row[:] = state.counters[slots.DONE] - 100, state.counters[slots.DONE] - 20, kernel.WAITS
    return row


BEYOND_LEADS: dict[str, Callable[[SegmenterState], None]] = {
    "a lead too few": lambda s: s.leads.pop(),
    "a beat in no lead": lambda s: s.pending[:, slots.LEAD].fill(2),
    "a chosen lead that is none": lambda s: s.agreement.counters.__setitem__(kernel.CHOSEN, 2),
    "a better lead that is none": lambda s: s.agreement.counters.__setitem__(kernel.BETTER, -1),
    "a last beat after the end": lambda s: s.agreement.counters.__setitem__(kernel.LAST_R, 2**40),
    "a last beat before all time": (
        lambda s: s.agreement.counters.__setitem__(kernel.LAST_R, -(2**63))
    ),
    "an interval longer than any": (
        lambda s: s.agreement.counters.__setitem__(kernel.USUAL_RR, 2**40)
    ),
    "more found than there is room for": lambda s: s.agreement.waiting.fill(10**6),
    "what waits for ever": lambda s: _waiting(s).__setitem__(kernel.CONFIRMED, 2**40),
    "what waits since long ago": lambda s: _waiting(s).__setitem__(kernel.R, 0),
    "what neither waits nor is decided": lambda s: _waiting(s).__setitem__(kernel.BECAME, 0),
    "a record that is none": lambda s: s.agreement.record.fill(np.nan),
    "an R peak seconds away": lambda s: s.agreement.record[:, evidence.OFFSET].fill(1e5),
    "shapes of another number of leads": lambda s: setattr(
        s.agreement, "shapes", s.agreement.shapes[:1]
    ),
    "a rhythm of a lead that is none": lambda s: setattr(s.rhythms, "chosen", 2),
    "a rhythm of no kind": lambda s: setattr(s.rhythms.leads[1], "too_fast", 7),
    "a rhythm since before all time": lambda s: setattr(s.rhythms.leads[0], "fast_from", -(2**62)),
}


@pytest.mark.parametrize("what", BEYOND_LEADS)
def test_what_several_leads_cannot_leave_behind_is_refused(what: str) -> None:
    """An index beyond its array, or what would leave the stream deaf or alarmed for ever."""
    state = unpack(SAVED[2], StreamState)
    state.segmenter.counters[slots.PENDING] = max(state.segmenter.counters[slots.PENDING], 1)
    BEYOND_LEADS[what](state.segmenter)
    with pytest.raises(SnapshotError):
        _begun(2, state)


@pytest.mark.parametrize("check_at", [None, -(2**62), 2**62])
def test_fibrillation_that_its_lead_does_not_see_is_refused(check_at: int | None) -> None:
    """It would never end; nor would leads be compared, or would they be until today."""
    state = unpack(SAVED[2], StreamState)
    its = state.alarms.signal.leads_fibrillation
    its.waves[1].fibrillates, its.check_at = check_at is None, check_at
    with pytest.raises(SnapshotError):
        _begun(2, state)


@pytest.mark.parametrize("fs_hz", [250.0, 257.3, 360.0])
@pytest.mark.parametrize("leads", LEADS)
def test_every_state_that_a_signal_leaves_behind_is_accepted(fs_hz: float, leads: int) -> None:
    """After any chunk, gap, end of an epoch, electrode that is off, and what is no number."""
    config = PatientConfig(
        leads=LEADS[leads], ectopic=0.1, pause=0.05, leadoff=0.05, fs=fs_hz, seed=3
    )
    signal = SyntheticPatient(config).generate(round(60 * fs_hz))
    random = np.random.default_rng(11)
    samples = signal.samples.copy()
    for wrong in (np.nan, 5000.0, -3000.0, 0.0, np.inf):
        at, row = random.integers(samples.shape[-1]), random.integers(leads)
        samples.reshape(leads, -1)[row, at : at + round(2 * fs_hz)] = wrong
    segmenter, begin, shift = Segmenter(fs_hz, leads=leads), 0, 10**15
    while begin < samples.shape[-1]:
        n = int(random.choice((1, 5, 40, 600)))
        shift += int(random.choice((0, 0, 0, 0, 5, 900)))
        part, flags = samples[..., begin : begin + n], signal.flags[..., begin : begin + n]
        segmenter.push(SampleBlock(shift + begin, part, flags=flags))
        begin += n
        if random.random() < 0.02:
            segmenter.finish()
        Segmenter(fs_hz, unpack(pack(segmenter.state), SegmenterState))


if __name__ == "__main__":
    _any_number_may_be_another()
