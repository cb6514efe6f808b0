"""Arrays of an `.npz` file that say something else of themselves, with checksums that fit."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

    from tests.runtime.fuzzing.sound import Files

_HEADER = 128  # bytes that numpy writes before the numbers of a small array
_WORDS = [
    (b"<f4", b"<f8"), (b"<f4", b"|O1"), (b"<f4", b"|b1"), (b"<i4", b"<f4"), (b"<i4", b"<i8"),
    (b"(3,", b"(0,"), (b"(16,", b"(99,"), (b"(", b"["), (b"False", b"True "), (b"'<f4'", b"'<U1'"),
]  # fmt: skip


def edit_npz(chance: random.Random, files: Files) -> None:
    names = [name for name in sorted(files) if name.endswith(".npz")]
    if not names:
        return
    name = chance.choice(names)
    try:
        with zipfile.ZipFile(io.BytesIO(files[name])) as archive:
            members = {member: archive.read(member) for member in archive.namelist()}
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, ValueError):
        return  # damaged before
    if not members:
        return
    member = chance.choice(sorted(members))
    content = bytearray(members[member])
    match chance.randrange(5):
        case 0:
            content[chance.randrange(_HEADER)] ^= 1 << chance.randrange(8)
        case 1:
            old, new = chance.choice(_WORDS)
            content = content.replace(old, new)
        case 2:
            other = chance.choice(sorted(members))
            members[other], content = bytes(content), bytearray(members[other])
        case 3:
            del content[chance.randrange(len(content)) :]
        case 4:
            place = chance.randrange(len(content))
            content[place : place + 8] = chance.choice([b"\xff", b"\x7f", b"\0"]) * 8
    members[member] = bytes(content)
    if chance.random() < 0.1:
        del members[member]
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for key, value in members.items():
            archive.writestr(key, value)
    files[name] = made.getvalue()
