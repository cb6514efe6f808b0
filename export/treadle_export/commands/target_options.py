"""The options `--target` and `--precision` of the commands that write bundles."""

import click

from treadle.commands.options import together

target_option = click.option(
    "--target",
    default="cpu",
    show_default=True,
    help="cpu, arm64, web, cuda or mobile; of `export` triton, too.",
)
target_options = together(
    click.option(
        "--precision",
        default=None,
        help="float32, int8, int8-block, int8-fast, int4, int4-block, int4-fast, int8-tensorwise "
        "or float16; by default float32, for cuda float16, for mobile int8.",
    ),
    target_option,
)


def precision_for(target: str, precision: str | None) -> str:
    """The precision that was asked for, or the one that the target recommends.

    Raises ExportError for an unknown target.
    """
    from treadle_export.targets import target_named

    recommended = target_named(target).precisions[0]
    return recommended if precision is None else precision
