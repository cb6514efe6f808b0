"""Recurrent networks as on-device streams.

    with treadle.load("pronounce-en.treadle") as model:
        print(model.transduce("treadle"))

`import treadle` loads nothing heavy: each name brings its module when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from treadle.errors import (
    BundleError,
    DataError,
    DeadlineError,
    DeviceError,
    ExportError,
    InputError,
    ParityError,
    QualityError,
    RecipeError,
    StateError,
    TreadleError,
    UnsupportedGraph,
)

if TYPE_CHECKING:
    from treadle.answers import Hypothesis
    from treadle.bundle import Bundle, open_bundle
    from treadle.classifier import Classifier, Prediction
    from treadle.forecaster import Forecast, Forecaster
    from treadle.generator import Generator
    from treadle.language_model import LanguageModel
    from treadle.loading import load
    from treadle.manifest import Manifest
    from treadle.model import Model
    from treadle.packing import pack
    from treadle.pool import Member, Pool
    from treadle.speech_snapshot import SpeechSnapshot
    from treadle.speech_transducer import SpeechTransducer
    from treadle.state import Snapshot
    from treadle.stateful_model import StatefulModel
    from treadle.stream import Stream
    from treadle.tagger import Tagger, Tagging
    from treadle.transcriber import Transcriber, Transcription
    from treadle.transducer import Transducer
    from treadle.vocabulary import Vocabulary
    from treadle.whole_sequence_model import WholeSequenceModel

__version__ = "0.1.0"

__all__ = [
    "Bundle",
    "BundleError",
    "Classifier",
    "DataError",
    "DeadlineError",
    "DeviceError",
    "ExportError",
    "Forecast",
    "Forecaster",
    "Generator",
    "Hypothesis",
    "InputError",
    "LanguageModel",
    "Manifest",
    "Member",
    "Model",
    "ParityError",
    "Pool",
    "Prediction",
    "QualityError",
    "RecipeError",
    "Snapshot",
    "SpeechSnapshot",
    "SpeechTransducer",
    "StateError",
    "StatefulModel",
    "Stream",
    "Tagger",
    "Tagging",
    "Transcriber",
    "Transcription",
    "Transducer",
    "TreadleError",
    "UnsupportedGraph",
    "Vocabulary",
    "WholeSequenceModel",
    "__version__",
    "load",
    "open_bundle",
    "pack",
]

_HOMES = {
    "Bundle": "treadle.bundle",
    "Classifier": "treadle.classifier",
    "Forecast": "treadle.forecaster",
    "Forecaster": "treadle.forecaster",
    "Generator": "treadle.generator",
    "Hypothesis": "treadle.answers",
    "LanguageModel": "treadle.language_model",
    "Manifest": "treadle.manifest",
    "Member": "treadle.pool",
    "Model": "treadle.model",
    "Pool": "treadle.pool",
    "Prediction": "treadle.classifier",
    "Snapshot": "treadle.state",
    "SpeechSnapshot": "treadle.speech_snapshot",
    "SpeechTransducer": "treadle.speech_transducer",
    "StatefulModel": "treadle.stateful_model",
    "Stream": "treadle.stream",
    "Tagger": "treadle.tagger",
    "Tagging": "treadle.tagger",
    "Transcriber": "treadle.transcriber",
    "Transcription": "treadle.transcriber",
    "Transducer": "treadle.transducer",
    "Vocabulary": "treadle.vocabulary",
    "WholeSequenceModel": "treadle.whole_sequence_model",
    "load": "treadle.loading",
    "open_bundle": "treadle.bundle",
    "pack": "treadle.packing",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'treadle' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
