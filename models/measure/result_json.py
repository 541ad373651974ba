"""The JSON of results that commands print and keep: evaluations, benchmarks, findings.

`to_json` turns a dataclass into an object whose keys are the names of its fields, in their order;
`from_json` reads one back and checks the types. Metadata of a field states where the two differ:
`INLINE` puts the keys of a dataclass or a mapping in the place of the field, `key` gives it
another name, `OMIT_NONE` leaves it out where its value is None. Every other field is written, its
default too, and unknown keys are ignored. `models.files.strict_json` has the rules of model files.

Pure: no files, no text.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Final, Literal, TypeAlias, TypeVar, Union, get_args, get_origin
from typing import get_type_hints as type_hints

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Fact: TypeAlias = bool | int | float | str
"""A setting of a training: a truth, a number, or a short text."""

T = TypeVar("T")

INLINE: Final[Mapping[str, object]] = {"inline": True}
OMIT_NONE: Final[Mapping[str, object]] = {"omit_none": True}


def key(name: str) -> Mapping[str, object]:
    """Return the metadata of a field whose key in JSON is ``name``."""
    return {"key": name}


def to_json(result: object) -> dict[str, Json]:
    """Return a dataclass as a JSON object.

    Raises:
        TypeError: it is no dataclass, or holds a value that JSON has no form for.
    """
    if not is_dataclass(result) or isinstance(result, type):
        raise TypeError(f"no dataclass but {type(result).__name__}")
    found: dict[str, Json] = {}
    for one in fields(result):
        value = getattr(result, one.name)
        if value is None and one.metadata.get("omit_none"):
            continue
        json = _json(value)
        if one.metadata.get("inline") and isinstance(json, dict):
            found |= json
        else:
            found[_key(one)] = json
    return found


def _json(value: object) -> Json:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(name): _json(one) for name, one in value.items()}
    if isinstance(value, Sequence):
        return [_json(one) for one in value]
    return to_json(value)


def from_json(kind: type[T], value: object) -> T:
    """Return ``value``, decoded JSON, as the dataclass ``kind``.

    Unknown keys are ignored; a field with a default may be missing.

    Raises:
        ValueError: a key is missing or a value has another type; the text names the place.
    """
    read: T = _read(kind, value, "")
    return read


def _key(one: "Field[Any]") -> str:
    return str(one.metadata.get("key", one.name))


def _read(kind: Any, value: object, at: str) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if isinstance(value, Mapping) and hasattr(kind, "__dataclass_fields__"):
        return kind(**dict(_read_fields(kind, value, at)))
    if origin in (Union, UnionType):
        return _read_union(arguments, value, at)
    if origin is Literal and value in arguments:
        return value
    if _is_class(origin, Mapping) and isinstance(value, Mapping):
        return {name: _read(arguments[1], one, f"{at}.{name}") for name, one in value.items()}
    if _is_class(origin, Sequence) and isinstance(value, list):
        return [_read(arguments[0], one, f"{at}[{i}]") for i, one in enumerate(value)]
    if isinstance(kind, type) and type(value) in ((int, float) if kind is float else (kind,)):
        return value
    raise ValueError(f"{at.lstrip('.') or 'the whole'} is no {getattr(kind, '__name__', kind)}")


def _is_class(origin: object, base: type) -> bool:
    return isinstance(origin, type) and issubclass(origin, base)


def _read_union(options: Sequence[Any], value: object, at: str) -> Any:
    if value is None and NoneType in options:
        return None
    *others, last = (option for option in options if option is not NoneType)
    for option in others:
        try:
            return _read(option, value, at)
        except ValueError:
            continue
    return _read(last, value, at)


def _read_fields(kind: Any, value: Mapping[str, Any], at: str) -> Iterator[tuple[str, object]]:
    hints = type_hints(kind)
    for one in fields(kind):
        name, hint = _key(one), hints[one.name]
        if not one.init:
            continue
        if one.metadata.get("inline"):
            yield one.name, _read(hint, _not_claimed(kind, value), at)
        elif name in value:
            yield one.name, _read(hint, value[name], f"{at}.{name}")
        elif one.default is MISSING and one.default_factory is MISSING:
            raise ValueError(f"{at.lstrip('.') or 'the whole'} has no {name!r}")


def _not_claimed(kind: Any, value: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the entries that belong to the fields that are in line."""
    claimed = {_key(one) for one in fields(kind) if not one.metadata.get("inline")}
    return {name: one for name, one in value.items() if name not in claimed}
