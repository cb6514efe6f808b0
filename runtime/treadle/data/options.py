"""The options of a data set, held to the names and types of the function that opens it."""

from __future__ import annotations

import difflib
import inspect
import types
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

from treadle.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_NAMES = {
    int: "an integer",
    float: "a number",
    str: "a string",
    bool: "true or false",
    type(None): "null",
}


def check_options(name: str, opener: Callable[..., Any], given: Mapping[str, Any]) -> None:
    """Raise DataError unless `opener` can be called with the options `given` of a data set.

    Its parameters are the options that exist, and their type hints say what each should be:
    plain types, Literal, unions, lists, and dictionaries by string.
    """
    parameters = inspect.signature(opener).parameters
    hints = _hints(opener, parameters)
    for option, value in given.items():
        if option not in parameters:
            raise DataError(unknown(f"option of the data set {name}", option, list(parameters)))
        check_value(f"the option {option!r} of the data set {name}", value, hints[option])
    for option, parameter in parameters.items():
        if parameter.default is parameter.empty and option not in given:
            raise DataError(
                f"the data set {name} needs the option {option!r}, {_words(hints[option])}"
            )


def _hints(opener: Callable[..., Any], names: Iterable[str]) -> dict[str, Any]:
    """Types of the parameters alone: what is returned may be known to type checkers only."""
    written = {name: opener.__annotations__[name] for name in names}
    return get_type_hints(
        types.SimpleNamespace(__annotations__=written), getattr(opener, "__globals__", {})
    )


def check_value(what: str, value: object, hint: Any) -> None:
    """Raise DataError unless the value is what the type hint says."""
    if not _fits(value, hint):
        raise DataError(f"{what} should be {_words(hint)}, got {value!r}")


def unknown(what: str, got: str, known: list[str]) -> str:
    """The message for a name that does not exist, with the nearest that does."""
    near = difflib.get_close_matches(got, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"there is no {what} called {got!r}; there is {', '.join(sorted(known))}{hint}"


def _fits(value: object, hint: Any) -> bool:
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Literal:
        return any(type(value) is type(part) and value == part for part in parts)
    if origin in (Union, types.UnionType):
        return any(_fits(value, part) for part in parts)
    if origin is list:
        return isinstance(value, list) and all(_fits(item, parts[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(
            isinstance(key, str) and _fits(item, parts[1]) for key, item in value.items()
        )
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is hint


def _words(hint: Any) -> str:
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Literal:
        return "one of " + ", ".join(map(repr, parts))
    if origin in (Union, types.UnionType):
        return " or ".join(map(_words, parts))
    if origin is list:
        return f"a list, each {_words(parts[0])}"
    if origin is dict:
        return f"a table, each value {_words(parts[1])}"
    return _NAMES[hint]
