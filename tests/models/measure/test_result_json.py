"""Results and their JSON: a round trip changes nothing; an error names the key that is wrong."""

import json
from dataclasses import dataclass, field
from typing import Literal

import pytest

from models.measure.result_json import INLINE, OMIT_NONE, Fact, from_json, key, to_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part whose keys are inline in those of the whole."""

    auc: float
    by_class: dict[str, int] = field(metadata=INLINE)
    other: int = field(metadata=key("-"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """One of everything."""

    kind: Literal["whole"] = "whole"
    part: Part = field(metadata=INLINE)
    missing: str | None = field(default=None, metadata=OMIT_NONE)
    nothing: float | None
    facts: dict[str, Fact]
    parts: list[Part]


PART = {"auc": 0.5, "N": 1, "V": 2, "-": 3}
WHOLE = {"kind": "whole", **PART, "nothing": None, "facts": {"a": True, "b": 1, "c": "x"},
         "parts": [PART]}  # fmt: skip


def test_keys_are_in_the_order_of_the_fields() -> None:
    """The keys of inline parts take the place of their field; an omitted field has no key."""
    whole = from_json(Whole, WHOLE)

    assert whole.part == whole.parts[0] == Part(auc=0.5, by_class={"N": 1, "V": 2}, other=3)
    written = json.dumps(to_json(whole))
    expected = {k: WHOLE[k] for k in ("kind", "auc", "N", "V", "-", "nothing", "facts", "parts")}
    assert written == json.dumps(expected)
    assert from_json(Whole, json.loads(written)) == whole


def test_omit_none_writes_every_other_value() -> None:
    """An empty text is not None."""
    assert to_json(from_json(Whole, WHOLE | {"missing": ""}))["missing"] == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"auc": "high"}, "auc is no float"),
        ({"auc": True}, "auc is no float"),
        ({"kind": "half"}, "kind is no"),
        ({"facts": {"a": []}}, r"facts\.a is no str"),
        ({"parts": [PART, {}]}, r"parts\[1\] has no 'auc'"),
        ({"parts": None}, "parts is no"),
        ({"nothing": "x"}, "nothing is no float"),
    ],
)
def test_an_error_names_the_key_that_is_wrong(change: dict[str, object], message: str) -> None:
    """A wrong type or a missing key, in a row of a list too."""
    with pytest.raises(ValueError, match=message):
        from_json(Whole, WHOLE | change)
    with pytest.raises(ValueError, match="the whole is no Whole"):
        from_json(Whole, [])


def test_a_value_without_a_json_form_is_refused() -> None:
    """No dataclass, or a value of another kind in one."""
    with pytest.raises(TypeError, match="no dataclass but dict"):
        to_json({})
    with pytest.raises(TypeError, match="no dataclass but complex"):
        to_json(Part(auc=1j, by_class={}, other=0))  # type: ignore[arg-type]
