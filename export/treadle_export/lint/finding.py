"""What a check is, what it finds, and the report of one file."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from treadle_export.lint.subject import Subject

Severity = Literal["error", "warning", "note"]

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""The worst first: it fails or answers wrongly; costs speed, size or streaming; is good to know."""

FAILING: tuple[Severity, ...] = ("error", "warning")
"""With one of these the command exits with 1."""


@dataclass(frozen=True, slots=True)
class Found:
    """One place where a check found something; `node` is None when it concerns the whole file."""

    severity: Severity
    message: str
    node: str | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One question asked of a file.

    name: stable, for programs that read the report.
    looks_for: what is wrong, in a phrase.
    costs, mend: what follows from it, and what to do; the same wherever it is found.
    severities: those that `find` may give.
    """

    name: str
    looks_for: str
    costs: str
    mend: str
    severities: tuple[Severity, ...]
    find: Callable[[Subject], Iterable[Found]]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found, told in full."""

    check: str
    severity: Severity
    node: str | None
    message: str
    costs: str
    mend: str


@dataclass(frozen=True, slots=True)
class Report:
    """Everything found in one file, the worst first, and how many recurrent nodes it has."""

    file: str
    findings: tuple[Finding, ...]
    recurrent_layers: int

    @property
    def passed(self) -> bool:
        """Whether there are at most notes."""
        return not any(finding.severity in FAILING for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """A document: `file`, `findings`, `recurrent_layers`."""
        return {
            "file": self.file,
            "findings": [asdict(finding) for finding in self.findings],
            "recurrent_layers": self.recurrent_layers,
        }
