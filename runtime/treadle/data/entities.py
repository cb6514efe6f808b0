"""WNUT 2017: sentences of the web with entities that are new, in the scheme BIO."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.data.dataset import Dataset, digest_of
from treadle.data.readers.columns import read_columns
from treadle.data.registry import locate, sources

if TYPE_CHECKING:
    from treadle.data.examples import Tagged

WNUT17 = sources(
    "wnut17",
    {
        "train": (
            "wnut17train.conll",
            493_781,
            "731820e13f71af324c6b55a1575ec2ce59fbaa2a0806f8f0400b98d56cd6a7a5",
        ),
        "validation": (
            "emerging.dev.conll",
            114_749,
            "e053b752b8155113ca66e7db08af5f2f5f43ab993694e4774f1ec5bad42312d8",
        ),
        "test": (
            "emerging.test.annotated",
            192_425,
            "2aa79b764e56ec9264a1b30fdd9b70195bd00ff400b62edd8f399d5f13c178f0",
        ),
    },
    licence="CC BY 4.0",
    home="https://github.com/leondz/emerging_entities_17",
    base="https://raw.githubusercontent.com/leondz/emerging_entities_17/master",
)


def open_wnut17() -> Dataset[list[Tagged]]:
    """Sentences with entities of six kinds, split as published: 3,394/1,009/1,287 sentences.

    Derczynski and others, "Results of the WNUT2017 Shared Task on Novel and Emerging Entity
    Recognition", W-NUT 2017. Raises DataError.
    """
    splits = {
        split: list(read_columns(locate(source), separator="\t"))
        for split, source in WNUT17.items()
    }
    source = WNUT17["train"]
    return Dataset(
        name="wnut17",
        options={},
        licence=source.licence,
        source=source.home,
        digest=digest_of(splits),
        splits=splits,
    )
