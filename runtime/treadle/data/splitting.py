"""Examples of a data set that was published whole, cut into splits by a seed."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, TypeVar

from treadle.data.dataset import SPLITS
from treadle.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")
SHARES = (0.8, 0.1, 0.1)


def shuffled_splits(
    examples: Sequence[T], seed: int, shares: Sequence[float] = SHARES
) -> dict[str, list[T]]:
    """Shuffled by `random.Random(seed)`, then cut in the order test, validation, train.

    Shares are those of train, validation and test; each split keeps the shuffled order. Raises
    DataError when shares are no shares or a split would be empty.
    """
    counts = split_counts(len(examples), shares)
    order = list(examples)
    random.Random(seed).shuffle(order)
    test, validation = counts["test"], counts["test"] + counts["validation"]
    return {
        "train": order[validation:],
        "validation": order[test:validation],
        "test": order[:test],
    }


def split_counts(total: int, shares: Sequence[float]) -> dict[str, int]:
    """How many of `total` each split gets: shares rounded down, and train what is left."""
    sound = len(shares) == len(SPLITS) and min(shares) > 0
    if not sound or not math.isclose(sum(shares), 1, abs_tol=1e-6):
        raise DataError(
            "expected three shares above 0 that add up to 1, of train, validation and test, "
            f"got {list(shares)}"
        )
    # A share like 0.1 lies a little off in binary, and is not to lose an example by it.
    held_out = [math.floor(total * share + 1e-6) for share in shares[1:]]
    counts = dict(zip(SPLITS, [total - sum(held_out), *held_out], strict=True))
    empty = [name for name, count in counts.items() if count == 0]
    if empty:
        raise DataError(
            f"{total} examples in shares of {list(shares)} leave the split {empty[0]} empty; "
            "give more examples, or larger shares"
        )
    return counts
