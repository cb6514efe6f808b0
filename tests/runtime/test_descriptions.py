"""Control files, and the descriptions of packages in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from treadle.data import Pair, open_dataset
from treadle.data.malformed import Malformed
from treadle.data.readers.control import read_control
from treadle.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

RECORDS = """\
Package: {name}-doc
Source: {name} (1.2)
Description-en: manual of
 {name}
Description-md5: 0

Package: {name}
Description-en: the tool {name}
 {name} reads text
 .
  * and more:   much

"""


def written(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_control_file_gives_records_with_their_lines(tmp_path: Path) -> None:
    path = written(tmp_path / "control", "\nA: 1\nLong: x\n y\n  z\n\n\nB:2\n")
    assert list(read_control(path)) == [
        (2, {"a": "1", "long": "x\ny\n z"}),
        (8, {"b": "2"}),
    ]


def test_a_line_that_is_no_field_is_named_or_left_out(tmp_path: Path) -> None:
    path = written(tmp_path / "control", "A: 1\nnonsense\n\n gone on\n\nB: 2\n")
    with pytest.raises(DataError, match=r"control:2: expected a field `Name: value`, got 'nonsen"):
        list(read_control(path))
    malformed = Malformed("skip")
    assert list(read_control(path, malformed=malformed)) == [(6, {"b": "2"})]
    assert malformed.count == 2


def test_packages_of_one_source_stay_in_one_split(tmp_path: Path) -> None:
    names = [f"tool{index}" for index in range(20)]
    path = written(tmp_path / "list", "".join(RECORDS.format(name=name) for name in names))
    dataset = open_dataset("package-descriptions", {"path": path})
    assert [len(part) for part in dataset.splits.values()] == [32, 4, 4]
    splits = dataset.splits.items()
    found = {name: {pair.inputs.split()[0] for pair in pairs} for name, pairs in splits}
    assert set.union(*found.values()) == set(names)
    assert not found["train"] & found["test"]
    assert not found["validation"] & found["test"]
    one = open_dataset("package-descriptions", {"path": path, "packages": "one", "words": 4})
    assert Pair("tool3 reads text *", ("the tool tool3",)) in one.split("train")
    assert sum(map(len, one.splits.values())) == len(names)
    assert one.digest != dataset.digest
    assert open_dataset("package-descriptions", {"path": path}).digest == dataset.digest


def test_a_list_without_long_descriptions_says_how_to_save_one(tmp_path: Path) -> None:
    path = written(tmp_path / "list", "Package: a\nDescription: short\n")
    with pytest.raises(DataError, match=r"got 1 without; .* xargs apt-cache show"):
        open_dataset("package-descriptions", {"path": path})


def test_a_record_of_no_package_is_malformed(tmp_path: Path) -> None:
    text = "".join(RECORDS.format(name=name) for name in "abcdefghijkl") + "Version: 1\n"
    path = written(tmp_path / "list", text)
    with pytest.raises(DataError, match="expected a package, got version"):
        open_dataset("package-descriptions", {"path": path})
    skipping = {"path": path, "malformed": "skip"}
    assert open_dataset("package-descriptions", skipping).skipped == 1
