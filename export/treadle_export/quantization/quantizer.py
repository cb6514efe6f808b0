"""Lowers one float32 model for any precision, and says how its weights were rounded."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treadle.errors import ExportError
from treadle_export.bundle import Description
from treadle_export.canonical import CanonicalModel
from treadle_export.passes.screen_head import Screen
from treadle_export.passes.split_gates import gates_of
from treadle_export.quantization.calibration import Calibration, calibrate
from treadle_export.quantization.calibration_data import CalibrationData, calibration_data
from treadle_export.quantization.precision import PRECISIONS, Precision, lower
from treadle_export.quantization.settings import Settings
from treadle_export.quantization.weight_plan import WeightPlan, weight_sizes
from treadle_export.rounding.learned_blocks import LearnedBlocks
from treadle_export.rounding.matrices import COMPENSATED_BITS, Rounding

Gates = Mapping[str, tuple[str, ...]]
_NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Quantization:
    """What is asked of a quantization beside its precision.

    calibration: examples of the training split that are read; 0 for none, None for the default.
    exceptions: pattern of a weight's name -> another precision for it.
    max_quality_drop: largest relative rise of the negative log-likelihood. Given, weights that
        hurt most become safer until it holds (`judging.mixed_plan`); else the precision's own
        budget is only checked.
    settings: how graphs are lowered and run; None leaves that to the precision.
    screen_head: candidates of a screened head; None for a whole one.
    """

    calibration: int | None = None
    exceptions: Mapping[str, str] = field(default_factory=lambda: _NONE)
    max_quality_drop: float | None = None
    settings: Settings | None = None
    screen_head: int | None = None

    def __post_init__(self) -> None:
        if self.calibration is not None and self.calibration < 0:
            raise ExportError(
                f"expected a number of examples to calibrate with, or 0 for none, got "
                f"{self.calibration}"
            )

    def budget(self, precision: Precision) -> float:
        """The relative rise of the negative log-likelihood that is accepted."""
        return precision.budget if self.max_quality_drop is None else self.max_quality_drop

    def applied(self, precision: Precision) -> Precision:
        """The precision, lowered as the settings say."""
        return precision if self.settings is None else self.settings.applied(precision)

    def described(self, plan: Mapping[str, Any]) -> dict[str, Any]:
        """A bundle's plan, with the settings where there are any."""
        return {**plan} if self.settings is None else {**plan, "settings": self.settings.to_json()}


class Quantizer:
    """One model and its calibration, which is measured once, and only where a precision needs it.

    model: canonical; description: says the data set and the vocabularies; examples: as
    `Quantization.calibration`; progress: told when calibration begins, or that there is none;
    learned: the blocks of a fine-tuned network, which are taken in place of calibrated ones; data:
    what is read, in place of the data set's examples.
    """

    def __init__(
        self,
        model: CanonicalModel,
        description: Description,
        examples: int | None = None,
        progress: Callable[[str], None] = lambda _: None,
        *,
        learned: LearnedBlocks | None = None,
        data: CalibrationData | None = None,
    ) -> None:
        self.model = model
        self.description = description
        self._examples = examples
        self._progress = progress
        self._learned = learned
        self._data = data

    def lowered(
        self,
        precision: Precision,
        exceptions: Mapping[str, str] = _NONE,
        gates: Gates | None = None,
        screen: Screen | None = None,
    ) -> CanonicalModel:
        """The graphs in a precision; arguments as those of `precision.lower`.

        Raises:
            ExportError: an exception fits no weight, or the model cannot be calibrated.
            DataError: the data to calibrate with is missing or another.
        """
        calibrates = screen is not None or self._calibrates(precision, exceptions)
        return lower(
            self.model,
            precision,
            rounding=self._rounding if calibrates else Rounding(learned=self._learned),
            exceptions=exceptions,
            gates=gates,
            screen=screen,
        )

    def exceptions(self, precision: Precision, patterns: Mapping[str, str]) -> dict[str, str]:
        """The exceptions by the names of the weights that they fit."""
        if not patterns:
            return {}
        plan = WeightPlan(precision.name, patterns)
        names = weight_sizes(lower(self.model, precision, exceptions={"*": "float32"}))
        plan.check(names)
        return plan.resolved(names)

    def products(self, precision: Precision) -> set[str]:
        """The names of the weights that products multiply with; embeddings are none."""
        plain = lower(self.model, precision, exceptions={"*": "float32"})
        return set(weight_sizes(plain, tables=False))

    def evidence(self, precision: Precision, exceptions: Mapping[str, str]) -> dict[str, Any]:
        """How the weights were rounded, as the manifest has it; empty where none was."""
        if precision.name == "float32":
            return {}
        described: dict[str, Any] = {"method": "nearest"}
        if precision.blocks is not None:
            described["bits"] = precision.blocks.bits
            described["block_size"] = precision.blocks.block_size
        if self._calibrates(precision, exceptions):
            calibration = self._calibration
            described["method"] = "nearest" if calibration is None else "gptq"
            described["calibration"] = None if calibration is None else calibration.provenance
        if self._learned is not None and precision.name == self._learned.precision:
            described["method"] = "fine-tuned"
            described["fine_tuning"] = self._learned.evidence
        if exceptions:
            described["exceptions"] = dict(exceptions)
        return described

    def _calibrates(self, precision: Precision, exceptions: Mapping[str, str]) -> bool:
        """Whether some weights are worth rounding with the inputs that they meet."""
        used = {precision.name, *exceptions.values()}
        if self._learned is not None:
            used.discard(self._learned.precision)
        return any(PRECISIONS[name].calibrated for name in used if name in PRECISIONS)

    @cached_property
    def _rounding(self) -> Rounding:
        if self._calibration is None:
            return Rounding(learned=self._learned)
        grams = dict(self._calibration.grams)
        for graph in self.model.graphs.values():
            for product, names in gates_of(graph.model.graph).items():
                grams |= _by_gate(grams, product, names)
        return Rounding(grams, self._learned)

    @cached_property
    def _calibration(self) -> Calibration | None:
        if self._examples == 0:
            self._progress(
                f"warning: weights of {COMPENSATED_BITS} bits are rounded without calibration, "
                f"which loses several times as much"
            )
            return None
        task = self.model.task
        data = self._data or calibration_data(task, self.description, self._examples)
        self._progress(f"calibrate on {data.examples:,} {data.unit}")
        return calibrate(self.model, data)


def _by_gate(
    grams: Mapping[str, NDArray[np.float64]], product: str, names: tuple[str, ...]
) -> dict[str, NDArray[np.float64]]:
    """A gate's product reads what the whole product reads."""
    return {f"{product}.{name}": grams[product] for name in names if product in grams}
