"""One model and what one check should say of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from onnx import ModelProto

    from treadle_export.lint.finding import Severity


@dataclass(frozen=True, slots=True)
class Case:
    """`make` gives the model; `severity` is None where the check has nothing to find.

    says: what the messages must hold, all of them together.
    """

    check: str
    what: str
    make: Callable[[], ModelProto]
    severity: Severity | None = None
    says: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.check}: {self.what}"
