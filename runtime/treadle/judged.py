"""How each task is judged: its metrics, its figure and its likelihood, one row a task."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.data.examples import given_of, written_of
from treadle.errors import DataError
from treadle.forecast_errors import mean_over
from treadle.metrics import (
    accuracy,
    bits_per_character,
    macro_f1,
    nats_per_character,
    nats_per_symbol,
    perplexity,
    span_f1,
    symbol_error_rate,
)
from treadle.text_metrics import TEXT_FIGURES, different, hits_at

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from treadle.classifier import Classifier
    from treadle.data import Classified, Conditioned, Frames, Pair, Series, Tagged
    from treadle.forecast_errors import HorizonErrors
    from treadle.forecaster import Forecaster
    from treadle.generator import Generator
    from treadle.language_model import LanguageModel
    from treadle.speech_transducer import SpeechTransducer
    from treadle.tagger import Tagger
    from treadle.transducer import Transducer


@dataclass(frozen=True, slots=True)
class Judged:
    """What is measured of a task on examples of a split, as its data sets hold them.

    figures: metric -> (model, examples, beam) -> value. nats: (model, examples) -> nats of each
    answer, float64 [N], given what comes before. decoded: the metrics of what a search finds, for
    which `beam` says how many hypotheses it keeps, None for the bundle's.
    """

    figures: Mapping[str, Callable[[Any, Any, int | None], float]]
    nats: Callable[[Any, Any], NDArray[np.float64]]
    decoded: Collection[str] = ()


def _text_figure(metric: str, model: Transducer, pairs: Sequence[Pair], beam: int | None) -> float:
    """Answers beside every right one, both as the vocabulary writes them."""
    found = model.transduce([pair.inputs for pair in pairs], beam=beam)
    predictions = [model.vocabularies["output"].text(best.ids) for [best] in found]
    written = model.text_reading("output").written
    return TEXT_FIGURES[metric](predictions, [list(map(written, pair.answers)) for pair in pairs])


def _hits(model: Transducer, pairs: Sequence[Pair], _: int | None) -> float:
    """A right answer among the ten that fit best, of all answers of the examples."""
    written = model.text_reading("output").written
    answers, right = different([list(map(written, pair.answers)) for pair in pairs])
    return hits_at(model.rank([pair.inputs for pair in pairs], answers), right)


def _answer_nats(model: Transducer, pairs: Sequence[Pair]) -> NDArray[np.float64]:
    """Nats of each symbol of the first answers, their end symbols included.

    Answers that cannot be written with the vocabulary are left out. Raises DataError where none is
    left.
    """
    reading = model.text_reading("output")
    known = [pair for pair in pairs if reading.known_ids(pair.answers[0]) is not None]
    if not known:
        raise DataError(
            f"no first target of {len(pairs)} pairs can be written with the vocabulary of "
            f"{model.manifest.name}; take more of them"
        )
    scores = model.score([pair.inputs for pair in known], [pair.answers[0] for pair in known])
    return np.concatenate([score.nats for score in scores])


def _text_nats(model: LanguageModel, text: str) -> NDArray[np.float64]:
    """Nats of each symbol, the state carried from the first to the last."""
    return model.score(text).nats


def _labels(model: Classifier, examples: Sequence[Classified]) -> tuple[list[str], list[str]]:
    """The label predicted for each example, and the right one."""
    predictions = model.predictions(model.logits([example.inputs for example in examples]))
    return [one.label for one in predictions], [str(example.label) for example in examples]


def _label_nats(model: Classifier, examples: Sequence[Classified]) -> NDArray[np.float64]:
    """Nats of each right label."""
    return model.nats([one.inputs for one in examples], [str(one.label) for one in examples])


def _written_nats(model: Generator, examples: Sequence[Conditioned]) -> NDArray[np.float64]:
    """Nats of each symbol that is written, the end symbols included."""
    given: Any = [given_of(example) for example in examples]
    scores = model.score(given, [written_of(example) for example in examples])
    return np.concatenate([score.nats for score in scores])


def _horizons(model: Forecaster, series: Series) -> tuple[HorizonErrors, ...]:
    """Errors of the central forecast at each horizon, the state carried through the series."""
    return model.errors(series.of(model.channels))


def _forecast_nats(model: Forecaster, series: Series) -> NDArray[np.float64]:
    """Nats of what follows each frame, up to a constant."""
    return model.losses(series.of(model.channels))


def _symbol_errors(model: SpeechTransducer, examples: Sequence[Frames], beam: int | None) -> float:
    """Of the best transcripts."""
    found = model.transcribe([example.values for example in examples], beam=beam)
    said = [best.symbols for [best] in found]
    return symbol_error_rate(said, [example.symbols or () for example in examples])


def _transcript_nats(model: SpeechTransducer, examples: Sequence[Frames]) -> NDArray[np.float64]:
    """Nats of each right transcript, over all its alignments."""
    inputs = [example.values for example in examples]
    return model.nats(inputs, [example.symbols or () for example in examples])


def _tags(
    model: Tagger, examples: Sequence[Tagged]
) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """The tags found in each sentence, and the right ones."""
    found = model.tag([example.tokens for example in examples])
    return [one.tags for one in found], [example.tags for example in examples]


def _tag_accuracy(model: Tagger, examples: Sequence[Tagged]) -> float:
    """Over all tokens."""
    found, right = _tags(model, examples)
    return accuracy([*chain(*found)], [*chain(*right)])


def _tag_nats(model: Tagger, examples: Sequence[Tagged]) -> NDArray[np.float64]:
    """Nats of the right tags."""
    return model.nats([one.tokens for one in examples], [one.tags for one in examples])


JUDGED: dict[str, Judged] = {
    "classification": Judged(
        {
            "accuracy": lambda model, examples, _: accuracy(*_labels(model, examples)),
            "macro_f1": lambda model, examples, _: macro_f1(*_labels(model, examples)),
        },
        _label_nats,
    ),
    "forecasting": Judged(
        {
            "mse": lambda model, series, _: mean_over(_horizons(model, series), "mse"),
            "mae": lambda model, series, _: mean_over(_horizons(model, series), "mae"),
        },
        _forecast_nats,
    ),
    "generation": Judged(
        {
            "nats_per_symbol": lambda model, examples, _: nats_per_symbol(
                _written_nats(model, examples)
            ),
            "perplexity": lambda model, examples, _: perplexity(_written_nats(model, examples)),
        },
        _written_nats,
    ),
    "language-modelling": Judged(
        {
            "perplexity": lambda model, text, _: perplexity(_text_nats(model, text)),
            "bits_per_character": lambda model, text, _: bits_per_character(
                _text_nats(model, text), len(text)
            ),
            "nats_per_character": lambda model, text, _: nats_per_character(
                _text_nats(model, text), len(text)
            ),
        },
        _text_nats,
    ),
    "speech-transduction": Judged(
        {"symbol_error_rate": _symbol_errors}, _transcript_nats, decoded=("symbol_error_rate",)
    ),
    "tagging": Judged(
        {
            "accuracy": lambda model, examples, _: _tag_accuracy(model, examples),
            "span_f1": lambda model, examples, _: span_f1(*_tags(model, examples)),
        },
        _tag_nats,
    ),
    "transduction": Judged(
        {name: partial(_text_figure, name) for name in TEXT_FIGURES} | {"hits_at_10": _hits},
        _answer_nats,
        decoded=TEXT_FIGURES,
    ),
}
"""Task -> how it is judged; a task that is not here has no data set to be judged on."""
