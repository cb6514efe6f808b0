"""A float32 bundle that reads whole sequences, in another precision; see `requantize.py`."""

from dataclasses import replace
from pathlib import Path

from treadle.ladder import compare
from treadle.selfcheck import Report
from treadle_export.canonical import CanonicalModel
from treadle_export.exporting.proving import Variant
from treadle_export.exporting.reopened import Reopened
from treadle_export.exporting.whole_proving import WholeProving, WholeTrace
from treadle_export.parity.ladder import refuse_failed
from treadle_export.quantization.precision import PRECISIONS, lower


def requantized_whole(
    plain: Reopened, source: Path, variant: Variant, model: CanonicalModel, proving: WholeProving
) -> tuple[dict[str, bytes], Report]:
    """The files of `plain`, opened from `source`, as `model` in another precision; their report.

    The recorded ladder and what the origin answered are kept; the rung behind it is climbed anew,
    over the same recorded inputs.

    Raises:
        ParityError: a rung is over its tolerance.
        QualityError: it loses more than the budget.
    """
    name, known = variant.name, plain.golden
    trace = WholeTrace(known.inputs, known.checkpoints + 1)
    models = {"float32": lower(plain.model, PRECISIONS["float32"]), name: model}
    answers = {precision: trace.answers(lowered) for precision, lowered in models.items()}
    rung = compare("quantized", name, outputs=[(answers["float32"], answers[name])])
    refuse_failed([rung])
    golden = replace(known, outputs={**known.outputs, "bundle": answers[name][:, known.columns]})
    plan = plain.plan(variant.precision, variant.exceptions)
    parts = proving.parts(variant, model, plan, golden)
    return proving.proven(variant, parts, (*plain.rungs, rung), source, answers)
