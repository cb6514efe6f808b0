"""The commands `requantize` and `sensitivity`, and the options of everything that quantizes."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from treadle.commands.options import together
from treadle_export.cli_target import target_option
from treadle_export.cli_tune import opened_plan, tuning_of, tuning_options, written_of

if TYPE_CHECKING:
    from treadle.selfcheck import Report
    from treadle_export.quantization.quantizer import Quantization, Quantizer
    from treadle_export.tuning.plan_file import Plan


class Examples(click.ParamType):  # type: ignore[type-arg]
    """A number of examples, or `none`, which is 0."""

    name = "N|none"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number. Fails for anything else, as click does."""
        if value == "none":
            return 0
        return click.IntRange(min=1).convert(value, param, ctx)


class Share(click.ParamType):  # type: ignore[type-arg]
    """A share as `0.5%` or `0.005`."""

    name = "SHARE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The share as a number. Fails for anything else, as click does."""
        text = str(value)
        try:
            share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            self.fail(f"{text!r} is no share; write 0.5% or 0.005", param, ctx)
        if not 0 <= share < 1:
            self.fail(f"{text!r} is not between 0 and 100%", param, ctx)
        return share


calibration_option = click.option(
    "--calibration",
    type=Examples(),
    default=None,
    help="Symbols or words of the training split that 4-bit weights are rounded with; none rounds "
    "to the nearest. By default 20,000 symbols or 1,000 words.",
)

quantization_options = together(
    calibration_option,
    click.option(
        "--plan",
        "plan_file",
        type=click.Path(path_type=Path, dir_okay=False),
        default=None,
        help='JSON file of exceptions by weight, e.g. {"output": "int8"}, or a plan of --plan-out.',
    ),
    click.option(
        "--max-quality-drop",
        type=Share(),
        default=None,
        help="Largest relative rise of the negative log-likelihood, e.g. 0.5%. Weights of 4 bits "
        "that hurt most become int8 until it holds.",
    ),
    click.option(
        "--screen-head",
        type=click.IntRange(min=1),
        default=None,
        metavar="N",
        help="Estimate the logits of a large vocabulary in 4 bits and compute those of the N most "
        "likely symbols exactly.",
    ),
)


def quantization_of(
    calibration: int | None,
    plan: "Plan",
    max_quality_drop: float | None,
    screen_head: int | None = None,
) -> "Quantization":
    """The options as the exporter takes them."""
    from treadle_export.quantization.quantizer import Quantization

    return Quantization(calibration, plan.exceptions, max_quality_drop, plan.settings, screen_head)


def show_written(out: Path, report: "Report", document: dict[str, Any], *, as_json: bool) -> None:
    """What a command says of the bundle that it wrote; `document` is said beside it in JSON."""
    from treadle.commands.verify import describe

    if as_json:
        click.echo(json.dumps({"path": str(out), **document, **report.to_json()}))
    else:
        click.echo(describe(report.to_json()))


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--precision", help="int8, int8-block, int4, float16 and others.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="NAME.treadle")
@target_option
@quantization_options
@tuning_options
@click.option("--force", is_flag=True, help="Replace an existing bundle.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def requantize(
    bundle: Path,
    precision: str | None,
    out: Path,
    target: str,
    calibration: int | None,
    plan_file: Path | None,
    max_quality_drop: float | None,
    screen_head: int | None,
    force: bool,
    as_json: bool,
    **tuning_given: Any,
) -> None:
    """Write the float32 BUNDLE in another precision; needs neither the run nor its network."""
    from treadle_export.exporting.requantize import requantize as write_requantized

    def progress(stage: str) -> None:
        click.echo(f"{out.name}: {stage}", err=True)

    plan = opened_plan(plan_file, precision, progress)
    asked = quantization_of(calibration, plan, max_quality_drop, screen_head)
    tuning = tuning_of(precision, plan, progress, target=target, as_json=as_json, **tuning_given)
    if tuning is not None:
        from treadle_export.tuning.tune import tune_bundle

        tuned = tune_bundle(bundle, out, tuning, force=force, quantization=asked)
        report, document = tuned.report, written_of(tuned, **tuning_given)
    else:
        name = precision or plan.precision
        if name is None:
            raise click.UsageError("--precision is missing; a tuned --plan or --tune names it, too")
        report = write_requantized(
            bundle,
            out,
            name,
            force=force,
            quantization=asked,
            target=target,
            progress=progress,
        )
        document = {"precision": name}
    show_written(out, report, document, as_json=as_json)


@click.command()
@click.argument("source", metavar="RUN_OR_BUNDLE", type=click.Path(path_type=Path))
@click.option("--precision", default="int4", show_default=True, help="What each matrix becomes.")
@calibration_option
@click.option("--limit", type=click.IntRange(min=1), help="Validation examples that are read.")
@click.option("--gates/--no-gates", default=True, show_default=True, help="Each gate alone, too.")
@click.option(
    "--plot", type=click.Path(path_type=Path, dir_okay=False), help="Write a picture, FILE.png."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def sensitivity(
    source: Path,
    precision: str,
    calibration: int | None,
    limit: int | None,
    gates: bool,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Say which weights of a run, or of a float32 bundle, hurt most when quantized alone."""
    from treadle_export.judging.judge import Judge
    from treadle_export.judging.sensitivity import sensitivity as measure
    from treadle_export.judging.sensitivity_report import as_table, write_plot
    from treadle_export.quantization.precision import precision_named

    def progress(stage: str) -> None:
        click.echo(f"{source.name}: {stage}", err=True)

    quantizer = _quantizer(source, calibration, progress)
    result = measure(
        Judge(quantizer, limit), precision_named(precision), by_gate=gates, progress=progress
    )
    if plot is not None:
        write_plot(result, plot)
    click.echo(json.dumps(result.to_json()) if as_json else as_table(result))


def _quantizer(source: Path, calibration: int | None, progress: Any) -> "Quantizer":
    """The model of a run directory, or of a bundle."""
    from treadle.manifest import MANIFEST_FILE
    from treadle_export.quantization.quantizer import Quantizer

    if (source / MANIFEST_FILE).exists():
        from treadle_export.exporting.reopened import reopened

        plain = reopened(source)
        return Quantizer(plain.model, plain.description, calibration, progress)
    from treadle_export.capturing.network import capture
    from treadle_export.exporting.material import description_of
    from treadle_export.rounding.learned_blocks import learned_blocks
    from treadle_train.run import load_run

    run = load_run(source)
    return Quantizer(
        capture(run.network),
        description_of(run),
        calibration,
        progress,
        learned=learned_blocks(run),
    )
