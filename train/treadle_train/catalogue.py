"""Find recipes by name or path, and change single keys of one."""

import tomllib
from collections.abc import Iterable
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Any

from treadle.errors import RecipeError
from treadle_train.recipe import RECIPE_TYPES, Recipe, recipe_from_table
from treadle_train.sections.reading import leaf_keys, unknown_key


def recipe_names() -> list[str]:
    """Names of the recipes that come with the package, sorted."""
    folder = resources.files("treadle_train").joinpath("recipes")
    return sorted(
        f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")
    )


def load_recipe(name: str, changes: Iterable[str] = ()) -> Recipe:
    """The recipe called `name`, or in the TOML file at the path `name`, with changes applied.

    A change is "dotted.key=value"; the value is TOML, or a plain string where it is no TOML.
    Raises RecipeError.
    """
    table = _read_toml(name)
    for change in changes:
        _apply(table, change)
    return recipe_from_table(table)


def _read_toml(name: str) -> dict[str, Any]:
    if name in recipe_names():
        source = resources.files("treadle_train").joinpath("recipes", f"{name}.toml")
        return tomllib.loads(source.read_text(encoding="utf-8"))
    if not name.endswith(".toml"):
        near = get_close_matches(name, recipe_names(), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(recipe_names())}."
        raise RecipeError(f"There is no recipe {name!r}; {hint} A path to a .toml file works too.")
    try:
        return tomllib.loads(Path(name).read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"Cannot read the recipe {name}: {error.strerror}.") from error
    except ValueError as error:  # not TOML, or not UTF-8
        raise RecipeError(f"The recipe {name} is not valid TOML: {error}.") from error


def _apply(table: dict[str, Any], change: str) -> None:
    """Set one dotted key in the table."""
    key, equals, text = change.partition("=")
    key = key.strip()
    if not equals or not key:
        raise RecipeError(f"A change should read key=value, got {change!r}.")
    kind = RECIPE_TYPES.get(table.get("task", ""))
    known = leaf_keys(kind) if kind else []
    free = key.startswith("data.options.")  # the data set knows its own options
    if known and key not in known and not free:
        raise RecipeError(unknown_key(key, known))
    *parents, last = key.split(".")
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            raise RecipeError(f"The key {key!r} goes through {parent!r}, which is not a table.")
    table[last] = _value(text.strip())


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
