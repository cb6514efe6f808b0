"""Data frames of factors in R's files (.rda): no R, and nothing in the file is run.

The format is that of R's serialization in XDR, big-endian ("R Internals", section 1.8). Only
vectors, symbols and lists are read; functions, environments and promises are refused.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treadle.errors import DataError

if TYPE_CHECKING:
    import os

_UNPACK = {b"\x1f\x8b": gzip.decompress, b"BZ": bz2.decompress, b"\xfd7": lzma.decompress}
_SYMBOL, _LIST, _TEXT, _LOGICAL, _INTEGER, _REAL, _STRINGS, _VECTOR = 1, 2, 9, 10, 13, 14, 16, 19
_NULL, _REFERENCE = 254, 255
# What reading raises where bytes are not what they should be, wherever that shows.
_DAMAGE = (
    *(OSError, EOFError, lzma.LZMAError, zlib.error, struct.error, ValueError),
    *(LookupError, TypeError, AttributeError, RecursionError),
)
_HAS_ATTRIBUTES, _HAS_TAG = 0x200, 0x400


@dataclass(slots=True)
class _Vector:
    values: list[Any]
    attributes: dict[str, Any] = field(default_factory=dict)


def read_factors(path: str | os.PathLike[str], name: str) -> dict[str, list[str]]:
    """The columns of the data frame `name`, each factor as the words of its levels.

    Raises DataError for a file that is damaged, holds no such frame, or holds what is no factor.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
        items = _Reader(_UNPACK.get(content[:2], bytes)(content)).objects()
        frame = items[name]
        names = frame.attributes["names"].values
        return {
            str(column): _words(str(column), factor)
            for column, factor in zip(names, frame.values, strict=True)
        }
    except _DAMAGE as error:
        raise DataError(
            f"{path}: expected a whole file of R's data with a frame {name!r}: {error!r}"
        ) from error


def _words(column: str, factor: _Vector) -> list[str]:
    words = factor.attributes["levels"].values
    if not all(1 <= code <= len(words) for code in factor.values):
        raise ValueError(f"a value of {column!r} is none of its levels")
    return [str(words[code - 1]) for code in factor.values]


class _Reader:
    """Reads items one after another; raises ValueError or struct.error where they are none."""

    def __init__(self, content: bytes) -> None:
        self.content, self.place = content, 0
        self.symbols: list[str] = []

    def objects(self) -> dict[str, Any]:
        """What the file holds, by name."""
        if self._take(7) not in (b"RDX2\nX\n", b"RDX3\nX\n"):
            raise ValueError("it does not begin as R's files in XDR do")
        version, _, _ = self._integers(3)
        if version == 3:
            self._take(self._integers(1)[0])  # the name of an encoding; texts say their own
        items = self._item()
        return items if isinstance(items, dict) else {}

    def _take(self, count: int) -> bytes:
        taken = self.content[self.place : self.place + count]
        if count < 0 or len(taken) < count:
            raise ValueError(f"it ends before its item at byte {self.place} does")
        self.place += count
        return taken

    def _integers(self, count: int) -> tuple[int, ...]:
        return struct.unpack(f">{count}i", self._take(4 * count))

    def _item(self) -> Any:
        [flags] = self._integers(1)
        kind = flags & 0xFF
        if kind == _NULL:
            return None
        if kind == _REFERENCE:
            index = flags >> 8 or self._integers(1)[0]
            return self.symbols[index - 1]
        if kind == _SYMBOL:
            self.symbols.append(str(self._item()))
            return self.symbols[-1]
        if kind == _LIST:
            return self._pairs(flags)
        [length] = self._integers(1)
        if kind == _TEXT:
            return None if length == -1 else self._take(length).decode("utf-8")
        vector = _Vector(self._values(kind, length))
        if flags & _HAS_ATTRIBUTES:
            vector.attributes = self._item() or {}
        return vector

    def _pairs(self, flags: int) -> dict[str, Any]:
        """A list of values with names: each is followed by the next, until one is nothing."""
        pairs: dict[str, Any] = {}
        while flags & 0xFF == _LIST:
            if flags & _HAS_ATTRIBUTES:
                self._item()
            name = self._item() if flags & _HAS_TAG else str(len(pairs))
            pairs[name] = self._item()
            [flags] = self._integers(1)
        if flags & 0xFF != _NULL:
            raise ValueError(f"a list ends in an item of the kind {flags & 0xFF}")
        return pairs

    def _values(self, kind: int, length: int) -> list[Any]:
        if kind in (_LOGICAL, _INTEGER):
            return list(self._integers(length))
        if kind == _REAL:
            return list(struct.unpack(f">{length}d", self._take(8 * length)))
        if kind in (_STRINGS, _VECTOR):
            return [self._item() for _ in range(length)]
        raise ValueError(f"it holds an item of the kind {kind}, which is no data")
