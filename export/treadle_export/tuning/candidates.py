"""What is tried: one small table of bundles, and the ways to run each of them.

The space is lowering × precision × block size × folding × threads × call, and its full product is
mostly waste. It is walked in two stages:

1. A *bundle* a row of `variants`: every precision as it is by itself, and from there one change at
   a time (float32 in primitive operators; another block size; embeddings not folded). Changes that
   make no difference for a model, as folding where nothing is foldable, give the same digest and
   are dropped. All are timed with one thread and prebound.
2. Of these the ones on the Pareto front, within the budget, are timed again, with 1, 2, 4, …
   threads up to the processors there are, and prebound as well as plain. These share one bundle
   each.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from treadle.plan import CALLS, cores
from treadle_export.quantization.precision import precision_named
from treadle_export.quantization.settings import BLOCK_SIZES, Settings
from treadle_export.tuning.workload import Workload
from treadle_train.quantization.blocks import BLOCKS

PRECISIONS = ("float32", "int8", *BLOCKS, "int8-tensorwise")
"""Tried unless others are asked for. On a CPU float16 only casts: it would never be the fastest."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to make and run a bundle."""

    precision: str
    settings: Settings

    @property
    def variant(self) -> "Candidate":
        """What is written for it: the same with one thread, prebound."""
        return replace(self, settings=replace(self.settings, threads=1, call="prebound"))

    def __str__(self) -> str:
        """Precision, and where the settings are not those of the precision by itself."""
        usual = Settings.of(precision_named(self.precision))
        words = [self.precision]
        if self.settings.lowering != usual.lowering:
            words.append(self.settings.lowering)
        if self.settings.block_size != usual.block_size:
            words.append(f"blocks of {self.settings.block_size}")
        if self.settings.folding != usual.folding:
            words.append("not folded")
        return " ".join(words)


def variants(precisions: Iterable[str]) -> list[Candidate]:
    """Every precision by itself, and one change at a time.

    Raises:
        ExportError: a precision is unknown.
    """
    found = []
    for name in precisions:
        precision = precision_named(name)
        usual = Settings.of(precision)
        settings = [usual]
        if name == "float32":
            settings.append(replace(usual, lowering="cell"))
        elif name != "float16":  # folding makes integers
            settings.append(replace(usual, folding=False))
        others = [size for size in BLOCK_SIZES.get(name, ()) if size != usual.block_size]
        settings += [replace(usual, block_size=size) for size in others]
        found += [Candidate(name, each) for each in settings]
    return found


def ways_to_run(
    variant: Candidate, workloads: Sequence[Workload], processors: int | None = None
) -> list[Candidate]:
    """One bundle with every number of threads, and both calls where a step is asked for.

    Only single steps are ever prebound: whole sequences and encoders are called plainly always.
    """
    calls = CALLS if any(workload.graph == "step" for workload in workloads) else CALLS[:1]
    return [
        replace(variant, settings=replace(variant.settings, threads=threads, call=call))
        for threads in thread_counts(cores() if processors is None else processors)
        for call in calls
    ]


def thread_counts(processors: int) -> list[int]:
    """1, 2, 4, … and all of the processors."""
    counts = {2**power for power in range(processors.bit_length())}
    return sorted({count for count in counts if count <= processors} | {processors})
