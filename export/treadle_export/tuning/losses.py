"""What a candidate loses against float32: likelihood on real data, or carried outputs."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from treadle_export.judging.judge import SPLIT, Judge
from treadle_export.judging.outputs import BUDGET, carried_outputs, distance
from treadle_export.parity.trace import Trace
from treadle_export.quantization.precision import Precision
from treadle_export.quantization.quantizer import Quantization, Quantizer


@dataclass(frozen=True, slots=True)
class Loss:
    """metric: what is measured; of: bundle -> how much worse than float32, relatively."""

    metric: str
    of: Callable[[Path], float]
    budget: Callable[[Precision], float]


def loss_against(
    plain: Path, quantizer: Quantizer, trace: Trace, asked: Quantization, limit: int | None
) -> Loss:
    """How candidates are judged.

    By teacher-forced negative log-likelihood on the validation split; adopted models by the
    distance of their outputs over the trace.

    Args:
        plain: the float32 bundle.
        quantizer: the model and its data set.
        trace: what an adopted model reads.
        asked: says the budget.
        limit: examples of the split that are read, a default for the task where None.

    Raises:
        DataError: the data set is missing or another.
        BundleError: the model names none.
    """
    if quantizer.model.task == "stateful":
        expected = carried_outputs(plain, trace.inputs)
        most = BUDGET if asked.max_quality_drop is None else asked.max_quality_drop
        return Loss(
            f"distance of outputs over {len(trace.inputs):,} carried steps",
            lambda path: distance(expected, carried_outputs(path, trace.inputs)),
            lambda _: min(most, BUDGET),
        )
    judge = Judge(quantizer, limit)
    nats = judge.nats_of(plain)
    return Loss(
        f"rise of nats a symbol, {len(nats):,} symbols of the {SPLIT} split",
        lambda path: float(judge.nats_of(path).mean() / nats.mean() - 1),
        asked.budget,
    )
