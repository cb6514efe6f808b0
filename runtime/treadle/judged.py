"""How each task is judged: its metrics, its figure and its likelihood, one row a task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.metrics import bits_per_character, nats_per_character, word_error_rate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from treadle.data import Pronunciation
    from treadle.language_model import LanguageModel
    from treadle.transducer import Transducer


@dataclass(frozen=True, slots=True)
class Judged:
    """What is measured of a task on examples of a split, as its data sets hold them.

    figures: metric -> (model, examples, beam) -> value. nats: (model, examples) -> nats of each
    answer, float64 [N], given what comes before. decodes: whether a search of several hypotheses
    means anything.
    """

    figures: Mapping[str, Callable[[Any, Any, int], float]]
    nats: Callable[[Any, Any], NDArray[np.float64]]
    decodes: bool = False


def _word_error_rate(model: Transducer, words: Sequence[Pronunciation], beam: int) -> float:
    """Words count as right when they match any listed answer."""
    answers = model.transduce([example.word for example in words], beam=beam)
    predictions = [best.symbols for [best] in answers]
    return word_error_rate(predictions, [example.pronunciations for example in words])


def _word_nats(model: Transducer, words: Sequence[Pronunciation]) -> NDArray[np.float64]:
    """Nats of each symbol of the first listed answers, their end symbols included."""
    space = model.vocabularies["output"].space
    answers = [space.join(example.pronunciations[0]) for example in words]
    scores = model.score([example.word for example in words], answers)
    return np.concatenate([score.nats for score in scores])


def _text_nats(model: LanguageModel, text: str) -> NDArray[np.float64]:
    """Nats of each symbol, the state carried from the first to the last."""
    return model.score(text).nats


JUDGED: dict[str, Judged] = {
    "language-modelling": Judged(
        {
            "bits_per_character": lambda model, text, _: bits_per_character(
                _text_nats(model, text)
            ),
            "nats_per_character": lambda model, text, _: nats_per_character(
                _text_nats(model, text)
            ),
        },
        _text_nats,
    ),
    "transduction": Judged({"word_error_rate": _word_error_rate}, _word_nats, decodes=True),
}
"""Task -> how it is judged; a task that is not here has no data set to be judged on."""
