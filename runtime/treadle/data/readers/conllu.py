"""CoNLL-U, the format of Universal Dependencies, read with the package conllu (extra `data`).

See https://universaldependencies.org/format.html.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from treadle.data.examples import Tagged
from treadle.data.malformed import Malformed
from treadle.data.readers.lines import read_lines
from treadle.errors import DataError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence
    from types import ModuleType

FIELDS = 10
Column = Literal["lemma", "upos", "xpos"]
READ = ("id", "form", "lemma", "upos", "xpos")  # the package parses what is named, from the left
Lines = list[tuple[int, str]]


def read_conllu(
    path: str | os.PathLike[str],
    *,
    tags: Column = "upos",
    layers: Sequence[Column] = (),
    malformed: Malformed | None = None,
) -> Iterator[Tagged]:
    """A sentence at a time, with its syntactic words: no multiword tokens, no empty nodes.

    A word without the asked tag ("_") is malformed, and its sentence with it. Raises DataError,
    also where conllu is not installed.
    """
    malformed, path = malformed or Malformed(), Path(path)
    try:
        import conllu
    except ImportError as error:
        raise DataError(
            f"reading {path} needs conllu, which is not installed: pip install 'treadle[data]'"
        ) from error
    for sentence in _sentences(path, malformed):
        example = _tagged(conllu, path, sentence, [tags, *layers], malformed)
        if example is not None:
            yield example


def _sentences(path: Path, malformed: Malformed) -> Iterator[Lines]:
    sentence: Lines = []
    for number, line in read_lines(path, malformed):
        if line.strip():
            sentence.append((number, line))
        elif sentence:
            yield sentence
            sentence = []
    if sentence:
        yield sentence


def _tagged(
    conllu: ModuleType, path: Path, sentence: Lines, wanted: list[Column], malformed: Malformed
) -> Tagged | None:
    words = [(number, line) for number, line in sentence if not line.startswith("#")]
    for number, line in words:
        fields = line.count("\t") + 1
        if fields != FIELDS:
            malformed.found(path, number, f"expected {FIELDS} fields between tabs, got {fields}")
            return None
    if not words:
        malformed.found(path, sentence[-1][0], "expected words behind the comments, got none")
        return None
    try:
        [parsed] = conllu.parse("\n".join(line for _, line in words), fields=READ)
    except conllu.exceptions.ParseException as error:
        malformed.found(path, words[0][0], f"expected a sentence that begins here: {error}")
        return None
    # An id is an integer for a word, a tuple for a multiword token or an empty node.
    read = [
        (word, number)
        for word, (number, _) in zip(parsed, words, strict=True)
        if isinstance(word["id"], int)
    ]
    for place, (word, number) in enumerate(read, start=1):
        lacking = [name for name in wanted if word[name] in (None, "_") and name != "lemma"]
        if word["id"] != place or lacking:
            expected = f"a tag in {lacking[0]}" if lacking else f"the word with the id {place}"
            malformed.found(path, number, f"expected {expected}, got {word['form']!r}")
            return None
    tags, *layers = (tuple(str(word[name]) for word, _ in read) for name in wanted)
    return Tagged(
        tuple(str(word["form"]) for word, _ in read),
        tags,
        dict(zip(wanted[1:], layers, strict=True)),
    )
