"""Stop strings: decoding ends before the first of them, and shows no part of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence


class StopStrings:
    """Strings that end a text. Raises InputError for an empty one."""

    def __init__(self, stop: str | Sequence[str]) -> None:
        self._strings = (stop,) if isinstance(stop, str) else tuple(stop)
        if "" in self._strings:
            raise InputError("expected stop strings of at least one character, got an empty one")

    def __bool__(self) -> bool:
        return bool(self._strings)

    def find(self, text: str) -> int | None:
        """Where the first stop string in a text begins, or None."""
        found = [place for string in self._strings if (place := text.find(string)) >= 0]
        return min(found, default=None)

    def begins(self, text: str) -> int:
        """Where a stop string could have begun that the end of a text does not complete.

        The length of the text where none could.
        """
        longest = max((len(string) for string in self._strings), default=0)
        for place in range(max(0, len(text) - longest + 1), len(text)):
            if any(string.startswith(text[place:]) for string in self._strings):
                return place
        return len(text)


def until_stop(
    symbols: Generator[str, None, None], stops: StopStrings, space: str
) -> Generator[str, None, None]:
    """The symbols up to the first stop string in their text, with `space` between symbols.

    A symbol is held back while it may belong to a stop string. A symbol in which one begins is
    cut there. At a stop nothing more is asked of `symbols`, which is closed.
    """
    held: list[tuple[str, str]] = []  # each after its space, in which a stop string may begin
    lead = ""
    try:
        for symbol in symbols:
            held.append((lead, symbol))
            lead = space
            text = "".join(before + after for before, after in held)
            place = stops.find(text)
            if place is not None:
                yield from _cut(held, place)
                return
            safe = stops.begins(text)
            while held and safe >= len(held[0][0] + held[0][1]):
                before, after = held.pop(0)
                safe -= len(before + after)
                yield after
        for _, after in held:
            yield after
    finally:
        symbols.close()


def _cut(held: list[tuple[str, str]], place: int) -> Generator[str, None, None]:
    """What of the symbols lies before a place of their text."""
    for before, after in held:
        place -= len(before)
        if place > 0:
            yield after[:place]
        place -= len(after)
