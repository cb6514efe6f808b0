"""The network a recipe describes, for given vocabularies."""

from collections.abc import Mapping
from dataclasses import asdict

from treadle.vocabulary import Vocabulary
from treadle_train.networks.language_model import LanguageModel
from treadle_train.networks.network import Network
from treadle_train.networks.transducer import Transducer
from treadle_train.recipe import LanguageModelRecipe, Recipe, TransducerRecipe


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


def build_network(recipe: Recipe, vocabularies: Mapping[str, Vocabulary]) -> Network:
    """The network of either kind of recipe."""
    if isinstance(recipe, TransducerRecipe):
        return build_transducer(recipe, vocabularies)
    return build_language_model(recipe, vocabularies)
