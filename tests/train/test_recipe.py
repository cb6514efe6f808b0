"""Recipes: what comes with the package is valid, and every mistake is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from treadle.errors import RecipeError
from treadle_train.catalogue import load_recipe, recipe_names
from treadle_train.recipe import TransducerRecipe, recipe_from_table, recipe_to_table
from treadle_train.sections.network import LanguageModelSection

if TYPE_CHECKING:
    from pathlib import Path


def test_the_recipes_of_the_package() -> None:
    assert recipe_names() == [
        "answer",
        "characters",
        "characters-war-and-peace",
        "connected-digits-ctc",
        "connected-digits-rnnt",
        "digits",
        "forecast-transformer",
        "melody",
        "pronounce-en",
        "pronounce-en-large",
        "pronounce-sigmorphon",
        "sentiment",
        "shakespeare-elman",
        "shakespeare-gru",
        "shakespeare-lstm",
        "splice",
        "summarize",
        "tag-entities",
        "tag-pos",
        "translate-ja-en",
        "vowels",
        "words",
    ]


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_survives_the_way_through_a_run(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe_from_table(recipe_to_table(recipe)) == recipe


@pytest.mark.parametrize("name", recipe_names())
def test_sizes_are_multiples_of_16(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.network.hidden_size % 32 == 0  # the encoder takes half of it each way
    given = getattr(recipe, "vectors", None)
    if given is None or not given.file:  # vectors have the size that they have
        assert getattr(recipe.network, "embedding_size", 0) % 16 == 0  # forecasters embed nothing


def test_changes_take_toml_values_and_plain_words() -> None:
    recipe = load_recipe(
        "pronounce-en",
        [
            "training.epochs=7",
            "training.learning_rate=1",
            "network.cell=gru",
            "data.options.seed=3",
        ],
    )
    assert isinstance(recipe, TransducerRecipe)
    assert (recipe.training.epochs, recipe.training.learning_rate) == (7, 1.0)
    assert (recipe.network.cell, recipe.data.options) == ("gru", {"seed": 3})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "training.epoch=7",
            "There is no recipe key 'training.epoch'; did you mean 'training.epochs'?",
        ),
        ("epochs=7", "There is no recipe key 'epochs'; did you mean 'training.epochs'?"),
        (
            "network.hiden_size=7",
            "There is no recipe key 'network.hiden_size'; did you mean 'network.hidden_size'?",
        ),
        ("training.epochs=many", "The key 'training.epochs' should be an integer, got 'many'."),
        ("training.epochs=1.5", "The key 'training.epochs' should be an integer, got 1.5."),
        ("training.epochs=true", "The key 'training.epochs' should be an integer, got True."),
        (
            "training.seed=2147483648",
            "The key 'training.seed' should be below 2147483648, got 2147483648.",
        ),
        ("training.epochs=0", "The key 'training.epochs' should be at least 1, got 0."),
        (
            "training.learning_rate='high'",
            "The key 'training.learning_rate' should be a number, got 'high'.",
        ),
        (
            "training.learning_rate=nan",
            "The key 'training.learning_rate' should be at least 1e-09, got nan.",
        ),
        ("network.dropout=1", "The key 'network.dropout' should be below 1, got 1.0."),
        (
            "network.cell=gruu",
            (
                "The key 'network.cell' should be one of elman, elman-relu, lstm, lstm-peephole, "
                "gru, gru-reset-before, got 'gruu'; did you mean 'gru'?"
            ),
        ),
        ("data.options=3", "The key 'data.options' should be a table, got 3."),
        ("name=3", "The key 'name' should be a string, got 3."),
        ("training.epochs", "A change should read key=value, got 'training.epochs'."),
    ],
)
def test_a_wrong_change_is_named(change: str, message: str) -> None:
    with pytest.raises(RecipeError) as raised:
        load_recipe("pronounce-en", [change])
    assert str(raised.value) == message


def test_a_tied_embedding_is_as_wide_as_the_hidden_state() -> None:
    tied = "network.tied_embedding=true"
    with pytest.raises(RecipeError, match=r"to be equal, .* got 64 and 256: set one to the other"):
        load_recipe("characters", [tied])
    network = load_recipe("characters", [tied, "network.embedding_size=256"]).network
    assert isinstance(network, LanguageModelSection)
    assert network.tied_embedding


def test_an_unknown_recipe_suggests_the_nearest() -> None:
    with pytest.raises(RecipeError, match=r"There is no recipe 'pronounce'; did you mean"):
        load_recipe("pronounce")


def test_a_recipe_may_be_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    with pytest.raises(RecipeError, match="Cannot read the recipe"):
        load_recipe(str(file))
    file.write_text("name = ")
    with pytest.raises(RecipeError, match="is not valid TOML"):
        load_recipe(str(file))
    file.write_text('name = "mine"\ntask = "translation"')
    with pytest.raises(RecipeError, match="should be one of classification"):
        load_recipe(str(file))
    file.write_text('name = "mine"\ntask = "language-modelling"\nlicence = "MIT"')
    with pytest.raises(RecipeError, match="The recipe lacks the key 'summary'; add it"):
        load_recipe(str(file))
    file.write_text(
        'name = "mine"\ntask = "language-modelling"\nlicence = "MIT"\nsummary = "my text"\n'
        '[data]\nname = "text"\n'
    )
    recipe = load_recipe(str(file), ["training.epochs=2"])
    assert (recipe.name, recipe.training.epochs) == ("mine", 2)
