"""The saved state of a stream as its golden files have it, and how they are made.

``python -m tests.support.states`` writes the files of the present `STATE_VERSION` to tests/golden;
delete those of the version before. See `tests.pipeline.stream.test_saved_state`.
"""

import json
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipeline.schema.public import Alert
from pipeline.schema.state import Shape, State, field_types
from pipeline.signal.samples import SampleBlock
from pipeline.stream.embedded import score_beats
from pipeline.stream.session import SessionState, StreamSession
from pipeline.stream.snapshot import STATE_VERSION, pack
from pipeline.stream.stream import Stream, StreamUpdate
from replay.devices.synthetic import PatientConfig, SyntheticPatient
from tests.support.paths import GOLDEN
from tests.support.running import CONFIG, TrivialScorer

SCHEMA: Final = GOLDEN / f"state_v{STATE_VERSION}.txt"
SAVED: Final = GOLDEN / f"state_v{STATE_VERSION}.npz"
ALERTS: Final = GOLDEN / f"state_v{STATE_VERSION}.json"

FS_HZ: Final = 250.0


def described(hint: Any, indent: str = "") -> list[str]:
    """Return the type of a part of a state, its fields by position on lines of their own."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        (first, *more) = described(args[0], indent)
        shapes = [repr(tuple(shape)) for shape in args[1:] if isinstance(shape, Shape)]
        return [" ".join((first, *shapes)), *more]
    if origin in (np.ndarray, NDArray):  # which NumPy 2.5 made an alias
        (element,) = get_args(args[-1]) or args
        return [f"{indent}array {np.dtype(element)}"]
    if origin in (Union, UnionType):
        absent = "absent" if msgspec.UnsetType in args else "nothing"
        (inner,) = (arg for arg in args if arg not in (type(None), msgspec.UnsetType))
        return [f"{indent}or {absent}", *described(inner, indent + "  ")]
    if origin in (list, tuple, dict):
        inner = [line for arg in args for line in described(arg, indent + "  ")]
        return [f"{indent}{origin.__name__}", *inner]
    if issubclass(hint, State) or hasattr(hint, "_fields"):
        fields = [described(inner, indent + "  ") for inner in field_types(hint).values()]
        return [f"{indent}fields", *[line for lines in fields for line in lines]]
    if issubclass(hint, msgspec.Struct):
        lines = [f"{indent}map"]
        for name, inner in field_types(hint).items():
            first, *more = described(inner, indent + "  ")
            lines += [f"{first} {name}", *more]
        return lines
    return [f"{indent}{hint.__name__}"]


def schema() -> str:
    """Return the structure of a saved state: nothing in it depends on a name but in messages."""
    return "\n".join(described(SessionState)) + "\n"


def go_on(
    session: StreamSession, samples: NDArray[np.float32], flags: NDArray[np.uint8]
) -> list[Alert]:
    """Let a stream go on to its end; return its alerts."""
    stream, first = session.stream, session.stream.next_sample
    alerts: list[Alert] = []

    def absorb(taken: StreamUpdate) -> None:
        alerts.extend(taken.alerts)
        answer(stream, len(stream.beats.waiting))
        alerts.extend(alert for report in stream.drain() for alert in report.alerts)

    for a in range(0, samples.size, 250):
        absorb(stream.take(SampleBlock(first + a, samples[a : a + 250], flags=flags[a : a + 250])))
    absorb(stream.finish())
    return alerts + stream.close()


def answer(stream: Stream, most: int) -> None:
    """Bring back up to ``most`` scores and classes."""
    score_beats(stream, stream.beats.waiting[:most], TrivialScorer())


def brief(alerts: list[Alert]) -> list[list[object]]:
    """Return what a golden file says of alerts."""
    return [[a.kind, a.state, a.sample, a.episode, a.count] for a in alerts]


def _record() -> None:
    patient = PatientConfig(ectopic=0.1, sve=0.05, pause=0.02, leadoff=0.02, fs=FS_HZ, seed=11)
    signal = SyntheticPatient(patient).generate(round(60 * FS_HZ))
    x, flags, half = signal.samples, signal.flags, signal.samples.size // 2
    stream = Stream("p", FS_HZ, CONFIG, lambda: 0.0)
    session = StreamSession(stream, "II", 0.0)
    for a in range(0, half, 250):
        b = min(a + 250, half)
        taken = stream.take(SampleBlock(a, x[a:b], flags=flags[a:b], stamp_s=1e9 + b / FS_HZ))
        for strip in taken.strips:
            session.add_strip(strip)
        answer(stream, max(0, len(stream.beats.waiting) - 12))
        stream.drain()
    score_beats(stream, stream.beats.waiting[6:9], TrivialScorer())  # behind others
    state = np.frombuffer(pack(session.state), dtype=np.uint8)
    np.savez_compressed(SAVED, state=state, samples=x[half:], flags=flags[half:])
    alerts = brief(go_on(session, x[half:], flags[half:]))
    ALERTS.write_text("[\n" + ",\n".join(map(json.dumps, alerts)) + "\n]\n", encoding="utf-8")
    SCHEMA.write_text(schema(), encoding="utf-8")


if __name__ == "__main__":
    _record()
