"""What every data set gives: named splits, a digest of their content, a licence."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from treadle.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SPLITS = ("train", "validation", "test")

Examples = TypeVar("Examples")


@dataclass(frozen=True)
class Dataset(Generic[Examples]):
    """A data set that is opened and split.

    `digest` ("sha256:…") covers the content of every split in order, so two data sets with one
    digest give the same training and the same figures, wherever their files came from. `skipped`
    is how many malformed examples were left out because the options asked for it.
    """

    name: str
    options: Mapping[str, Any]
    licence: str
    source: str
    digest: str
    splits: Mapping[str, Examples]
    skipped: int = 0

    def split(self, name: str) -> Examples:
        """The examples of "train", "validation" or "test"; raises DataError for another name."""
        if name not in self.splits:
            raise DataError(
                f"the data set {self.name} has the splits {', '.join(self.splits)}, not {name!r}"
            )
        return self.splits[name]


class Example(Protocol):
    """What a digest needs of an example."""

    def content(self) -> bytes:
        """Everything the example says."""


def digest_of(splits: Mapping[str, Iterable[Example | str]]) -> str:
    """The digest of splits in their order: of their names and of every example in them."""
    digest = hashlib.sha256()
    for name, examples in splits.items():
        digest.update(f"{name}\n".encode())
        for example in examples:
            content = example.encode() if isinstance(example, str) else example.content()
            digest.update(f"{len(content)}\n".encode() + content)
    return f"sha256:{digest.hexdigest()}"
