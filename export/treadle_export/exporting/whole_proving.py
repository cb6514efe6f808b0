"""One precision of a model that reads whole sequences, proven before it is written.

Each answer is that of a beginning of the trace, read whole; `treadle.whole_check` adds the written
bundle, and rows in company.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treadle.golden import GOLDEN_FILE, Golden
from treadle.ladder import Rung
from treadle.selfcheck import Report
from treadle.whole_check import ends_of
from treadle_export.bundle import SUFFIX, Description, Parts, assemble, finished, write_bundle
from treadle_export.canonical import CanonicalModel
from treadle_export.engine import Engine
from treadle_export.exporting.material import Quality
from treadle_export.exporting.proving import Variant, checked, evidence_of
from treadle_export.judging.outputs import judged_outputs
from treadle_export.quantization.quantizer import Quantization, Quantizer
from treadle_export.targets.fitting import evidence_for

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class WholeTrace:
    """One row of inputs [N, …] and the lengths [K] of the beginnings that are read."""

    inputs: NDArray[Any]
    ends: NDArray[np.int64]

    def answers(self, model: CanonicalModel) -> Floats:
        """What the sequence graph of a model answers, [K, V]."""
        graph = model.graphs["sequence"]
        x, lengths = graph.interface.inputs
        engine = Engine(graph.model)
        timed = ["time" in tensor.shape for tensor in graph.interface.outputs]
        rows = []
        for end in self.ends:
            made = engine.run({x.name: self.inputs[None, :end], lengths.name: np.array([end])})
            rows.append(ends_of(timed, [made[tensor.name] for tensor in graph.interface.outputs]))
        return np.stack(rows)


@dataclass(frozen=True, slots=True)
class WholeProving:
    """Where bundles are written to be proven, before they are written to where they are asked.

    quality: as `Material` has it; None where there are no data to judge by, so that answers are.
    came_from: digest of the bundle that they come from, where it is one.
    """

    description: Description
    quality: Quality | None
    quantizer: Quantizer
    asked: Quantization
    scratch: Path
    progress: Callable[[str], None]
    came_from: str | None = None

    def parts(
        self, variant: Variant, model: CanonicalModel, plan: Mapping[str, Any], golden: Golden
    ) -> Parts:
        """The files of a bundle with its golden trace; `plan` is that of the layers."""
        described, target = self.asked.described(plan), variant.target
        assembled = assemble(model, self.description, variant.name, described, target.name)
        parts = target.package(assembled)
        return replace(parts, evidence_files={GOLDEN_FILE: golden.to_bytes()})

    def proven(
        self,
        variant: Variant,
        parts: Parts,
        rungs: tuple[Rung, ...],
        plain: Path,
        answers: Mapping[str, Floats],
    ) -> tuple[dict[str, bytes], Report]:
        """The files with all evidence: what the runtime makes of the bundle, and its quality.

        plain: the float32 bundle. answers: precision -> [K, V], float32's and this one's.

        Raises:
            ParityError: a rung is over its tolerance.
            QualityError: it loses more than the budget.
        """
        name = variant.name
        self.progress(f"{name}: read")
        candidate = self.scratch / f"{name}{SUFFIX}"
        write_bundle(candidate, finished(parts, {}))
        report = checked(candidate, rungs, variant.precision)
        evidence = evidence_of(report) | evidence_for(variant.target, parts, self.progress)
        if name != "float32":
            self.progress(f"{name}: quality")
            rounding = self.quantizer.evidence(variant.precision, variant.exceptions)
            if self.came_from is not None:
                rounding["from"] = self.came_from
            if self.quality is None:
                judged = judged_outputs(answers["float32"], answers[name], name, "sequences")
            else:
                budget = self.asked.budget(variant.precision)
                judged = self.quality(plain, candidate, name, budget)
            evidence |= {"quantization": rounding, "quality": judged}
        return finished(parts, evidence), report
