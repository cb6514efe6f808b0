r"""Regular expressions read into a tree: a small language, and a refusal for all else.

Understood are characters, `.` (all but a newline), classes (`[a-z_]`, `[^a-z]`), groups `( )`,
alternatives `|`, and the repetitions `*`, `+`, `?`, `{m}`, `{m,}` and `{m,n}`. A backslash takes a
sign or a space literally; `\n`, `\r` and `\t` are newline, carriage return and tab. There are no
anchors, as an expression is always of the whole text, no lazy repetitions and no back references.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

from treadle.errors import InputError

# Deep enough for what people write, and far from Python's limit of calls within calls.
MOST_GROUPS = 50

_CONTROLS = {"n": "\n", "r": "\r", "t": "\t"}
_REPETITIONS: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
_BOUNDS = re.compile(r"\{([0-9]{1,4})(?:(,)([0-9]{1,4})?)?\}")


@dataclass(frozen=True, slots=True)
class Characters:
    """One character: within one of the ranges (both ends in), or `negated` outside all."""

    ranges: tuple[tuple[str, str], ...]
    negated: bool = False

    def __contains__(self, character: str) -> bool:
        inside = any(first <= character <= last for first, last in self.ranges)
        return inside is not self.negated


@dataclass(frozen=True, slots=True)
class Joined:
    """One part after the other; no parts are the empty text."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """One of the alternatives."""

    alternatives: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Repeated:
    """A part `least` to `most` times; None is without end."""

    part: Expression
    least: int
    most: int | None


Expression = Characters | Joined | Either | Repeated


def parse_expression(pattern: str) -> Expression:
    """The tree of a regular expression.

    Raises InputError, naming the place, for what the language of this module does not have.
    """
    return _Parser(pattern).whole()


class _Parser:
    """Recursive descent: one method a level of precedence, from alternatives to characters."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.place = 0
        self.groups = 0

    def whole(self) -> Expression:
        found = self.either()
        if self.next:
            self.refuse("closes a group that is not open; write \\) for the character")
        return found

    @property
    def next(self) -> str:
        """The character at the place, empty at the end."""
        return self.pattern[self.place : self.place + 1]

    def take(self) -> str:
        taken = self.next
        self.place += 1
        return taken

    def refuse(self, why: str, place: int | None = None) -> NoReturn:
        at = self.place if place is None else place
        found = repr(self.pattern[at]) if at < len(self.pattern) else "its end"
        raise InputError(f"in the expression {self.pattern!r}, at position {at}, {found} {why}")

    def either(self) -> Expression:
        alternatives = [self.joined()]
        while self.next == "|":
            self.take()
            alternatives.append(self.joined())
        return alternatives[0] if len(alternatives) == 1 else Either(tuple(alternatives))

    def joined(self) -> Expression:
        parts: list[Expression] = []
        while self.next not in ("", "|", ")"):
            parts.append(self.repeated())
        return parts[0] if len(parts) == 1 else Joined(tuple(parts))

    def repeated(self) -> Expression:
        part = self.single()
        if self.next not in ("*", "+", "?", "{"):
            return part
        least, most = self.bounds()
        if self.next in ("*", "+", "?", "{"):
            self.refuse("repeats a repetition, which is not supported; put a group around it")
        return Repeated(part, least, most)

    def bounds(self) -> tuple[int, int | None]:
        if self.next != "{":
            return _REPETITIONS[self.take()]
        found = _BOUNDS.match(self.pattern, self.place)
        if not found:
            self.refuse("should begin {m}, {m,} or {m,n} up to 9999; write \\{ for the character")
        least = int(found[1])
        most = int(found[3]) if found[3] else None if found[2] else least
        if most is not None and most < least:
            self.refuse(f"begins bounds of which {least} is more than {most}; swap them")
        self.place = found.end()
        return least, most

    def single(self) -> Expression:
        sign = self.next
        if sign == "(":
            return self.group()
        if sign == "[":
            return self.character_class()
        if sign in ("*", "+", "?", "{"):
            self.refuse(f"has nothing to repeat; write \\{sign} for the character")
        if sign in ("^", "$"):
            self.refuse(
                f"is no anchor here, the whole text has to match; leave it out, or \\{sign}"
            )
        if sign in ("]", "}"):
            self.refuse(f"closes nothing; write \\{sign} for the character")
        if sign == ".":
            self.take()
            return Characters((("\n", "\n"),), negated=True)
        character = self.character()
        return Characters(((character, character),))

    def group(self) -> Expression:
        opened = self.place
        self.take()
        self.groups += 1
        if self.groups > MOST_GROUPS:
            self.refuse(f"opens more than {MOST_GROUPS} groups within each other", opened)
        if self.next == "?":
            self.refuse("begins an option of a group, which is not supported; use plain groups")
        found = self.either()
        if self.take() != ")":
            self.refuse("opens a group that is never closed; write \\( for the character", opened)
        self.groups -= 1
        return found

    def character_class(self) -> Characters:
        opened = self.place
        self.take()
        negated = self.next == "^"
        if negated:
            self.take()
        ranges: list[tuple[str, str]] = []
        while self.next != "]":
            if not self.next:
                self.refuse("opens a class that is never closed; write \\[ for itself", opened)
            ranges.append(self.range())
        if not ranges:
            self.refuse("closes a class without characters; name some, or write \\] for itself")
        self.take()
        return Characters(tuple(ranges), negated)

    def range(self) -> tuple[str, str]:
        began = self.place
        if self.next == "[":
            self.refuse("within a class is ambiguous; write \\[ for the character")
        first = self.character()
        if self.next != "-" or self.pattern[self.place + 1 : self.place + 2] in ("]", ""):
            return first, first
        self.take()
        last = self.character()
        if last < first:
            self.refuse(f"begins a range from {first!r} down to {last!r}; swap them", began)
        return first, last

    def character(self) -> str:
        if self.next != "\\":
            return self.take()
        began = self.place
        self.take()
        escaped = self.take()
        if escaped in _CONTROLS:
            return _CONTROLS[escaped]
        if not escaped or escaped.isalnum() or escaped == "_":
            self.refuse(
                "begins an escape that is not supported; there are signs, \\n, \\r, \\t", began
            )
        return escaped
