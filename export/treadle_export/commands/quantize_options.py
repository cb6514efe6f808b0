"""The options of every command that quantizes."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from treadle.commands.options import together

if TYPE_CHECKING:
    from treadle_export.quantization.quantizer import Quantization
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
    "to the nearest. By default 20,000 symbols or 4,000 words.",
)

weight_options = together(
    click.option(
        "--plan",
        "plan_file",
        type=click.Path(path_type=Path, dir_okay=False),
        default=None,
        help='JSON file of exceptions by weight, e.g. {"output": "int8"}, or a plan of --plan-out.',
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

quantization_options = together(
    calibration_option,
    weight_options,
    click.option(
        "--max-quality-drop",
        type=Share(),
        default=None,
        help="Largest relative rise of the negative log-likelihood, e.g. 0.5%. Weights that "
        "hurt most get more bits, or scales for fewer inputs, until it holds.",
    ),
)


def quantization_of(
    calibration: int | None,
    plan: "Plan",
    max_quality_drop: float | None = None,
    screen_head: int | None = None,
) -> "Quantization":
    """The options as the exporter takes them."""
    from treadle_export.quantization.quantizer import Quantization

    return Quantization(calibration, plan.exceptions, max_quality_drop, plan.settings, screen_head)
