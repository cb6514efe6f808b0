"""From a trained network, or a model of any origin, to a bundle: capture, passes, parity."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from treadle_export.canonical import CanonicalModel

__all__ = ["capture"]


def capture(
    module: Any,
    example_inputs: Any = None,
    *,
    axes: Mapping[str, Sequence[str | None]] | None = None,
    lengths: str | None = None,
) -> "CanonicalModel":
    """The canonical graphs of a torch module: one node a recurrent layer, states as ports.

    Args:
        module: a Treadle network, which needs no example; or any `nn.Module` that contains
            `nn.RNN`, `nn.LSTM`, `nn.GRU` or their cells.
        example_inputs: what `forward` takes: a tensor, a tuple in the order of its parameters, or a
            dict by their names.
        axes: input -> the names of its axes, "batch", "time" or None for others; by default the
            module itself is asked.
        lengths: the input that holds the number of steps of each row; by default the one that
            `pack_padded_sequence` is given.

    Returns:
        float32 graphs `step` and `sequence` (and `encode`, for a Treadle transducer), batch and
        time free.

    Raises:
        UnsupportedGraph: it has no recurrent layer, or cannot be traced or run step by step.
    """
    if example_inputs is None:
        from treadle_export.capturing.network import capture as capture_network

        return capture_network(module)
    from treadle_export.adoption.adopt import adopt
    from treadle_export.torch_modules import foreign_of

    return adopt(foreign_of(module, example_inputs, axes=axes, lengths=lengths)).canonical
