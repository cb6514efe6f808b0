"""Score files of rows: plan, answer what is missing, and look at what is there in the end."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from treadle.errors import InputError
from treadle.loading import load
from treadle.scoring.answers import check_options
from treadle.scoring.engines import ENGINES
from treadle.scoring.plan import Plan, begin, survey_all
from treadle.scoring.worker import Work

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

ROWS = 1000
"""Of a part: some seconds of work, so that little is lost with a worker."""


@dataclass(frozen=True, slots=True)
class Scored:
    """How many rows there are, how many of them could not be answered, and in how many parts.

    found: parts that were there before. seconds: of answering the others.
    """

    rows: int
    errors: int
    parts: int
    found: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The figures as one JSON object."""
        return asdict(self)


def score_files(
    bundle: str | os.PathLike[str],
    inputs: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    column: str = "text",
    options: Mapping[str, Any] | None = None,
    unknown: Literal["error", "symbol"] = "error",
    rows: int = ROWS,
    engine: Literal["local", "ray"] = "local",
    workers: int = 1,
    device: str = "cpu",
    threads: int | None = None,
    progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> Scored:
    """Answer the `column` of every row of the files `inputs`, into the directory `out`.

    Inputs are JSON lines, CSV, TSV or Parquet, known by their names. For each row there is one line
    of JSON, in the same order, in `part-00000.jsonl` and so on: `answer`, or `error` where the row
    has none, and `input`, the row itself. A part has at most `rows` of them and is there whole or
    not at all; asked again, only parts that are missing are answered, and a directory with answers
    of another bundle, other inputs or options is refused. The parts are the same whichever engine
    answers, and however many `workers`.

    `options` are those of `Transducer.transduce` and `Generator.generate`; to `seed` the number of
    the row is added. `engine` "ray" needs the extra `ray`, and files that every machine of the
    cluster sees at the same paths. `progress` is told how many parts are done, of how many.

    Raises InputError for inputs, options or a directory that do not fit, BundleError as
    `treadle.load`, TreadleError for a task that answers no rows, and where Ray gives up.
    """
    if rows < 1 or workers < 1 or not inputs:
        raise InputError(
            f"expected at least one input, row and worker, got {len(inputs)} inputs, {rows} rows "
            f"a part and {workers} workers"
        )
    if engine not in ENGINES:
        raise InputError(f"expected an engine of {', '.join(ENGINES)}, got {engine!r}")
    bundle, out = Path(bundle).absolute(), Path(out).absolute()
    with load(bundle, device=device, threads=threads, unknown=unknown) as model:
        manifest = model.manifest
        check_options(model, options or {})
    taken = {name: value for name, value in (options or {}).items() if value is not None}
    sources, parts = survey_all([Path(path).absolute() for path in inputs], column, rows)
    plan = Plan(manifest.digest, manifest.task, column, taken, unknown, rows, sources, parts)
    begin(plan, out)
    work = Work(plan, str(bundle), str(out), device, threads)
    missing = [n for n in range(len(parts)) if not (out / plan.file_name(n)).exists()]
    found, began = len(parts) - len(missing), time.perf_counter()
    if missing:
        for done, _ in enumerate(ENGINES[engine](work, missing, workers), start=1):
            progress(found + done, len(parts))
    errors = _check(plan, out)
    return Scored(
        sum(source.rows for source in sources),
        errors,
        len(parts),
        found,
        time.perf_counter() - began,
    )


def _check(plan: Plan, out: Path) -> int:
    """Count the rows that could not be answered, once every row has its line."""
    for left in out.glob(".part-*.tmp"):  # by workers that were killed
        left.unlink(missing_ok=True)
    errors = 0
    for number, part in enumerate(plan.parts):
        path, lines = out / plan.file_name(number), 0
        with path.open("rb") as file:
            for line in file:
                lines += 1
                errors += line.startswith(b'{"error"')
        if lines != part.span.rows:
            raise InputError(
                f"expected {part.span.rows} lines in {path}, got {lines}; remove it and ask again"
            )
    return errors
