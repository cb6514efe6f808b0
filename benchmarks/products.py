"""How long does each operator of the engine take for a product of one row, and of many?

usage: python -m benchmarks.products [--rows N …] [--rounds N] [--json [FILE]]

Every way in which onnxruntime multiplies by constant weights of few bits, from float activations to
float results, over the matrices of a medium LSTM: 4 of [512, 2048] and a head of [512, 10000], so
that they lie in the cache that its weights lie in. The ways take turns; a figure is the median of
the least disturbed turn, in µs a row for all the matrices. One thread.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from benchmarks.printing import add_json, put
from treadle.stopwatch import measure

INNER, COLUMNS = 512, (2048, 2048, 2048, 2048, 10_000)
ROWS = (1, 2, 4, 32)
CALLS = 60
MICROSOFT = "com.microsoft"
INT8_ACTIVATIONS = 4  # of the attribute accuracy_level

Way = Callable[["Writer", int, int], str]


class Writer:
    """Collects the nodes and constants of a graph that reads `x` [rows, 512]."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.random = np.random.default_rng(0)
        self.scale = self.constant("scale", np.float32(4 / 127))
        self.zero = self.constant("zero", np.uint8(128))
        self.integers = self.op("QuantizeLinear", "x", self.scale, self.zero)

    def constant(self, name: str, array: NDArray[Any] | np.generic) -> str:
        """Returns the name."""
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def op(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Returns the name of the result."""
        made = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [made], domain=domain, **attributes))
        return made

    def weights(self, number: int, columns: int) -> tuple[str, str]:
        """Names of the integers [512, columns] and of what they are worth [columns]."""
        integers = self.random.integers(-63, 64, (INNER, columns), np.int8)
        worth = np.full(columns, 1e-4, np.float32)
        return self.constant(f"w{number}", integers), self.constant(f"u{number}", worth)


def whole_numbers(writer: Writer, number: int, columns: int) -> str:
    """MatMulInteger, its sums scaled by operators of their own."""
    integers, worth = writer.weights(number, columns)
    sums = writer.op("MatMulInteger", writer.integers, integers, writer.zero)
    return writer.op("Mul", writer.op("Cast", sums, to=TensorProto.FLOAT), worth)


def fused(writer: Writer, number: int, columns: int) -> str:
    """MatMulIntegerToFloat, which scales them itself."""
    integers, worth = writer.weights(number, columns)
    inputs = (writer.integers, integers, writer.scale, worth, writer.zero)
    return writer.op("MatMulIntegerToFloat", *inputs, domain=MICROSOFT)


def dynamic(writer: Writer, number: int, columns: int) -> str:
    """DynamicQuantizeMatMul, one scale for all rows."""
    return writer.op(
        "DynamicQuantizeMatMul", "x", *writer.weights(number, columns), domain=MICROSOFT
    )


def blocks(bits: int, size: int, writer: Writer, number: int, columns: int) -> str:
    """MatMulNBits."""
    shape = (columns, INNER // size, size * bits // 8)
    stored = writer.random.integers(0, 256, shape, np.uint8)
    scales = np.full(columns * shape[1], 1e-2, np.float32)
    return writer.op(
        "MatMulNBits",
        "x",
        writer.constant(f"w{number}", stored),
        writer.constant(f"u{number}", scales),
        domain=MICROSOFT,
        K=INNER,
        N=columns,
        bits=bits,
        block_size=size,
        accuracy_level=INT8_ACTIVATIONS,
    )


def floats(writer: Writer, number: int, columns: int) -> str:
    """MatMul in float32."""
    weights = writer.random.normal(size=(INNER, columns)).astype(np.float32)
    return writer.op("MatMul", "x", writer.constant(f"w{number}", weights))


WAYS: dict[str, Way] = {
    "MatMulInteger, Cast, Mul": whole_numbers,
    "MatMulIntegerToFloat": fused,
    "DynamicQuantizeMatMul": dynamic,
    **{
        f"MatMulNBits, {bits} bits, blocks of {size}": partial(blocks, bits, size)
        for bits, size in ((8, 32), (8, 64), (8, 128), (8, 512), (4, 32), (4, 128), (4, 512))
    },
    "MatMul": floats,
}


def session_of(way: Way) -> Any:
    """A session of all the matrices."""
    writer = Writer()
    made = [way(writer, number, columns) for number, columns in enumerate(COLUMNS)]
    value = partial(helper.make_tensor_value_info, elem_type=TensorProto.FLOAT)
    outputs = [value(m, shape=["rows", n]) for m, n in zip(made, COLUMNS, strict=True)]
    inputs = [value("x", shape=["rows", INNER])]
    graph = helper.make_graph(writer.nodes, "products", inputs, outputs, writer.constants)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid(MICROSOFT, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # of constants that a way does not use
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def call_of(session: Any, rows: int) -> Callable[[], object]:
    """One call on bound buffers."""
    binding = session.io_binding()
    x = np.random.default_rng(1).normal(size=(rows, INNER)).astype(np.float32)
    binding.bind_cpu_input("x", x)
    for output in session.get_outputs():
        binding.bind_output(output.name)
    return partial(session.run_with_iobinding, binding)


def timed(rows: tuple[int, ...], rounds: int) -> dict[str, dict[int, float]]:
    """Way -> rows -> µs a row."""
    sessions = {name: session_of(way) for name, way in WAYS.items()}
    best = {name: dict.fromkeys(rows, float("inf")) for name in WAYS}
    for _ in range(rounds):
        for name, session in sessions.items():
            for count in rows:
                median = measure(call_of(session, count), steps=CALLS).p50_us
                best[name][count] = min(best[name][count], median / count)
    return best


def main() -> int:
    """Measure all of them and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS, metavar="N")
    parser.add_argument("--rounds", type=int, default=5)
    add_json(parser)
    asked = parser.parse_args()
    found = timed(tuple(asked.rows), asked.rounds)
    lines = [f"{'µs a row, by rows of a call':36}" + "".join(f"{n:>8}" for n in asked.rows)]
    lines += [
        f"{name:36}" + "".join(f"{by_rows[n]:8.1f}" for n in asked.rows)
        for name, by_rows in found.items()
    ]
    put(found, lines, asked.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
