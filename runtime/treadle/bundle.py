"""Open a bundle safely: every file there, whole, unchanged and inside. Runs no code."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from treadle.document import parse_json
from treadle.errors import BundleError
from treadle.manifest import MANIFEST_FILE, Manifest, compute_digest, compute_seal

FETCH_AGAIN = "fetch or export the bundle again"
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Bundle:
    """A checked bundle: where it is, and what its manifest says."""

    path: Path
    manifest: Manifest

    def file(self, name: str) -> Path:
        """The path of a file that the manifest lists. Raises BundleError for any other."""
        if name not in self.manifest.files:
            listed = ", ".join(self.manifest.files)
            raise BundleError(f"{self.path} lists no file {name!r}; it lists {listed}")
        return self.path / name

    def read(self, name: str) -> bytes:
        """The content of a listed file. Raises BundleError when it cannot be read."""
        try:
            return self.file(name).read_bytes()
        except OSError as error:
            raise BundleError(f"cannot read {self.file(name)}: {error}; {FETCH_AGAIN}") from error


def open_bundle(path: str | os.PathLike[str]) -> Bundle:
    """The bundle in the directory `path`, after checking all of it.

    Raises BundleError, naming the file, what was expected and what is there, when the directory
    or a file is missing, damaged, changed or outside, when the manifest is malformed or of a
    later format, and when digest or seal are not those of the content.
    """
    directory = Path(path)
    if not directory.is_dir():
        found = "a file" if directory.exists() else "nothing"
        raise BundleError(
            f"expected a bundle, a directory with a {MANIFEST_FILE}, at {directory}, got {found}; "
            "check the path"
        )
    manifest = _read_manifest(directory / MANIFEST_FILE)
    for name in manifest.files:
        _check_file(directory, name, manifest)
    for what, written, computed in (
        ("digest", manifest.digest, compute_digest(manifest)),
        ("seal", manifest.seal, compute_seal(manifest)),
    ):
        if written != computed:
            raise BundleError(
                f"{directory / MANIFEST_FILE} was changed: its content has the {what} {computed}, "
                f"but it says {written}; {FETCH_AGAIN}"
            )
    return Bundle(directory, manifest)


def _read_manifest(path: Path) -> Manifest:
    if not path.is_file():
        raise BundleError(f"{path} is missing, so this is no bundle; check the path")
    try:
        return Manifest.from_json(parse_json(path.read_bytes(), "it"))
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error}; {FETCH_AGAIN}") from error
    except BundleError as error:
        raise BundleError(f"in {path}: {error}") from error


def _check_file(directory: Path, name: str, manifest: Manifest) -> None:
    expected, path = manifest.files[name], directory / name
    # A link may point anywhere; what a bundle holds lies in its own directory. (Path.resolve
    # raises for a link to itself.)
    real = os.path.realpath(path)
    if not Path(real).is_relative_to(os.path.realpath(directory)):
        raise BundleError(f"{path} lies outside the bundle, at {real}; do not use it")
    if not path.is_file():
        raise BundleError(f"{path} is missing; {FETCH_AGAIN}")
    if (size := path.stat().st_size) != expected.bytes:
        raise BundleError(f"{path} has {size} bytes, expected {expected.bytes}; {FETCH_AGAIN}")
    try:
        found = _digest(path)
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error}; {FETCH_AGAIN}") from error
    if found != expected.sha256:
        raise BundleError(
            f"{path} has the digest {found}, expected {expected.sha256}; "
            f"it is damaged or changed: {FETCH_AGAIN}"
        )


def _digest(path: Path) -> str:
    # In blocks: weights may be larger than the memory of a small device.
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return f"sha256:{digest.hexdigest()}"
