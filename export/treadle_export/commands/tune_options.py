"""The options of `--tune`, and plans that were tuned before, for every command that exports."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from treadle.commands.options import together

if TYPE_CHECKING:
    from treadle_export.tuning.plan_file import Plan
    from treadle_export.tuning.tune import Tuned, Tuning

Progress = Callable[[str], None]

_TUNED_HERE = ("cpu", "arm64")
"""Targets whose candidates run as they are on a machine that exports."""

tuning_options = together(
    click.option("--tune", is_flag=True, help="Time candidates on this machine, take the fastest."),
    click.option(
        "--workload",
        "workloads",
        multiple=True,
        metavar="GRAPH:SIZE",
        help="What is timed: step:ROWS, sequence:STEPSxROWS or encode:STEPSxROWS; may be given "
        "several times.  [default: step:1]",
    ),
    click.option(
        "--rounds",
        type=click.IntRange(min=1),
        default=None,
        show_default="5",
        help="Turns that each candidate is timed in.",
    ),
    click.option(
        "--plot", type=click.Path(path_type=Path, dir_okay=False), help="Write a picture, FILE.png."
    ),
    click.option(
        "--plan-out",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Write the chosen plan, FILE.json, for --plan on other machines.",
    ),
)


def opened_plan(path: Path | None, precision: str | None, progress: Progress) -> "Plan":
    """The plan in a file, or one that says nothing.

    Raises:
        ExportError: the file holds no plan, or one for another precision than is asked for.
    """
    from treadle.errors import ExportError
    from treadle.machine import this_machine
    from treadle_export.tuning.plan_file import Plan, read_plan

    if path is None:
        return Plan()
    plan = read_plan(path)
    if plan.precision is not None and precision not in (None, plan.precision):
        raise ExportError(
            f"expected the precision of the plan {path}, {plan.precision}, got {precision}; leave "
            f"--precision out"
        )
    note = plan.foreign_to(this_machine())
    if note is not None:
        progress(note)
    return plan


def tuning_of(
    precision: str | None,
    plan: "Plan",
    progress: Progress,
    *,
    target: str,
    as_json: bool,
    tune: bool,
    workloads: tuple[str, ...],
    rounds: int | None,
    plot: Path | None,
    plan_out: Path | None,
) -> "Tuning | None":
    """What the options ask for, None without `--tune`. The table goes to stderr beside JSON.

    Raises:
        UsageError: an option of tuning without `--tune`; with it a plan that was tuned before, or
            a target that is not this machine.
        InputError: a workload of no known form.
        ExportError: there is no folder for what is to be written.
    """
    given = {"--workload": workloads, "--rounds": rounds, "--plot": plot, "--plan-out": plan_out}
    if not tune:
        for option, value in given.items():
            if value:
                raise click.UsageError(f"{option} belongs to --tune")
        return None
    if plan.precision is not None:
        raise click.UsageError("this --plan was tuned already: leave --tune or --plan out")
    if target not in _TUNED_HERE:
        raise click.UsageError(
            f"--tune times what runs on this machine: it goes with --target "
            f"{' or '.join(_TUNED_HERE)}, not with {target}"
        )
    for path in (plot, plan_out):
        _refuse_without_folder(path)
    from treadle_export.tuning.candidates import PRECISIONS
    from treadle_export.tuning.report import as_table
    from treadle_export.tuning.search import ROUNDS, Request, workloads_of
    from treadle_export.tuning.tune import Tuning

    offered = PRECISIONS if precision is None else (precision,)
    return Tuning(
        request=Request(workloads_of(workloads), offered, rounds or ROUNDS),
        show=lambda result: click.echo(as_table(result), err=as_json),
        progress=progress,
        target=target,
    )


def _refuse_without_folder(path: Path | None) -> None:
    """Raises ExportError before anything is timed where a file could not be written after it."""
    from treadle.errors import ExportError

    if path is not None and not path.absolute().parent.is_dir():
        raise ExportError(f"expected a folder for {path}, got none; make it first")


def written_of(
    tuned: "Tuned", *, plot: Path | None, plan_out: Path | None, **_: Any
) -> dict[str, Any]:
    """Writes the picture and the plan; the precision and everything that was found, for `--json`.

    Raises:
        ExportError: a file cannot be written.
    """
    from treadle.errors import ExportError
    from treadle_export.tuning.report import write_plot

    if plan_out is not None:
        tuned.plan.write(plan_out)
    if plot is not None:
        try:
            write_plot(tuned.result, plot)
        except OSError as error:
            raise ExportError(f"cannot write the picture {plot}: {error}") from error
    return {
        "precision": tuned.chosen.candidate.precision,
        "tuning": tuned.result.to_json(tuned.chosen),
    }
