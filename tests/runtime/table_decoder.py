"""A decoder small enough to enumerate: logits are a table of what was read so far.

It stands in for a Stream in the tests of the searches, which only see `batch_size`, `step` and
`select`.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class TableDecoder:
    """Rows whose next logits depend on the source and on every symbol read: state is the prefix."""

    def __init__(self, tables: list[dict[tuple[int, ...], NDArray[np.float32]]]) -> None:
        self.tables = tables  # one a row
        self.prefixes: list[tuple[int, ...]] = [() for _ in tables]
        self.steps = 0

    @property
    def batch_size(self) -> int:
        return len(self.tables)

    def step(self, x: NDArray[np.int64], *, copy: bool = True) -> NDArray[np.float32]:  # noqa: ARG002
        self.steps += 1
        self.prefixes = [(*p, int(i)) for p, i in zip(self.prefixes, x, strict=True)]
        rows = zip(self.tables, self.prefixes, strict=True)
        return np.stack([table[prefix[1:]] for table, prefix in rows])

    def select(self, rows: NDArray[np.int64]) -> None:
        assert rows.shape == (self.batch_size,)
        self.prefixes = [self.prefixes[row] for row in rows]
        self.tables = [self.tables[row] for row in rows]


def random_table(
    seed: int, vocabulary: int, depth: int, grain: float = 0.0
) -> dict[tuple[int, ...], NDArray[np.float32]]:
    """Logits for every prefix of up to `depth` symbols; a coarse `grain` makes ties."""
    rng = np.random.default_rng(seed)
    table = {}
    for length in range(depth + 1):
        for prefix in itertools.product(range(vocabulary), repeat=length):
            logits = rng.normal(scale=2.0, size=vocabulary)
            table[prefix] = (np.round(logits / grain) * grain if grain else logits).astype(
                np.float32
            )
    return table
