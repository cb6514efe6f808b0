"""Parquet files, read batch by batch with pyarrow (extra `parquet`)."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treadle.data.malformed import Malformed
from treadle.data.readers.shaping import names_of, shaper
from treadle.errors import DataError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator

    from treadle.data.readers.shaping import Columns, Shaped
    from treadle.errors import TreadleError

BATCH_ROWS = 4096


def read_parquet(
    path: str | os.PathLike[str], columns: Columns, *, malformed: Malformed | None = None
) -> Iterator[Shaped]:
    """An example a row; which one, the roles of `columns` say (shaping.py).

    Only these columns are read, and never the whole file at once. Raises DataError, also where
    pyarrow is not installed.
    """
    malformed, path = malformed or Malformed(), Path(path)
    make = shaper(columns)
    for number, row in enumerate(_rows(path, names_of(columns)), start=1):
        try:
            example = make(row)
        except DataError as error:
            malformed.found(path, f"row {number}", str(error))
        else:
            yield example


@contextmanager
def parquet_file(path: Path, refusal: Callable[[str], TreadleError] = DataError) -> Iterator[Any]:
    """The file, opened with pyarrow; `refusal` makes the error for one that is not sound.

    What is read from it within the block is guarded as the opening is.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise refusal(
            f"reading {path} needs pyarrow, which is not installed: pip install 'treadle[parquet]'"
        ) from error
    try:
        with parquet.ParquetFile(path) as opened:
            yield opened
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise refusal(f"{path}: expected a sound Parquet file: {error}") from error


def _rows(path: Path, names: list[str]) -> Iterator[dict[str, Any]]:
    with parquet_file(path) as file:
        missing = [name for name in names if name not in file.schema_arrow.names]
        if missing:
            there = ", ".join(file.schema_arrow.names)[:200]
            raise DataError(f"{path}: expected a column {missing[0]!r}, got {there}")
        for batch in file.iter_batches(BATCH_ROWS, columns=names):
            yield from batch.to_pylist()
