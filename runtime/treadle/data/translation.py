"""Short sentences in Japanese and English, from the Tanaka corpus, cut into words."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from treadle.data.dataset import Dataset, digest_of
from treadle.data.readers.parallel import read_parallel
from treadle.data.registry import Source, locate, sources

if TYPE_CHECKING:
    from treadle.data.examples import Pair

_HOME = "https://raw.githubusercontent.com/odashi/small_parallel_enja/master"
_FILES = sources(
    "tanaka-enja",
    {
        "train.ja": (
            "train-10k.ja",
            556_444,
            "6090d2bc45563d9d6b2244bf69edeb5cc004dd8aa5ab39469c83574d291ffe15",
        ),
        "train.en": (
            "train-10k.en",
            339_768,
            "4dd6b09e59cc03bd78d5e541bf306ab6e5139e2ce2e12d02d093e0cc47cfcf8e",
        ),
        "validation.ja": (
            "dev.ja",
            27_781,
            "cd534f56b8639dc130f86a365e5ec0aa70042000bdd740a622fbbf8b6be4acca",
        ),
        "validation.en": (
            "dev.en",
            17_054,
            "04a2673449770657fd5e3b963cb856be3130923212b6db8ac7eaeef18f06c041",
        ),
        "test.ja": (
            "test.ja",
            27_793,
            "d37dc460a81b064e4106c8913eb11fa300da05cf3f58a7a5bbfec7e20947ddef",
        ),
        "test.en": (
            "test.en",
            17_301,
            "45edb380749ec2b49cca7618fc5a7595fc9f791180672ba466b90c873a4aa8bf",
        ),
    },
    licence="CC BY 2.0 FR (Tanaka corpus)",
    home="https://github.com/odashi/small_parallel_enja",
    base=_HOME,
)
# At home the 50,000 training pairs are five parts; the first is the training split here.
_PARTS = {"train.ja": f"{_HOME}/train.ja.000", "train.en": f"{_HOME}/train.en.000"}
TANAKA: dict[str, Source] = {
    role: replace(source, url=_PARTS.get(role, source.url)) for role, source in _FILES.items()
}


def open_tanaka(*, source: Literal["ja", "en"] = "ja") -> Dataset[list[Pair]]:
    """10,000/500/500 pairs of sentences of 4 to 16 words, one reference each.

    Words are apart by spaces, English is in lower case; `source` is the language to translate
    from. Raises DataError.
    """
    target = "en" if source == "ja" else "ja"
    splits = {
        split: list(
            read_parallel(
                locate(TANAKA[f"{split}.{source}"]), [locate(TANAKA[f"{split}.{target}"])]
            )
        )
        for split in ("train", "validation", "test")
    }
    first = TANAKA["train.ja"]
    return Dataset(
        name="tanaka-enja",
        options={"source": source},
        licence=first.licence,
        source=first.home,
        digest=digest_of(splits),
        splits=splits,
    )
