"""Universal Dependencies English EWT: sentences of the web with parts of speech."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from treadle.data.dataset import Dataset, digest_of
from treadle.data.readers.conllu import read_conllu
from treadle.data.registry import locate, sources

if TYPE_CHECKING:
    from treadle.data.examples import Tagged

# The branch holds the latest release; one with other annotations is refused by its digest.
UD_ENGLISH_EWT = sources(
    "ud-english-ewt",
    {
        "train": (
            "en_ewt-ud-train.conllu",
            14_203_025,
            "3fb78e2b55482c8ee00caa653af436c88c9e5bc9a73ce26e4ae3ddc79d2b7e7b",
        ),
        "validation": (
            "en_ewt-ud-dev.conllu",
            1_805_545,
            "531a54ff90d6ab12201c5a50c3e78e6ddac4de69abc4bce5d275d3cd29efe2b6",
        ),
        "test": (
            "en_ewt-ud-test.conllu",
            1_804_515,
            "e266e515a0a7547657ed3d90d9ba46487d6bd251f27ad4269d4e8a427c8555cd",
        ),
    },
    licence="CC BY-SA 4.0",
    home="https://github.com/UniversalDependencies/UD_English-EWT",
    base="https://raw.githubusercontent.com/UniversalDependencies/UD_English-EWT/master",
)


def open_ud_english_ewt(*, tags: Literal["upos", "xpos"] = "upos") -> Dataset[list[Tagged]]:
    """Sentences of gold tokens with universal ("upos") or Penn ("xpos") parts of speech.

    Split as published: 12,544/2,001/2,077 sentences. Silveira and others, "A Gold Standard
    Dependency Corpus for English", LREC 2014. Raises DataError.
    """
    splits = {
        split: list(read_conllu(locate(source), tags=tags))
        for split, source in UD_ENGLISH_EWT.items()
    }
    source = UD_ENGLISH_EWT["train"]
    return Dataset(
        name="ud-english-ewt",
        options={"tags": tags},
        licence=source.licence,
        source=source.home,
        digest=digest_of(splits),
        splits=splits,
    )
