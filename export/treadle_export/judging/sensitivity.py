"""Which weights hurt most when they alone are quantized: each matrix, and each gate of a layer."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from treadle_export.judging.judge import FLOAT32, SPLIT, Judge
from treadle_export.passes.split_gates import gates_of
from treadle_export.quantization.precision import Precision, lower
from treadle_export.quantization.weight_plan import weight_sizes


@dataclass(frozen=True, slots=True)
class Harm:
    """What a model loses when one matrix, or one gate of it, is quantized and nothing else is.

    rise: of the mean negative log-likelihood, nats a symbol; relative: to float32.
    error: standard error of `rise` over the symbols, each compared with itself; neighbouring
        symbols count as independent, so it is rather too small.
    """

    weight: str
    gate: str | None
    precision: str
    parameters: int
    rise: float
    error: float
    relative: float


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """Harms, the worst first; and what float32 and the whole model in `precision` come to."""

    precision: str
    split: str
    symbols: int
    float32: float
    whole: float
    harms: tuple[Harm, ...]

    def to_json(self) -> dict[str, Any]:
        """All figures as one JSON object."""
        return asdict(self)


def sensitivity(
    judge: Judge,
    precision: Precision,
    *,
    by_gate: bool = True,
    progress: Callable[[str], None] = lambda _: None,
) -> Sensitivity:
    """Quantizes each matrix alone and measures the negative log-likelihood, paired.

    Args:
        judge: the model and the data.
        precision: what each matrix becomes; an embedding becomes int8 where this has integers.
        by_gate: each gate of a recurrent layer, too.
        progress: told what is measured.

    Raises:
        DataError: the data are missing or not those of the training.
    """
    model = judge.quantizer.model
    sizes = weight_sizes(lower(model, precision, exceptions=FLOAT32))
    progress("sensitivity: float32")
    plain = judge.nats(precision, FLOAT32)

    def measured(weight: str, gate: str | None, gates: tuple[str, ...]) -> Harm:
        name = weight if gate is None else f"{weight}.{gate}"
        progress(f"sensitivity: {name}")
        split = None if gate is None else {weight: gates}
        exceptions = {name: precision.name, **FLOAT32}
        rises = judge.nats(precision, exceptions, split) - plain
        return Harm(
            weight=weight,
            gate=gate,
            precision=precision.name,
            parameters=sizes[weight] // (1 if gate is None else len(gates)),
            rise=float(rises.mean()),
            error=float(rises.std(ddof=1) / np.sqrt(len(rises))) if len(rises) > 1 else 0.0,
            relative=float(rises.mean() / plain.mean()),
        )

    harms = [measured(weight, None, ()) for weight in sizes]
    if by_gate:
        for graph in model.graphs.values():
            known = {harm.weight for harm in harms if harm.gate is not None}
            for weight, gates in gates_of(graph.model.graph).items():
                if weight not in known:
                    harms += [measured(weight, gate, gates) for gate in gates]
    progress(f"sensitivity: all in {precision.name}")
    whole = judge.nats(precision, {})
    return Sensitivity(
        precision=precision.name,
        split=SPLIT,
        symbols=len(plain),
        float32=float(plain.mean()),
        whole=float(whole.mean()),
        harms=tuple(sorted(harms, key=lambda harm: -harm.rise)),
    )
