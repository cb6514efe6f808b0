"""The network a recipe describes, for given vocabularies: one row a task."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from treadle.vocabulary import Vocabulary
from treadle_train.networks.classifier import Classifier
from treadle_train.networks.ctc import CTCTransducer
from treadle_train.networks.forecaster import Forecaster
from treadle_train.networks.generator import Generator
from treadle_train.networks.language_model import LanguageModel
from treadle_train.networks.network import Network
from treadle_train.networks.rnnt import RNNTransducer
from treadle_train.networks.speech_transducer import SpeechTransducer
from treadle_train.networks.tagger import Tagger, alphabet_size
from treadle_train.networks.transducer import Transducer
from treadle_train.recipe import (
    ClassifierRecipe,
    ForecasterRecipe,
    GeneratorRecipe,
    LanguageModelRecipe,
    Recipe,
    SpeechTransducerRecipe,
    TaggerRecipe,
    TransducerRecipe,
)


def build_transducer(
    recipe: TransducerRecipe, vocabularies: Mapping[str, Vocabulary]
) -> Transducer:
    """A transducer with new random weights."""
    sizes = asdict(recipe.network)
    return Transducer(len(vocabularies["input"]), len(vocabularies["output"]), **sizes)


def build_language_model(
    recipe: LanguageModelRecipe, vocabularies: Mapping[str, Vocabulary]
) -> LanguageModel:
    """A language model with new random weights."""
    return LanguageModel(len(vocabularies["symbols"]), **asdict(recipe.network))


def build_classifier(
    recipe: ClassifierRecipe, vocabularies: Mapping[str, Vocabulary]
) -> Classifier:
    """A classifier with new random weights; it reads frames where there is no vocabulary."""
    symbols = len(vocabularies["input"]) if "input" in vocabularies else None
    return Classifier(symbols, len(vocabularies["labels"]), **asdict(recipe.network))


def build_forecaster(recipe: ForecasterRecipe, _: Mapping[str, Vocabulary]) -> Forecaster:
    """A forecaster with new random weights."""
    batching, sizes = recipe.batching, asdict(recipe.network)
    sizes |= {"steps": max(sizes.pop("horizons")), "quantiles": len(sizes["quantiles"]) or 1}
    target = batching.channels.index(batching.target)
    return Forecaster(len(batching.channels), target, **sizes)


def build_tagger(recipe: TaggerRecipe, vocabularies: Mapping[str, Vocabulary]) -> Tagger:
    """A tagger with new random weights."""
    symbols = vocabularies["input"].symbols
    return Tagger(
        len(symbols),
        len(vocabularies["tags"]),
        alphabet=alphabet_size(symbols),
        **asdict(recipe.network),
    )


def build_generator(recipe: GeneratorRecipe, vocabularies: Mapping[str, Vocabulary]) -> Generator:
    """A generator with new random weights; it is given vectors where there are no labels."""
    labels = len(vocabularies["labels"]) if "labels" in vocabularies else None
    return Generator(labels, len(vocabularies["output"]), **asdict(recipe.network))


def build_speech_transducer(
    recipe: SpeechTransducerRecipe, vocabularies: Mapping[str, Vocabulary]
) -> SpeechTransducer:
    """A transducer of speech, of the recipe's kind, with new random weights."""
    symbols, sizes = len(vocabularies["output"]), asdict(recipe.network)
    features, kind = sizes.pop("features"), sizes.pop("kind")
    own = {name: sizes.pop(name) for name in ("joint_size", "embedding_size", "predictor_size")}
    if kind == "ctc":
        return CTCTransducer(features, symbols, **sizes)
    return RNNTransducer(features, symbols, **own, **sizes)


BUILDERS: dict[str, Callable[[Any, Mapping[str, Vocabulary]], Network]] = {
    "classification": build_classifier,
    "forecasting": build_forecaster,
    "generation": build_generator,
    "language-modelling": build_language_model,
    "speech-transduction": build_speech_transducer,
    "tagging": build_tagger,
    "transduction": build_transducer,
}


def build_network(recipe: Recipe, vocabularies: Mapping[str, Vocabulary]) -> Network:
    """The network of any kind of recipe."""
    return BUILDERS[recipe.task](recipe, vocabularies)
