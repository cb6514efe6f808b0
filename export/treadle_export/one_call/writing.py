"""Writes a decode as one file, after it has answered as the searches in Python do."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

import treadle
from treadle.decoding import Decoded, Sampler, beam_search, sample_search
from treadle.decoding.philox import uniform
from treadle.errors import ExportError
from treadle.files import write_atomically
from treadle.model import Model
from treadle.session import THIS_PROCESSOR, load_engine, session_options
from treadle_export.one_call.assembling import MAX_LENGTH, Searching, assembled
from treadle_export.one_call.beam_search import BeamSearch
from treadle_export.one_call.beginning import PROMPT, PROMPT_LENGTHS
from treadle_export.one_call.opening import Opened, opened
from treadle_export.one_call.row_search import RANDOM, TEMPERATURE, RowSearch
from treadle_export.one_call.text import ANSWER, TEXT

ROWS, LONGEST, STEPS = 8, 20, 24
"""Of the check: sequences, their greatest length, and symbols that are asked for."""

Sequences = Sequence[Sequence[int]]


@dataclass(frozen=True, slots=True)
class OneCall:
    """What was written: its path, bytes, and how many symbols it made as the search in Python."""

    path: Path
    bytes: int
    checked: int


def write_one_call(
    bundle: Path, out: Path, searching: Searching, *, text: bool = False, force: bool = False
) -> OneCall:
    """Writes the decode of `bundle` to the single file `out`.

    Raises:
        BundleError: the bundle is damaged.
        UnsupportedGraph: its task does not write symbols, or its text needs more than operators.
        ExportError: `out` is there and `force` is not given, or the file answers otherwise than the
            search in Python.
    """
    if out.exists() and not force:
        raise ExportError(f"{out} is there already; name another file, or replace it with --force")
    source = opened(bundle)
    content = ir.to_proto(assembled(source, searching, text=text)).SerializeToString()
    checked = _check(bundle, source, searching, session_of(content))
    write_atomically(out, content)
    return OneCall(out, len(content), checked)


class Answer(NamedTuple):
    """One answer of a file; its text where the file writes texts."""

    ids: tuple[int, ...]
    score: float
    text: str | None


def answered(
    session: Any, source: Opened, rows: Sequences, max_length: int, **given: NDArray[np.generic]
) -> list[Answer]:
    """The answers to sources, or prompts, of ids; a file that reads texts is given these."""
    names = [port.name for port in session.get_outputs()]
    feeds = _feeds(session, source, rows, max_length) | given
    made = dict(zip(names, session.run(names, feeds), strict=True))
    texts = made.get(ANSWER, [None] * len(made["ids"]))
    return [
        Answer(tuple(map(int, ids[:length])), float(score), text)
        for ids, length, score, text in zip(
            made["ids"], made["lengths"], made["scores"], texts, strict=True
        )
    ]


def _feeds(session: Any, source: Opened, rows: Sequences, max_length: int) -> dict[str, Any]:
    feeds: dict[str, Any] = {MAX_LENGTH: np.array(max_length, np.int64)}
    if source.read is not None and _reads_text(session):
        return feeds | {TEXT: np.array([source.read.text(row) for row in rows], object)}
    return feeds | _padded(source, rows)


def _reads_text(session: Any) -> bool:
    return any(port.name == TEXT for port in session.get_inputs())


def _padded(source: Opened, rows: Sequences) -> dict[str, NDArray[Any]]:
    lengths = np.array([len(row) for row in rows], np.int64)
    ids = np.zeros((len(rows), max(1, int(lengths.max()))), np.int64)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
    names = [PROMPT, PROMPT_LENGTHS]
    if "encode" in source.manifest.graphs:
        names = [tensor.name for tensor in source.manifest.graphs["encode"].inputs]
    return dict(zip(names, (ids, lengths), strict=False))


def session_of(content: bytes) -> Any:
    """An onnxruntime session of one thread for the bytes of a file."""
    engine = load_engine()
    return engine.InferenceSession(
        content, session_options(engine, THIS_PROCESSOR), providers=["CPUExecutionProvider"]
    )


def _check(bundle: Path, source: Opened, searching: Searching, session: Any) -> int:
    """Symbols that both made of the same sequences; texts, where the file reads and writes them."""
    rows = _sequences(source)
    if _reads_text(session) and source.read is not None:  # as Python would split them
        rows = [source.read.encode(source.read.text(row)) for row in rows]
    with treadle.load(bundle) as model:
        expected = searched(model, source, searching, rows, STEPS)
    numbers = random_inputs(searching, len(rows), STEPS)
    found = answered(session, source, rows, STEPS, **numbers)
    each = len(found) // len(rows)
    for index, (wanted, made) in enumerate(zip(expected, found, strict=True)):
        if wanted.ids != made.ids or made.text not in (None, source.written.text(made.ids)):
            raise ExportError(
                f"expected the file to answer {list(wanted.ids)}, as the search in Python does, to "
                f"{list(rows[index // each])}, got {list(made.ids)} and the text {made.text!r}; "
                "please report it with the bundle"
            )
    return sum(len(made.ids) for made in found)


def _sequences(source: Opened) -> list[list[int]]:
    """Seeded sequences of symbols that texts have, of mixed lengths."""
    generator = np.random.default_rng(0)
    vocabulary = source.read
    if vocabulary is None:
        raise ExportError("expected a model that reads symbols; its one call is not written yet")
    known = [number for number in range(len(vocabulary)) if number not in vocabulary.special]
    fixed = source.manifest.task == "generation"
    lengths = [1] * ROWS if fixed else generator.integers(1, LONGEST + 1, ROWS)
    return [generator.choice(known, length).tolist() for length in lengths]


def random_inputs(searching: Searching, rows: int, steps: int, seed: int = 0) -> dict[str, Any]:
    """The numbers that `Sampler` draws, as the file reads them; none for other searches."""
    if not isinstance(searching, RowSearch) or searching.drawing is None:
        return {}
    drawn = np.stack([uniform(seed, range(rows), step) for step in range(steps)])
    return {RANDOM: drawn, TEMPERATURE: np.array(1.0)}


def searched(
    model: Model, source: Opened, searching: Searching, rows: Sequences, max_length: int
) -> list[Decoded]:
    """The same in Python: the answers of `treadle.decoding`, n_best of each row in turn."""
    beam = searching.beam if isinstance(searching, BeamSearch) else 1
    repeated = [list(row) for row in rows for _ in range(beam)]
    start: Any = source.start
    if "encode" in source.manifest.graphs:
        stream = model.stream(repeated)
    else:
        stream = model.stream(batch_size=len(repeated))
        read = [[source.start, *row] for row in repeated]
        start = np.array([row[-1] for row in read], np.int64)
        lengths = np.array([len(row) - 1 for row in read], np.int64)
        ids = np.zeros((len(read), max(1, int(lengths.max()))), np.int64)
        for index, row in enumerate(read):
            ids[index, : len(row) - 1] = row[:-1]
        stream.feed(ids, lengths)
    common: dict[str, Any] = {"start": start, "end": source.end, "max_length": max_length}
    with stream:
        if isinstance(searching, BeamSearch):
            found = beam_search(
                stream,
                beam=beam,
                n_best=searching.n_best,
                length_normalization=searching.length_normalization,
                **common,
            )
            return [answer for answers in found for answer in answers]
        drawing = searching.drawing if isinstance(searching, RowSearch) else None
        sampler = Sampler(temperature=0.0)
        if drawing is not None:
            sampler = Sampler(1.0, drawing.top_k, drawing.top_p, 0, drawing.min_p)
        return sample_search(stream, sampler, **common)
