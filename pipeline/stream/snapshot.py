"""The memory of a stream as versioned bytes, and back.

`pack` walks through the objects of a stream and writes down what they hold; `restore` puts it into
a stream that was begun the same way, so that it goes on as the first one would have. Only the
classes named in `_KNOWN` are read back, and no code comes from the bytes: MessagePack below, never
pickle. What a stream was begun with (settings, calibration, clock, rate) is not in the bytes: it is
that of the stream restored into.

An attribute that the bytes lack, or have too many, means that another version of the program wrote
them; so does another `STATE_VERSION`, which is raised whenever the same attributes come to mean
something else. Pure in memory.
"""

from collections import deque
from enum import Enum
from typing import Any, Final

import msgspec
import numpy as np

from pipeline.alarms.beat_rules import BeatAlarms
from pipeline.alarms.kinds import Kind
from pipeline.alarms.rate_rules import RateRules
from pipeline.alarms.settings import AlarmSettings
from pipeline.alarms.signal_rules import SignalAlarms
from pipeline.alarms.state_machine import Alarm, AlarmStateMachine
from pipeline.alarms.stream_alarms import StreamAlarms
from pipeline.alarms.system import SourceAlarm
from pipeline.alarms.ventricular import VentricularRhythm, VentricularShape
from pipeline.errors import SnapshotError
from pipeline.schema.public import Alert, Latency, SignalStrip
from pipeline.scoring.beat import Beat
from pipeline.scoring.beat_templates import BeatTemplates
from pipeline.scoring.live_score import (
    LiveScore,
    LiveScoreConfig,
    RollingQuantiles,
    Typical,
    Verdict,
)
from pipeline.scoring.patient_template import PatientTemplate
from pipeline.scoring.rr_context import RRContext
from pipeline.signal.arrivals import ArrivalTimes
from pipeline.signal.fibrillation import FibrillationWatch
from pipeline.signal.filters import Resampling
from pipeline.signal.kernels.beats import Beats
from pipeline.signal.quality import Reason
from pipeline.signal.reorder import ReorderBuffer, SampleBlock
from pipeline.signal.segment import FibrillationChange
from pipeline.signal.segmenter import Segmenter
from pipeline.signal.segmenter_state import SegmenterState
from pipeline.signal.source_clock import SourceClock
from pipeline.stream.counters import Counters
from pipeline.stream.session import StreamSession
from pipeline.stream.stream import Stream
from pipeline.stream.strip_recorder import StripRecorder

STATE_VERSION: Final = 2

_KNOWN: Final[dict[str, Any]] = {
    kind.__name__: kind
    for kind in (
        Alarm, AlarmStateMachine, Alert, ArrivalTimes, Beat, BeatAlarms, Beats, StreamSession,
        Counters, StripRecorder, BeatTemplates, FibrillationChange, FibrillationWatch, Kind,
        Latency, LiveScore, PatientTemplate, SampleBlock, RRContext, RollingQuantiles, RateRules,
        Reason, ReorderBuffer, Segmenter, SegmenterState, SignalAlarms, SignalStrip, SourceClock,
        Stream, StreamAlarms, Typical, VentricularRhythm, VentricularShape, Verdict,
    )
}  # fmt: skip

_LEFT_OUT: Final = (LiveScoreConfig, AlarmSettings, Resampling, SourceAlarm)
"""What a stream is begun with, and what goes by a clock."""

_PLAIN: Final = frozenset({type(None), bool, int, float, str, bytes})

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder()


def pack(root: object) -> bytes:
    """Return ``root`` and all it holds as bytes, this version's.

    Raises:
        TypeError: it holds an object of a class that is not known here.
    """
    return _encoder.encode([STATE_VERSION, _Packer().tree(root)])


def restore(data: bytes, root: Any) -> None:
    """Put what `pack` wrote into ``root``, an object begun as the one that was packed.

    Raises:
        SnapshotError: another version wrote the bytes, or they are damaged; ``root`` is useless.
    """
    try:
        version, tree = _decoder.decode(data)
        if version != STATE_VERSION:
            raise SnapshotError(f"state of version {version}, this program reads {STATE_VERSION}")
        _Restorer().into(root, tree)
    except SnapshotError:
        raise
    except Exception as error:  # bytes that are none of ours fail anywhere
        raise SnapshotError(f"{len(data)} bytes are no state: {error!r}") from None


class _Packer:
    """Writes a tree of objects; one that is met again is referred to by its number."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self._kept: list[object] = []

    def tree(self, value: Any) -> Any:
        """Return ``value`` in plain types: what is not plain is a list that begins with a tag."""
        kind = type(value)
        if kind in _PLAIN:
            return value
        if isinstance(value, Enum):
            return ["enum", kind.__name__, value.value]
        if isinstance(value, np.ndarray | np.generic):
            array = np.asarray(value)
            scalar = isinstance(value, np.generic)
            return ["array", array.dtype.str, list(array.shape), array.tobytes(), scalar]
        if kind in (list, deque):
            plain = _PLAIN.issuperset(map(type, value))
            items = list(value) if plain else [self.tree(item) for item in value]
            return ["list", items] if kind is list else ["deque", value.maxlen, items]
        if kind in (dict, frozenset):
            pairs = value.items() if kind is dict else ((item, None) for item in value)
            return [kind.__name__, [[self.tree(k), self.tree(v)] for k, v in pairs]]
        if isinstance(value, tuple):
            name = kind.__name__ if kind is not tuple else ""
            return ["tuple", _checked(name), [self.tree(item) for item in value]]
        return self._object(value)

    def _object(self, value: Any) -> Any:
        number = self._numbers.get(id(value))
        if number is not None:
            return ["again", number]
        self._numbers[id(value)] = len(self._kept)
        self._kept.append(value)  # lest another object get its id
        held = {name: self.tree(held) for name, held in _held(value).items()}
        return ["object", _checked(type(value).__name__), held]


class _Restorer:
    """Reads the tree back, numbering objects in the order in which they were written."""

    def __init__(self) -> None:
        self._objects: list[Any] = []

    def into(self, target: Any, tree: Any) -> Any:
        """Fill ``target``, an object begun anew; return it."""
        tag, name, held = tree
        if tag != "object" or name != type(target).__name__:
            raise SnapshotError(f"state of {name!r} where {type(target).__name__} belongs")
        self._objects.append(target)
        twins = _held(target)
        if set(twins) != set(held):
            raise SnapshotError(f"{name} has other parts: {sorted(set(twins) ^ set(held))}")
        for attribute, value in held.items():
            object.__setattr__(target, attribute, self._value(value, twins[attribute]))
        return target

    def _value(self, tree: Any, twin: Any = None) -> Any:
        if not isinstance(tree, list):
            return tree
        match tree:
            case ["enum", name, value]:
                return _KNOWN[name](value)
            case ["array", dtype, shape, data, scalar]:
                array = np.frombuffer(data, dtype=np.dtype(dtype)).reshape(shape)
                return array[()] if scalar else array.copy()
            case ["list", items]:
                return [self._value(item) for item in items]
            case ["deque", most, items]:
                return deque((self._value(item) for item in items), maxlen=most)
            case ["dict", pairs]:
                return {self._value(k): self._value(v) for k, v in pairs}
            case ["frozenset", pairs]:
                return frozenset(self._value(item) for item, _ in pairs)
            case ["tuple", name, items]:
                values = [self._value(item) for item in items]
                return _KNOWN[name](*values) if name else tuple(values)
            case ["again", number]:
                return self._objects[number]
            case ["object", name, held]:
                if type(twin).__name__ == name:
                    return self.into(twin, tree)
                return self._made(_KNOWN[name], held)
        raise SnapshotError(f"no tag of ours: {tree[:1]!r}")

    def _made(self, kind: Any, held: dict[str, Any]) -> Any:
        """Return an object that no stream has when it begins."""
        number = len(self._objects)
        self._objects.append(None)
        if issubclass(kind, msgspec.Struct):
            made = kind(**{name: self._value(value) for name, value in held.items()})
            self._objects[number] = made
            return made
        made = self._objects[number] = object.__new__(kind)
        for name, value in held.items():
            object.__setattr__(made, name, self._value(value))
        return made


def _checked(name: str) -> str:
    if name and name not in _KNOWN:
        raise TypeError(f"{name} is no part of a stream's memory")
    return name


def _names(kind: Any) -> list[str]:
    if issubclass(kind, msgspec.Struct):
        return list(kind.__struct_fields__)
    return [name for base in kind.__mro__ for name in getattr(base, "__slots__", ())]


def _held(value: Any) -> dict[str, Any]:
    """Return the attributes of an object that are its memory."""
    names = _names(type(value)) or list(vars(value))
    held = ((name, getattr(value, name)) for name in names)
    return {n: v for n, v in held if not isinstance(v, _LEFT_OUT) and not callable(v)}
