"""English words and how they sound in IPA: the high-resource data of SIGMORPHON 2021, task 1."""

from __future__ import annotations

from treadle.data.dataset import Dataset
from treadle.data.examples import Pair
from treadle.data.malformed import Malformed
from treadle.data.pronunciation import digest_of_words
from treadle.data.readers.lines import read_lines
from treadle.data.registry import locate, sources

SIGMORPHON = sources(
    "sigmorphon2021",
    {
        "train": (
            "eng_us_train.tsv",
            855_780,
            "bbe76f57ee799ef9094b1ed1fecf8861e754ac57c6aa4db7d5b18892c5401f7f",
        ),
        "validation": (
            "eng_us_dev.tsv",
            107_622,
            "dcce99504c5f8a00ebf13499aa4d4c2b7fc37614b65127c98aa871855e77080e",
        ),
        "test": (
            "eng_us_test.tsv",
            107_213,
            "726192932a69a7197348ee64898613e94968234ce426cfc67d984baf5ddd317c",
        ),
    },
    licence="CC BY-SA 3.0 (Wiktionary, by WikiPron)",
    home="https://github.com/sigmorphon/2021-task1",
    base="https://raw.githubusercontent.com/sigmorphon/2021-task1/main/data/high",
)


def open_sigmorphon() -> Dataset[list[Pair]]:
    """Words with one pronunciation each, split as published: 33,344/4,168/4,168.

    Raises DataError.
    """
    splits: dict[str, list[Pair]] = {}
    for split, source in SIGMORPHON.items():
        path, malformed = locate(source), Malformed()
        splits[split] = []
        for number, line in read_lines(path):
            word, tab, said = line.partition("\t")
            if not word or not tab or not said.split():
                malformed.found(path, number, f"expected WORD, a tab and phones, got {line!r}")
            splits[split].append(Pair(word, (tuple(said.split()),)))
    source = SIGMORPHON["train"]
    return Dataset(
        name="sigmorphon2021",
        options={},
        licence=source.licence,
        source=source.home,
        digest=digest_of_words(splits.values()),
        splits=splits,
    )
