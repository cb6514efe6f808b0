"""Open a bundle safely: every file there, whole, unchanged and inside. Runs no code.

Paths are strings here: to import pathlib takes 3 ms of a start, and a bundle that is a directory
does without.
"""

from __future__ import annotations

import hashlib
import io
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from treadle.closing import Closing
from treadle.errors import BundleError, InputError, StateError
from treadle.manifest import MANIFEST_FILE, Manifest, digest_of, seal_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable
    from pathlib import Path
    from typing import IO

    from treadle.unpacked import Unpacked

    Source = str | os.PathLike[str] | bytes | bytearray | memoryview | Traversable

FETCH_AGAIN = "fetch or export the bundle again"
_BLOCK = 1 << 20  # small enough for a cache


class Bundle(Closing):
    """A checked bundle: the directory of its files, and what its manifest says.

    A packed one lies in a temporary directory, which is its own and goes when the bundle is closed
    or collected. Closing a bundle that is a directory changes nothing.
    """

    def __init__(
        self, path: str | os.PathLike[str], manifest: Manifest, unpacked: Unpacked | None = None
    ) -> None:
        self._directory, self.manifest, self.unpacked = os.fspath(path), manifest, unpacked

    @property
    def path(self) -> Path:
        """The directory of the files."""
        from pathlib import Path

        return Path(self._directory)

    def file(self, name: str) -> Path:
        """The path of a file that the manifest lists; errors as `place`."""
        from pathlib import Path

        return Path(self.place(name))

    def place(self, name: str) -> str:
        """The same as a string.

        Raises BundleError for a file that is not listed, StateError when the bundle was packed and
        is closed.
        """
        if name not in self.manifest.files:
            listed = ", ".join(self.manifest.files)
            raise BundleError(f"{self._directory} lists no file {name!r}; it lists {listed}")
        if self.unpacked is not None and self.unpacked.closed:
            raise StateError(f"the bundle {self.manifest.name} is closed; open it again")
        return os.path.join(self._directory, name)

    def read(self, name: str) -> bytes:
        """The content of a listed file. Raises BundleError when it cannot be read."""
        try:
            with open(self.place(name), "rb") as file:
                return file.read()
        except OSError as error:
            raise BundleError(f"cannot read {self.place(name)}: {error}; {FETCH_AGAIN}") from error

    def close(self) -> None:
        """Remove the temporary files of a packed bundle. Closing twice is allowed."""
        if self.unpacked is not None:
            self.unpacked.close()


def open_bundle(source: Source) -> Bundle:
    """The bundle in `source`, after checking all of it.

    `source` is the path of a directory or of a zip that `treadle pack` made, the bytes of such a
    zip, or either as a resource of a package: `importlib.resources.files(PACKAGE) / NAME`.

    Raises BundleError, naming the file, what was expected and what is there, when the directory
    or a file is missing, damaged, changed or outside, when the manifest is malformed or of a
    later format, when digest or seal are not those of the content, and when a zip holds anything
    else or cannot be unpacked. Raises InputError when `source` is none of these.
    """
    if isinstance(source, str | os.PathLike):
        directory = os.fspath(source)
        if os.path.isdir(directory):
            return Bundle(directory, _checked(directory, directory))
    # Only what has to be unpacked first loads what unpacks it.
    from pathlib import Path

    from treadle.unpacked import unpack_directory, unpack_zip

    if isinstance(source, bytes | bytearray | memoryview):
        return _unpacked(unpack_zip(io.BytesIO(source), "<bytes>"), "<bytes>")
    if isinstance(source, str | os.PathLike):
        source = Path(source)
    elif not (hasattr(source, "is_dir") and hasattr(source, "joinpath")):
        raise InputError(
            "expected the path of a bundle, the bytes of a packed one or a resource of a package, "
            f"got {type(source).__name__}"
        )
    shown = str(source)
    if source.is_dir():
        return _unpacked(unpack_directory(source, shown), shown)
    if not source.is_file():
        raise BundleError(
            f"expected a bundle, a directory with a {MANIFEST_FILE} or a zip of one, at {shown}, "
            "got nothing; check the path"
        )
    with _opened(source, shown) as file:
        return _unpacked(unpack_zip(file, shown), shown)


@contextmanager
def _opened(source: Path | Traversable, shown: str) -> Iterator[IO[bytes]]:
    try:
        file = source.open("rb")
    except OSError as error:
        raise BundleError(f"cannot read {shown}: {error}; {FETCH_AGAIN}") from error
    with file:
        yield file


def _unpacked(unpacked: Unpacked, shown: str) -> Bundle:
    """The bundle in the temporary directory, which goes when it is none."""
    try:
        return Bundle(unpacked.path, _checked(os.fspath(unpacked.path), shown), unpacked)
    except BaseException:
        unpacked.close()
        raise


def _checked(directory: str, shown: str) -> Manifest:
    """The manifest of the bundle in `directory`, which errors call `shown`, all of it checked."""
    said = os.path.join(shown, MANIFEST_FILE)
    manifest = _read_manifest(os.path.join(directory, MANIFEST_FILE), said)
    for name in manifest.files:
        _check_file(directory, name, manifest, os.path.join(shown, name))
    document = manifest.to_json()
    for what, written, computed in (
        ("digest", manifest.digest, digest_of(document)),
        ("seal", manifest.seal, seal_of(document)),
    ):
        if written != computed:
            raise BundleError(
                f"{said} was changed: its content has the {what} {computed}, "
                f"but it says {written}; {FETCH_AGAIN}"
            )
    return manifest


def _read_manifest(path: str, shown: str) -> Manifest:
    if not os.path.isfile(path):
        raise BundleError(f"{shown} is missing, so this is no bundle; check the path")
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise BundleError(f"cannot read {shown}: {error}; {FETCH_AGAIN}") from error
    return Manifest.from_bytes(content, shown)


def _check_file(directory: str, name: str, manifest: Manifest, shown: str) -> None:
    expected, path = manifest.files[name], os.path.join(directory, name)
    # A link may point anywhere; what a bundle holds lies in its own directory.
    real = os.path.realpath(path)
    if not _is_inside(real, os.path.realpath(directory)):
        raise BundleError(f"{shown} lies outside the bundle, at {real}; do not use it")
    if not os.path.isfile(path):
        raise BundleError(f"{shown} is missing; {FETCH_AGAIN}")
    if (size := os.stat(path).st_size) != expected.bytes:
        raise BundleError(f"{shown} has {size} bytes, expected {expected.bytes}; {FETCH_AGAIN}")
    try:
        found = _digest(path)
    except OSError as error:
        raise BundleError(f"cannot read {shown}: {error}; {FETCH_AGAIN}") from error
    if found != expected.sha256:
        raise BundleError(
            f"{shown} has the digest {found}, expected {expected.sha256}; "
            f"it is damaged or changed: {FETCH_AGAIN}"
        )


def _is_inside(real: str, directory: str) -> bool:
    try:
        return os.path.commonpath([real, directory]) == directory
    except ValueError:  # on another drive
        return False


def _digest(path: str) -> str:
    # In blocks: weights may be larger than the memory of a small device. One buffer for all, since
    # fresh memory would cost as much as the hashing.
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        block = memoryview(bytearray(min(_BLOCK, max(1, os.fstat(file.fileno()).st_size))))
        while count := file.readinto(block):
            digest.update(block[:count])
    return f"sha256:{digest.hexdigest()}"
