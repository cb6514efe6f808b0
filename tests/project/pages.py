"""The blocks of a page in docs/, and running a page from its top to its end as a reader would."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from treadle.cli import run as run_command

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# An HTML comment says for a test what the text says for a reader: a block is a file, or cannot run.
BLOCK = re.compile(
    r"^(?:<!-- (?P<order>not run|file): (?P<note>.+?) -->\n+)?"
    r"(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$",
    flags=re.MULTILINE | re.DOTALL,
)
# Commands that take a second or less on a tiny bundle.
QUICK = {"adopt", "inspect", "pack", "run", "runtime", "score", "verify"}


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text without indentation, and what its comment orders."""

    language: str
    text: str
    order: str = ""
    note: str = ""


def blocks_of(page: Path) -> list[Block]:
    """All fenced blocks of a page in their order."""
    found = BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [
        Block(
            each["language"],
            re.sub(rf"^{each['indent']}", "", each["text"], flags=re.MULTILINE),
            each["order"] or "",
            each["note"] or "",
        )
        for each in found
    ]


def run_page(page: Path, folder: Path, instead: Mapping[str, str], names: dict[str, Any]) -> None:
    """Run a page in `folder`, the working directory: Python in `names`, and quick commands."""
    for block in blocks_of(page):
        text = block.text
        for theirs, ours in instead.items():
            text = text.replace(theirs, ours)
        if block.order == "file":
            (folder / block.note).write_text(text, encoding="utf-8")
        elif block.order == "" and block.language == "python":
            exec(compile(text, page.name, "exec"), names)
        elif block.order == "" and block.language == "bash":
            _run_commands(text, folder)


def _run_commands(text: str, folder: Path) -> None:
    """Run the quick commands of treadle whose bundle, or whose module, is there."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["treadle"] and words[1] in QUICK and _there(words[2], folder):
            assert not {"|", ">", "&&"} & set(words), f"no test runs {line!r}"
            assert run_command(words[1:]) == 0, line


def _there(source: str, folder: Path) -> bool:
    module = folder / f"{source.partition(':')[0]}.py"
    return (folder / source).exists() or module.exists() or source.startswith("--")
