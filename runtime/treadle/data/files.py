"""The data set "files": a user's own files, described by a few options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from treadle.data.dataset import SPLITS, Dataset, digest_of
from treadle.data.examples import Series
from treadle.data.formats import Format, reader_of
from treadle.data.malformed import Malformed
from treadle.data.splitting import SHARES, shuffled_splits, split_counts
from treadle.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def open_files(
    *,
    format: Format,  # noqa: A002 - the word that a recipe says
    path: str | list[str] | None = None,
    train: str | list[str] | None = None,
    validation: str | list[str] | None = None,
    test: str | list[str] | None = None,
    shares: list[float] | None = None,
    seed: int = 0,
    columns: dict[str, str | int | list[str]] | None = None,
    header: bool = True,
    malformed: Literal["error", "skip"] = "error",
) -> Dataset[Any]:
    """Files of one format, as splits of their own or one that is cut into shares.

    Either `train`, `validation` and `test` name a file each, or `path` names one that is shuffled
    by `seed` and cut into `shares` (0.8, 0.1, 0.1); a text and a series are cut by position. For
    "parallel" a place is a list: the source, then its references. `columns` says which column,
    array or field is what (formats.py); without a `header` they are
    called "0", "1", …. Paths are relative to the working directory. Raises DataError.
    """
    policy = Malformed(malformed)
    read = reader_of(format, columns or {}, policy, header=header)
    apart = {"train": train, "validation": validation, "test": test}
    places = {name: place for name, place in apart.items() if place is not None}
    if path is not None and not places:
        splits = _cut(read(path), seed, shares or SHARES)
    elif path is None and len(places) == len(SPLITS) and shares is None:
        splits = {name: read(place) for name, place in places.items()}
    else:
        given = [*places, *(["path"] if path else []), *(["shares"] if shares else [])]
        raise DataError(
            "the data set files takes either path, with shares and a seed if need be, or train, "
            f"validation and test; got {', '.join(given) or 'none of them'}"
        )
    options = {"format": format, "path": path, **apart, "shares": shares, "columns": columns}
    return Dataset(
        name="files",
        options={name: value for name, value in options.items() if value is not None}
        | {"seed": seed, "header": header, "malformed": malformed},
        licence="not stated",
        source=", ".join(_named(place) for place in (places.values() if places else [path])),
        digest=digest_of({name: _listed(part) for name, part in splits.items()}),
        splits=splits,
        skipped=policy.count,
    )


def _cut(whole: Any, seed: int, shares: Sequence[float]) -> Mapping[str, Any]:
    """Splits of what was published whole: in order where the order is a part of it."""
    if not isinstance(whole, Series | str):
        return shuffled_splits(whole, seed, shares)
    counts, start = split_counts(len(whole), shares), 0
    splits = {}
    for name in SPLITS:
        splits[name] = whole[start : start + counts[name]]
        start += counts[name]
    return splits


def _listed(part: Any) -> list[Any]:
    return [part] if isinstance(part, Series | str) else part


def _named(place: str | list[str] | None) -> str:
    return place if isinstance(place, str) else " and ".join(place or [])
