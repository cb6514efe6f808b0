"""What `treadle export` makes of a run: a bundle, or one for as long as another file needs it."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treadle_export.commands.progress import progress_of
from treadle_export.commands.quantize_options import quantization_of
from treadle_export.commands.target_options import precision_for
from treadle_export.commands.tune_options import opened_plan, tuning_of, written_of

if TYPE_CHECKING:
    from treadle.selfcheck import Report

_OPTIONS = {"plan_file": "plan", "workloads": "workload"}
"""Where a parameter is called otherwise than its option."""


def make_bundle(
    run: Path,
    out: Path,
    *,
    target: str,
    force: bool,
    as_json: bool,
    precision: str | None,
    calibration: int | None,
    plan_file: Path | None,
    max_quality_drop: float | None,
    screen_head: int | None,
    **tuning_given: Any,
) -> tuple["Report", dict[str, Any]]:
    """Exports a run, tuned where that is asked for: its report, and what is said of it in JSON."""
    from treadle_export.exporting.exporter import export_run
    from treadle_train.run import load_run

    progress = progress_of(out)
    plan = opened_plan(plan_file, precision, progress)
    asked = quantization_of(calibration, plan, max_quality_drop, screen_head)
    tuning = tuning_of(precision, plan, progress, target=target, as_json=as_json, **tuning_given)
    if tuning is not None:
        from treadle_export.tuning.tune import tune_run

        tuned = tune_run(load_run(run), out, tuning, force=force, quantization=asked)
        return tuned.report, written_of(tuned, **tuning_given)
    name = precision_for(target, precision or plan.precision)
    report = export_run(
        load_run(run),
        {name: out},
        force=force,
        quantization=asked,
        target=target,
        progress=progress,
    )[name]
    return report, {"precision": name}


@contextmanager
def bundle_of(run: Path, make: Callable[[Path], object], asked: dict[str, Any]) -> Iterator[Path]:
    """The path of a bundle: `run` itself where it is one, else what `make` writes to a path.

    asked: the options of making one, by parameter.

    Raises:
        InputError: one of them is given beside what is a bundle already.
    """
    from treadle.errors import InputError
    from treadle.manifest import MANIFEST_FILE

    if run.is_dir() and not (run / MANIFEST_FILE).exists():
        with tempfile.TemporaryDirectory() as scratch:
            out = Path(scratch) / "made.treadle"
            make(out)
            yield out
        return
    for name, value in asked.items():
        if value is not None and value is not False and value != ():
            option = _OPTIONS.get(name, name).replace("_", "-")
            raise InputError(
                f"expected no --{option} with a bundle, which is made already, got {value}; give "
                "the run instead"
            )
    yield run
