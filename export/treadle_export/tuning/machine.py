"""Which machine figures were measured on."""

import platform
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import onnxruntime

from treadle.errors import ExportError
from treadle.plan import cores


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
    def from_json(cls, document: object) -> "Machine":
        """The machine in a JSON object.

        Raises:
            ExportError: it is none.
        """
        names = [field.name for field in fields(cls)]
        if not isinstance(document, dict) or not set(names) <= set(document):
            raise ExportError(f"expected a machine with {', '.join(names)}, got {document!r}")
        return cls(**{name: document[name] for name in names})


def this_machine() -> Machine:
    """The one that this runs on, with the processors that this process may use."""
    return Machine(
        kind=platform.machine(),
        processor=_processor(),
        cores=cores(),
        system=platform.system(),
        engine=onnxruntime.__version__,
    )


def _processor() -> str:
    """Its name, e.g. as Linux tells it; Python itself knows it on few systems."""
    described = Path("/proc/cpuinfo")
    if described.exists():
        for line in described.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() in ("model name", "Model"):
                return value.strip()
    return platform.processor() or platform.machine()
