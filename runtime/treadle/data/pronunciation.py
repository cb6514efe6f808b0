"""The CMU Pronouncing Dictionary: words with every distinct way to say them, in its order.

Stress marks are left out.
"""

from __future__ import annotations

import functools
import hashlib
import random
import re
from typing import TYPE_CHECKING

from treadle.data.dataset import Dataset
from treadle.data.examples import Pair
from treadle.data.registry import CMUDICT, locate
from treadle.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_VARIANT = re.compile(r"\(\d+\)$")  # "tomato(2)" lists a further pronunciation of "tomato"
_STRESS = "0123456789"


def open_cmudict(*, seed: int = 0) -> Dataset[list[Pair]]:
    """All words of the dictionary, split 90/5/5 by word.

    The published figures' split is not known, so this one is fixed here: words sorted, shuffled
    by `random.Random(seed)`; the first twentieth is the test split, the next the validation
    split. All pronunciations of a word stay in one split. Raises DataError.
    """
    path = locate(CMUDICT)
    with path.open(encoding="utf-8") as lines:
        entries = read_dictionary(lines, path)
    words = sorted(entries)
    random.Random(seed).shuffle(words)
    examples = [Pair(word, entries[word]) for word in words]
    share = len(examples) // 20
    splits = {
        "train": examples[2 * share :],
        "validation": examples[share : 2 * share],
        "test": examples[:share],
    }
    return Dataset(
        name="cmudict",
        options={"seed": seed},
        licence=CMUDICT.licence,
        source=CMUDICT.home,
        digest=digest_of_words(splits.values()),
        splits=splits,
    )


def read_dictionary(lines: Iterable[str], path: Path) -> dict[str, tuple[tuple[str, ...], ...]]:
    """Lower-cased word -> distinct pronunciations; raises DataError with file and line.

    A line is `word PHONE PHONE …`, a phone may end in a stress digit, `#` starts a comment.
    """
    entries: dict[str, dict[tuple[str, ...], None]] = {}
    for number, line in enumerate(lines, start=1):
        fields = line.partition("#")[0].split()
        if not fields:
            continue
        if len(fields) == 1:
            raise DataError(
                f"{path}:{number}: expected a word and its phones, got {line.strip()!r}"
            )
        word = _VARIANT.sub("", fields[0]).lower()
        phones = tuple(map(_without_stress, fields[1:]))
        entries.setdefault(word, {})[phones] = None
    return {word: tuple(pronunciations) for word, pronunciations in entries.items()}


@functools.cache  # a million phones, 69 different ones: each made once and shared
def _without_stress(phone: str) -> str:
    return phone.rstrip(_STRESS)


def digest_of_words(splits: Iterable[Sequence[Pair]]) -> str:
    """The digest of splits of words in their order."""
    digest = hashlib.sha256()
    for examples in splits:
        digest.update(f"{len(examples)}\n".encode())
        for example in examples:
            digest.update(f"{example.inputs}\t{'|'.join(example.answers)}\n".encode())
    return f"sha256:{digest.hexdigest()}"
