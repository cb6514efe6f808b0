"""Folk songs and the regions they come from: the Essen collection, as music21 ships it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from treadle.data.dataset import Dataset, digest_of
from treadle.data.examples import Labelled
from treadle.data.malformed import Malformed
from treadle.data.notes import notes_of
from treadle.data.readers.lines import read_lines
from treadle.data.registry import locate, sources
from treadle.data.splitting import shuffled_splits

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FILES = (
    ("altdeu10.abc", 100_753, "e06c3ad76fa721c7f48610c14e6505710871ce377a952ec3b4c234e38ac8e5d0"),
    ("altdeu20.abc", 100_017, "cf42fdf69a85dd54406673bf06e44876766e912c3cde7af64dad403d233fb04f"),
    ("ballad10.abc", 33_161, "42b9929100f0ff332550e297e42067ab95c54cfb1f2490f83db78de4351aade2"),
    ("ballad20.abc", 40_504, "d4730a7bf7ab060134ba64fe3f9591c38dce10fa8acd9b2c0beaf525839a21a9"),
    ("ballad30.abc", 52_149, "22b6d565293dedf8284cf73187baffe435aea611f047fda18e05a0e2cf441bb9"),
    ("ballad40.abc", 65_436, "e929bca81e489420cf45bf42e85eec0cff510519d0f87dc5ff9498a3a237ced4"),
    ("ballad50.abc", 54_710, "c1640b692f1b35d4a5c103bfeee8a54ca6fea72c088b54d940c6e21ead023f9d"),
    ("ballad60.abc", 33_688, "c75abb789d8b3e409315a6c1699df597ebed945f421d6e1218e825950a28141f"),
    ("ballad70.abc", 34_829, "6c9f77817554918dbdda736ba22f546687f327ad0d12097cd46083b42cd18c18"),
    ("ballad80.abc", 30_956, "6811bb4da0dfa7e15abb247602c4e77400c98b5483bd331cf737cad55c0b4f18"),
    ("boehme10.abc", 125_253, "aed0d90d8ecb79a59599857474b02ba4cd880301d0ac2a7adb7ccc4add934cbb"),
    ("boehme20.abc", 90_953, "d34e9679e845e410af478c8183841365734cc63d1ccda123458a09ed3742f2c3"),
    ("dva0.abc", 64_835, "4d8ad890e8d43d3322944fd12eb0304a5e3db4161b7ea561c8638f078845e53a"),
    ("erk10.abc", 186_749, "17e8c80c24cd274d8b76ca62b07020caedb350f4417db11e8ba078208cfbd03e"),
    ("erk20.abc", 101_417, "318244ab4c90d54a8f8b33fbf8263dd4a5e4bebf982a10e12b83f63444e10ee5"),
    ("erk30.abc", 206_354, "51a736589682412335fd76d2f078f7353eb995af0bda3a7b9c986c4a2293571d"),
    ("erk5.abc", 7_040, "223bd3e856b4bf61611c9f128b23019bb0f85f87c2d9759cc650a91cdc5ce50a"),
    ("fink0.abc", 171_915, "48c7b54d6ff416dcc9e0504292374c630cc580bfcc5bd226719ad17aecfc7973"),
    ("folkHaydn.abc", 16_069, "986b02e207265a60b2da3b4ac6407cf41dea8573ddf182c6c090b22d76628f30"),
    ("han1.abc", 247_918, "b03f2e73184c031f59522e542bad6d966e9a7f61911555e183b9760176a642b5"),
    ("han2.abc", 195_076, "1c7b8c37ef2d76ad109cd729ddb7931b778b707f96dda7991126b5f06bedff69"),
    ("irl.abc", 21_598, "4250bf7f781b6803b0631a44d81320ee0c1387e4acf1d522eec3facd4d8dfec2"),
    ("kinder0.abc", 54_384, "f4ac1846da34b9421c67844d1e99362abd4183b03ea34f8fcf655b65bc1759d6"),
    ("lot.abc", 160_212, "c76395741f94c391d9097e6083dc8e89c2d6cad910f0e4e418acffd5f7704c82"),
    ("lux.abc", 210_046, "0053ef991848694876f80764c64c3a7d9f2354f0ca9e33f72bb3e0ba71c7bb1b"),
    ("zuccal0.abc", 194_233, "2c655a1284379b1aae3d4f187d259a26e02dff2f63a36bcb77685b44df31581d"),
)
FOLK_SONGS = sources(
    "folk-songs",
    {file[0].removesuffix(".abc"): file for file in _FILES},
    licence="unclear; non-commercial use by permission of its keepers (Essen folksong collection)",
    home="https://www.esac-data.org",
    package=("music21", "corpus/essenFolksong"),
    requirement="--no-deps music21==10.5.1",
)
# The regions with more than 500 songs; a song of two is one of the smaller.
REGIONS = ("Lothringen", "Luxemburg", "China", "Deutschland")
# What a melody of the collection is written with: tuplets, notes and rests with their lengths,
# bars, slurs, changes of metre. https://abcnotation.com/wiki/abc:standard:v2.1
_SYMBOL = re.compile(
    r"\(\d|[_=^]*[A-Ga-gz][,']*\d*/?\d*[<>]*-?|\|[|:\]]?|:\|?|[()\]\[-]|\d/\d|(?P<strange>\S)|\s+"
)
_FIELD = re.compile(r"([A-Za-z]):(.*)")


def open_folk_songs(
    *, seed: int = 0, notation: Literal["abc", "notes"] = "abc"
) -> Dataset[list[Labelled]]:
    """Melodies as tokens, labelled with their region, split 80/10/10 by `seed`.

    Of the notation "abc" the first three tokens are the metre, the unit of length and the key;
    "notes" are pitches over the tonic C, each with its length (notes.py). Songs from elsewhere, and
    melodies that repeat one before them, are left out. Schaffrath, "The Essen folksong
    collection", 1995. Raises DataError.
    """
    malformed = Malformed("skip")
    first: dict[tuple[str, ...], Labelled] = {}
    for source in FOLK_SONGS.values():
        for fields, tokens in read_tunes(locate(source), malformed):
            region = next((name for name in REGIONS if name in fields["O"]), None)
            if region is not None:
                melody = tokens if notation == "abc" else notes_of(tokens)
                first.setdefault(melody, Labelled(melody, region))
    splits = shuffled_splits(list(first.values()), seed)
    source = FOLK_SONGS["han1"]
    return Dataset(
        name="folk-songs",
        options={"seed": seed, "notation": notation},
        licence=source.licence,
        source=source.home,
        digest=digest_of(splits),
        splits=splits,
        skipped=malformed.count,
    )


def read_tunes(
    path: Path, malformed: Malformed
) -> Iterator[tuple[dict[str, str], tuple[str, ...]]]:
    """The fields of every tune of a file in ABC notation, and its tokens behind M, L and K.

    A tune without these fields or its origin (O), without notes, or with what is no symbol of a
    melody, is malformed. Raises DataError.
    """
    for number, lines in _tunes(path):
        fields: dict[str, str] = {}
        melody: list[str] = []
        for line in lines:
            field = _FIELD.fullmatch(line)
            if field is None:
                melody.append(line)
            elif "K" not in fields:  # the key ends the head of a tune
                fields.setdefault(field[1], field[2].strip())
        lacking = [name for name in "MLKO" if not fields.get(name)]
        symbols = list(_SYMBOL.finditer(" ".join(melody)))
        strange = next((s["strange"] for s in symbols if s["strange"]), None)
        tokens = tuple(s[0] for s in symbols if not s[0].isspace())
        if lacking or strange or not tokens:
            expected = f"the field {lacking[0]}" if lacking else "notes, rests and bars"
            got = repr(strange) if strange else "none"
            malformed.found(path, number, f"expected {expected} in the tune, got {got}")
        else:
            yield fields, (*(f"{name}:{fields[name]}" for name in "MLK"), *tokens)


def _tunes(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The number of the first line of every tune, and its lines; a tune begins with its X."""
    tune: tuple[int, list[str]] | None = None
    for number, line in read_lines(path):
        if line.startswith("X:"):
            if tune is not None:
                yield tune
            tune = (number, [])
        elif tune is not None and line.strip():
            tune[1].append(line.strip())
    if tune is not None:
        yield tune
