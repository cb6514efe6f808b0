"""What quantization costs a model that has a data set: its likelihood, before and after."""

import math
from pathlib import Path
from typing import Any

import treadle
from treadle.errors import QualityError
from treadle.evaluation import symbol_nats
from treadle.metrics import Rise, paired_rise

UNDECIDED = 2
"""So many times the budget are accepted where the data cannot tell a rise from the budget."""


def quality(
    plain: Path, candidate: Path, precision: str, budget: float, *, limit: int | None = None
) -> dict[str, Any]:
    """Teacher-forced negative log-likelihood on the test split, before and after quantization.

    Raises:
        QualityError: it rises by more than `budget`, relatively, as `exceeds` has it.
    """
    symbols = {}
    for name, path in (("float32", plain), (precision, candidate)):
        with treadle.load(path, unknown="symbol") as model:
            symbols[name] = symbol_nats(model, split="test", limit=limit)
    nats = {name: float(values.mean()) for name, values in symbols.items()}
    rise = paired_rise(symbols["float32"], symbols[precision])
    if exceeds(rise, budget):
        raise QualityError(
            f"expected {precision} to raise the negative log-likelihood by at most {budget:.3%}, "
            f"got {rise.relative:.2%}, with 95 % confidence at least {rise.low:.2%} ({nats}); "
            f"export another precision, or say with --max-quality-drop how much it may be: then "
            f"weights that hurt most become safer until it holds"
        )
    interval = [rise.low, rise.high] if math.isfinite(rise.low) else None
    evidence: dict[str, Any] = {"metric": "nats_per_symbol", "split": "test", **nats}
    decided = rise.high <= budget
    return evidence | {"relative": rise.relative, "interval": interval, "decided": decided}


def exceeds(rise: Rise, budget: float) -> bool:
    """Whether a rise counts as over the budget.

    A few hundred examples cannot tell 0.4 % from 0.6 %, and a rule that asks only for the measured
    mean refuses at random. So one that is over the budget is accepted while the interval reaches
    down to the budget; but not one of more than twice the budget, since with few enough examples
    an interval reaches anywhere.
    """
    return rise.relative > budget and (rise.low > budget or rise.relative > UNDECIDED * budget)
