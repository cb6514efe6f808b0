"""Formats of files by name, and what may be said of the columns of each."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from treadle.data.options import check_value, unknown
from treadle.data.readers.columns import Scheme, read_columns
from treadle.data.readers.conllu import Column, read_conllu
from treadle.data.readers.fasta import read_fasta
from treadle.data.readers.frames import ROLES, read_frames
from treadle.data.readers.json_lines import read_json_lines
from treadle.data.readers.parallel import read_parallel
from treadle.data.readers.parquet import read_parquet
from treadle.data.readers.series import read_series, read_series_array
from treadle.data.readers.table import read_table
from treadle.data.readers.time_series import read_time_series
from treadle.data.text import read_text
from treadle.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from treadle.data.malformed import Malformed

Format = Literal[
    "text",
    "csv",
    "tsv",
    "jsonl",
    "parquet",
    "columns",
    "conllu",
    "parallel",
    "series",
    "frames",
    "ts",
    "fasta",
]
Place = str | list[str]

_NAMES = str | list[str]
_ROWS = dict.fromkeys(("text", "tokens", "label", "tags", "source", "targets"), _NAMES)
_COLUMNS: dict[str, dict[str, Any]] = {
    "text": {},
    "csv": _ROWS,
    "tsv": _ROWS,
    "jsonl": _ROWS,
    "parquet": _ROWS,
    "columns": {"token": int, "tags": int, "separator": str, "scheme": Scheme},
    "conllu": {"tags": Column},
    "parallel": {},
    "series": {"time": str, "channels": list[str]},
    "frames": dict.fromkeys(ROLES, str),
    "ts": {},
    "fasta": {"label": int, "separator": str, "letters": str},
}


def reader_of(
    kind: Format, columns: Mapping[str, Any], malformed: Malformed, *, header: bool = True
) -> Callable[[Place], Any]:
    """What reads a file of the format: a list of examples, or one text, or one series.

    Raises DataError for columns that the format does not have; and so does what is returned, for
    a place that is no path (two or more for "parallel"), a file without examples, or a malformed
    one.
    """
    allowed = _COLUMNS[kind]
    for role, name in columns.items():
        if role not in allowed:
            raise DataError(unknown(f"column of the format {kind}", role, list(allowed)))
        check_value(f"the column {role!r} of the format {kind}", name, allowed[role])
    if not header and kind not in ("csv", "tsv"):
        raise DataError(f"only csv and tsv may lack a header, not the format {kind}")
    if kind == "text":
        return lambda place: read_text(_path(place))
    if kind == "series":
        return lambda place: _series(_path(place), columns, malformed)
    if kind in ("csv", "tsv"):
        table = partial(read_table, columns=columns, kind=kind, header=header, malformed=malformed)
        return lambda place: _some(place, table(_path(place)))
    return lambda place: _some(place, _examples(kind, place, columns, malformed))


def _examples(
    kind: Format, place: Place, columns: Mapping[str, Any], malformed: Malformed
) -> Iterable[Any]:
    if kind == "parallel":
        if isinstance(place, str) or len(place) < 2:
            raise DataError(f"parallel text is a list of two files or more, got {place!r}")
        return read_parallel(place[0], place[1:], malformed=malformed)
    path = _path(place)
    match kind:
        case "jsonl":
            return read_json_lines(path, columns, malformed=malformed)
        case "parquet":
            return read_parquet(path, columns, malformed=malformed)
        case "columns":
            return read_columns(path, malformed=malformed, **columns)
        case "conllu":
            return read_conllu(path, malformed=malformed, **columns)
        case "frames":
            return read_frames(path, columns, malformed=malformed)
        case "ts":
            return read_time_series(path, malformed=malformed)
        case "fasta":
            return read_fasta(path, malformed=malformed, **columns)
        case _:
            raise DataError(f"expected a format out of {', '.join(get_args(Format))}, got {kind!r}")


def _series(path: Path, columns: Mapping[str, Any], malformed: Malformed) -> Any:
    if path.suffix != ".npy":
        return read_series(path, malformed=malformed, **columns)
    if columns:
        raise DataError(f"{path}: an array of numpy has no named columns, got {dict(columns)}")
    return read_series_array(path)


def _some(place: Place, examples: Iterable[Any]) -> list[Any]:
    found = list(examples)
    if not found:
        raise DataError(f"expected examples in {place}, got none")
    return found


def _path(place: Place) -> Path:
    if not isinstance(place, str):
        raise DataError(
            f"expected one file, got the list {place!r}; only parallel text has several"
        )
    return Path(place)
