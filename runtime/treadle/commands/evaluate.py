"""`treadle evaluate`: a bundle through the runtime, or a run through what trained it."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import click

from treadle.commands.options import engine_options, json_option, print_json, write
from treadle.errors import TreadleError

if TYPE_CHECKING:
    from treadle.evaluation import Evaluation

RUN_FILE = "run.json"


@click.command()
@click.argument("path", metavar="BUNDLE_OR_RUN", type=click.Path(path_type=Path))
@click.option("--split", default="test", show_default=True, help="train, validation or test.")
@click.option("--limit", type=click.IntRange(min=1), help="Use the first LIMIT examples only.")
@click.option(
    "--beam",
    type=click.IntRange(min=1),
    show_default="the bundle's",
    help="Hypotheses kept in decoding; 1 is greedy. For bundles.",
)
@engine_options
@json_option
def evaluate(
    path: Path,
    split: str,
    limit: int | None,
    beam: int | None,
    device: str,
    threads: int | None,
    as_json: bool,
) -> None:
    """Measure a bundle, or a run directory, by its task's own metric.

    A bundle needs no PyTorch; a run does, and is decoded greedily.
    """
    if (path / RUN_FILE).is_file():
        if beam is not None and beam > 1:
            raise click.UsageError("a run is decoded greedily: export it to use --beam")
        evaluation = _evaluate_run(path, split, limit)
    else:
        evaluation = _evaluate_bundle(path, split, limit, beam, device, threads)
    if as_json:
        print_json(evaluation.to_json())
        return
    better = "higher" if evaluation.higher_is_better else "lower"
    write(
        f"{evaluation.metric} {evaluation.value:.4f} {evaluation.unit} ({better} is better), "
        f"{evaluation.examples} examples of {split}, {evaluation.seconds:.1f} s\n"
    )


def _evaluate_bundle(
    path: Path, split: str, limit: int | None, beam: int | None, device: str, threads: int | None
) -> Evaluation:
    import treadle
    from treadle.evaluation import evaluate as evaluate_model

    # A symbol of the split that training never saw is judged as the unknown symbol.
    with treadle.load(path, device=device, threads=threads, unknown="symbol") as model:
        return evaluate_model(model, split=split, limit=limit, beam=beam)


def _evaluate_run(path: Path, split: str, limit: int | None) -> Evaluation:
    points = metadata.entry_points(group="treadle.runs", name="evaluate")
    try:
        evaluate_run = next(iter(points)).load()
    except (StopIteration, ModuleNotFoundError) as error:
        if isinstance(error, ModuleNotFoundError) and (error.name or "").startswith("treadle"):
            raise
        raise TreadleError(
            f"{path} is a run directory, and to evaluate one needs PyTorch: "
            "pip install 'treadle[train]', or evaluate the bundle exported from it"
        ) from error
    result: Evaluation = evaluate_run(path, split=split, limit=limit)
    return result
