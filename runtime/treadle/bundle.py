"""Open a bundle safely: every file there, whole, unchanged and inside. Runs no code."""

from __future__ import annotations

import hashlib
import io
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.closing import Closing
from treadle.errors import BundleError, InputError, StateError
from treadle.manifest import MANIFEST_FILE, Manifest, digest_of, seal_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable
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

    def __init__(self, path: Path, manifest: Manifest, unpacked: Unpacked | None = None) -> None:
        self.path, self.manifest, self.unpacked = path, manifest, unpacked

    def file(self, name: str) -> Path:
        """The path of a file that the manifest lists.

        Raises BundleError for any other, StateError when the bundle was packed and is closed.
        """
        if name not in self.manifest.files:
            listed = ", ".join(self.manifest.files)
            raise BundleError(f"{self.path} lists no file {name!r}; it lists {listed}")
        if self.unpacked is not None and self.unpacked.closed:
            raise StateError(f"the bundle {self.manifest.name} is closed; open it again")
        return self.path / name

    def read(self, name: str) -> bytes:
        """The content of a listed file. Raises BundleError when it cannot be read."""
        try:
            return self.file(name).read_bytes()
        except OSError as error:
            raise BundleError(f"cannot read {self.file(name)}: {error}; {FETCH_AGAIN}") from error

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
        source = Path(source)
        if source.is_dir():
            return Bundle(source, _checked(source, source))
    # Only what has to be unpacked first loads what unpacks it.
    from treadle.unpacked import unpack_directory, unpack_zip

    if isinstance(source, bytes | bytearray | memoryview):
        return _unpacked(unpack_zip(io.BytesIO(source), "<bytes>"), "<bytes>")
    if not isinstance(source, Path) and not (
        hasattr(source, "is_dir") and hasattr(source, "joinpath")
    ):
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
        return Bundle(unpacked.path, _checked(unpacked.path, Path(shown)), unpacked)
    except BaseException:
        unpacked.close()
        raise


def _checked(directory: Path, shown: Path) -> Manifest:
    """The manifest of the bundle in `directory`, which errors call `shown`, all of it checked."""
    manifest = _read_manifest(directory / MANIFEST_FILE, shown / MANIFEST_FILE)
    for name in manifest.files:
        _check_file(directory, name, manifest, shown / name)
    document = manifest.to_json()
    for what, written, computed in (
        ("digest", manifest.digest, digest_of(document)),
        ("seal", manifest.seal, seal_of(document)),
    ):
        if written != computed:
            raise BundleError(
                f"{shown / MANIFEST_FILE} was changed: its content has the {what} {computed}, "
                f"but it says {written}; {FETCH_AGAIN}"
            )
    return manifest


def _read_manifest(path: Path, shown: Path) -> Manifest:
    if not path.is_file():
        raise BundleError(f"{shown} is missing, so this is no bundle; check the path")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BundleError(f"cannot read {shown}: {error}; {FETCH_AGAIN}") from error
    return Manifest.from_bytes(content, str(shown))


def _check_file(directory: Path, name: str, manifest: Manifest, shown: Path) -> None:
    expected, path = manifest.files[name], directory / name
    # A link may point anywhere; what a bundle holds lies in its own directory. (Path.resolve
    # raises for a link to itself.)
    real = os.path.realpath(path)
    if not Path(real).is_relative_to(os.path.realpath(directory)):
        raise BundleError(f"{shown} lies outside the bundle, at {real}; do not use it")
    if not path.is_file():
        raise BundleError(f"{shown} is missing; {FETCH_AGAIN}")
    if (size := path.stat().st_size) != expected.bytes:
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


def _digest(path: Path) -> str:
    # In blocks: weights may be larger than the memory of a small device. One buffer for all, since
    # fresh memory would cost as much as the hashing.
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        block = memoryview(bytearray(min(_BLOCK, max(1, os.fstat(file.fileno()).st_size))))
        while count := file.readinto(block):
            digest.update(block[:count])
    return f"sha256:{digest.hexdigest()}"
