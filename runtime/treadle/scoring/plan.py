"""What is to be answered, and in which parts: written first, and checked ever after."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import treadle
from treadle.errors import InputError
from treadle.files import write_atomically
from treadle.scoring.rows import Span, survey

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

PLAN_FILE = "plan.json"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Source:
    """A file of rows, as it was when it was surveyed."""

    path: str
    sha256: str
    bytes: int
    rows: int


@dataclass(frozen=True, slots=True)
class Part:
    """The unit of work: a span of the source of that number, answered into one file."""

    source: int
    span: Span


@dataclass(frozen=True, slots=True)
class Plan:
    """Rows in, a model, and how it answers: the same plan gives the same parts.

    bundle: its digest. column: which holds what is answered. options: of the search. rows: at most
    so many in a part.
    """

    bundle: str
    task: str
    column: str
    options: Mapping[str, Any]
    unknown: str
    rows: int
    sources: tuple[Source, ...]
    parts: tuple[Part, ...]

    def file_name(self, part: int) -> str:
        """The name of the file that holds the answers of a part."""
        width = max(5, len(str(len(self.parts) - 1)))
        return f"part-{part:0{width}}.jsonl"

    def to_json(self) -> dict[str, Any]:
        """The plan as one JSON object, with what it depends on."""
        return {"format": _FORMAT, "treadle": treadle.__version__, **asdict(self)}


def survey_all(paths: Sequence[Path], column: str, rows: int) -> tuple[Any, Any]:
    """The sources and parts of files, in their order. Raises InputError as `survey`."""
    sources, parts = [], []
    for number, path in enumerate(paths):
        found = survey(path, column, rows)
        sources.append(Source(str(path), found.sha256, found.bytes, found.rows))
        parts += [Part(number, span) for span in found.spans]
    return tuple(sources), tuple(parts)


def begin(plan: Plan, out: Path) -> None:
    """Write the plan into the directory `out`, or find the same one there.

    Raises InputError for a directory that holds something else, or answers to another plan.
    """
    text = json.dumps(plan.to_json(), indent=1) + "\n"
    path, found = out / PLAN_FILE, None
    try:
        out.mkdir(parents=True, exist_ok=True)
        if path.exists():
            found = path.read_bytes()
        elif not any(out.iterdir()):
            write_atomically(path, text.encode())
            return
    except OSError as error:
        raise InputError(f"cannot write into {out}: {error}; choose another directory") from error
    if found is None:
        raise InputError(
            f"expected an empty directory, or one with a {PLAN_FILE}, got {out}; choose another"
        )
    _check_same(found, text, out)


def _check_same(found: bytes, expected: str, out: Path) -> None:
    """That both plans say the same; only where the inputs lie may differ."""
    try:
        theirs = _without_paths(json.loads(found))
    except ValueError as error:
        raise InputError(
            f"expected a plan in {out / PLAN_FILE}, got none: {error}; choose another directory"
        ) from error
    mine = _without_paths(json.loads(expected))
    differing = [name for name in mine if mine[name] != theirs.get(name)]
    if differing:
        raise InputError(
            f"{out} holds answers to another plan: {', '.join(differing)} "
            f"{'differs' if len(differing) == 1 else 'differ'}; choose another directory, or ask "
            "again as then"
        )


def _without_paths(document: Any) -> dict[str, Any]:
    if not isinstance(document, dict):
        return {}
    sources = [{**source, "path": None} for source in document.get("sources", [])]
    return {**document, "sources": sources}
