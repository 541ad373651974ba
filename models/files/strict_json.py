"""The JSON of files that a program reads back: models, calibrations, checkpoints, the ablation.

Writing leaves out a field that has its default. Reading refuses an unknown key, so a file is what
was written or no file of ours. Results for people and reports have looser rules and keys of their
own: `models.measure.result_json`.
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

JsonObject = Mapping[str, object]


def to_json(value: Any) -> Any:
    """Return ``value`` as JSON has it: a dataclass as an object of its fields, in their order.

    A field that has its default is left out.
    """
    if is_dataclass(value):
        members = {field.name: (field, getattr(value, field.name)) for field in fields(value)}
        return {
            name: to_json(member)
            for name, (field, member) in members.items()
            if member != field.default
        }
    if isinstance(value, Mapping):
        return {key: to_json(member) for key, member in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(member) for member in value]
    return value


def from_json(kind: type[T], found: object) -> T:
    """Return the dataclass ``kind`` of which ``found`` is the JSON object.

    Raises:
        ValueError: a key is missing or unknown, or a value has another type.
    """
    value = msgspec.convert(found, kind)
    if to_json(value) != found:
        raise ValueError(f"holds keys that no {kind.__name__} has")
    return value
