"""What an export starts from: a captured model, and all that its bundles say of it."""

import platform
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import onnx
import onnxruntime

import treadle
from treadle.errors import UnsupportedGraph
from treadle_export.bundle import Description
from treadle_export.canonical import CanonicalModel
from treadle_export.capturing.network import capture
from treadle_export.judging.quality import quality
from treadle_export.parity.network_origin import NetworkOrigin
from treadle_export.parity.origin import Origin
from treadle_export.parity.trace import Trace, trace_of
from treadle_export.quantization.calibration_data import CalibrationData
from treadle_export.rounding.learned_blocks import LearnedBlocks, learned_blocks
from treadle_train.run import Run

Quality = Callable[[Path, Path, str, float], dict[str, Any]]
"""Bundle in float32, quantized bundle, its precision and the largest relative loss -> evidence;
raises QualityError."""


@dataclass(frozen=True, slots=True)
class Material:
    """A captured model with all that its bundles say of it.

    learned: the blocks of a fine-tuned network. calibration: real
    inputs of a model without a data set.
    """

    canonical: CanonicalModel
    origin: Origin
    trace: Trace
    description: Description
    quality: Quality
    learned: LearnedBlocks | None = None
    calibration: CalibrationData | None = None


def material_of(run: Run, quality_limit: int | None = None) -> Material:
    """A run, captured. Raises UnsupportedGraph, also for a network that has no step."""
    if "step" not in run.network.graphs:
        raise UnsupportedGraph(
            f"expected a network that steps, got {run.name}, which reads whole sequences in both "
            f"directions; export it without tuning, or train it in one direction"
        )
    return Material(
        canonical=capture(run.network),
        origin=NetworkOrigin(run.network),
        trace=trace_of(run),
        description=description_of(run),
        quality=partial(quality, limit=quality_limit),
        learned=learned_blocks(run),
    )


def description_of(run: Run) -> Description:
    """What a bundle of the run says beside its graphs."""
    return Description(
        name=run.name,
        vocabularies=run.vocabularies,
        decoding=run.decoding,
        evaluation=run.evaluation,
        licence=run.licence,
        provenance={**run.provenance, **tool_versions()},
    )


def tool_versions() -> dict[str, str]:
    """Versions of what makes a bundle."""
    return {
        "treadle": treadle.__version__,
        "onnx": onnx.__version__,
        "onnxruntime": onnxruntime.__version__,
        "python": platform.python_version(),
    }
