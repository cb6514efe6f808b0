"""The example that completes text, driven through a pseudo-terminal as a person would."""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

import treadle
from tests.project.repository import ROOT
from tests.runtime.tiny_bundles import write_language_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pty = pytest.importorskip("pty", reason="a pseudo-terminal needs Linux or macOS")

PROGRAM = ROOT / "examples" / "typeahead.py"
PATIENCE = 60.0
LONGEST = 5
SHOWN = re.compile(r"\r\x1b\[K([^\x1b]*)\x1b\[2m([^\x1b]*)\x1b\[0m")
"""The line, and the suggestion."""


class Terminal:
    """A program at a terminal: what is typed, and what it shows."""

    def __init__(self, bundle: Path) -> None:
        self.control, terminal = pty.openpty()
        command = [sys.executable, str(PROGRAM), str(bundle), "--longest", str(LONGEST)]
        self.process = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal)
        os.close(terminal)
        self.output = ""

    def type(self, keys: str) -> None:
        os.write(self.control, keys.encode())

    def sees(self, line: str) -> str:
        """The suggestion, once the line is shown with one."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            shown = SHOWN.findall(self.output)
            if shown and shown[-1][0] == line:
                return str(shown[-1][1])
            if select.select([self.control], [], [], 0.1)[0]:
                self.output += os.read(self.control, 4096).decode()
        raise AssertionError(f"expected the line {line!r}, got {self.output!r}")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_language_model(tmp_path)


@pytest.fixture
def terminal(bundle: Path) -> Iterator[Terminal]:
    made = Terminal(bundle)
    yield made
    made.process.kill()
    made.process.wait()
    os.close(made.control)


def expected(bundle: Path, text: str) -> str:
    """The rest of the word, by a stream that never forked."""
    with treadle.load(bundle) as model:
        symbols = model.vocabularies["symbols"]
        ids = [model.manifest.decoding["start"], *symbols.encode(text)]
        stream, rest = model.stream(), ""
        logits = stream.feed(np.array([ids]))
        while len(rest) < LONGEST and symbols.symbols[int(logits.argmax())].isalnum():
            rest += symbols.symbols[int(logits.argmax())]
            logits = stream.step(logits.argmax(-1))
        return rest


def test_typing_erasing_and_taking_what_is_suggested(terminal: Terminal, bundle: Path) -> None:
    first = terminal.sees("")
    assert first == expected(bundle, "")
    terminal.type("ab")
    assert terminal.sees("ab") == expected(bundle, "ab")
    terminal.type("h\x7f")
    assert terminal.sees("ab") == expected(bundle, "ab")
    terminal.type("\x7f\x7f\x7f\x7f")  # twice too often
    assert terminal.sees("") == first
    text = next(letter for letter in "abcdefgh" if expected(bundle, letter))
    terminal.type(text + "\t")
    text += expected(bundle, text)
    assert terminal.sees(text) == expected(bundle, text)
    terminal.type("\n")
    assert terminal.sees("") == expected(bundle, text + "\n")
    terminal.type("Zc")  # the model knows no Z
    assert terminal.sees("c") == expected(bundle, text + "\nc")
    assert "\a" in terminal.output
    terminal.type("\x04")
    assert terminal.process.wait(PATIENCE) == 0


def test_the_terminal_is_as_it_was_after_ctrl_c(terminal: Terminal) -> None:
    import termios

    before = termios.tcgetattr(terminal.control)
    terminal.sees("")
    assert termios.tcgetattr(terminal.control) != before
    terminal.process.send_signal(2)
    assert terminal.process.wait(PATIENCE) == 130
    assert termios.tcgetattr(terminal.control) == before
