"""Pack a bundle: its directory as one zip, the same bytes for the same files."""

from __future__ import annotations

import shutil
import stat
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.bundle import open_bundle
from treadle.errors import BundleError
from treadle.files import whole_file
from treadle.manifest import MANIFEST_FILE, MANIFEST_LIMIT, SIGNATURE_FILE
from treadle.signature import read_signature

if TYPE_CHECKING:
    import os

    from treadle.bundle import Bundle

SUFFIX = ".zip"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # a zip's earliest time
_UNIX = 3
_BLOCK = 1 << 20


def pack(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    force: bool = False,
) -> Path:
    """Write the bundle in the directory `path` as the zip `out`; where it is.

    By default beside the directory, under its name with `.zip` after it. The bundle is checked
    first; a signature goes along. The zip is there whole or not at all, and has the same bytes for
    the same files. Raises BundleError for a bundle that `open_bundle` refuses, for one that is a
    file already, for something at `out` unless `force`, and when `out` cannot be written.
    """
    directory = Path(path)
    if directory.is_file():
        raise BundleError(f"expected a bundle as a directory, got the file {directory}")
    bundle = open_bundle(directory)
    if out is None:
        named = directory if directory.name.strip(".") else directory.resolve()
        out = named.with_name(named.name + SUFFIX)
    target = Path(out)
    if target.exists() and not force:
        raise BundleError(f"{target} exists already; choose another, or replace it (force)")
    size = (directory / MANIFEST_FILE).stat().st_size
    if size > MANIFEST_LIMIT:
        raise BundleError(
            f"expected a manifest of at most {MANIFEST_LIMIT} bytes, got {size} in {directory}; "
            "a packed bundle could not be opened"
        )
    try:
        _write(bundle, target)
    except OSError as error:
        raise BundleError(f"cannot write {target}: {error}; choose another place") from error
    return target


def _write(bundle: Bundle, target: Path) -> None:
    with whole_file(target) as file, zipfile.ZipFile(file, "w") as archive:
        # The manifest first: a reader needs it before anything else.
        signed = [SIGNATURE_FILE] if read_signature(bundle) is not None else []
        for name in (MANIFEST_FILE, *signed, *sorted(bundle.manifest.files)):
            with (
                (bundle.path / name).open("rb") as source,
                archive.open(_entry(bundle.path / name), "w") as member,
            ):
                shutil.copyfileobj(source, member, _BLOCK)


def _entry(path: Path) -> zipfile.ZipInfo:
    """A member that says nothing of when and where it was packed."""
    entry = zipfile.ZipInfo(path.name, _EPOCH)
    entry.compress_type = zipfile.ZIP_STORED
    entry.create_system = _UNIX
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    entry.file_size = path.stat().st_size  # so that a large one gets room for its size
    return entry
