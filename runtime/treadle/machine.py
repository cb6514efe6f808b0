"""Which machine figures were measured on, and what else it was doing."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from treadle.errors import InputError
from treadle.plan import cores
from treadle.session import load_engine

FLAGS = (
    *("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8"),  # x86
    *("asimd", "asimddp", "i8mm", "bf16", "sve", "sve2"),  # Arm
)
"""What a processor can do that products of small numbers are faster with, as Linux names it."""
BUSY = 0.25
"""A load above this many processors is other work that figures show."""

_CPUINFO = Path("/proc/cpuinfo")
_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


@dataclass(frozen=True, slots=True)
class Machine:
    """kind: its architecture, as `platform.machine` names it; engine: version of onnxruntime."""

    kind: str
    processor: str
    cores: int
    system: str
    engine: str

    def to_json(self) -> dict[str, Any]:
        """All of it as one JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: object) -> Machine:
        """The machine in a JSON object. Raises InputError when it is none."""
        names = [field.name for field in fields(cls)]
        if not isinstance(document, dict) or not set(names) <= set(document):
            raise InputError(f"expected a machine with {', '.join(names)}, got {document!r}")
        return cls(**{name: document[name] for name in names})


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the machine can do and does, beside what is measured.

    flags: those of FLAGS that its processor has. governor: of its clock, None where the system
    does not say. load: processes that ran or waited to, over the last minute; None likewise.
    """

    flags: tuple[str, ...]
    governor: str | None
    load: float | None

    def to_json(self) -> dict[str, Any]:
        """All of it as one JSON object, with its warnings."""
        return {**asdict(self), "flags": list(self.flags), "warnings": self.warnings()}

    def warnings(self) -> list[str]:
        """What makes figures worse than the model is, in words."""
        found = []
        if self.load is not None and self.load > BUSY:
            found.append(
                f"the load is {self.load:.2f}: other work runs, and the slowest calls may be its"
            )
        if self.governor not in (None, "performance"):
            found.append(
                f"the clock's governor is {self.governor!r}: short bursts of work run slower than "
                "long ones; choose 'performance' while you measure"
            )
        return found


def this_machine() -> Machine:
    """The one that this runs on, with the processors that this process may use."""
    return Machine(
        kind=platform.machine(),
        processor=_told("model name", "Model") or platform.processor() or platform.machine(),
        cores=cores(),
        system=platform.system(),
        engine=load_engine().__version__,
    )


def conditions() -> Conditions:
    """Those of now; what a system does not tell is left open."""
    told = {*_told("flags", "Features").split()}
    governor = _GOVERNOR.read_text().strip() if _GOVERNOR.exists() else None
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None  # not on Windows
    return Conditions(tuple(flag for flag in FLAGS if flag in told), governor, load)


def _told(*names: str) -> str:
    """What Linux says of the first processor under one of `names`; "" where it says nothing."""
    if not _CPUINFO.exists():
        return ""
    for line in _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in names:
            return value.strip()
    return ""
