"""Model: an opened bundle, its sessions, and the streams that run it."""

from __future__ import annotations

import weakref
from _thread import allocate_lock  # what threading.Lock is, which imports more than a start needs
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import numpy as np

from treadle.arrays import Array, Reading, check_count
from treadle.closing import Closing
from treadle.denormals import check_flushing
from treadle.errors import BundleError, DeviceError, InputError, StateError
from treadle.graph_file import check_graph_file
from treadle.initial import read_initial
from treadle.manifest import SOURCE_MULTIPLE, TASKS
from treadle.nonfinite import check_on_nonfinite
from treadle.session import Hardware, check_engine, check_ports, engine_errors, open_session
from treadle.state import Snapshot, context_shapes, initial_state
from treadle.stream import Stream
from treadle.vnni import may_saturate
from treadle.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from treadle.bundle import Bundle
    from treadle.engine import Engine
    from treadle.manifest import Manifest
    from treadle.nonfinite import OnNonfinite
    from treadle.plan import Call
    from treadle.pool import Pool


def refuse_to_step(manifest: Manifest) -> NoReturn:
    """Raise StateError: there is no stream of what reads backwards."""
    raise StateError(
        f"{manifest.name} reads whole sequences: a layer of it reads backwards, from the "
        f"end that a stream does not have yet, so it carries no state and cannot step; call "
        f"read(x, lengths)"
    )


def check_capturable(manifest: Manifest) -> None:
    """Raise InputError for a model whose step cannot be replayed with buffers of one size."""
    step = manifest.graphs.get("step")
    if step is None or step.context:
        what = "has no step" if step is None else "reads in its steps what it encoded"
        raise InputError(
            f"cuda_graph replays steps of an input and a state, but {manifest.name} {what}; load "
            "it without cuda_graph"
        )


class Model(Closing):
    """An opened bundle. Threads may share it; each needs streams of its own.

    bundle, manifest: what was opened. hardware: where it was asked to run; `engine` says what
    really does. vocabularies: by role. unknown: see `load`. call: how new streams call the engine,
    as the plan says it. on_device: whether new streams keep their state in the memory of a device
    other than the processor; steps are then prebound whatever the plan says. captured: whether they
    are CUDA graphs.
    """

    def __init__(
        self,
        bundle: Bundle,
        hardware: Hardware,
        *,
        unknown: Literal["error", "symbol"] = "error",
        call: Call = "prebound",
    ) -> None:
        if unknown not in ("error", "symbol"):
            raise InputError(f'unknown must be "error" or "symbol", got {unknown!r}')
        self.bundle = bundle
        self.unknown = unknown
        self.hardware, self.call = hardware, call
        self.on_device = hardware.kind != "cpu"
        self.captured = hardware.cuda_graph
        if self.captured:
            check_capturable(bundle.manifest)
        self.vocabularies = {
            role: Vocabulary.read(bundle.place(name))
            for role, name in bundle.manifest.vocabularies.items()
        }
        self._learned = read_initial(bundle)
        self._sessions: dict[str, Any] = {}
        self._streams: weakref.WeakSet[Stream] = weakref.WeakSet()
        self._pools: weakref.WeakSet[Pool] = weakref.WeakSet()
        self._opening = allocate_lock()
        self._closed = False

    @property
    def manifest(self) -> Manifest:
        """What the bundle says of itself."""
        return self.bundle.manifest

    def session(self, graph_name: str) -> Any:
        """The onnxruntime session of a graph, opened when first asked for and then kept.

        Raises DeviceError or BundleError as `open_session` does, DeviceError where this processor
        would get its products in integers wrong or the calling thread keeps denormal numbers that
        were to be flushed, BundleError for a graph that the bundle lacks or
        that is not what the manifest says, StateError after `close`.
        """
        with self._opening:
            if self._closed:
                raise StateError(f"the model {self.manifest.name} is closed; load it again")
            if graph_name not in self._sessions:
                if graph_name not in self.manifest.graphs:
                    raise BundleError(
                        f"{self.bundle.path} has no graph {graph_name!r}; it has "
                        f"{', '.join(self.manifest.graphs)}"
                    )
                graph = self.manifest.graphs[graph_name]
                check_engine(self.manifest.requires.get("onnxruntime"))
                onnx = not graph.file.endswith(".ort")  # by which name the engine knows ORT format
                if onnx:
                    check_graph_file(self.bundle, graph.file)
                session = open_session(
                    self.bundle.place(graph.file),
                    self.hardware,
                    captured=self.captured and graph_name == "step",
                )
                check_ports(session, graph)
                # After the session: what tries products is one, and only a first one can flush.
                if onnx and self.hardware.kind == "cpu" and may_saturate():
                    from treadle.graph_products import products_of
                    from treadle.integer_products import check_products

                    check_products(products_of(self.bundle, graph.file))
                self._sessions[graph_name] = session
            if not self.hardware.denormals:
                check_flushing()
            return self._sessions[graph_name]

    def engine(self) -> Engine:
        """What really runs the model: provider, device, threads, spinning, arena, denormals.

        Read from a session, which is opened if none is; all have the same. Raises what
        `session` does.
        """
        from treadle.engine import Engine

        return Engine.of(self.session(next(iter(self.manifest.graphs))))

    def reading(self, graph_name: str) -> Reading:
        """What a row of a graph's first input may hold at one time step."""
        vocabulary = self._vocabulary(graph_name)
        symbols = None if vocabulary is None else len(vocabulary)
        axes = 1 if graph_name == "step" else 2
        return Reading.of(self.manifest.graphs[graph_name].inputs[0], symbols, axes=axes)

    @cached_property
    def vocabulary_digest(self) -> str:
        """Of the vocabulary whose ids a step reads; "" for numbers and ids of no vocabulary."""
        vocabulary = self._vocabulary("step")
        reads_ids = self.reading("step").symbols is not None
        return vocabulary.digest if vocabulary is not None and reads_ids else ""

    def _vocabulary(self, graph_name: str) -> Vocabulary | None:
        return self.vocabularies.get(TASKS[self.manifest.task].vocabularies.get(graph_name, ""))

    def stream(
        self,
        source: ArrayLike | Sequence[ArrayLike] | None = None,
        *,
        source_lengths: ArrayLike | None = None,
        batch_size: int = 1,
        history: int = 0,
        on_nonfinite: OnNonfinite = "error",
    ) -> Stream:
        """A new stream in the initial state.

        A transducer reads `source` once, here: int64 [batch, source] with `source_lengths`
        [batch] (default: all columns), or a list of lists of ids; the rows are then the source's.
        Other models take `batch_size` and no source. `history` is how many steps `rewind` may
        take back, and how many inputs of each row `Stream.snapshot(inputs=True)` holds; what it
        remembers lies in the host's memory, also of a stream on a GPU, whose every step then
        brings the state down. `on_nonfinite` is for models that read numbers: a row whose input
        holds NaN or infinity is an InputError; or it keeps its state and repeats its last outputs
        ("hold"), or goes back to its initial state and gives 0 ("reset"), and `Stream.nonfinite`
        counts it. Raises InputError for a source that does not fit, is empty, or has an empty row,
        and for another `on_nonfinite` than the model can have; StateError for a model that reads
        backwards.
        """
        self._check_steps()
        start, origins = self._at_start(source, source_lengths, batch_size)
        return self._open(start, history, origins, on_nonfinite)

    def pool(
        self,
        max_streams: int,
        *,
        when_full: Literal["error", "wait"] = "error",
        exact: bool = False,
        on_nonfinite: OnNonfinite = "error",
    ) -> Pool:
        """A pool for up to `max_streams` streams, whose steps share engine calls.

        `when_full` says what a full pool does with who wants to join: refuse, or let wait. `exact`
        computes every row alone, for a precision that does not promise that rows do not feel each
        other. `on_nonfinite` is as `stream` has it. Raises InputError, StateError for a model that
        reads backwards, DeviceError for a model that flushes denormal numbers, since a pool's steps
        run in whichever thread asks, and what opening the session raises.
        """
        self._check_steps()
        if not self.hardware.denormals:
            raise DeviceError(
                "a pool computes in the threads of its callers, of which only one can flush "
                "denormal numbers; load the model with denormals=True"
            )
        from treadle.pool import Pool

        pool = Pool(self, max_streams, when_full=when_full, exact=exact, on_nonfinite=on_nonfinite)
        with self._opening:
            self._pools.add(pool)
        return pool

    def _check_steps(self) -> None:
        """Raise StateError for a bundle that has no step."""
        if "step" not in self.manifest.graphs:
            refuse_to_step(self.manifest)

    def _at_start(
        self,
        source: ArrayLike | Sequence[ArrayLike] | None,
        source_lengths: ArrayLike | None = None,
        batch_size: int = 1,
    ) -> tuple[Snapshot, NDArray[np.int64] | None]:
        """What a new stream starts from; rows of one number have the same context."""
        rows = check_count(batch_size, "batch_size", 1)
        encodes = "encode" in self.manifest.graphs
        if encodes == (source is None):
            raise InputError(
                f"{self.manifest.name} reads a source: stream(source)"
                if encodes
                else f"{self.manifest.name} reads no source; call stream() without it"
            )
        context: dict[str, Array] = {}
        origins = None
        if source is not None:
            context, origins = self._encode(source, source_lengths)
            if rows not in (1, len(origins)):
                raise InputError(
                    f"the source has {len(origins)} rows, but batch_size is {rows}; leave "
                    "batch_size out"
                )
            rows = len(origins)
        elif source_lengths is not None:
            raise InputError("source_lengths need a source")
        start = Snapshot(
            self.manifest.digest,
            self.initial_state(context, rows),
            context,
            np.zeros(rows, np.int64),
        )
        return start, origins

    def initial_state(self, context: Mapping[str, Array], rows: int) -> dict[str, Array]:
        """What `rows` rows start from, name -> [batch, …]; `context` as `encode` gave it."""
        return initial_state(self.manifest, context, rows, self._learned)

    def resume(
        self,
        snapshot: Snapshot,
        *,
        history: int = 0,
        on_nonfinite: OnNonfinite = "error",
        reprime: bool = False,
        source: ArrayLike | Sequence[ArrayLike] | None = None,
        source_lengths: ArrayLike | None = None,
    ) -> Stream:
        """A new stream that goes on from `snapshot`, of its batch size and with its context.

        `reprime`, `source` and `source_lengths` are as in `Stream.restore`, and so is what it
        raises when the snapshot does not fit.
        """
        from treadle.repriming import going_on_from

        self._check_steps()
        start = going_on_from(
            self, snapshot, reprime=reprime, source=source, source_lengths=source_lengths
        )
        stream = self._open(start, history, on_nonfinite=on_nonfinite)
        stream.reprimed = None if start is snapshot else snapshot.complete
        return stream

    def _open(
        self,
        start: Snapshot,
        history: int,
        origins: NDArray[np.int64] | None = None,
        on_nonfinite: OnNonfinite = "error",
    ) -> Stream:
        check_on_nonfinite(on_nonfinite, self.reading("step"))
        if on_nonfinite == "error":
            stream = Stream(self, start, history=history, origins=origins)
        else:
            from treadle.tolerant_stream import TolerantStream

            stream = TolerantStream(
                self, start, on_nonfinite=on_nonfinite, history=history, origins=origins
            )
        with self._opening:
            self._streams.add(stream)
        return stream

    def _encode(
        self, source: ArrayLike | Sequence[ArrayLike], source_lengths: ArrayLike | None
    ) -> tuple[dict[str, Array], NDArray[np.int64]]:
        """What `encode` gives for each row, and a number for each row that equal rows share."""
        reading = self.reading("encode")
        if not isinstance(source, np.ndarray):
            if source_lengths is not None:
                raise InputError("a list of rows has its lengths; leave source_lengths out")
            source, source_lengths = reading.stacked(source)  # type: ignore[arg-type]
        x, lengths = reading.padded(source, source_lengths, "source", least=1)
        steps = TASKS[self.manifest.task].source_steps
        if steps is not None and (lengths != steps).any():
            raise InputError(
                f"a source of {self.manifest.name} should have {steps} step, got "
                f"{int(lengths[lengths != steps][0])}"
            )
        # A memory of another padded width would change the last bits of a softmax over it.
        width = -(-int(lengths.max()) // SOURCE_MULTIPLE) * SOURCE_MULTIPLE
        padded = np.zeros((len(x), width, *x.shape[2:]), x.dtype)
        padded[:, : lengths.max()] = x[:, : lengths.max()]
        # The rows of a beam are equal: each is read once.
        first: dict[bytes, int] = {}
        keys = [row[:length].tobytes() for row, length in zip(x, lengths, strict=True)]
        origins = np.array([first.setdefault(key, len(first)) for key in keys], np.int64)
        unique = np.unique(origins, return_index=True)[1]
        graph = self.manifest.graphs["encode"]
        names = list(context_shapes(self.manifest))
        feeds = {graph.inputs[0].name: padded[unique], graph.inputs[1].name: lengths[unique]}
        session = self.session("encode")
        try:
            made = session.run(names, feeds)
        except engine_errors() as error:
            raise DeviceError(f"onnxruntime failed to encode the source: {error}") from error
        return {name: a[origins] for name, a in zip(names, made, strict=True)}, origins

    def close(self) -> None:
        """Close its streams, pools and bundle, let go of the sessions. Running calls end first."""
        with self._opening:
            self._closed = True
            self._sessions.clear()
            streams, pools = list(self._streams), list(self._pools)
        for pool in pools:
            pool.close()
        for stream in streams:
            stream.close(wait=True)
        # Last: an engine may still read what it mapped.
        self.bundle.close()
