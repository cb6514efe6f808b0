"""What becomes of malformed places in a file: the first is an error, or all are counted."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal

from treadle.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

Policy = Literal["error", "skip"]
REMEMBERED = 10

logger = logging.getLogger(__name__)


class Malformed:
    """Told by a reader of every malformed place.

    With "error" the first one is raised as a DataError; with "skip" the reader leaves the example
    out and `count` says how many there were, `first` what the first ten are. A logger tells of
    each of these ten, so that nothing is lost without a word.
    """

    def __init__(self, policy: Policy = "error") -> None:
        self.policy = policy
        self.count = 0
        self.first: list[str] = []

    def found(self, path: Path, place: int | str, message: str) -> None:
        """One place: a line number or words. Raises DataError unless such places are skipped."""
        where = f"{path}:{place}" if isinstance(place, int) else f"{path}, {place}"
        if self.policy == "error":
            raise DataError(f"{where}: {message}")
        self.count += 1
        if len(self.first) < REMEMBERED:
            self.first.append(f"{where}: {message}")
            logger.warning("left out: %s", self.first[-1])
