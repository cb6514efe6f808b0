"""Zips that are damaged, or made to do harm: an error or a model, nothing else, nothing left."""

from __future__ import annotations

import json
import random
import stat
import tempfile
import zipfile
from typing import TYPE_CHECKING

import pytest

import treadle
from treadle.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Members = list[tuple[zipfile.ZipInfo, bytes]]

DAMAGES = 400
EPOCH = (1980, 1, 1, 0, 0, 0)


def members(packed: Path) -> Members:
    with zipfile.ZipFile(packed) as archive:
        return [(entry, archive.read(entry)) for entry in archive.infolist()]


def written(entries: Members) -> bytes:
    """A zip of the entries as they say that they are."""
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w") as archive:
            for entry, content in entries:
                fresh = zipfile.ZipInfo(entry.filename, EPOCH)
                fresh.compress_type = entry.compress_type
                fresh.external_attr = entry.external_attr
                archive.writestr(fresh, content)
        file.seek(0)
        return file.read()


def added(name: str, content: bytes = b"x", mode: int = stat.S_IFREG) -> Callable[[Path], bytes]:
    def hostile(packed: Path) -> bytes:
        entry = zipfile.ZipInfo(name, EPOCH)
        entry.external_attr = mode << 16
        return written([*members(packed), (entry, content)])

    return hostile


def no_name(packed: Path) -> bytes:
    """A name that ends before it begins."""
    return added("evil.py")(packed).replace(b"evil.py", b"\0vil.py")


def twice(packed: Path) -> bytes:
    entries = members(packed)
    with pytest.warns(UserWarning, match="Duplicate name"):
        return written([*entries, entries[-1]])


def without(name: str) -> Callable[[Path], bytes]:
    return lambda packed: written([e for e in members(packed) if e[0].filename != name])


def linked(packed: Path) -> bytes:
    entries = members(packed)
    entries[-1][0].external_attr = (stat.S_IFLNK | 0o777) << 16
    return written(entries)


def encrypted(packed: Path) -> bytes:
    content = bytearray(packed.read_bytes())
    place = content.rindex(b"PK\1\2")
    content[place + 8] |= 1
    return bytes(content)


def bomb(packed: Path) -> bytes:
    """The last file is 50 MB of zeros, of which a deflated zip has 50 kB; its manifest agrees."""
    entries = members(packed)
    document, last = json.loads(entries[0][1]), entries[-1][0]
    last.compress_type = zipfile.ZIP_DEFLATED
    document["files"][last.filename]["bytes"] = 50_000_000
    entries[0] = (entries[0][0], json.dumps(document).encode())
    entries[-1] = (last, bytes(50_000_000))
    return written(entries)


def changed(packed: Path) -> bytes:
    """A file with other bytes, packed anew, so that the zip finds nothing wrong."""
    entries = members(packed)
    return written([*entries[:-1], (entries[-1][0], entries[-1][1][::-1])])


def swollen(packed: Path) -> bytes:
    """A file that has more bytes than its manifest says."""
    entries = members(packed)
    return written([*entries[:-1], (entries[-1][0], entries[-1][1] + bytes(10_000_000))])


def overlapping(packed: Path) -> bytes:
    """Two members of one place: together they claim more than the archive has."""
    content = bytearray(packed.read_bytes())
    sizes = (len(content) - 100).to_bytes(4, "little") * 2
    place = -1
    while (place := content.find(b"PK\1\2", place + 1)) >= 0:
        content[place + 20 : place + 28] = sizes
    return bytes(content)


def vast_manifest(packed: Path) -> bytes:
    entries = members(packed)
    return written([(entries[0][0], entries[0][1] + b" " * (5 << 20)), *entries[1:]])


def vast_directory(packed: Path) -> bytes:
    """An end that says that the zip's directory has 2 GB."""
    content = bytearray(packed.read_bytes())
    place = content.rindex(b"PK\5\6")
    content[place + 12 : place + 20] = (2_000_000_000).to_bytes(4, "little") + bytes(4)
    return bytes(content)


def zero_byte(packed: Path) -> bytes:
    """A name that is another's up to a zero byte, where much software ends it."""
    return added("step.onnx_")(packed).replace(b"step.onnx_", b"step.onnx\0")


def damaged(packed: Path) -> bytes:
    content = bytearray(packed.read_bytes())
    content[len(content) // 2] ^= 1
    return bytes(content)


HOSTILE: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "another name": (added("evil.py"), r"holds 'evil\.py', which its manifest does not list"),
    "a way up": (added("../evil"), r"holds '\.\./evil', which its manifest does not list"),
    "absolute": (added("/etc/evil"), "which its manifest does not list"),
    "backslash": (added("..\\evil"), "which its manifest does not list"),
    "folder": (added("folder/", b""), "as a directory"),
    "in a folder": (added("folder/step.onnx"), "which its manifest does not list"),
    "device": (added("device", mode=stat.S_IFCHR), "as a special file"),
    "zero byte": (zero_byte, r"holds 'step\.onnx\\x00', which its manifest does not list"),
    "no name": (no_name, r"holds '\\x00vil\.py', which its manifest does not list"),
    "twice": (twice, "twice"),
    "link": (linked, "as a link"),
    "encrypted": (encrypted, "encrypted, expected a plain file"),
    "no manifest": (without("manifest.json"), r"holds no manifest\.json"),
    "no weights": (without("step.onnx"), r"lacks 'step\.onnx'"),
    "bomb": (bomb, "compressed, expected a plain file"),
    "changed": (changed, r"symbols\.json has the digest sha256:\w+, expected sha256:"),
    "swollen": (swollen, r"symbols\.json has \d+ bytes, expected \d+"),
    "overlapping": (overlapping, "but its files claim"),
    "vast manifest": (vast_manifest, r"manifest\.json is larger than 4194304 bytes"),
    "vast directory": (vast_directory, "no zip or is damaged"),
    "damaged": (damaged, "damaged"),
    "truncated": (lambda packed: packed.read_bytes()[:-30], "no zip or is damaged"),
    "half": (lambda packed: packed.read_bytes()[: packed.stat().st_size // 2], "no zip"),
    "empty": (lambda _: b"", "no zip"),
    "text": (lambda _: b"a bundle\n" * 99, "no zip"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_zip_is_refused(packed: Path, temporary: Path, tmp_path: Path, name: str) -> None:
    make, message = HOSTILE[name]
    path = tmp_path / "hostile.zip"
    path.write_bytes(make(packed))
    with pytest.raises(BundleError, match=message) as caught:
        treadle.load(path)
    assert "hostile.zip" in str(caught.value)
    assert str(temporary) not in str(caught.value)
    with pytest.raises(BundleError, match=message):
        treadle.load(path.read_bytes())
    assert list(temporary.iterdir()) == []
    assert {found.name for found in tmp_path.iterdir()} == {"temporary", "hostile.zip"}


def test_a_directory_that_claims_to_be_vast_is_not_read(packed: Path, tmp_path: Path) -> None:
    path = tmp_path / "vast.zip"
    content = packed.read_bytes()
    end = bytearray(content[content.rindex(b"PK\5\6") :])
    end[12:20] = (1 << 30).to_bytes(4, "little") + bytes(4)
    with path.open("wb") as file:  # sparse: a gigabyte of nothing
        file.seek(1 << 30)
        file.write(end)
    with pytest.raises(BundleError, match="its directory has 1073741824 bytes"):
        treadle.load(path)


def test_a_damaged_zip_never_surprises(packed: Path, temporary: Path) -> None:
    content, chance = packed.read_bytes(), random.Random(5)
    structure = content.index(b"PK\1\2")
    opened = 0
    for _ in range(DAMAGES):
        broken = bytearray(content)
        if chance.random() < 0.2:
            del broken[chance.randrange(len(broken)) :]
        for _ in range(chance.choice([0, 1, 1, 3])):
            if broken:
                # Most bytes are weights; most of what can surprise is the zip's directory.
                least = structure if chance.random() < 0.7 and len(broken) > structure else 0
                broken[chance.randrange(least, len(broken))] = chance.randrange(256)
        try:
            with treadle.load(bytes(broken)) as model:
                assert model.manifest.name == "tiny-characters"
                opened += 1
        except treadle.TreadleError:
            pass
        assert list(temporary.iterdir()) == []
    assert 0 < opened < DAMAGES
