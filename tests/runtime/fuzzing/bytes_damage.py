"""Damage that knows nothing of what it hits: bits, cuts, ranges, whole files."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from tests.runtime.fuzzing.sound import Files


def flip_bits(chance: random.Random, files: Files) -> None:
    name, content = _some(chance, files)
    for _ in range(chance.choice([1, 1, 2, 8])):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    files[name] = bytes(content)


def cut(chance: random.Random, files: Files) -> None:
    name, content = _some(chance, files)
    files[name] = bytes(content[: chance.randrange(len(content))])


def lengthen(chance: random.Random, files: Files) -> None:
    name, content = _some(chance, files)
    place = chance.randrange(len(content))
    files[name] = (
        bytes(content[:place]) + chance.randbytes(chance.choice([1, 8, 500])) + content[place:]
    )


def swap_ranges(chance: random.Random, files: Files) -> None:
    name, content = _some(chance, files)
    size = chance.randint(1, max(1, min(64, len(content) // 2)))
    one, other = (chance.randrange(len(content) - size + 1) for _ in range(2))
    content[one : one + size], content[other : other + size] = (
        content[other : other + size],
        content[one : one + size],
    )
    files[name] = bytes(content)


def fill_range(chance: random.Random, files: Files) -> None:
    name, content = _some(chance, files)
    size = chance.randint(1, min(16, len(content)))
    place = chance.randrange(len(content) - size + 1)
    content[place : place + size] = bytes([chance.choice([0, 0x7F, 0x80, 0xFF])]) * size
    files[name] = bytes(content)


def swap_files(chance: random.Random, files: Files) -> None:
    one, other = chance.sample(sorted(files), 2)
    files[one], files[other] = files[other], files[one]


def copy_file(chance: random.Random, files: Files) -> None:
    one, other = chance.sample(sorted(files), 2)
    files[one] = files[other]


def drop_file(chance: random.Random, files: Files) -> None:
    del files[chance.choice(sorted(files))]


def _some(chance: random.Random, files: Files) -> tuple[str, bytearray]:
    name = chance.choice([name for name in sorted(files) if files[name]])
    return name, bytearray(files[name])


DAMAGES: list[Callable[[random.Random, Files], None]] = [
    flip_bits,
    flip_bits,
    cut,
    lengthen,
    swap_ranges,
    fill_range,
    swap_files,
    copy_file,
    drop_file,
]
