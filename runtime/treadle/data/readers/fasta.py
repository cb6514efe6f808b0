"""FASTA: biological sequences, each behind a header line that begins with ">"."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from treadle.data.examples import Labelled
from treadle.data.malformed import Malformed
from treadle.data.readers.lines import read_lines

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

NUCLEOTIDES = "ACGTUNRYSWKMBDHV"  # with the codes of IUPAC for what is not known


def read_fasta(
    path: str | os.PathLike[str],
    *,
    label: int = 1,
    separator: str | None = None,
    letters: str = NUCLEOTIDES,
    malformed: Malformed | None = None,
) -> Iterator[Labelled]:
    """A sequence at a time, in capitals, its label from its header.

    The header is split at `separator` (None: white space), and `label` is the place of the label
    in it, from 0. A sequence with other letters than `letters`, or none, is malformed. Raises
    DataError.
    """
    malformed, path = malformed or Malformed(), Path(path)
    for number, header, lines in _records(path, malformed):
        fields = header.split(separator)
        sequence = "".join(lines).upper()
        strange = sorted(set(sequence) - set(letters))
        if not header.startswith(">"):
            malformed.found(path, number, f"expected a header that begins with >, got {header!r}")
        elif len(fields) <= label or not fields[label].removeprefix(">").strip():
            malformed.found(
                path, number, f"expected a label at the place {label} of the header, got {header!r}"
            )
        elif strange or not sequence:
            malformed.found(
                path,
                number,
                f"expected a sequence of {letters} behind {header!r}, got "
                f"{repr(''.join(strange)) if strange else 'none'}",
            )
        else:
            yield Labelled(sequence, fields[label].removeprefix(">").strip())


def _records(path: Path, malformed: Malformed) -> Iterator[tuple[int, str, list[str]]]:
    """The number of a header's line, the header, the lines behind it."""
    record: tuple[int, str, list[str]] | None = None
    for number, line in read_lines(path, malformed):
        if not line.strip():
            continue
        if line.startswith(">") or record is None:
            if record is not None:
                yield record
            record = (number, line, [])
        else:
            record[2].append(line.strip())
    if record is not None:
        yield record
