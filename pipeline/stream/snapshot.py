"""The memory of a stream as versioned bytes, and back.

`pack` writes the state structs of a stream, `unpack` reads them (`pipeline.schema.state`). What a
stream is begun with (settings, calibration, clock, rate) is not in the bytes: `Stream` and
`StreamSession` take it beside the state. A state of another `STATE_VERSION` is refused; the hub
starts that stream over. Pure in memory.
"""

from typing import Final

from pipeline.schema.state import State, StateT, decode, encode

STATE_VERSION: Final = 11
"""To be raised with every change to the structs, and whenever the same fields come to mean
something else. A test compares the structs with those recorded for this version."""


def pack(state: State) -> bytes:
    """Return a state and all that it holds as bytes, of this version."""
    return encode(STATE_VERSION, state)


def unpack(data: bytes, kind: type[StateT]) -> StateT:
    """Return the state that `pack` wrote.

    Raises:
        SnapshotError: another version wrote the bytes, or they are damaged.
    """
    return decode(STATE_VERSION, data, kind)
