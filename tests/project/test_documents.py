"""What the documents tell a reader to type exists, and what they link to is there."""

import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest

import treadle
import treadle.errors
from tests.project.pages import blocks_of
from tests.project.repository import ROOMS, ROOT, documents, project
from treadle.cli import cli

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
EVERY_DOCUMENT = pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)


def blocks(path: Path, language: str) -> list[str]:
    return [block.text for block in blocks_of(path) if block.language == language]


def commands(path: Path) -> list[list[str]]:
    """The words of every command in the document's shell blocks, those in pipes apart."""
    whole = [text.replace("\\\n", " ") for text in blocks(path, "bash")]
    lines = [line for text in whole for line in text.splitlines()]
    split = [shlex.split(part, comments=True) for line in lines for part in line.split("|")]
    return [words for words in split if words]


def check_treadle(arguments: list[str]) -> None:
    name, *rest = arguments
    command = cli.get_command(click.Context(cli), name)
    assert command is not None, f"treadle has no command {name}"
    if isinstance(command, click.Group):
        name, *rest = rest
        inner = command.commands.get(name)
        assert inner is not None, f"treadle {command.name} has no command {name}"
        command = inner
    known = {option for parameter in command.params for option in parameter.opts}
    unknown = [word for word in rest if word.startswith("-") and word not in known]
    assert unknown == [], f"treadle {name} has no option {unknown}"


def check_torchrun(arguments: list[str]) -> None:
    module, *rest = arguments[arguments.index("-m") + 1 :]
    assert module == "treadle"
    check_treadle(rest)


def check_make(arguments: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][a-z0-9 -]*):", makefile, flags=re.MULTILINE))
    known = {name for names in targets for name in names.split()}
    assert {word for word in arguments if "=" not in word} <= known


def check_pip(arguments: list[str]) -> None:
    assert arguments[0] == "install"
    extras: dict[str, Any] = project()["project"]["optional-dependencies"]
    for requirement in arguments[1:]:
        named = re.fullmatch(r"treadle(?:\[([a-z,]+)\])?", requirement)
        assert named, f"pip install {requirement} is not of this project"
        assert set((named[1] or "cpu").split(",")) <= set(extras)


def check_python(arguments: list[str]) -> None:
    assert (ROOT / arguments[0]).is_file(), f"there is no {arguments[0]}"


CHECKS = {
    "python": check_python,
    "treadle": check_treadle,
    "torchrun": check_torchrun,
    "make": check_make,
    "pip": check_pip,
}


@EVERY_DOCUMENT
def test_commands_in_documents_exist(path: Path) -> None:
    for program, *arguments in commands(path):
        if program in CHECKS:
            CHECKS[program](arguments)
        else:
            known = {"echo", "tritonserver"}
            assert program in known, f"{path.name} shows {program}, which no test knows"


def test_the_readme_begins_with_the_two_commands() -> None:
    assert commands(ROOT / "README.md")[:2] == [["make", "demo"], ["make", "test"]]


@EVERY_DOCUMENT
def test_python_in_documents_is_python(path: Path) -> None:
    for text in blocks(path, "python"):
        compile(text, path.name, "exec")


@EVERY_DOCUMENT
def test_links_in_documents_lead_somewhere(path: Path) -> None:
    links = LINK.findall(path.read_text(encoding="utf-8"))
    local = [link.partition("#")[0] for link in links if not link.startswith(("http", "#"))]
    assert [link for link in local if not (path.parent / link).exists()] == []


def test_makefile_names_every_target_that_is_no_file() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, flags=re.MULTILINE)
    assert phony is not None
    assert {"demo", "test", "test-full", "bench", "lint", "docs", "clean"} <= set(phony[1].split())


def test_continuous_integration_calls_make_test() -> None:
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert re.search(r"^make test\b", script, flags=re.MULTILINE)
    workflow = (ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8")
    assert ".ci/run" in workflow


def test_the_architecture_names_every_file_and_only_those() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(\w+(?:\.py|/))`", text))
    there = {
        path.name + ("/" if path.is_dir() else "")
        for room in ROOMS.values()
        for path in room.iterdir()
        if path.suffix == ".py" or any(path.glob("*.py"))
    }
    unimportant = {"__init__.py", "__main__.py"}
    assert there - named - unimportant == set()
    assert {name for name in named if name.endswith(".py")} - files_of_rooms() == set()


def files_of_rooms() -> set[str]:
    """The name of every Python file in the three rooms."""
    return {path.name for room in ROOMS.values() for path in room.rglob("*.py")}


def test_the_reference_shows_every_public_name() -> None:
    text = (ROOT / "docs/reference.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"^::: treadle\.(\w+)$", text, re.MULTILINE))
    errors = {name for name in treadle.__all__ if name in vars(treadle.errors)}
    assert "errors" in shown
    assert set(treadle.__all__) - errors - {"__version__"} <= shown
    assert all(hasattr(treadle, name) for name in shown - {"errors", "decoding"})
