"""One weight file for all graphs of a bundle: every distinct tensor stored once."""

from collections.abc import Mapping

import onnx_ir as ir

from treadle.manifest import sha256

WEIGHTS_FILE = "weights.bin"
_INLINE = 128  # bytes; what is smaller stays inside its graph
_ALIGNMENT = 64  # bytes; a cache line, so that mapped weights can be read where they lie


def share_weights(graphs: Mapping[str, ir.Model]) -> bytes:
    """Moves the initializers of all graphs into one blob and returns it.

    The graphs then refer to `weights.bin` (ONNX external data). Tensors with the same type, shape
    and bytes are stored once, whichever graphs and names they have; the order is that of graph
    and initializer names, those inside of loops last, so that the same graphs give the same file.
    """
    blob, offsets = bytearray(), dict[str, int]()
    for _, model in sorted(graphs.items()):
        values = [
            value for graph in model.graphs() for _, value in sorted(graph.initializers.items())
        ]
        for value in values:
            tensor = value.const_value
            if tensor is None or tensor.nbytes < _INLINE or value.is_graph_input():
                continue
            content = tensor.tobytes()
            key = f"{tensor.dtype}{list(tensor.shape)}{sha256(content)}"
            if key not in offsets:
                blob.extend(b"\0" * (-len(blob) % _ALIGNMENT))
                offsets[key] = len(blob)
                blob.extend(content)
            value.const_value = ir.ExternalTensor(
                WEIGHTS_FILE,
                offsets[key],
                len(content),
                tensor.dtype,
                shape=ir.Shape(tensor.shape.numpy()),
                name=str(value.name),
            )
    return bytes(blob)
