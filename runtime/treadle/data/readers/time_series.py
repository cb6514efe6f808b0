"""The .ts format of the time series classification archives: a labelled series a line.

See https://www.timeseriesclassification.com. Only what is read here is taken: no time stamps, no
missing values, a class label at the end of each line.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from treadle.data.examples import Frames, as_float32
from treadle.data.malformed import Malformed
from treadle.data.readers.lines import read_lines
from treadle.errors import DataError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator


def read_time_series(
    path: str | os.PathLike[str], *, malformed: Malformed | None = None
) -> Iterator[Frames]:
    """An example a line: `values of channel 0:values of channel 1:…:label`. Raises DataError."""
    malformed, path = malformed or Malformed(), Path(path)
    header: dict[str, list[str]] = {}
    for number, line in read_lines(path, malformed):
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("@"):
            key, *values = line.split()
            header[key[1:].lower()] = values
            if key.lower() == "@data":
                _check_header(path, header)
            continue
        if "data" not in header:
            raise DataError(f"{path}:{number}: expected @data before the first example")
        try:
            example = _example(line, header)
        except DataError as error:
            malformed.found(path, number, str(error))
        else:
            yield example


def _check_header(path: Path, header: dict[str, list[str]]) -> None:
    for key in ("timestamps", "missing"):
        if header.get(key, ["false"]) != ["false"]:
            raise DataError(f"{path}: expected @{key} false, got {' '.join(header[key])}")
    if header.get("classlabel", [])[:1] != ["true"]:
        raise DataError(f"{path}: expected @classLabel true and the labels behind it")


def _example(line: str, header: dict[str, list[str]]) -> Frames:
    *channels, label = line.split(":")
    known, dimensions = header["classlabel"][1:], header.get("dimensions")
    if label.strip() not in known:
        raise DataError(f"expected a label out of {' '.join(known)}, got {label.strip()[:80]!r}")
    if dimensions is not None and dimensions != [str(len(channels))]:
        raise DataError(f"expected {' '.join(dimensions)} channels, got {len(channels)}")
    lengths = {channel.count(",") for channel in channels}
    if len(lengths) != 1:
        raise DataError("expected channels of one length")
    try:
        values = [[float(number) for number in channel.split(",")] for channel in channels]
    except ValueError as error:
        raise DataError(f"expected numbers between commas: {error}") from error
    return Frames(as_float32(np.array(values).T), label.strip())
