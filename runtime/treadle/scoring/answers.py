"""What a model says of many rows at once: one row a task, as JSON objects."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.errors import InputError, StateError, TreadleError
from treadle.written import read_series, read_utterance, read_vector

if TYPE_CHECKING:
    from treadle.classifier import Classifier
    from treadle.forecaster import Forecaster
    from treadle.generator import Generator
    from treadle.language_model import LanguageModel
    from treadle.model import Model
    from treadle.score import Score
    from treadle.speech_transducer import SpeechTransducer
    from treadle.tagger import Tagger
    from treadle.transducer import Transducer

Answer = dict[str, Any]
Options = Mapping[str, Any]
Answerer = Callable[[Any, Sequence[Any], Options], list[Answer]]

_SEARCH = ("max_length", "beam", "n_best", "length_normalization")
_DRAWING = (
    *("temperature", "top_k", "top_p", "min_p"),
    *("repetition_penalty", "stop", "seed"),
)
TAKEN: dict[str, tuple[str, ...]] = {
    "classification": (),
    "forecasting": (),
    "generation": (*_SEARCH, *_DRAWING),
    "language-modelling": (),
    "speech-transduction": ("beam", "n_best"),
    "tagging": (),
    "transduction": (*_SEARCH, *_DRAWING),
}
"""Task -> the options that mean something to it."""


def answers_to(
    model: Model, values: Sequence[Any], options: Options, *, first: int = 0
) -> list[Answer]:
    """One answer a value, `{"answer": …}` or, where it cannot be answered, `{"error": message}`.

    Values that fail are found by halving, and all others are answered in company. first: the number
    of the first value among all rows, which is added to the seed: no two rows draw alike, and each
    draws the same in whichever process.
    """
    if not values:
        return []
    kind = ANSWERERS[model.manifest.task]
    seeded = {**options, "seed": options["seed"] + first} if "seed" in options else options
    try:
        return [{"answer": answer} for answer in kind(model, values, seeded)]
    except (InputError, StateError) as error:
        if len(values) == 1:
            return [{"error": str(error)}]
    half = len(values) // 2
    return [
        *answers_to(model, values[:half], options, first=first),
        *answers_to(model, values[half:], options, first=first + half),
    ]


def check_options(model: Model, options: Options) -> None:
    """Try the options on no rows at all.

    Raises InputError for options that would fail whatever the rows hold, TreadleError for a task
    that answers no rows.
    """
    task = model.manifest.task
    if task not in ANSWERERS:
        raise TreadleError(
            f"score knows the tasks {', '.join(sorted(ANSWERERS))}, not {task}; run such a model "
            "from Python with treadle.load"
        )
    ANSWERERS[task](model, [], options)


def _transduced(model: Transducer, values: Sequence[Any], options: Options) -> list[Answer]:
    found = model.transduce(_texts(values), **options)
    return [{"hypotheses": [one.to_json() for one in answers]} for answers in found]


def _generated(model: Generator, values: Sequence[Any], options: Options) -> list[Answer]:
    asked = {name: value for name, value in options.items() if value is not None}
    features = model.features
    given: Any = _texts(values) if features is None else _vectors(values, features)
    found = model.generate(given, **asked)
    return [{"hypotheses": [one.to_json() for one in answers]} for answers in found]


def _classified(model: Classifier, values: Sequence[Any], _options: Options) -> list[Answer]:
    if "input" in model.vocabularies:
        return [asdict(made) for made in model.classify(_texts(values))]
    return [asdict(made) for made in model.classify([_frames(value, ()) for value in values])]


def _tagged(model: Tagger, values: Sequence[Any], _options: Options) -> list[Answer]:
    return [
        {"tokens": list(made.tokens), "tags": list(made.tags)}
        for made in model.tag([_sentence(value) for value in values])
    ]


def _forecast(model: Forecaster, values: Sequence[Any], _options: Options) -> list[Answer]:
    series = [_frames(value, model.channels) for value in values]
    return [{"target": model.target, **made.to_json()} for made in model.forecast(series)]


def _transcribed(model: SpeechTransducer, values: Sequence[Any], options: Options) -> list[Answer]:
    utterances = [
        read_utterance(value) if isinstance(value, str) and not _is_json(value) else _frames(value)
        for value in values
    ]
    found = model.transcribe(utterances, **options)
    return [{"hypotheses": [one.to_json() for one in answers]} for answers in found]


def _likelihood(model: LanguageModel, values: Sequence[Any], _options: Options) -> list[Answer]:
    scores: list[Score] = model.score(_texts(values)) if values else []
    return [
        {
            "log_probability": -float(score.nats.sum()),
            "symbols": score.count,
            "perplexity": score.perplexity,
        }
        for score in scores
    ]


ANSWERERS: dict[str, Answerer] = {
    "classification": _classified,
    "forecasting": _forecast,
    "generation": _generated,
    "language-modelling": _likelihood,
    "speech-transduction": _transcribed,
    "tagging": _tagged,
    "transduction": _transduced,
}


def _texts(values: Sequence[Any]) -> list[str]:
    for value in values:
        if not isinstance(value, str):
            raise InputError(f"expected a text, got {_shown(value)}")
    return list(values)


def _sentence(value: Any) -> str | list[str]:
    if isinstance(value, list) and all(isinstance(token, str) for token in value):
        return value
    if isinstance(value, str):
        return value
    raise InputError(f"expected a text or a list of tokens, got {_shown(value)}")


def _vectors(values: Sequence[Any], features: int) -> Any:
    rows = [
        read_vector(value, features)
        if isinstance(value, str) and not _is_json(value)
        else _numbers(value)
        for value in values
    ]
    for row in rows:
        if row.shape != (features,):
            raise InputError(f"expected {features} numbers, got the shape {list(row.shape)}")
    return np.stack(rows) if rows else np.zeros((0, features), np.float32)


def _frames(value: Any, channels: Sequence[str] = ()) -> Any:
    """Float32 [time, features] of a list of frames, or of its text; one channel may lack lists."""
    if isinstance(value, str) and not _is_json(value):
        return read_series(value, channels)
    array = _numbers(value)
    return array[:, None] if array.ndim == 1 else array


def _numbers(value: Any) -> Any:
    try:
        if isinstance(value, str):
            value = json.loads(value)
        return np.array(value, np.float32)
    except (ValueError, TypeError) as error:
        raise InputError(f"expected a list of numbers, got {_shown(value)}: {error}") from error


def _is_json(text: str) -> bool:
    return text.lstrip().startswith("[")


def _shown(value: Any) -> str:
    return f"{type(value).__name__} {value!r:.60}"
