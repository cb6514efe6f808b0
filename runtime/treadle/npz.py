"""Named arrays to the bytes of an `.npz` file and back, without pickle."""

from __future__ import annotations

import io
import struct
import tokenize
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_EPOCH = (1980, 1, 1, 0, 0, 0)  # a zip's earliest time: the same arrays give the same bytes
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    tokenize.TokenError,
    EOFError,
    KeyError,
    OSError,
    RuntimeError,
    MemoryError,
    SyntaxError,
)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_LARGEST = 1 << 28
"""Bytes that a compressed file may become: a few of them can stand for any number."""


def to_npz(arrays: Mapping[str, NDArray[Any]], *, compress: bool = True) -> bytes:
    """The bytes of an `.npz` file, which `numpy.load` reads; the same for the same arrays."""
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(arrays):
            content = io.BytesIO()
            np.save(content, arrays[name], allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", _EPOCH), content.getvalue(), method)
    return buffer.getvalue()


def from_npz(content: bytes) -> dict[str, NDArray[Any]]:
    """The arrays in the bytes of an `.npz` file. Raises ValueError when it is none, or damaged."""
    arrays = {}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            _check_members(archive, max(_LARGEST, len(content)))
            for name in archive.namelist():
                # Whole first: that checks the sum of a member before anything interprets it.
                member = io.BytesIO(archive.read(name))
                arrays[name.removesuffix(".npy")] = np.load(member, allow_pickle=False)
    except _DAMAGE as error:
        raise ValueError(str(error)) from error
    return arrays


def _check_members(archive: zipfile.ZipFile, largest: int) -> None:
    """Raise ValueError for arrays that are packed as numpy does not, or unpack to too much."""
    members = archive.infolist()
    if strange := [member.filename for member in members if member.compress_type not in _METHODS]:
        raise ValueError(f"{strange[0]!r} is compressed in a way that an .npz file is not")
    if (size := sum(member.file_size for member in members)) > largest:
        raise ValueError(f"it unpacks to {size} bytes, more than the {largest} there may be")
