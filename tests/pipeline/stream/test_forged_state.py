"""A saved state whose numbers somebody has changed: refused, or the stream goes on."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.errors import SnapshotError
from pipeline.schema.state import State
from pipeline.signal import segmenter_state as slots
from pipeline.signal.kernels import candidates, sampling
from pipeline.signal.samples import SampleBlock
from pipeline.signal.segmenter import Segmenter
from pipeline.stream.snapshot import pack, unpack
from pipeline.stream.stream import Stream
from pipeline.stream.stream_state import StreamState
from replay.synthetic import PatientConfig, SyntheticPatient
from tests.support.running import CONFIG

pytestmark = pytest.mark.system

FS_HZ = 250.0
PATIENT = PatientConfig(ectopic=0.2, pause=0.05, leadoff=0.02, fs=FS_HZ, seed=7)
SIGNAL = SyntheticPatient(PATIENT).generate(round(80 * FS_HZ))
EVEN = np.full(4, 0.25, np.float32)
SAVED_AT = round(20.3 * FS_HZ)
INTEGERS = (-(2**63), -(2**62), -(2**31), -1000, -1, 0, 1, 2, 7, 255, 481, 2**31, 2**53, 2**63 - 1)
FLOATS = (float("nan"), float("inf"), -float("inf"), 1e308, -1e308, -1.0, 0.0, 1.0, 1e9)


def _take(stream: Stream, begin: int, end: int) -> None:
    for a in range(begin, end, 1500):
        b = min(a + 1500, end)
        block = SampleBlock(
            a, SIGNAL.samples[a:b], flags=SIGNAL.flags[a:b], stamp_s=1e9 + b / FS_HZ
        )
        for beat in stream.take(block).windows:
            stream.beats.scored(beat.id, 0.5, np.zeros(320, np.float32), EVEN, 0.0)
        stream.drain()


def _begun(state: StreamState | None = None) -> Stream:
    return Stream("p", FS_HZ, CONFIG, lambda: 0.0, state=state)


def saved() -> bytes:
    """Return the state of a stream after some seconds."""
    stream = _begun()
    _take(stream, 0, SAVED_AT)
    return pack(stream.state)


SAVED = saved()


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


PLACES = [path for path, _ in numbers(unpack(SAVED, StreamState))]


def changed(path: tuple[Any, ...], at: int, which: int, *, everywhere: bool) -> bytes:
    """Return the saved state with another number at a place."""
    holder: Any = unpack(SAVED, StreamState)
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


@settings(max_examples=250, deadline=None, database=None, derandomize=True)
@given(
    path=st.sampled_from(PLACES),
    at=st.integers(0, 5000),
    which=st.integers(0, len(INTEGERS) - 1),
    everywhere=st.booleans(),
)
def _any_number_may_be_another(
    path: tuple[Any, ...], at: int, which: int, *, everywhere: bool
) -> None:
    data = changed(path, at, which, everywhere=everywhere)
    try:
        stream = _begun(unpack(data, StreamState))
    except (SnapshotError, ValueError, OverflowError):  # `journal` takes these for damage
        return
    _take(stream, SAVED_AT, SIGNAL.samples.size)
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
    state = unpack(SAVED, StreamState)
    at, value = BEYOND[name]
    part = state.segmenter if hasattr(state.segmenter, name) else state.segmenter.leads[0]
    getattr(part, name).flat[at] = value
    if name == "pending":
        state.segmenter.counters[slots.PENDING] = 1
    with pytest.raises(SnapshotError, match="no signal leaves behind"):
        _begun(state)


@pytest.mark.parametrize("fs_hz", [250.0, 257.3, 360.0])
def test_every_state_that_a_signal_leaves_behind_is_accepted(fs_hz: float) -> None:
    """After any chunk, gap, end of an epoch, electrode that is off, and what is no number."""
    config = PatientConfig(ectopic=0.1, pause=0.05, leadoff=0.05, fs=fs_hz, seed=3)
    signal = SyntheticPatient(config).generate(round(60 * fs_hz))
    random = np.random.default_rng(11)
    samples = signal.samples.copy()
    for wrong in (np.nan, 5000.0, -3000.0, 0.0, np.inf):
        at = int(random.integers(samples.size))
        samples[at : at + round(2 * fs_hz)] = wrong
    segmenter, begin, shift = Segmenter(fs_hz), 0, 10**15
    while begin < samples.size:
        n = int(random.choice((1, 5, 40, 600)))
        shift += int(random.choice((0, 0, 0, 0, 5, 900)))
        flags = signal.flags[begin : begin + n]
        segmenter.push(SampleBlock(shift + begin, samples[begin : begin + n], flags=flags))
        begin += n
        if random.random() < 0.02:
            segmenter.finish()
        Segmenter(fs_hz, segmenter.state)


if __name__ == "__main__":
    _any_number_may_be_another()
