"""The structure of a saved state, and one that was saved: `tests.support.states` recorded both."""

import json
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
import numpy as np
import pytest

from pipeline.schema.state import State, decode, encode, field_types
from pipeline.stream.session import SessionState, StreamSession
from pipeline.stream.snapshot import STATE_VERSION, unpack
from pipeline.stream.stream import Stream
from tests.support.running import CONFIG
from tests.support.states import ALERTS, FS_HZ, SAVED, SCHEMA, brief, go_on, schema

CHANGED = f"""the structs of a saved state are no longer those of version {STATE_VERSION}:
raise STATE_VERSION in pipeline/stream/snapshot.py, run python -m tests.support.states,
and delete the golden files of the version before. Hubs then start their streams over once."""


def test_structure_changes_with_the_version_alone() -> None:
    """Types by position are those recorded for `STATE_VERSION`; names do not count."""
    assert SCHEMA.is_file(), CHANGED
    assert schema() == SCHEMA.read_text(encoding="utf-8"), CHANGED


def test_stream_continues_from_a_saved_state() -> None:
    """A state in the middle of a stream, beats under way, gives the alerts recorded then."""
    saved = np.load(SAVED)
    state = unpack(saved["state"].tobytes(), SessionState)
    assert len({beat.wants_score for beat in state.stream.beats.beats}) == 2
    stream = Stream("p", FS_HZ, CONFIG, lambda: 0.0, state=state.stream)
    session = StreamSession(stream, state.lead, 0.0, state)

    alerts = go_on(session, saved["samples"], saved["flags"])

    assert brief(alerts) == json.loads(ALERTS.read_text(encoding="utf-8"))


def renamed(hint: Any, made: dict[Any, Any]) -> Any:
    """Return a type with every state in it replaced by one whose fields have other names."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated or origin is np.ndarray:
        return hint
    if origin in (Union, UnionType):
        return Union[tuple(renamed(arg, made) for arg in args)]  # noqa: UP007
    if origin in (list, tuple, dict):
        return origin[tuple(renamed(arg, made) for arg in args)]
    if not (isinstance(hint, type) and issubclass(hint, State)):
        return hint
    if hint not in made:
        fields = [(f"x_{n}", renamed(t, made)) for n, t in field_types(hint).items()]
        made[hint] = msgspec.defstruct(f"X{hint.__name__}", fields, bases=(State,))
    return made[hint]


def test_state_survives_a_rename_of_any_attribute() -> None:
    """A program in which every field and every struct has another name reads the same state."""
    data = np.load(SAVED)["state"].tobytes()
    other = renamed(SessionState, {})
    assert not set(other.__struct_fields__) & set(SessionState.__struct_fields__)

    state = decode(STATE_VERSION, data, other)

    assert encode(STATE_VERSION, state) == data


def test_changed_structure_is_not_taken_for_the_recorded_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A field more at the end of a struct deep within changes the description."""

    class Longer(State):
        epoch: int
        more: int

    field_types.cache_clear()
    monkeypatch.setitem(SessionState.__annotations__, "stream", Longer)
    assert schema() != SCHEMA.read_text(encoding="utf-8")
    monkeypatch.undo()
    field_types.cache_clear()
