"""What a bundle answers to every example of a split, as bytes: one row a task.

Their digest tells whether two bundles, or one on two machines, answer the same.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import closing
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.data import given_of, written_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from treadle.classifier import Classifier
    from treadle.data import Classified, Conditioned, Frames, Pair, Series, Tagged
    from treadle.forecaster import Forecaster
    from treadle.generator import Generator
    from treadle.language_model import LanguageModel
    from treadle.model import Model
    from treadle.speech_transducer import SpeechTransducer
    from treadle.tagger import Tagger
    from treadle.transducer import Transducer

_STEPS = 512
"""Of one call of the sequence graph."""


def predictions_sha256(model: Model, examples: Any) -> str | None:
    """Of what `model` answers to the examples of a split; None for a task without a row here."""
    answers = PREDICTIONS.get(model.manifest.task)
    return answers and hashlib.sha256(answers(model, examples)).hexdigest()


def _labels(model: Classifier, examples: Sequence[Classified]) -> bytes:
    logits = model.logits([one.inputs for one in examples])
    return _listed([one.label for one in model.predictions(logits)])


def _tags(model: Tagger, examples: Sequence[Tagged]) -> bytes:
    return _listed([one.tags for one in model.tag([example.tokens for example in examples])])


def _answers(model: Transducer, pairs: Sequence[Pair]) -> bytes:
    return _listed([best.symbols for [best] in model.transduce([one.inputs for one in pairs])])


def _transcripts(model: SpeechTransducer, examples: Sequence[Frames]) -> bytes:
    return _listed([best.symbols for [best] in model.transcribe([one.values for one in examples])])


def _likeliest(model: LanguageModel, text: str) -> bytes:
    """The likeliest symbol at each place of the text, after all that stands before it."""
    ids = model.vocabularies["symbols"].encode(text, unknown="symbol")
    inputs = np.array([model.manifest.decoding["start"], *ids[:-1]])
    return _listed([logits.argmax(-1).tolist() for logits in _unrolled(model, inputs)])


def _written(model: Generator, examples: Sequence[Conditioned]) -> bytes:
    """The likeliest symbol at each place of what is written, after all that stands before it."""
    vocabulary, likeliest = model.vocabularies["output"], []
    for one in examples:
        ids = vocabulary.encode(written_of(one), unknown="symbol")
        with closing(model.stream(model.sources(given_of(one)))) as stream:
            logits = stream.unroll(np.array([[model.manifest.decoding["start"], *ids]]))
        likeliest.append(logits[0].argmax(-1).tolist())
    return _listed(likeliest)


def _forecasts(model: Forecaster, series: Series) -> bytes:
    return b"".join(out.tobytes() for out in _unrolled(model, series.of(model.channels)))


def _unrolled(model: Model, inputs: NDArray[Any]) -> Iterator[NDArray[np.float32]]:
    """Outputs [steps, …] after each input, some at a time, the state carried."""
    cuts = [*range(0, len(inputs), _STEPS), len(inputs)]
    with closing(model.stream()) as stream:
        for first, end in pairwise(cuts):
            yield stream.unroll(inputs[None, first:end])[0]


def _listed(answers: list[Any]) -> bytes:
    return json.dumps(answers).encode()


PREDICTIONS: dict[str, Callable[[Any, Any], bytes]] = {
    "classification": _labels,
    "forecasting": _forecasts,
    "generation": _written,
    "language-modelling": _likeliest,
    "speech-transduction": _transcripts,
    "tagging": _tags,
    "transduction": _answers,
}
"""Task -> (model, examples of a split) -> its answers."""
