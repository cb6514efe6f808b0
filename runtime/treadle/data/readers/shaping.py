"""Which columns of a row become which part of an example.

`Columns` maps roles to the names of columns. The roles say the kind of example:

    text, label               Labelled
    tokens, label             Labelled, its text as tokens
    tokens, tags              Tagged
    source, targets           Pair; several columns of targets are several references
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from treadle.data.examples import Labelled, Pair, Tagged
from treadle.errors import DataError

Columns: TypeAlias = Mapping[str, str | list[str]]
Row: TypeAlias = Mapping[str, object]
Shaped: TypeAlias = Labelled | Tagged | Pair


def shaper(columns: Columns) -> Callable[[Row], Shaped]:
    """What makes an example of a row. Raises DataError for roles that make no example.

    The function itself raises DataError, without a place, for a row that lacks a column or has a
    value of another type.
    """
    make = _KINDS.get(frozenset(columns))
    if make is None:
        known = "; ".join(", ".join(sorted(roles)) for roles in _KINDS)
        raise DataError(
            f"expected columns for one of these sets of roles: {known}; "
            f"got {', '.join(sorted(columns)) or 'none'}"
        )
    several = [role for role, name in columns.items() if role != "targets" and name != str(name)]
    if several:
        raise DataError(f"expected one column for {several[0]}, got {columns[several[0]]!r}")
    return lambda row: make(row, columns)


def names_of(columns: Columns) -> list[str]:
    """Every column that is asked for."""
    return [name for role in columns for name in _listed(columns, role)]


def _labelled_text(row: Row, columns: Columns) -> Labelled:
    return Labelled(_text(row, str(columns["text"])), _label(row, str(columns["label"])))


def _labelled_tokens(row: Row, columns: Columns) -> Labelled:
    return Labelled(_tokens(row, str(columns["tokens"])), _label(row, str(columns["label"])))


def _tagged(row: Row, columns: Columns) -> Tagged:
    return Tagged(_tokens(row, str(columns["tokens"])), _tokens(row, str(columns["tags"])))


def _pair(row: Row, columns: Columns) -> Pair:
    targets: list[str] = []
    for name in _listed(columns, "targets"):
        value = _value(row, name)
        for target in value if isinstance(value, list) and value else [value]:
            if not isinstance(target, str):
                raise DataError(f"expected targets that are text, got {str(target)[:80]!r}")
            targets.append(target)
    return Pair(_text(row, str(columns["source"])), tuple(targets))


_KINDS: dict[frozenset[str], Callable[[Row, Columns], Shaped]] = {
    frozenset({"text", "label"}): _labelled_text,
    frozenset({"tokens", "label"}): _labelled_tokens,
    frozenset({"tokens", "tags"}): _tagged,
    frozenset({"source", "targets"}): _pair,
}


def _listed(columns: Columns, role: str) -> list[str]:
    names = columns[role]
    return [names] if isinstance(names, str) else list(names)


def _value(row: Row, name: str) -> object:
    if row.get(name) is None:
        raise DataError(f"expected a value for {name!r}, got {', '.join(map(str, row)) or 'none'}")
    return row[name]


def _text(row: Row, name: str) -> str:
    value = _value(row, name)
    if not isinstance(value, str):
        raise DataError(f"expected text for {name!r}, got {str(value)[:80]!r}")
    return value


def _label(row: Row, name: str) -> str:
    value = _value(row, name)
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int) or value == "":
        raise DataError(f"expected a label for {name!r}, text or an integer, got {value!r}")
    return str(value)


def _tokens(row: Row, name: str) -> tuple[str, ...]:
    """A list of text as it is; text split at white space."""
    value = _value(row, name)
    tokens = value.split() if isinstance(value, str) else value
    if not isinstance(tokens, list) or not tokens or not all(type(t) is str for t in tokens):
        raise DataError(f"expected tokens for {name!r}, got {str(value)[:80]!r}")
    return tuple(tokens)
