"""The fields of a protobuf message: read without a schema or trust in its sizes, and written."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10  # bytes, of 64 bits


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of every field, in order: an unsigned integer, or the bytes it has.

    Raises ValueError where the message breaks off, or has a wire type that ONNX does not use.
    """
    place, end = 0, len(message)
    while place < end:
        tag, place = _varint(message, place)
        kind = tag & 7
        if kind == _VARINT:
            number, place = _varint(message, place)
            yield tag >> 3, number
            continue
        if kind == _BYTES:
            size, place = _varint(message, place)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"a field has the wire type {kind}")
        if size > end - place:
            raise ValueError(f"a field of {size} bytes has {end - place}")
        yield tag >> 3, message[place : place + size]
        place += size


def varints(packed: memoryview) -> Iterator[int]:
    """The numbers of a packed field, unsigned. Raises ValueError where it breaks off."""
    place = 0
    while place < len(packed):
        number, place = _varint(packed, place)
        yield number


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    """The number that begins at `place`, and the place after it."""
    number = 0
    for index, byte in enumerate(message[place : place + _LONGEST_VARINT]):
        number |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return number & 0xFFFF_FFFF_FFFF_FFFF, place + index + 1
    raise ValueError("a number does not end")


def message(*pairs: tuple[int, int | str | bytes]) -> bytes:
    """A message of these fields, each a number and an unsigned integer, a text or bytes."""
    written = bytearray()
    for number, value in pairs:
        if isinstance(value, int):
            written += _written(number << 3 | _VARINT) + _written(value)
        else:
            content = value.encode() if isinstance(value, str) else value
            written += _written(number << 3 | _BYTES) + _written(len(content)) + content
    return bytes(written)


def _written(number: int) -> bytes:
    """An unsigned integer, seven bits a byte, the lowest first."""
    written = bytearray()
    while number >= 0x80:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*written, number))
