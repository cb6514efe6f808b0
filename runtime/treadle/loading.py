"""`treadle.load`: a bundle as the model that its task is."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from treadle.bundle import open_bundle

if TYPE_CHECKING:
    import os

    from treadle.bundle import Source
    from treadle.manifest import Manifest
    from treadle.model import Model

# Task -> what `load` returns; imported when it is asked for.
CLASSES = {
    "classification": "treadle.classifier:Classifier",
    "forecasting": "treadle.forecaster:Forecaster",
    "generation": "treadle.generator:Generator",
    "language-modelling": "treadle.language_model:LanguageModel",
    "speech-transduction": "treadle.speech_transducer:SpeechTransducer",
    "tagging": "treadle.tagger:Tagger",
    "transduction": "treadle.transducer:Transducer",
    "stateful": "treadle.stateful_model:StatefulModel",
    "whole-sequence": "treadle.whole_sequence_model:WholeSequenceModel",
}


def load(
    source: Source,
    *,
    device: str = "cpu",
    threads: int | None = None,
    unknown: Literal["error", "symbol"] = "error",
    spinning: bool = False,
    arena: bool = True,
    denormals: bool = True,
    cuda_graph: bool = False,
    public_key: str | os.PathLike[str] | bytes | None = None,
) -> Any:
    """Open the bundle in `source`, as what its task is.

    A Classifier, Forecaster, Generator, LanguageModel, SpeechTransducer, Tagger, Transducer,
    StatefulModel or
    WholeSequenceModel. `source` is the path of a bundle, packed or not, the bytes of a packed one,
    or a resource of a package, as `open_bundle` takes it; what is packed is unpacked into temporary
    files until the model closes.

    `threads` compute within a step; by default as many as the bundle's plan was tuned for, else
    one. `device`, `spinning`, `arena`, `denormals` and `cuda_graph` are as
    `treadle.session.Hardware` has them. A symbol outside the vocabulary is an InputError, or
    becomes the unknown symbol with `unknown="symbol"`. With `public_key`, the path of an ed25519
    key in PEM or its content, only a bundle that was signed with its private half is opened (extra
    `sign`).

    Raises BundleError for a bundle that is missing, damaged, changed, of a later format, or not
    signed as asked, InputError for an unknown device or option; DeviceError comes with the first
    stream, when the engine or the device is missing.
    """
    bundle = open_bundle(source)
    try:
        if public_key is not None:
            from treadle.signature import check_signature

            check_signature(bundle, public_key)
        from treadle.plan import Running
        from treadle.session import Hardware

        tuned = Running.of(bundle.manifest.plan)
        used = tuned.threads if threads is None else threads
        hardware = Hardware(device, used, spinning, arena, denormals, cuda_graph)
        return _class_of(bundle.manifest)(bundle, hardware, unknown=unknown, call=tuned.call)
    except BaseException:
        bundle.close()
        raise


def _class_of(manifest: Manifest) -> type[Model]:
    module, _, name = CLASSES[manifest.task].partition(":")
    made: type[Model] = getattr(import_module(module), name)
    return made
