"""What bucketing saves: steps and padding of the batches as they are, and of random ones.

Notation: N pairs, B batch.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from treadle_train.batching.bucketed import BucketedBatches, Ids


@dataclass(frozen=True)
class Padding:
    """Of one epoch's batches: symbols that are there, positions that are computed, steps.

    A batch computes as many positions a row, and takes as many steps, as its longest row has
    symbols; sources and targets (with their end symbol) are counted together.
    """

    symbols: int
    positions: int
    steps: int

    @classmethod
    def of(cls, lengths: Iterable[Ids], batches: Iterable[Ids]) -> "Padding":
        """Count batches, given as rows int64 [B], of sequences of each of the `lengths` [N]."""
        kinds, counted = list(lengths), cls(0, 0, 0)
        for rows in batches:
            for kind in kinds:
                longest = int(kind[rows].max())
                counted = cls(
                    counted.symbols + int(kind[rows].sum()),
                    counted.positions + longest * len(rows),
                    counted.steps + longest,
                )
        return counted

    @property
    def share(self) -> float:
        """The share of positions that are padding."""
        return 1 - self.symbols / self.positions


@dataclass(frozen=True)
class BucketingReport:
    """The first epoch's batches, and the same pairs cut into batches in their random order."""

    bucketed: Padding
    random: Padding

    @classmethod
    def of(cls, batches: BucketedBatches) -> "BucketingReport":
        """Count from the lengths; no batch is made."""
        lengths = [batches.pairs.source_lengths, batches.pairs.target_lengths]
        return cls(
            Padding.of(lengths, batches.rows()),
            Padding.of(lengths, batches.random_rows()),
        )

    @property
    def steps_saved(self) -> float:
        """The share of steps that random batches would take and these do not."""
        return 1 - self.bucketed.steps / self.random.steps

    def to_json(self) -> dict[str, float | int]:
        """What run.json says of it."""
        return {
            "padding": round(self.bucketed.share, 6),
            "random_padding": round(self.random.share, 6),
            "steps": self.bucketed.steps,
            "random_steps": self.random.steps,
            "steps_saved": round(self.steps_saved, 6),
        }

    def __str__(self) -> str:
        return (
            f"bucketing: {self.bucketed.share:.1%} of the positions are padding, where random "
            f"batches would have {self.random.share:.1%}; it saves {self.steps_saved:.1%} of the "
            "steps"
        )
