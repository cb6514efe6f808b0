"""A series over time: a CSV file with a column a channel, or a numpy array."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from treadle.data.examples import Series, as_float32
from treadle.data.malformed import Malformed
from treadle.data.readers.table import read_rows
from treadle.errors import DataError

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from treadle.data.readers.shaping import Row

LARGEST = float(np.finfo(np.float32).max)


def read_series(
    path: str | os.PathLike[str],
    *,
    time: str | None = None,
    channels: Sequence[str] | None = None,
    malformed: Malformed | None = None,
) -> Series:
    """One series of a CSV file with a header; `channels` None takes every column but the time.

    `time` names the column of times in ISO 8601, which must grow from row to row. A row with a
    value that is no finite number is malformed. Raises DataError.
    """
    malformed, path = malformed or Malformed(), Path(path)
    names = list(channels) if channels is not None else None
    needed = [*(names or []), *([time] if time else [])]
    values: list[list[float]] = []
    times: list[np.datetime64] = []
    for number, row in read_rows(path, "csv", needed, malformed=malformed):
        names = names or [name for name in row if name != time]
        try:
            read = [_number(row, name) for name in names]
            if time is not None:
                times.append(_time(row, time, times[-1] if times else None))
        except DataError as error:
            malformed.found(path, number, str(error))
        else:
            values.append(read)
    if not values or not names:
        raise DataError(f"{path}: expected rows of numbers, got none")
    return Series(
        np.array(values, np.float32),
        tuple(names),
        np.array(times, "datetime64[us]") if time is not None else None,
    )


def read_series_array(path: str | os.PathLike[str]) -> Series:
    """One series of an .npy file: numbers [time, channels], or [time] for one channel.

    Channels are called "0", "1", …. Raises DataError, with the place of a value that is no number.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:  # numpy leaves a damaged file open
            array: object = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: expected an array of numpy without objects: {error}") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu" or array.ndim == 0:
        raise DataError(f"{path}: expected one array of numbers [time, channels]")
    values = as_float32(array if array.ndim > 1 else array[:, None])
    try:
        return Series(values, tuple(str(place) for place in range(values.shape[-1])))
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _number(row: Row, name: str) -> float:
    text = str(row[name])
    try:
        # Python takes 1_000 for a number, which no other program writes.
        number = math.nan if "_" in text else float(text)
    except ValueError:
        number = math.nan
    # What float32 cannot hold would be infinite in the series.
    if not math.isfinite(number) or abs(number) > LARGEST:
        raise DataError(f"expected a number in the column {name!r}, got {text!r}")
    return number


def _time(row: Row, name: str, before: np.datetime64 | None) -> np.datetime64:
    try:
        moment = np.datetime64(str(row[name]).strip(), "us")
    except ValueError as error:
        raise DataError(
            f"expected a time as in 2016-07-01 00:00:00 in the column {name!r}, got {row[name]!r}"
        ) from error
    if np.isnat(moment) or (before is not None and moment <= before):
        raise DataError(f"expected a time after {before} in the column {name!r}, got {row[name]!r}")
    return moment
