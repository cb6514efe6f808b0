"""What a bundle of a run says of its task: the metric, and how answers are decoded.

One row a task.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from treadle.texts import LOWERCASE
from treadle.vocabulary import Vocabulary
from treadle_train.networks import Forecaster, Network, Tagger
from treadle_train.networks.speech_transducer import BLANK
from treadle_train.recipe import (
    ForecasterRecipe,
    GeneratorRecipe,
    LanguageModelRecipe,
    SpeechTransducerRecipe,
    TaggerRecipe,
    TransducerRecipe,
)

Vocabularies = Mapping[str, Vocabulary]


@dataclass(frozen=True)
class Bundled:
    """What a run's bundles say.

    metric: recipe -> a name in `treadle.metrics.METRICS`. decoding: (recipe, vocabularies, network)
    -> the part `decoding` of a manifest.
    """

    metric: Callable[[Any], str]
    decoding: Callable[[Any, Vocabularies, Any], dict[str, Any]]


def _decoding_of_output(
    recipe: TransducerRecipe | GeneratorRecipe, vocabularies: Vocabularies, _: Network
) -> dict[str, Any]:
    output = vocabularies["output"]
    return {
        "start": output.start,
        "end": output.end,
        "max_length": recipe.decoding.max_length,
    }


def _decoding_of_transducer(
    recipe: TransducerRecipe, vocabularies: Vocabularies, network: Network
) -> dict[str, Any]:
    return {
        **_decoding_of_output(recipe, vocabularies, network),
        "beam": recipe.decoding.beam,
        "length_penalty": recipe.decoding.length_penalty,
        LOWERCASE["input"]: recipe.source.lowercase,
        LOWERCASE["output"]: recipe.target.lowercase,
    }


def figure_of(recipe: LanguageModelRecipe) -> str:
    """The metric of a language model: words are not all of a text's characters."""
    return "perplexity" if recipe.symbols.of == "words" else "bits_per_character"


def _decoding_of_series(
    recipe: ForecasterRecipe, _: Vocabularies, network: Forecaster
) -> dict[str, Any]:
    return {
        "channels": list(recipe.batching.channels),
        "target": recipe.batching.target,
        "horizons": list(recipe.network.horizons),
        "quantiles": list(recipe.network.quantiles),
        "season": recipe.network.season,
        "deviation": network.deviation,
    }


def _decoding_of_text(_: object, vocabularies: Vocabularies, __: Network) -> dict[str, Any]:
    symbols = vocabularies["symbols"].symbols
    return {"start": symbols.index("\n") if "\n" in symbols else 0}


def _decoding_of_speech(
    recipe: SpeechTransducerRecipe, _: Vocabularies, __: Network
) -> dict[str, Any]:
    return {
        "kind": recipe.network.kind,
        "blank": BLANK,
        "frames": recipe.network.frames,
        "beam": recipe.decoding.beam,
    }


def _decoding_of_tagger(recipe: TaggerRecipe, _: object, network: Tagger) -> dict[str, Any]:
    """How tokens are read, how long a tag waits, and what a random field has learnt, if any."""
    waits = network.whole or network.crf is not None
    decoding: dict[str, Any] = {
        "lowercase": recipe.batching.lowercase,
        "characters": recipe.network.characters,
        "delay": None if waits else network.delay.steps,
    }
    if network.delay.chunk:
        decoding["chunk"] = network.delay.chunk
    if network.crf is not None:
        weights = network.crf.named_parameters()
        decoding["scores"] = {name: weight.tolist() for name, weight in weights}
    return decoding


BUNDLED: dict[str, Bundled] = {
    "classification": Bundled(lambda recipe: str(recipe.metric), lambda *_: {}),
    "forecasting": Bundled(lambda recipe: str(recipe.metric), _decoding_of_series),
    "generation": Bundled(lambda recipe: str(recipe.metric), _decoding_of_output),
    "language-modelling": Bundled(figure_of, _decoding_of_text),
    "speech-transduction": Bundled(lambda _: "symbol_error_rate", _decoding_of_speech),
    "tagging": Bundled(lambda recipe: str(recipe.metric), _decoding_of_tagger),
    "transduction": Bundled(lambda recipe: str(recipe.metric), _decoding_of_transducer),
}
