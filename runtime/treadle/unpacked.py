"""The files of a bundle in a temporary directory, copied there from a zip or a package resource.

The engine maps weights from files, so what lies in an archive has to become files first. Nothing
that an archive says of itself is believed before it is checked: a packed bundle takes no more disk
than the archive has bytes, and no more memory than a few blocks.
"""

from __future__ import annotations

import os
import shutil
import stat
import struct
import tempfile
import weakref
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from treadle.errors import BundleError
from treadle.manifest import (
    MANIFEST_FILE,
    MANIFEST_LIMIT,
    SIGNATURE_FILE,
    SIGNATURE_LIMIT,
    Manifest,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from importlib.resources.abc import Traversable

    Opener = Callable[[str], IO[bytes]]

FETCH_AGAIN = "fetch it again, or pack the bundle again with treadle pack"
_BLOCK = 1 << 20
# More than the directory of any packed bundle needs, and little enough to hold.
_LARGEST_READ = 1 << 20
# What a damaged archive makes zipfile raise; OverflowError comes from offsets past any file.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    LookupError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)


class Unpacked:
    """A temporary directory `path`, removed when it is closed, collected, or Python exits."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="treadle-"))
        self._removed = weakref.finalize(self, _remove, self.path, os.getpid())

    @property
    def closed(self) -> bool:
        """Whether the directory was removed."""
        return not self._removed.alive

    def close(self) -> None:
        """Remove the directory. Closing twice is allowed."""
        self._removed()


def unpack_zip(file: IO[bytes], shown: str) -> Unpacked:
    """The files of the packed bundle in the zip `file`, which errors call `shown`.

    Raises BundleError, and leaves nothing behind, when it is no zip, is damaged, holds anything
    but a manifest and the plain files that this lists, or when the disk has no room for them.
    """
    with _readable(shown), zipfile.ZipFile(_SmallReads(file)) as archive:
        members = _members(archive.infolist(), file.seek(0, os.SEEK_END), shown)
        content, manifest = _read_manifest(lambda name: archive.open(members[name]), shown)
        _check_listed(members, manifest, shown)
        beside = {MANIFEST_FILE: content}
        if SIGNATURE_FILE in members:
            beside[SIGNATURE_FILE] = _signature(
                lambda: archive.open(members[SIGNATURE_FILE]), shown
            )
        return _copied(manifest, beside, lambda name: archive.open(members[name]), shown)


def unpack_directory(directory: Traversable, shown: str) -> Unpacked:
    """The files of the bundle in `directory`, a resource that is no directory of the file system.

    Raises BundleError, and leaves nothing behind, when one is missing or larger than the manifest
    says, or when the disk has no room for them.
    """

    def opened(name: str) -> IO[bytes]:
        return (directory / name).open("rb")

    content, manifest = _read_manifest(opened, shown)
    beside = {MANIFEST_FILE: content}
    if (directory / SIGNATURE_FILE).is_file():
        beside[SIGNATURE_FILE] = _signature(lambda: opened(SIGNATURE_FILE), shown)
    return _copied(manifest, beside, opened, shown)


class _SmallReads:
    """A file that hands out no more at once than reading a packed bundle needs.

    zipfile reads a directory whole, however large the archive says that it is.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable
        self._read = file.read

    def read(self, size: int = -1) -> bytes:
        if size > _LARGEST_READ:
            raise zipfile.BadZipFile(f"its directory has {size} bytes, more than any bundle's")
        return self._read(_LARGEST_READ if size < 0 else size)


@contextmanager
def _readable(shown: str) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise BundleError(
            f"expected a packed bundle, a zip, at {shown}, got a file that is no zip or is damaged "
            f"({str(error) or type(error).__name__}); {FETCH_AGAIN}"
        ) from error


def _members(entries: list[zipfile.ZipInfo], size: int, shown: str) -> dict[str, zipfile.ZipInfo]:
    """The members by name, each a plain file as it is, all together no larger than the archive."""
    members: dict[str, zipfile.ZipInfo] = {}
    for entry in entries:
        # The name as it is written: `filename` ends at a zero byte and has other separators.
        name = entry.orig_filename
        if name in members:
            raise BundleError(f"{shown} holds {name!r} twice; {FETCH_AGAIN}")
        if fault := _fault(entry):
            raise BundleError(
                f"{shown} holds {name!r} {fault}, expected a plain file, stored as it is; "
                "pack the bundle with treadle pack"
            )
        members[name] = entry
    if (total := sum(entry.file_size for entry in entries)) > size:
        raise BundleError(f"{shown} has {size} bytes, but its files claim {total}; do not use it")
    if MANIFEST_FILE not in members:
        raise BundleError(f"{shown} holds no {MANIFEST_FILE}, so this is no packed bundle")
    return members


def _fault(entry: zipfile.ZipInfo) -> str:
    """What keeps a member from being a plain file that is stored as it is; "" when nothing does."""
    kind = stat.S_IFMT(entry.external_attr >> 16)
    # Not is_dir(): it asks for the last character of a name that may have none.
    if entry.orig_filename.endswith("/") or stat.S_ISDIR(kind):
        return "as a directory"
    if kind not in (0, stat.S_IFREG):
        return "as a link" if stat.S_ISLNK(kind) else "as a special file"
    if entry.flag_bits & 1:
        return "encrypted"
    # What is stored cannot swell: a file of the archive is as large as it looks.
    if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
        return "compressed"
    return ""


def _read_manifest(opened: Opener, shown: str) -> tuple[bytes, Manifest]:
    content = b""
    with _readable(shown), opened(MANIFEST_FILE) as file:
        while len(content) <= MANIFEST_LIMIT and (block := file.read(_BLOCK)):
            content += block
    where = f"{shown}/{MANIFEST_FILE}"
    if len(content) > MANIFEST_LIMIT:
        raise BundleError(
            f"{where} is larger than {MANIFEST_LIMIT} bytes, which no manifest is; do not use it"
        )
    return content, Manifest.from_bytes(content, where)


def _signature(opened: Callable[[], IO[bytes]], shown: str) -> bytes:
    with _readable(shown), opened() as file:
        content = file.read(SIGNATURE_LIMIT + 1)
    if len(content) > SIGNATURE_LIMIT:
        raise BundleError(
            f"{shown}/{SIGNATURE_FILE} is larger than {SIGNATURE_LIMIT} bytes, which no signature "
            "is; do not use it"
        )
    return content


def _check_listed(members: dict[str, zipfile.ZipInfo], manifest: Manifest, shown: str) -> None:
    listed = {MANIFEST_FILE, *manifest.files}
    if strange := members.keys() - listed - {SIGNATURE_FILE}:
        raise BundleError(
            f"{shown} holds {min(strange)!r}, which its manifest does not list; do not use it"
        )
    if missing := listed - members.keys():
        raise BundleError(f"{shown} lacks {min(missing)!r}; {FETCH_AGAIN}")
    for name, file in manifest.files.items():
        if (size := members[name].file_size) != file.bytes:
            raise BundleError(
                f"{shown}/{name} has {size} bytes, expected {file.bytes}; {FETCH_AGAIN}"
            )


def _copied(manifest: Manifest, beside: dict[str, bytes], opened: Opener, shown: str) -> Unpacked:
    """What is `beside` the listed files, and these, as a directory; else a BundleError."""
    unpacked = None
    try:
        unpacked = Unpacked()
        for name, content in beside.items():
            (unpacked.path / name).write_bytes(content)
        for name, expected in manifest.files.items():
            with (unpacked.path / name).open("xb") as file:
                file.writelines(_blocks(name, expected.bytes, opened, shown))
    except BaseException as error:
        if unpacked is not None:
            unpacked.close()
        if isinstance(error, OSError):
            needed = sum(file.bytes for file in manifest.files.values())
            raise BundleError(
                f"cannot unpack {shown}, {needed} bytes, as temporary files: {error}; make room "
                "for them, or name another directory in the environment variable TMPDIR"
            ) from error
        raise
    return unpacked


def _blocks(name: str, most: int, opened: Opener, shown: str) -> Iterator[bytes]:
    """The content of one file. Raises BundleError before it gives more than `most` bytes."""
    with _readable(shown), opened(name) as file:
        while block := file.read(_BLOCK):
            most -= len(block)
            if most < 0:
                raise BundleError(
                    f"{shown}/{name} has more bytes than its manifest says; {FETCH_AGAIN}"
                )
            yield block


def _remove(path: Path, owner: int) -> None:
    # A forked process inherits what shall be done at exit; the directory is still its parent's.
    if os.getpid() == owner:
        shutil.rmtree(path, ignore_errors=True)
