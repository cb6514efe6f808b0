"""The rows of the table of quality: what is trained, and what it is held against.

`targets.toml` has a table for each; a recipe that it does not name has a row without a target.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treadle.errors import InputError
from treadle_train.catalogue import load_recipe, recipe_names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from treadle_train.recipe import Recipe

TARGETS = Path(__file__).with_name("targets.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A recipe, changed or as it stands, and what it is held against.

    metric: what figures are in; empty: the recipe's own. target, baseline: a number, or the name of
    a figure of `counting.COUNTED`; None where there is none. tried: before the target was missed.
    """

    name: str
    recipe: str
    changes: tuple[str, ...] = ()
    metric: str = ""
    target: float | str | None = None
    target_source: str = ""
    baseline: float | str | None = None
    baseline_source: str = ""
    tried: str = ""

    @classmethod
    def of(cls, name: str, table: dict[str, Any]) -> Row:
        """The row of a table. Raises InputError for keys that no row has."""
        known = {field.name for field in fields(cls)} - {"name"}
        unknown = sorted(set(table) - known)
        if unknown:
            raise InputError(f"the row {name} has the keys {', '.join(unknown)}, which no row has")
        changes = tuple(table.get("changes", ()))
        return cls(name=name, **{"recipe": name, **table, "changes": changes})

    def load(self) -> Recipe:
        """The recipe as it is trained. Raises RecipeError."""
        return load_recipe(self.recipe, self.changes)


def told_rows(path: Path = TARGETS) -> dict[str, Row]:
    """The rows of the file by name, in its order."""
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    return {name: Row.of(name, table) for name, table in tables.items()}


def read_rows(path: Path = TARGETS) -> dict[str, Row]:
    """All rows by name: those of the file, then recipes that have none."""
    rows = told_rows(path)
    told = {row.recipe for row in rows.values()}
    rest = [name for name in recipe_names() if name not in told]
    return rows | {name: Row.of(name, {}) for name in rest}


def chosen(rows: dict[str, Row], names: Iterable[str]) -> list[Row]:
    """The rows of these names or recipes, all where there are none. Raises InputError."""
    asked = list(names)
    unknown = [
        name for name in asked if not any(name in (row.name, row.recipe) for row in rows.values())
    ]
    if unknown:
        raise InputError(f"no row is called {', '.join(unknown)}; there are: {', '.join(rows)}")
    return [row for row in rows.values() if not asked or {row.name, row.recipe} & set(asked)]
