"""Complete text in a terminal while it is typed.

usage: typeahead.py BUNDLE [--longest N]

BUNDLE is a language model over characters, `build/demo/characters-int8.treadle` for one. What it
expects of the word stands dim behind the cursor. Tab takes it, Backspace takes a character back,
Enter ends a line, Ctrl-D ends the program. Needs a terminal of Linux or macOS.
"""

from __future__ import annotations

import argparse
import codecs
import os
import sys
import termios
import tty
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

import treadle

if TYPE_CHECKING:
    from collections.abc import Iterator

BACKSPACE, TAB, ENTER, END = "\x7f\b", "\t", "\r\n", "\x04"
DIM, PLAIN, CLEAR, LEFT, BELL = "\x1b[2m", "\x1b[0m", "\r\x1b[K", "\x1b[{}D", "\a"


class Line:
    """A line as it is typed: its state is one step ahead of every character."""

    def __init__(self, model: treadle.LanguageModel, longest: int) -> None:
        self.symbols = model.vocabularies["symbols"]
        self.longest = longest
        self.stream = model.stream(history=1000)  # how many characters can be taken back
        self.text = ""
        # What the model expects after the start, and after each character.
        self.expected = [self.stream.step(np.array([model.manifest.decoding["start"]]))]

    def type(self, text: str) -> None:
        """Go on by `text`. Raises InputError, and stays, where the model knows no such symbol."""
        for symbol in self.symbols.encode(text):
            self.expected.append(self.stream.step(np.array([symbol])))
        self.text += text

    def erase(self) -> bool:
        """Take one character back; False where there is none."""
        if self.text:
            self.stream.rewind(1)
            self.expected.pop()
            self.text = self.text[:-1]
            return True
        return False

    def end(self) -> None:
        """Begin the next line; the model remembers this one."""
        if "\n" in self.symbols.symbols:
            self.type("\n")
        self.text, self.expected = "", self.expected[-1:]

    def suggestion(self) -> str:
        """The likeliest rest of the word, read on by a stream that forks off here."""
        rest, logits = "", self.expected[-1]
        with closing(self.stream.fork()) as ahead:
            while len(rest) < self.longest:
                symbol = logits.argmax(-1)
                character = "".join(self.symbols.decode(symbol.tolist()))
                if not character.isalnum():
                    return rest
                rest += character
                logits = ahead.step(symbol)
        return rest


@contextmanager
def keys() -> Iterator[Iterator[str]]:
    """Characters as they are typed, without waiting for the end of a line."""
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def read() -> Iterator[str]:
        while content := os.read(terminal, 64):
            yield from decoder.decode(content)

    tty.setcbreak(terminal)
    try:
        yield read()
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def show(line: Line, suggestion: str) -> None:
    """The line, with the suggestion behind the cursor."""
    back = LEFT.format(len(suggestion)) if suggestion else ""
    print(f"{CLEAR}{line.text}{DIM}{suggestion}{PLAIN}{back}", end="", flush=True)


def answer(line: Line, key: str, suggestion: str) -> bool:
    """Do what a key asks for; False for one that asks for nothing that can be done."""
    if key in BACKSPACE:
        return line.erase()
    if key in ENTER:
        print(f"{CLEAR}{line.text}")
        line.end()
        return True
    try:
        line.type(suggestion if key == TAB else key)
    except treadle.InputError:
        return False
    return True


def main(arguments: list[str] | None = None) -> int:
    """Read keys until the end."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bundle")
    parser.add_argument("--longest", type=int, default=20, help="characters of a suggestion")
    asked = parser.parse_args(arguments)
    model: Any
    with treadle.load(asked.bundle) as model, keys() as typed:
        line = Line(model, asked.longest)
        show(line, suggestion := line.suggestion())
        for key in typed:
            if key == END:
                break
            if not answer(line, key, suggestion):
                print(BELL, end="")
            show(line, suggestion := line.suggestion())
    print()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
