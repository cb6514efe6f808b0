"""What a bundle of a run says of its task: the metric, and how answers are decoded.

One row a task.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from treadle.vocabulary import Vocabulary
from treadle_train.recipe import LanguageModelRecipe, TransducerRecipe

Vocabularies = Mapping[str, Vocabulary]


@dataclass(frozen=True)
class Bundled:
    """What a run's bundles say.

    metric: recipe -> a name in `treadle.metrics.METRICS`. decoding: (recipe, vocabularies) -> the
    part `decoding` of a manifest.
    """

    metric: Callable[[Any], str]
    decoding: Callable[[Any, Vocabularies], dict[str, Any]]


def _decoding_of_transducer(recipe: TransducerRecipe, vocabularies: Vocabularies) -> dict[str, Any]:
    output = vocabularies["output"]
    return {
        "start": output.start,
        "end": output.end,
        "max_length": recipe.decoding.max_length,
    }


def figure_of(recipe: LanguageModelRecipe) -> str:
    """The metric of a language model: words are not all of a text's characters."""
    return "perplexity" if recipe.symbols.of == "words" else "bits_per_character"


def _decoding_of_text(_: object, vocabularies: Vocabularies) -> dict[str, Any]:
    symbols = vocabularies["symbols"].symbols
    return {"start": symbols.index("\n") if "\n" in symbols else 0}


BUNDLED: dict[str, Bundled] = {
    "classification": Bundled(lambda recipe: str(recipe.metric), lambda _recipe, _: {}),
    "language-modelling": Bundled(figure_of, _decoding_of_text),
    "transduction": Bundled(lambda _: "word_error_rate", _decoding_of_transducer),
}
