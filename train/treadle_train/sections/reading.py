"""Strict reading of a table into a dataclass, with errors that name the key and the nearest one."""

from collections.abc import Iterable
from dataclasses import MISSING, field, fields, is_dataclass
from difflib import get_close_matches
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from treadle.errors import RecipeError

T = TypeVar("T")

_NAMES = {int: "an integer", float: "a number", str: "a string", bool: "true or false"}


def at_least(low: float, default: Any, *, below: float = float("inf")) -> Any:
    """A number with a default and a smallest value; it stays below `below`."""
    return field(default=default, metadata={"low": low, "below": below})


def rate(default: float) -> Any:
    """A share: 0 or more, less than 1."""
    return field(default=default, metadata={"low": 0, "below": 1})


def read_section(kind: type[T], table: object, path: str) -> T:
    """An instance of the dataclass `kind` from `table`; `path` is where it stands, "" at the top.

    Raises RecipeError for an unknown or missing key, a wrong type, or a value out of range.
    """
    if not isinstance(table, dict):
        raise RecipeError(f"The key {path!r} should be a table, got {table!r}.")
    known = {item.name: item for item in fields(kind)}  # type: ignore[arg-type]
    for key in table:
        if key not in known:
            raise RecipeError(unknown_key(_join(path, key), [_join(path, name) for name in known]))
    hints = get_type_hints(kind)
    values = {}
    for name, item in known.items():
        where = _join(path, name)
        if name in table:
            values[name] = _read_value(hints[name], table[name], where)
            _check_range(values[name], item.metadata, where)
        elif is_dataclass(hints[name]):
            values[name] = read_section(hints[name], {}, where)
        elif item.default is MISSING and item.default_factory is MISSING:
            raise RecipeError(f"The recipe lacks the key {where!r}; add it.")
    return kind(**values)


def unknown_key(key: str, known: Iterable[str]) -> str:
    """The message for a key that does not exist, with the nearest ones that do."""
    known = list(known)
    last = {name.rpartition(".")[2]: name for name in known}
    near = get_close_matches(key, known, n=1, cutoff=0.75)
    near = near or [last[n] for n in get_close_matches(key.rpartition(".")[2], last, n=1)]
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}."
    return f"There is no recipe key {key!r}; {hint}"


def leaf_keys(kind: type[Any], path: str = "") -> list[str]:
    """All dotted keys below the dataclass `kind` that hold a value or a free table."""
    keys: list[str] = []
    for name, hint in get_type_hints(kind).items():
        where = _join(path, name)
        keys += leaf_keys(hint, where) if is_dataclass(hint) else [where]  # type: ignore[arg-type]
    return keys


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _read_value(hint: Any, value: object, where: str) -> Any:
    if is_dataclass(hint):
        return read_section(hint, value, where)  # type: ignore[arg-type]
    if get_origin(hint) is Literal:
        choices = get_args(hint)
        if value in choices:
            return value
        near = get_close_matches(str(value), choices, n=1)
        hint_text = f"; did you mean {near[0]!r}?" if near else "."
        raise RecipeError(
            f"The key {where!r} should be one of {', '.join(choices)}, got {value!r}{hint_text}"
        )
    if get_origin(hint) is tuple:
        return _read_list(get_args(hint)[0], value, where)
    if get_origin(hint) is dict:
        if not isinstance(value, dict):
            raise RecipeError(f"The key {where!r} should be a table, got {value!r}.")
        return dict(value)
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise RecipeError(f"The key {where!r} should be {_NAMES[hint]}, got {value!r}.")
    return value


def _read_list(hint: Any, value: object, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise RecipeError(f"The key {where!r} should be a list, got {value!r}.")
    return tuple(_read_value(hint, item, f"{where}.{k}") for k, item in enumerate(value))


def _check_range(value: Any, metadata: Any, where: str) -> None:
    if "low" in metadata and not value >= metadata["low"]:
        raise RecipeError(f"The key {where!r} should be at least {metadata['low']}, got {value}.")
    if "below" in metadata and not value < metadata["below"]:
        raise RecipeError(f"The key {where!r} should be below {metadata['below']}, got {value}.")
