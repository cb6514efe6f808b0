"""JSON objects to NamedTuples and back, strictly: every fault is named by its path.

A field of a tuple is a field of the object, under the same name unless Python has that for a word
of its own. A field with a default may be missing. Nothing else may be there.

What a start reads are NamedTuples, not dataclasses: these compile their methods as a program
starts, a millisecond each.
"""

from __future__ import annotations

import functools
import json
import types
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from treadle.errors import BundleError

T = TypeVar("T")
_KEYWORDS = {"origin": "from"}
NAMES = {str: "a string", int: "an integer", float: "a number", bool: "true or false"}


def canonical_bytes(document: object) -> bytes:
    """The one way to write a JSON document that digests are taken of: sorted, compact, ASCII.

    Raises BundleError for what JSON cannot hold, such as NaN.
    """
    try:
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise BundleError(f"the document is not JSON: {error}") from error
    return text.encode("ascii")


def parse_json(text: bytes | str, what: str) -> Any:
    """The JSON document in `text`. Raises BundleError that begins with `what` for anything else."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    try:
        return json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{what} is not a JSON document: {error}") from error


def from_document(kind: type[T], document: object, path: str = "") -> T:
    """The NamedTuple `kind` in a JSON object. Raises BundleError naming the field's path."""
    if not isinstance(document, dict):
        raise BundleError(f"{path or 'the document'} must be an object, got {_shown(document)}")
    record: Any = kind
    fields = _fields(record)
    for key in document:
        if key not in fields:
            raise BundleError(
                f"{_join(path, key)} is not a field of the format; "
                f"the fields here are {', '.join(fields)}"
            )
    values = {}
    for key, field in fields.items():
        if key in document:
            values[field.name] = _value(field.hint, document[key], _join(path, key))
        elif field.required:
            raise BundleError(f"{_join(path, key)} is missing")
    return kind(**values)


def to_document(value: Any) -> Any:
    """The JSON value of a NamedTuple, or of containers of them."""
    if _is_record(type(value)):
        kind: Any = type(value)
        fields = _fields(kind)
        return {key: to_document(getattr(value, field.name)) for key, field in fields.items()}
    if isinstance(value, dict):
        return {key: to_document(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_document(item) for item in value]
    return value


class _Field(NamedTuple):
    name: str
    hint: Any
    required: bool


@functools.cache  # a manifest has dozens of tensors, and to read the hints of one takes its time
def _fields(kind: Any) -> dict[str, _Field]:
    """The fields of a NamedTuple by their names in a document."""
    hints = get_type_hints(kind)
    return {
        _KEYWORDS.get(name, name): _Field(name, hints[name], name not in kind._field_defaults)
        for name in kind._fields
    }


def _is_record(kind: Any) -> bool:
    """Whether this is a NamedTuple's class."""
    return isinstance(kind, type) and hasattr(kind, "_field_defaults")


def _join(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:60] + "…"


def _value(hint: Any, value: object, path: str) -> Any:
    """`value` as the type `hint`, or BundleError."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _union(get_args(hint), value, path)
    if _is_record(hint):
        return from_document(hint, value, path)
    if origin is tuple:
        if isinstance(value, list):
            item = get_args(hint)[0]
            return tuple(_value(item, v, f"{path}[{i}]") for i, v in enumerate(value))
        raise BundleError(f"{path} must be a list, got {_shown(value)}")
    if origin is dict:
        if isinstance(value, dict):
            item = get_args(hint)[1]
            return {key: _value(item, v, _join(path, key)) for key, v in value.items()}
        raise BundleError(f"{path} must be an object, got {_shown(value)}")
    if origin is Literal:
        if value in get_args(hint):
            return value
        raise BundleError(f"{path} must be one of {list(get_args(hint))}, got {_shown(value)}")
    return _plain(hint, value, path)


def _union(options: tuple[Any, ...], value: object, path: str) -> Any:
    faults = []
    for option in options:
        try:
            return _value(option, value, path)
        except BundleError as error:
            if option is not type(None):
                faults.append(str(error))
    raise BundleError(" or ".join(faults))


def _plain(hint: Any, value: object, path: str) -> Any:
    if hint is Any:
        return value
    if hint is type(None):
        if value is None:
            return None
        raise BundleError(f"{path} must be null, got {_shown(value)}")
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is hint:
        return value
    raise BundleError(f"{path} must be {NAMES[hint]}, got {_shown(value)}")
