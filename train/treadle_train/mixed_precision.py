"""Products in bfloat16 while training: weights, states between batches and validation stay float32.

Micikevicius et al., "Mixed precision training", 2018. bfloat16 has float32's range, so the loss
needs no scaling.
"""

import logging
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch.plugins.precision import MixedPrecision, Precision
from typing_extensions import override

from treadle_train.sections.training import AcceleratorName, PrecisionName, TrainingSection

logger = logging.getLogger(__name__)

_FAST = ("avx512_bf16", "amx_bf16", "bf16")
"""Features of a processor that multiply in bfloat16; without one, torch is many times slower."""

_capabilities: Callable[[], Mapping[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)
"""Of this processor; a torch that cannot say has none."""


def usable_precision(section: TrainingSection) -> PrecisionName:
    """What is asked, or float32 where this processor cannot multiply so; then it says so."""
    asked, on_cpu = section.precision, section.accelerator == "cpu"
    if asked == "bfloat16" and on_cpu and not any(_capabilities().get(f) for f in _FAST):
        logger.warning(
            "This processor has no instructions for bfloat16, so training multiplies in float32: "
            "it takes about twice as long, and the weights at the end are others."
        )
        return "float32"
    return asked


def precision_plugin(precision: PrecisionName, accelerator: AcceleratorName) -> Precision:
    """What Lightning wraps around a training step."""
    return _Bfloat16(accelerator) if precision == "bfloat16" else Precision()


class _Bfloat16(MixedPrecision):
    """Autocast around training steps only, so that validation sees what will be exported."""

    def __init__(self, accelerator: AcceleratorName) -> None:
        super().__init__("bf16-mixed", accelerator)

    @override
    @contextmanager
    def val_step_context(self) -> Generator[None]:
        yield
