"""State as a value: what a stream carries, at one moment, for all its rows."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from treadle.arrays import frozen
from treadle.errors import StateError
from treadle.saved import Saved

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

    from treadle.kept_inputs import KeptInputs
    from treadle.manifest import Manifest, Shape

FORMAT, WITH_INPUTS = "treadle-snapshot/1", "treadle-snapshot/2"
PARTS = {FORMAT: ("state", "context"), WITH_INPUTS: ("state", "context", "inputs")}
TAKE_ANOTHER = "take a snapshot of a stream of this model"


_NONE: Mapping[str, NDArray[Any]] = MappingProxyType({})


class Snapshot(Saved):
    """What a stream carries, detached from it: read-only copies of the arrays given.

    digest: of the bundle that it belongs to.
    state: name of a state -> float32 [batch, …].
    context: what the encoder gave for the step or for the initial state -> [batch, …]; empty for
        a model without encoder.
    steps: int64 [batch], steps made by each row; one of 0 steps has read nothing.
    inputs: the last inputs of each row, which another model may read; None where they are left out.

    Two are equal when they hold the same bits, and can be members of a set. Raises StateError for
    arrays that have not one row count, or more inputs than steps. Whether they fit a model is
    checked where it is restored. Nothing in it can be changed; `replace` gives a changed copy.
    """

    __slots__ = ("context", "digest", "inputs", "state", "steps")

    digest: str
    state: Mapping[str, NDArray[Any]]
    context: Mapping[str, NDArray[Any]]
    steps: NDArray[np.int64]
    inputs: KeptInputs | None

    def __init__(
        self,
        digest: str,
        state: Mapping[str, NDArray[Any]],
        context: Mapping[str, NDArray[Any]] = _NONE,
        steps: ArrayLike = (0,),
        inputs: KeptInputs | None = None,
    ) -> None:
        steps = frozen(np.asarray(steps))
        if steps.dtype != np.int64 or steps.ndim != 1 or not steps.size or steps.min() < 0:
            raise StateError(
                f"steps of a snapshot should be int64 [batch], not negative, got {steps.dtype} "
                f"{list(steps.shape)}"
            )
        kept: dict[str, Any] = {"digest": digest, "steps": steps, "inputs": inputs}
        for part, given in (("state", state), ("context", context)):
            arrays = {name: frozen(array) for name, array in given.items()}
            for name, array in arrays.items():
                if array.shape[:1] != steps.shape:
                    raise StateError(
                        f"the {part} {name!r} of a snapshot should have {len(steps)} rows, as "
                        f"steps has, got the shape {list(array.shape)}"
                    )
            kept[part] = MappingProxyType(arrays)
        lengths = steps if inputs is None else inputs.lengths
        if lengths.shape != steps.shape or (lengths > steps).any():
            raise StateError(
                f"a snapshot should hold inputs of {len(steps)} rows, as steps has, and none more "
                f"than steps, got {lengths.tolist()} for {steps.tolist()} steps"
            )
        for name, value in kept.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        """Raises AttributeError."""
        raise AttributeError(f"a snapshot cannot be changed, got {name}; use Snapshot.replace")

    def replace(self, **changes: Any) -> Snapshot:
        """A copy with other values by name. Raises StateError as making one does."""
        return Snapshot(**({name: getattr(self, name) for name in self.__slots__} | changes))

    @property
    def batch_size(self) -> int:
        """Number of rows."""
        return len(self.steps)

    @property
    def complete(self) -> NDArray[np.bool_]:
        """Whether `inputs` are all that each row has read since its start or reset, bool [batch].

        False where they are only the last of it.
        """
        kept = 0 if self.inputs is None else self.inputs.lengths
        return np.equal(self.steps, kept)

    def to_bytes(self) -> bytes:
        """The snapshot as bytes: an `.npz` file without pickle, same bytes for same values."""
        arrays: dict[str, NDArray[Any]] = {
            "format": np.array(FORMAT if self.inputs is None else WITH_INPUTS),
            "digest": np.array(self.digest),
            "steps": self.steps,
        }
        for part in ("state", "context"):
            arrays |= {f"{part}/{name}": a for name, a in sorted(getattr(self, part).items())}
        if self.inputs is not None:
            arrays |= {"inputs/x": self.inputs.x, "inputs/lengths": self.inputs.lengths}
            arrays["inputs/vocabulary"] = np.array(self.inputs.vocabulary)
        from treadle.npz import to_npz

        return to_npz(arrays, compress=False)

    @classmethod
    def from_bytes(cls, content: bytes) -> Snapshot:
        """The snapshot in `content`. Raises StateError when it is none, damaged or a later one."""
        from treadle.npz import from_npz

        try:
            arrays = from_npz(content)
            found, digest = str(arrays.pop("format")), str(arrays.pop("digest"))
            if found not in PARTS:
                raise StateError(
                    f"the snapshot has the format {found[:60]!r}, expected {' or '.join(PARTS)}; "
                    "update treadle: pip install --upgrade treadle"
                )
            steps = arrays.pop("steps")
            parts: dict[str, dict[str, NDArray[Any]]] = {part: {} for part in PARTS[found]}
            for name, array in arrays.items():
                part, _, port = name.partition("/")
                parts[part][port] = array
            inputs = _kept(parts["inputs"]) if found == WITH_INPUTS else None
        except (ValueError, KeyError) as error:
            raise StateError(
                f"expected the bytes of a snapshot, got {len(content)} bytes that are none, or "
                f"damaged ({error}); take the snapshot again"
            ) from error
        return cls(digest, parts["state"], parts["context"], steps, inputs)


def check_snapshot(snapshot: Snapshot, manifest: Manifest) -> None:
    """Raise StateError unless a stream of this model can go on from `snapshot`."""
    if snapshot.digest != manifest.digest:
        otherwise = "" if snapshot.inputs is None else ", or let it read the inputs: reprime=True"
        raise StateError(
            f"the snapshot is of a model with the digest {snapshot.digest}, but this model, "
            f"{manifest.name}, has {manifest.digest}; {TAKE_ANOTHER}{otherwise}"
        )
    step = manifest.graphs["step"]
    _check_arrays("state", snapshot.state, {p.name: (p.dtype, p.shape) for p in step.state})
    _check_arrays("context", snapshot.context, context_shapes(manifest))
    for tensor in step.context:
        columns = snapshot.context[tensor.name].shape[1:2]
        if tensor.pad_multiple and (columns[0] % tensor.pad_multiple or not columns[0]):
            raise StateError(
                f"the context {tensor.name!r} of the snapshot has {columns[0]} columns, expected "
                f"a multiple of {tensor.pad_multiple}; {TAKE_ANOTHER}"
            )


def context_shapes(manifest: Manifest) -> dict[str, tuple[str, Shape]]:
    """Dtype and shape of all that a stream keeps of what `encode` gave, by name."""
    step = manifest.graphs["step"]
    kept = {tensor.name: (tensor.dtype, tensor.shape) for tensor in step.context}
    for port in step.state:
        if isinstance(port.initial, dict) and "output" in port.initial:
            kept[port.initial["output"]] = (port.dtype, port.shape)
    return kept


def initial_state(
    manifest: Manifest,
    context: Mapping[str, NDArray[Any]],
    batch_size: int,
    learned: Mapping[str, NDArray[Any]],
) -> dict[str, NDArray[Any]]:
    """The state that rows start from: name -> [batch, …].

    Zeros, what the encoder gave (`context`), or a row of the bundle's own (`learned`, as
    `treadle.initial.read_initial` gives it).
    """
    state: dict[str, NDArray[Any]] = {}
    for port in manifest.graphs["step"].state:
        if port.name in learned:
            state[port.name] = np.repeat(learned[port.name][None], batch_size, axis=0)
        elif isinstance(port.initial, dict):
            state[port.name] = context[port.initial["output"]].copy()
        else:
            sizes = [int(size) for size in port.shape[1:]]
            state[port.name] = np.zeros((batch_size, *sizes), port.dtype)
    return state


def _kept(arrays: dict[str, NDArray[Any]]) -> KeptInputs:
    """The inputs in these arrays. Raises KeyError and ValueError for others."""
    from treadle.kept_inputs import KeptInputs

    kept = KeptInputs(arrays.pop("x"), arrays.pop("lengths"), str(arrays.pop("vocabulary")))
    if arrays:
        raise ValueError(f"{min(arrays)!r} is no part of inputs")
    return kept


def _check_arrays(
    part: str, arrays: Mapping[str, NDArray[Any]], expected: dict[str, tuple[str, Shape]]
) -> None:
    if strangers := arrays.keys() ^ expected.keys():
        raise StateError(
            f"the {part} of the snapshot should hold {', '.join(sorted(expected)) or 'nothing'}, "
            f"got {', '.join(sorted(arrays)) or 'nothing'} ({min(strangers)!r} differs); "
            f"{TAKE_ANOTHER}"
        )
    sizes: dict[str, int] = {}
    for name, (dtype, shape) in expected.items():
        array = arrays[name]
        fits = array.dtype == dtype and array.ndim == len(shape)
        for axis, size in zip(shape, array.shape, strict=False):
            fits = fits and size == (sizes.setdefault(axis, size) if type(axis) is str else axis)
        if not fits:
            raise StateError(
                f"the {part} {name!r} of the snapshot should be {dtype} "
                f"[{', '.join(map(str, shape))}], got {array.dtype} {list(array.shape)}; "
                f"{TAKE_ANOTHER}"
            )
        if not np.isfinite(array).all():
            row = int(np.flatnonzero(~np.isfinite(array).reshape(len(array), -1).all(axis=1))[0])
            raise StateError(
                f"the {part} {name!r} of the snapshot has a value that is not finite in row {row}; "
                "a stream cannot go on from it: reset the row or restore an earlier snapshot"
            )
