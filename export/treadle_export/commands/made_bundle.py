"""A bundle for a command that takes a run as well: exported for as long as it is needed."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def bundle_of(run: Path, precision: str | None) -> Iterator[Path]:
    """The path of a bundle: `run` itself where it is one, else its export in a precision.

    Raises:
        InputError: a precision is asked of what is a bundle already.
    """
    from treadle.errors import InputError
    from treadle.manifest import MANIFEST_FILE

    if not run.is_dir() or (run / MANIFEST_FILE).exists():
        if precision is not None:
            raise InputError(
                f"expected no --precision with a bundle, whose precision is made, got {precision}; "
                "give the run instead"
            )
        yield run
        return
    from treadle_export.commands.progress import progress_of
    from treadle_export.exporting.exporter import export_run
    from treadle_train.run import load_run

    with tempfile.TemporaryDirectory() as scratch:
        loaded = load_run(run)
        out = Path(scratch) / "made.treadle"
        export_run(loaded, {precision or "float32": out}, progress=progress_of(out))
        yield out
