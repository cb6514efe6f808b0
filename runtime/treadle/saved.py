"""Values that are saved: equal by their bits, and in a file that is there whole or not at all."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Self

from treadle.errors import StateError
from treadle.files import write_atomically

if TYPE_CHECKING:
    import os


class Saved(ABC):
    """Base of what has its own bytes. Two are equal when these are, and can be in a set."""

    __slots__ = ()

    @abstractmethod
    def to_bytes(self) -> bytes:
        """The value as bytes; the same for the same value."""

    @classmethod
    @abstractmethod
    def from_bytes(cls, content: bytes) -> Self:
        """The value in `content`. Raises StateError when it is none, damaged or a later one."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, type(self)):
            return NotImplemented
        return self.to_bytes() == other.to_bytes()

    def __hash__(self) -> int:
        return hash(self.to_bytes())

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).from_bytes, (self.to_bytes(),)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a file, which is there whole or not at all. Raises OSError."""
        write_atomically(path, self.to_bytes())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """The value in a file. Raises StateError when it cannot be read or is none."""
        from pathlib import Path

        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise StateError(f"cannot read the snapshot {path}: {error}") from error
        try:
            return cls.from_bytes(content)
        except StateError as error:
            raise StateError(f"in {path}: {error}") from error
