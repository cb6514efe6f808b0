"""What every data set gives: named splits, a digest of their content, a licence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from treadle.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

SPLITS = ("train", "validation", "test")

Examples = TypeVar("Examples")


@dataclass(frozen=True)
class Dataset(Generic[Examples]):
    """A data set that is opened and split.

    `digest` ("sha256:…") covers the content of every split in order, so two data sets with one
    digest give the same training and the same figures, wherever their files came from.
    """

    name: str
    options: Mapping[str, Any]
    licence: str
    source: str
    digest: str
    splits: Mapping[str, Examples]

    def split(self, name: str) -> Examples:
        """The examples of "train", "validation" or "test"; raises DataError for another name."""
        if name not in self.splits:
            raise DataError(
                f"the data set {self.name} has the splits {', '.join(self.splits)}, not {name!r}"
            )
        return self.splits[name]
