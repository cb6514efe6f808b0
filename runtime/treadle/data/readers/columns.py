"""CoNLL columns: a token a line with its tags, sentences apart by empty lines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from treadle.data.examples import Tagged
from treadle.data.malformed import Malformed
from treadle.data.readers.lines import decoded, raw_lines

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

DOCUMENT = "-DOCSTART-"  # stands where a document begins, and is no token
Scheme = Literal["bio", "any"]


def read_columns(
    path: str | os.PathLike[str],
    *,
    token: int = 0,
    tags: int = -1,
    layers: Mapping[str, int] | None = None,
    separator: str | None = None,
    scheme: Scheme = "bio",
    malformed: Malformed | None = None,
) -> Iterator[Tagged]:
    """A sentence at a time; places of columns are counted from 0, or from the end by -1, -2, ….

    `separator` None is any white space. The scheme "bio" (IOB2) takes "O", "B-KIND" and "I-KIND",
    the last only behind a tag of the same kind. A malformed line makes its whole sentence
    malformed. Raises DataError.
    """
    malformed, path = malformed or Malformed(), Path(path)
    places = [token, tags, *(layers or {}).values()]
    for sentence in _sentences(path):
        rows = _fields(path, sentence, places, separator, scheme, malformed)
        if rows:
            tokens, chosen, *further = zip(*rows, strict=True)
            yield Tagged(tokens, chosen, dict(zip(layers or {}, further, strict=True)))


def _sentences(path: Path) -> Iterator[list[tuple[int, bytes]]]:
    sentence: list[tuple[int, bytes]] = []
    for number, raw in raw_lines(path):
        if raw.strip():
            sentence.append((number, raw))
        elif sentence:
            yield sentence
            sentence = []
    if sentence:
        yield sentence


def _fields(
    path: Path,
    sentence: list[tuple[int, bytes]],
    places: list[int],
    separator: str | None,
    scheme: Scheme,
    malformed: Malformed,
) -> list[tuple[str, ...]]:
    """The asked fields of every line of a sentence; none when it is left out."""
    rows: list[tuple[str, ...]] = []
    least = max(place + 1 if place >= 0 else -place for place in places)
    width: int | None = None
    for number, raw in sentence:
        text = decoded(path, number, raw, malformed)
        if text is None:
            return []
        fields = text.split(separator)
        if fields[:1] == [DOCUMENT]:
            continue
        width = width or len(fields)
        if len(fields) < max(least, 2) or len(fields) != width:
            wanted = f"{width}" if width >= max(least, 2) else f"at least {max(least, 2)}"
            malformed.found(path, number, f"expected {wanted} columns, got {text[:80]!r}")
            return []
        row = tuple(fields[place] for place in places)
        if scheme == "bio" and not _continues(rows[-1][1] if rows else "O", row[1]):
            before = f"behind {rows[-1][1]!r}" if rows else "at the start of a sentence"
            malformed.found(
                path,
                number,
                f"expected O, B-KIND, or I-KIND inside its entity, got {row[1]!r} {before}",
            )
            return []
        rows.append(row)
    return rows


def _continues(before: str, tag: str) -> bool:
    """Whether `tag` may follow `before` in the scheme BIO."""
    begin, dash, kind = tag.partition("-")
    if tag == "O" or (begin == "B" and dash and kind):
        return True
    return begin == "I" and bool(dash and kind) and before in (f"B-{kind}", f"I-{kind}")
