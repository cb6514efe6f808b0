"""Splice junctions of primates: does an exon end here, begin here, or neither?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.data.dataset import Dataset, digest_of
from treadle.data.examples import Labelled
from treadle.data.readers.rdata import read_factors
from treadle.data.registry import Source, locate
from treadle.data.splitting import shuffled_splits
from treadle.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from treadle.data.examples import Text

SPLICE_JUNCTIONS = Source(
    folder="splice-junctions",
    file="DNA.rda",
    sha256="df941ad89a49f705a29bf38e52c91dc34029539cedb13fa24f803f1224278c9e",
    licence="CC BY 4.0 (UCI archive); GPL-2 (mlbench, its file)",
    home="https://cran.r-project.org/package=mlbench",
    installed=(
        "/usr/lib/R/site-library/mlbench/data/DNA.rda",
        "apt install r-cran-mlbench (version 2.1-3), which has it as mlbench/data/DNA.rda",
    ),
    size=81_208,
)
POSITIONS = 60
# The file has three indicators a position; what is unknown was left out of it.
_BASES = {("1", "0", "0"): "A", ("0", "1", "0"): "C", ("0", "0", "1"): "G", ("0", "0", "0"): "T"}


def open_splice_junctions(*, seed: int = 0, letters: int = 1) -> Dataset[list[Labelled]]:
    """Sequences of 60 bases, labelled "ei" (donor), "ie" (acceptor) or "n", split by `seed`.

    The boundary lies in the middle, behind the 30th base. Of 3,186 sequences 185 repeat one
    before them and are left out, so that none is in two splits; 80/10/10. Noordewier, Towell and
    Shavlik, "Training knowledge-based neural networks to recognize genes", NIPS 1990.

    letters: with 2 or more a sequence is written as words of so many bases, spaces between; a
    network that reads words then has fewer steps between its ends and the boundary. Raises
    DataError.
    """
    if letters < 1 or POSITIONS % letters:
        raise DataError(
            f"splice-junctions writes words of 'letters' bases, which has to divide {POSITIONS}; "
            f"got {letters!r}: choose 1, 2, 3, 5 or 6."
        )
    first: dict[Text, Labelled] = {}
    for example in read_junctions(locate(SPLICE_JUNCTIONS)):
        first.setdefault(example.text, example)
    splits = shuffled_splits([_in_words(one, letters) for one in first.values()], seed)
    return Dataset(
        name="splice-junctions",
        options={"seed": seed, "letters": letters},
        licence=SPLICE_JUNCTIONS.licence,
        source=SPLICE_JUNCTIONS.home,
        digest=digest_of(splits),
        splits=splits,
    )


def _in_words(example: Labelled, letters: int) -> Labelled:
    """The same, with a space behind every word of more than one letter."""
    if letters == 1:
        return example
    words = (str(example.text)[k : k + letters] for k in range(0, POSITIONS, letters))
    return Labelled(" ".join(words), example.label)


def read_junctions(path: Path) -> list[Labelled]:
    """Every row of the file, in its order. Raises DataError."""
    columns = read_factors(path, "DNA")
    labels = columns.pop("Class", [])
    if len(columns) != 3 * POSITIONS or not labels:
        raise DataError(f"{path}: expected {3 * POSITIONS} columns and Class, got {len(columns)}")
    examples = []
    rows = zip(labels, *columns.values(), strict=True)
    for row, (label, *indicators) in enumerate(rows, start=1):
        triples = zip(*(indicators[k::3] for k in range(3)), strict=True)
        try:
            sequence = "".join(_BASES[triple] for triple in triples)
        except KeyError as error:
            raise DataError(
                f"{path}, row {row}: expected one base a position, got {error}"
            ) from error
        examples.append(Labelled(sequence, label))
    return examples
