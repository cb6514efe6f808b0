"""Frames of features in numpy files: .npz with labels or symbols, .npy without. No pickle."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from treadle.data.examples import Frames, as_float32
from treadle.data.malformed import Malformed
from treadle.errors import DataError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

    from numpy.lib.npyio import NpzFile
    from numpy.typing import NDArray

ROLES = ("frames", "lengths", "labels", "symbols", "symbol_lengths")

# RuntimeError: an encrypted member, or one packed in a way that Python does not know.
_DAMAGE = (ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


def read_frames(
    path: str | os.PathLike[str],
    arrays: Mapping[str, str] | None = None,
    *,
    malformed: Malformed | None = None,
) -> Iterator[Frames]:
    """Every example of an .npz file, or of an .npy file [examples, time, features] without labels.

    An .npz file holds numbers "frames" [examples, time, features], or [all frames, features] with
    "lengths" [examples]; and labels (text or integers) "labels" [examples], or "symbols" [all
    symbols] with "symbol_lengths" [examples], or neither. `arrays` gives these roles other names.
    A value that is no number makes its example malformed. Raises DataError.
    """
    malformed, path = malformed or Malformed(), Path(path)
    loaded = _load(path, dict(arrays or {}))
    values = _examples(path, loaded)
    labels = _labels(path, loaded, len(values))
    symbols = _symbols(path, loaded, len(values))
    for number, frames in enumerate(values):
        try:
            example = Frames(
                as_float32(frames),
                None if labels is None else labels[number],
                None if symbols is None else symbols[number],
            )
        except DataError as error:
            malformed.found(path, f"example {number}", str(error))
        else:
            yield example


def _load(path: Path, names: dict[str, str]) -> dict[str, NDArray[Any]]:
    """The arrays of the file by role."""
    strange = sorted(set(names) - set(ROLES))
    if strange:
        raise DataError(f"expected names for {', '.join(ROLES)}, got one for {strange[0]!r}")
    try:
        with path.open("rb") as opened:  # numpy leaves a damaged file open
            file = np.load(opened, allow_pickle=False)
            if isinstance(file, np.ndarray):
                return {"frames": file}
            return _chosen(path, file, names)
    except FileNotFoundError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except (*_DAMAGE, OSError) as error:
        raise DataError(
            f"{path}: expected arrays of numpy without objects (pickle is never opened): {error}"
        ) from error


def _chosen(path: Path, file: NpzFile, names: dict[str, str]) -> dict[str, NDArray[Any]]:
    wanted = {role: names.get(role, role) for role in ROLES}
    missing = [names[role] for role in names if names[role] not in file.files]
    if missing or wanted["frames"] not in file.files:
        lacking = (missing or [wanted["frames"]])[0]
        raise DataError(f"{path}: expected an array {lacking!r}, got {', '.join(file.files)}")
    return {role: file[name] for role, name in wanted.items() if name in file.files}


def _examples(path: Path, loaded: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
    """The frames of every example [time, features]."""
    frames = loaded["frames"]
    if frames.dtype.kind not in "fiu":
        raise DataError(f"{path}: expected frames of numbers, got {frames.dtype}")
    if "lengths" not in loaded:
        if frames.ndim != 3:
            raise DataError(
                f"{path}: expected frames [examples, time, features], or lengths beside frames "
                f"[all frames, features]; got frames {list(frames.shape)}"
            )
        return list(frames)
    if frames.ndim != 2:
        raise DataError(
            f"{path}: expected frames [all frames, features] beside lengths, "
            f"got {list(frames.shape)}"
        )
    return _cut(path, frames, loaded["lengths"], "frames")


def _cut(path: Path, whole: NDArray[Any], lengths: NDArray[Any], what: str) -> list[NDArray[Any]]:
    if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or (lengths < 0).any():
        raise DataError(
            f"{path}: expected lengths of {what}, integers [examples], "
            f"got {lengths.dtype} {list(lengths.shape)}"
        )
    if int(lengths.sum()) != len(whole):
        raise DataError(
            f"{path}: expected lengths that add up to {len(whole)} {what}, got {lengths.sum()}"
        )
    return np.split(whole, np.cumsum(lengths)[:-1])


def _labels(path: Path, loaded: Mapping[str, NDArray[Any]], count: int) -> list[str] | None:
    labels = loaded.get("labels")
    if labels is None:
        return None
    if labels.shape != (count,) or labels.dtype.kind not in "iuU":
        raise DataError(
            f"{path}: expected labels, text or integers [{count}], "
            f"got {labels.dtype} {list(labels.shape)}"
        )
    return [str(label) for label in labels.tolist()]


def _symbols(
    path: Path, loaded: Mapping[str, NDArray[Any]], count: int
) -> list[tuple[str, ...]] | None:
    symbols, lengths = loaded.get("symbols"), loaded.get("symbol_lengths")
    if symbols is None and lengths is None:
        return None
    if symbols is None or lengths is None or symbols.ndim != 1 or symbols.dtype.kind not in "iuU":
        raise DataError(
            f"{path}: expected symbols, text or integers [all symbols], with symbol_lengths "
            f"[{count}]"
        )
    cut = _cut(path, symbols, lengths, "symbols")
    if len(cut) != count:
        raise DataError(f"{path}: expected symbols of {count} examples, got {len(cut)}")
    return [tuple(str(symbol) for symbol in cast("list[Any]", part.tolist())) for part in cut]
