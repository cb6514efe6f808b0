"""The project speaks of itself alone: nothing of the machine or the people it was written on."""

import re
import tempfile
from pathlib import Path

from tests.project.repository import ROOT, project_files

# Put together here, so that this file does not hold what it looks for.
FOREIGN_WORDS = [
    "a" + "gents?",
    "co" + "pilot",
    "chat" + "bot",
    "iss" + r"ue #?\d+",
    "work" + "place",
    "this " + "session of",
]


def machine_paths() -> list[str]:
    """Folders of this machine that a shared file has no reason to name."""
    folders = {ROOT, ROOT.parent, Path.home(), Path(tempfile.gettempdir()).resolve()}
    return [re.escape(str(folder)) + r"(?=/|\b)" for folder in folders if len(folder.parts) > 1]


def test_no_file_names_a_path_of_this_machine() -> None:
    pattern = re.compile(r"(?<![\w./-])(" + "|".join(machine_paths()) + ")")
    assert mentions(pattern) == []


def test_no_file_speaks_of_anything_but_the_project() -> None:
    pattern = re.compile(r"\b(" + "|".join(FOREIGN_WORDS) + r")\b", flags=re.IGNORECASE)
    assert mentions(pattern) == []


def mentions(pattern: re.Pattern[str]) -> list[str]:
    """file:line of every place in a text file that the pattern matches."""
    found = []
    for path in project_files():
        content = path.read_bytes()
        if b"\0" in content:
            continue
        lines = content.decode("utf-8").splitlines()
        found += [
            f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
            for number, line in enumerate(lines, start=1)
            if pattern.search(line)
        ]
    return found


def test_every_text_file_ends_its_last_line() -> None:
    unfinished = [
        str(path.relative_to(ROOT))
        for path in project_files()
        if (content := path.read_bytes()) and b"\0" not in content and not content.endswith(b"\n")
    ]
    assert unfinished == []
