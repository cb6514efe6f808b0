"""Answers parts of a plan with a model that stays open: what a process of either engine does."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from treadle.errors import BundleError, InputError
from treadle.files import whole_file
from treadle.loading import load
from treadle.scoring.answers import answers_to
from treadle.scoring.rows import Malformed, Row, read_span

if TYPE_CHECKING:
    from treadle.scoring.answers import Answer
    from treadle.scoring.plan import Plan


@dataclass(frozen=True, slots=True)
class Work:
    """What a worker is told: a plan, and where bundle and answers lie for it."""

    plan: Plan
    bundle: str
    out: str
    device: str
    threads: int | None


class Worker:
    """Keeps one model open, and answers parts with it, one after another."""

    def __init__(self, work: Work) -> None:
        unknown = cast("Literal['error', 'symbol']", work.plan.unknown)
        self.work = work
        self.model = load(work.bundle, device=work.device, threads=work.threads, unknown=unknown)
        if self.model.manifest.digest != work.plan.bundle:
            raise BundleError(
                f"expected the bundle {work.plan.bundle} in {work.bundle}, got "
                f"{self.model.manifest.digest}; it has changed since the plan was made"
            )

    def answer(self, part: int) -> int:
        """Write the answers of a part, unless they are there; its number.

        Raises InputError when its rows have changed or its file cannot be written.
        """
        target = Path(self.work.out) / self.work.plan.file_name(part)
        if not target.exists():
            content = b"".join(map(_line, self._answers(part)))
            try:
                with whole_file(target) as file:
                    file.write(content)
            except OSError as error:
                raise InputError(f"cannot write {target}: {error}") from error
        return part

    def _answers(self, part: int) -> list[Answer]:
        plan = self.work.plan
        planned = plan.parts[part]
        source = plan.sources[planned.source]
        path, column = Path(source.path), plan.column
        rows = list(read_span(path, planned.span, source.bytes))

        def value_of(row: Row | Malformed) -> Any:
            return None if isinstance(row, Malformed) else row.get(column)

        before = sum(one.rows for one in plan.sources[: planned.source])
        values = [value for value in map(value_of, rows) if value is not None]
        answers = iter(
            answers_to(self.model, values, plan.options, first=before + planned.span.first)
        )
        return [
            _unanswered(row, column) if value_of(row) is None else {**next(answers), "input": row}
            for row in rows
        ]


def _unanswered(row: Row | Malformed, column: str) -> Answer:
    if isinstance(row, Malformed):
        return {"error": row.error, "input": row.text}
    return {"error": f"expected a value in the column {column!r}, got none", "input": row}


def _line(answer: Answer) -> bytes:
    """One line of JSON; what JSON lacks is null (not finite) or its text (times, bytes)."""
    text = json.dumps(_finite(answer), ensure_ascii=False, default=str)
    # Half a surrogate pair, which has no bytes in UTF-8, is written as JSON escapes it.
    return text.encode("utf-8", "backslashreplace") + b"\n"


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value
