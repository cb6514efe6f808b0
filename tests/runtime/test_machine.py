"""What is known of a machine, and when it is no place to measure on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from treadle import machine
from treadle.errors import InputError
from treadle.machine import BUSY, Conditions, Machine, conditions, this_machine

if TYPE_CHECKING:
    from pathlib import Path


def test_a_machine_survives_json() -> None:
    here = this_machine()
    assert Machine.from_json(json.loads(json.dumps(here.to_json()))) == here
    assert here.cores >= 1
    with pytest.raises(InputError, match="expected a machine with kind, processor, cores"):
        Machine.from_json({"kind": "x86_64"})


def test_what_the_system_tells(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = "processor\t: 0\nmodel name\t: A fast one\nflags\t\t: fpu avx2 avx512_vnni\n\n"
    (tmp_path / "cpuinfo").write_text(told)
    (tmp_path / "governor").write_text("powersave\n")
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(machine, "_GOVERNOR", tmp_path / "governor")
    now = conditions()
    assert this_machine().processor == "A fast one"
    assert (now.flags, now.governor) == (("avx2", "avx512_vnni"), "powersave")
    assert any("'powersave'" in warning for warning in now.to_json()["warnings"])
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "none")
    monkeypatch.setattr(machine, "_GOVERNOR", tmp_path / "none")
    assert (conditions().flags, conditions().governor) == ((), None)
    assert this_machine().processor


@pytest.mark.parametrize(
    ("load", "warned"), [(None, False), (0.0, False), (BUSY, False), (BUSY + 0.01, True)]
)
def test_other_work_is_warned_of(load: float | None, warned: bool) -> None:
    assert ("other work runs" in " ".join(Conditions((), "performance", load).warnings())) == warned
