"""What quantization costs a model that has a data set: its likelihood, before and after."""

import math
from pathlib import Path
from typing import Any

import treadle
from treadle.errors import QualityError
from treadle.evaluation import symbol_nats
from treadle.metrics import paired_rise


def quality(
    plain: Path, candidate: Path, precision: str, budget: float, *, limit: int | None = None
) -> dict[str, Any]:
    """Teacher-forced negative log-likelihood on the test split, before and after quantization.

    Raises:
        QualityError: it rises by more than `budget`, relatively.
    """
    symbols = {}
    for name, path in (("float32", plain), (precision, candidate)):
        with treadle.load(path, unknown="symbol") as model:
            symbols[name] = symbol_nats(model, split="test", limit=limit)
    nats = {name: float(values.mean()) for name, values in symbols.items()}
    rise = paired_rise(symbols["float32"], symbols[precision])
    if rise.relative > budget:
        raise QualityError(
            f"expected {precision} to raise the negative log-likelihood by at most {budget:.3%}, "
            f"got {rise.relative:.2%} ({nats}); export another precision, or allow more with "
            f"--max-quality-drop"
        )
    interval = [rise.low, rise.high] if math.isfinite(rise.low) else None
    evidence: dict[str, Any] = {"metric": "nats_per_symbol", "split": "test", **nats}
    return evidence | {"relative": rise.relative, "interval": interval}
