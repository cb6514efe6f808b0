"""Chooses which weights keep more bits, so that a model loses no more than it may."""

from collections.abc import Callable, Collection
from itertools import chain
from types import MappingProxyType

from treadle.errors import ExportError, QualityError
from treadle_export.judging.judge import FLOAT32, Judge
from treadle_export.judging.sensitivity import sensitivity
from treadle_export.judging.sensitivity_report import as_table
from treadle_export.quantization.precision import PRECISIONS, Precision
from treadle_export.quantization.quantizer import Quantization, Quantizer

SAFER = MappingProxyType(
    {
        "int4": "int8",
        "int4-block": "int8",
        "int4-fast": "int8",
        "int8": "int8-block",
        "int8-fast": "int8-block",
    }
)
"""What a weight becomes that loses too much: more bits, then a scale for every few inputs."""


def planned(
    quantizer: Quantizer,
    precision: Precision,
    asked: Quantization,
    progress: Callable[[str], None] = lambda _: None,
    limit: int | None = None,
    among: Collection[str] = PRECISIONS,
) -> dict[str, str]:
    """The exceptions of a precision, by name of the weight: those asked for, and more as needed.

    With `max_quality_drop` the weights that hurt most alone become SAFER, one after another and
    where that is not enough once more, until the negative log-likelihood on the validation split
    rises by no more than that. among: the precisions that weights may have.

    Raises:
        QualityError: it rises by more with every weight as safe as can be; the table of harms has
            been given to `progress`.
        ExportError: an exception fits no weight or names no precision, or float32 has one.
        DataError: the data are missing or not those of the training.
    """
    if precision.name == "float32":
        if asked.exceptions:
            raise ExportError(
                f"expected a plan for another precision than float32, got the exceptions "
                f"{dict(asked.exceptions)}; export int8 or int4 with it"
            )
        return {}
    if precision.note is not None:
        progress(f"note: {precision.note}")
    exceptions = quantizer.exceptions(precision, asked.exceptions)
    if asked.max_quality_drop is None:
        return exceptions
    judge = Judge(quantizer, limit)
    plain = judge.nats(precision, FLOAT32).mean()

    def rise() -> float:
        return float(judge.nats(precision, exceptions).mean() / plain - 1)

    progress(f"{precision.name}: quality of the whole")
    reached = rise()
    if reached <= asked.max_quality_drop:
        return exceptions
    harms = sensitivity(judge, precision, by_gate=False, progress=progress)
    progress(as_table(harms))
    products = quantizer.products(precision)
    for harm in chain(harms.harms, harms.harms):
        safer = SAFER.get(exceptions.get(harm.weight, precision.name), "")
        if harm.weight not in products or safer not in among:
            continue
        exceptions[harm.weight] = safer
        reached = rise()
        progress(f"{precision.name}: {harm.weight} in {safer}: {reached:+.2%}")
        if reached <= asked.max_quality_drop:
            return exceptions
    raise QualityError(
        f"expected {precision.name} to raise the negative log-likelihood by at most "
        f"{asked.max_quality_drop:.2%}, got {reached:.2%} with every weight that it could spare "
        f"in a safer precision; allow more with --max-quality-drop, or export float32"
    )
