"""Where a stream goes on from a snapshot: its state, or the inputs that it kept, read anew.

Weights that change make another model, for which a state of the old one means nothing. What was
read still means the same: the new model reads it from its own initial state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.errors import DeviceError, InputError, StateError
from treadle.history import History
from treadle.sequence import Carried, read_spans
from treadle.session import engine_errors
from treadle.state import check_snapshot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from treadle.arrays import Array
    from treadle.kept_inputs import KeptInputs
    from treadle.model import Model
    from treadle.state import Snapshot


def going_on_from(
    model: Model,
    snapshot: Snapshot,
    *,
    reprime: bool = False,
    source: ArrayLike | Sequence[ArrayLike] | None = None,
    source_lengths: ArrayLike | None = None,
) -> Snapshot:
    """What a stream of `model` goes on from: `snapshot` itself, where it is of this model.

    One of another model is refused; with `reprime`, this model reads the inputs that it keeps, and
    the answer is what that gives, with the steps and the inputs of `snapshot`. `source` and
    `source_lengths` are then as `Model.stream` takes them; a snapshot of this model has what its
    source gave, and they are not looked at.

    Raises StateError for a snapshot that does not fit, InputError for a source that is missing, too
    much or does not fit, DeviceError when the engine fails.
    """
    if reprime and snapshot.digest != model.manifest.digest:
        return _reprimed(model, snapshot, source, source_lengths)
    if not reprime and (source is not None or source_lengths is not None):
        raise InputError("a snapshot has what its source gave; leave source out")
    check_snapshot(snapshot, model.manifest)
    if snapshot.inputs is not None:
        _checked(snapshot.inputs, model)
    return snapshot


def _reprimed(
    model: Model,
    snapshot: Snapshot,
    source: ArrayLike | Sequence[ArrayLike] | None,
    source_lengths: ArrayLike | None,
) -> Snapshot:
    kept = snapshot.inputs
    if kept is None:
        raise StateError(
            f"the snapshot is of another model than {model.manifest.name} and keeps no inputs to "
            "read anew; open streams with Model.stream(history=N) and take snapshot(inputs=True)"
        )
    x = _checked(kept, model)
    start = _start(model, snapshot.batch_size, source, source_lengths)
    graphs = model.manifest.graphs
    name = "prompt" if "prompt" in graphs else "sequence"  # as Stream.feed
    carried = Carried(start.state, start.steps, History(0))
    session = model.session(name)
    try:
        for _ in read_spans(session, graphs[name], x, kept.lengths, carried, start.context):
            pass  # the outputs were given when they were read first
    except engine_errors() as error:
        raise DeviceError(f"onnxruntime failed to read the kept inputs: {error}") from error
    return start.replace(state=carried.state, steps=snapshot.steps, inputs=kept)


def _start(
    model: Model,
    rows: int,
    source: ArrayLike | Sequence[ArrayLike] | None,
    source_lengths: ArrayLike | None,
) -> Snapshot:
    """The initial state of `rows` rows, with what `source` gives them."""
    if source is None and "encode" in model.manifest.graphs:
        raise InputError(
            f"{model.manifest.name} reads a source, which a snapshot does not keep; give the one "
            "that each row had: reprime=True, source=…"
        )
    start, _ = model._at_start(source, source_lengths, rows if source is None else 1)
    if start.batch_size != rows:
        raise InputError(
            f"the source has {start.batch_size} rows, but the snapshot has {rows}; give the one "
            "that each row had"
        )
    return start


def _checked(kept: KeptInputs, model: Model) -> Array:
    """The inputs, if a stream of `model` may read them. Raises StateError."""
    reading, name = model.reading("step"), model.manifest.name
    if kept.x.dtype != reading.dtype or kept.x.shape[2:] != reading.features:
        raise StateError(
            f"the inputs of the snapshot are {kept.x.dtype} {_shape(kept.x.shape[2:])}, but {name} "
            f"reads {reading.dtype} {_shape(reading.features)}; start anew with Model.stream"
        )
    if kept.vocabulary != model.vocabulary_digest:
        raise StateError(
            f"the ids in the inputs of the snapshot are of another vocabulary than that of {name}, "
            "where they mean other symbols; start anew with Model.stream and feed it the symbols"
        )
    try:
        return reading.padded(kept.x, kept.lengths, "time", least=0)[0]
    except InputError as error:
        raise StateError(f"the inputs of the snapshot do not fit {name}: {error}") from error


def _shape(features: tuple[int, ...]) -> str:
    return f"[{', '.join(['batch', 'time', *map(str, features)])}]"
