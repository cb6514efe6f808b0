"""Plan files: exceptions by weight, written by hand, or all that tuning chose, to be used again.

A tuned plan is a JSON object with `"format": "treadle-plan/1"`, `precision`, `settings`, `weights`
(exceptions by weight) and, for whoever reads it, `machine` and `workloads`. Any other object of
strings holds exceptions alone.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from treadle.errors import ExportError, InputError
from treadle.files import write_atomically
from treadle.machine import Machine
from treadle_export.quantization.precision import precision_named
from treadle_export.quantization.settings import Settings
from treadle_export.quantization.weight_plan import exceptions_of

FORMAT = "treadle-plan/1"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a plan file says.

    exceptions: pattern of a weight's name -> precision. The others are None in a file of exceptions
    alone. machine: where it was tuned; workloads: for what, with the latencies found there.
    """

    exceptions: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    precision: str | None = None
    settings: Settings | None = None
    machine: Machine | None = None
    workloads: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def write(self, path: Path) -> None:
        """Writes the plan, whole or not at all.

        Raises:
            ExportError: the file cannot be written.
        """
        document = {
            "format": FORMAT,
            "precision": self.precision,
            "settings": None if self.settings is None else self.settings.to_json(),
            "weights": dict(self.exceptions),
            "machine": None if self.machine is None else self.machine.to_json(),
            "workloads": dict(self.workloads),
        }
        try:
            write_atomically(path, (json.dumps(document, indent=1) + "\n").encode())
        except OSError as error:
            raise ExportError(f"cannot write the plan {path}: {error}") from error

    def foreign_to(self, here: Machine) -> str | None:
        """A note where the plan was tuned on a machine of another kind, else None."""
        if self.machine is None or self.machine.kind == here.kind:
            return None
        return (
            f"note: the plan was tuned on {self.machine.kind} ({self.machine.processor}), and this "
            f"is {here.kind} ({here.processor}): what was fastest there need not be here; --tune "
            f"finds out"
        )


def read_plan(path: Path) -> Plan:
    """Reads either kind of plan file.

    Raises:
        ExportError: the file cannot be read, is of a later format, or says what no plan can.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ExportError(f"cannot read the plan {path}: {error}") from error
    kind = document.get("format") if isinstance(document, dict) else None
    if kind is None or not str(kind).startswith(FORMAT.partition("/")[0]):
        return Plan(exceptions_of(document, path))
    if kind != FORMAT:
        raise ExportError(
            f"expected a plan of the format {FORMAT!r} in {path}, got {kind!r}; update treadle: "
            f"pip install --upgrade treadle"
        )
    return _tuned(document, path)


def _machine(document: object, path: Path) -> Machine:
    try:
        return Machine.from_json(document)
    except InputError as error:
        raise ExportError(f"the plan {path} does not say where it was made: {error}") from error


def _tuned(document: Mapping[str, Any], path: Path) -> Plan:
    parts: dict[str, Any] = {name: document.get(name) or {} for name in ("settings", "workloads")}
    for name, part in parts.items():
        if not isinstance(part, dict):
            raise ExportError(f"expected {name} in the plan {path} to be an object, got {part!r}")
    precision = precision_named(str(document.get("precision")))
    machine = document.get("machine")
    return Plan(
        exceptions=exceptions_of(document.get("weights") or {}, path),
        precision=precision.name,
        settings=Settings.from_json(parts["settings"], precision),
        machine=None if machine is None else _machine(machine, path),
        workloads=parts["workloads"],
    )
