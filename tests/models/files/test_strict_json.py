"""Dataclasses as JSON objects: the same object comes back, and nothing else is accepted."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from models.files.strict_json import from_json, to_json


@dataclass(frozen=True, kw_only=True)
class Part:
    """One of several."""

    share: float


@dataclass(frozen=True, kw_only=True)
class Whole:
    """With a part of each kind."""

    name: str
    count: int
    limit: int | None
    names: tuple[str, ...]
    parts: Mapping[str, Part]
    remark: str | None = None


WHOLE = Whole(name="a", count=2, limit=None, names=("x", "y"), parts={"b": Part(share=0.5)})


def test_an_object_has_the_fields_in_their_order_but_no_defaults() -> None:
    """None is written where it is no default; tuples become lists."""
    assert json.dumps(to_json(WHOLE)) == (
        '{"name": "a", "count": 2, "limit": null, "names": ["x", "y"], '
        '"parts": {"b": {"share": 0.5}}}'
    )


@pytest.mark.parametrize("remark", [None, "good"])
def test_what_is_written_is_read_again(remark: str | None) -> None:
    """With an optional field and without."""
    whole = Whole(**{**vars(WHOLE), "remark": remark})
    assert from_json(Whole, json.loads(json.dumps(to_json(whole)))) == whole


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": "2"}, r"Expected `int`.*\$\.count"),
        ({"count": True}, r"\$\.count"),
        ({"names": "xy"}, r"\$\.names"),
        ({"parts": {"b": {}}}, "missing required field `share`"),
        ({"parts": {"b": {"share": 0.5, "more": 1}}}, "keys that no Whole has"),
        ({"more": 1}, "keys that no Whole has"),
        ({"remark": None}, "keys that no Whole has"),
    ],
)
def test_an_object_of_another_form_is_refused(change: dict[str, object], message: str) -> None:
    """Another type, a missing or an unknown key, at any depth."""
    with pytest.raises(ValueError, match=message):
        from_json(Whole, {**to_json(WHOLE), **change})
    with pytest.raises(ValueError, match="object"):
        from_json(Whole, [])
