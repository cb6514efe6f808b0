"""`treadle adopt`: from a model of any origin to a bundle."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from treadle.selfcheck import Report
from treadle_export.adoption.adopt import Adopted, adopt
from treadle_export.adoption.whole import adopt_whole, reads_backwards
from treadle_export.bundle import Description
from treadle_export.exporting.exporter import export_model
from treadle_export.exporting.material import Material, tool_versions
from treadle_export.exporting.real_inputs import calibration_of, check_inputs
from treadle_export.exporting.whole_export import export_whole
from treadle_export.exporting.whole_foreign import whole_of_foreign
from treadle_export.foreign import Foreign
from treadle_export.judging.outputs import relative_error
from treadle_export.parity.foreign_origin import ForeignOrigin, trace_of_foreign
from treadle_export.quantization.calibration_data import CalibrationData
from treadle_export.quantization.quantizer import Quantization


def export_foreign(
    foreign: Foreign,
    outs: Mapping[str, Path],
    *,
    licence: str = "unknown",
    force: bool = False,
    quantization: Quantization | None = None,
    target: str = "cpu",
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Report]:
    """Adopts a foreign model and writes one bundle for each precision asked.

    Args:
        foreign: the model with its origin.
        outs: precision -> directory of the bundle, ending in `.treadle`.
        licence: of the weights, as the bundle says it.
        force: replace existing bundles.
        quantization: exceptions by weight, settings and a screened head; real inputs are what
            4-bit weights are rounded with, whatever it says of calibration.
        target: what the bundles are built for, one of `targets.TARGETS`.
        progress: told each stage as it begins.

    Returns:
        precision -> parity ladder and invariance of the written bundle.

    Raises:
        UnsupportedGraph: the model cannot be run step by step, nor reads backwards, so that it
            could be run on whole sequences; or it has an operator that the target does not run.
        InputError: real inputs are not what the model reads.
        ParityError, QualityError, ExportError: as `export_run`.
    """
    progress("adopt")
    if reads_backwards(foreign):
        adopted = adopt_whole(foreign)
        check_inputs(adopted)
        return export_whole(
            whole_of_foreign(adopted, _description(adopted, licence)),
            outs,
            force=force,
            quantization=asked_of(calibration_of(adopted), quantization),
            target=target,
            progress=progress,
        )
    material = material_of_foreign(foreign, licence)
    return export_model(
        material,
        outs,
        force=force,
        quantization=asked_of(material.calibration, quantization),
        target=target,
        progress=progress,
    )


def asked_of(real: CalibrationData | None, asked: Quantization | None = None) -> Quantization:
    """What is asked; a foreign model is calibrated with its real inputs, if it has any."""
    return replace(asked or Quantization(), calibration=0 if real is None else None)


def material_of_foreign(foreign: Foreign, licence: str = "unknown") -> Material:
    """A foreign model, adopted. Raises UnsupportedGraph, InputError for inputs unlike its own."""
    adopted = adopt(foreign)
    check_inputs(adopted)
    return Material(
        canonical=adopted.canonical,
        origin=ForeignOrigin(adopted),
        trace=trace_of_foreign(adopted),
        description=_description(adopted, licence),
        quality=relative_error,
        calibration=calibration_of(adopted),
    )


def _description(adopted: Adopted, licence: str) -> Description:
    foreign = adopted.foreign
    return Description(
        name=re.sub(r"[^A-Za-z0-9._-]+", "-", foreign.name),
        vocabularies={},
        decoding={},
        evaluation={},
        licence={"weights": licence},
        provenance={**foreign.provenance, **tool_versions()},
    )
