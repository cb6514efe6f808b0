"""The commands `treadle recipes` and `treadle train`. torch is imported when training starts."""

import json
import shlex
from pathlib import Path

import click

from treadle.errors import TreadleError


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def recipes(as_json: bool) -> None:
    """List the recipes that come with Treadle."""
    from treadle_train.catalogue import load_recipe, recipe_names
    from treadle_train.recipe import recipe_to_table

    found = [load_recipe(name) for name in recipe_names()]
    if as_json:
        click.echo(json.dumps({"recipes": [recipe_to_table(recipe) for recipe in found]}))
        return
    width = max(len(recipe.name) for recipe in found)
    for recipe in found:
        click.echo(f"{recipe.name:<{width}}  {recipe.summary}")


@click.command()
@click.argument("recipe")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Directory of the run.")
@click.option(
    "--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change a key of the recipe."
)
@click.option(
    "--quantize",
    metavar="PRECISION",
    help="Train with weights rounded as in int4 or int4-fast, for an export in that precision.",
)
@click.option(
    "--from",
    "start",
    type=click.Path(path_type=Path),
    help="Run whose weights --quantize starts from: 3 epochs at a tenth of the learning rate.",
)
@click.option("--resume", is_flag=True, help="Go on from the checkpoint in the directory.")
@click.option("--force", is_flag=True, help="Replace the run in the directory.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def train(
    context: click.Context,
    recipe: str,
    out: Path,
    changes: tuple[str, ...],
    quantize: str | None,
    start: Path | None,
    resume: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Train RECIPE, a name from `treadle recipes` or a TOML file."""
    from treadle_train.catalogue import load_recipe

    if start is not None and quantize is None:
        raise click.UsageError("--from goes with --quantize")
    loaded = load_recipe(recipe, changes)  # a mistake is named before torch is imported
    from treadle_train.fine_tuning import FineTuning, short_schedule
    from treadle_train.processes.group import this_process
    from treadle_train.run import load_run
    from treadle_train.training import train as train_recipe

    fine_tuning = None
    if quantize is not None:
        fine_tuning = FineTuning(quantize, None if start is None else load_run(start))
    if start is not None:
        loaded = load_recipe(recipe, [*short_schedule(loaded), *changes])
    try:
        run = train_recipe(loaded, out, resume=resume, force=force, fine_tuning=fine_tuning)
    except OSError as error:
        raise TreadleError(
            f"Cannot write the run {out}: {error}. Make room, or choose another directory; what "
            "was written before is whole, and --resume goes on from it."
        ) from error
    except KeyboardInterrupt:
        again = ["treadle", "train", recipe, "--out", str(out)]
        for option, values in (("--set", changes), ("--quantize", [quantize]), ("--from", [start])):
            again += [part for value in values if value for part in (option, str(value))]
        if this_process().first:
            line = shlex.join([*again, "--resume"])
            click.echo(f"\nInterrupted. Continue with: {line}", err=True)
        context.exit(130)
    if not this_process().first:
        return
    if as_json:
        document = {"run": str(out), "recipe": run.name, "history": run.history}
        click.echo(json.dumps(document))
    else:
        click.echo(f"Trained {run.name} into {out}")
