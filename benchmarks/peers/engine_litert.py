"""LiteRT: its interpreter with XNNPACK, models converted by litert-torch and ai-edge-quantizer.

The step is converted with cells of linear layers, of which the quantizer sees every product. int8:
dynamic, a scale a row; int4: dynamic, blocks of 32.
"""

from __future__ import annotations

from importlib.metadata import version as version_of
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.peers.workloads import REFERENCE, WEIGHTS, loaded

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from benchmarks.peers.case import Case
    from benchmarks.peers.workloads import Ids

RECIPES = {"int8": "dynamic_wi8_afp32", "int4": "dynamic_wi4b32_afp32"}


def version() -> str:
    """Of the runtime's package."""
    return version_of("ai-edge-litert")


def convert(case: Case) -> None:
    """PyTorch to a float32 file, which is quantized."""
    source = case.folder / "LiteRT-fp32.tflite"
    if not source.exists():
        _convert_float32(case, source)
    if case.precision != "fp32":
        from ai_edge_quantizer import quantizer, recipe

        rounding = quantizer.Quantizer(str(source))
        rounding.load_quantization_recipe(getattr(recipe, RECIPES[case.precision])())
        rounding.quantize().export_model(str(case.file(".tflite")), overwrite=True)


def _convert_float32(case: Case, path: Path) -> None:
    import litert_torch

    from benchmarks.peers.models import example_of, module_of

    weights = loaded(case.folder / WEIGHTS)
    module = module_of(case.workload, case.cell, weights, cells=True)
    litert_torch.convert(module, example_of(case.workload, case.cell)).export(str(path))


def load(case: Case) -> InterpreterRunner:
    """An interpreter with its default delegate, XNNPACK."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(case.file(".tflite")), num_threads=case.threads)
    interpreter.allocate_tensors()
    return InterpreterRunner(interpreter, case)


class InterpreterRunner:
    """States are copied from the outputs to the inputs: the interpreter owns both."""

    def __init__(self, interpreter: Any, case: Case) -> None:
        self._interpreter = interpreter
        signature = interpreter.get_signature_runner()
        inputs = _in_order(signature.get_input_details())
        outputs = _in_order(signature.get_output_details())
        self._token, self._logits = inputs[0]["index"], outputs[0]["index"]
        self._dtype = inputs[0]["dtype"]
        states = len(outputs) - 1
        self._carried = [
            (before["index"], after["index"])
            for before, after in zip(inputs[1 : 1 + states], outputs[1:], strict=True)
        ]
        self._zeros = np.zeros(case.workload.states, np.float32)
        if case.workload.kind == "decoder":
            memory = loaded(case.folder / REFERENCE)["memory"]
            interpreter.set_tensor(inputs[-1]["index"], memory)

    def start(self) -> None:
        """Zeros."""
        for before, _ in self._carried:
            self._interpreter.set_tensor(before, self._zeros)

    def step(self, tokens: Ids) -> NDArray[np.float32]:
        """One invocation."""
        interpreter = self._interpreter
        interpreter.set_tensor(self._token, tokens.astype(self._dtype))
        interpreter.invoke()
        for before, after in self._carried:
            interpreter.set_tensor(before, interpreter.get_tensor(after))
        logits: NDArray[np.float32] = interpreter.get_tensor(self._logits)
        return logits


def _in_order(details: dict[str, Any]) -> list[Any]:
    """By the number at the end of a name: args_0, args_1 and so on."""
    return [details[name] for name in sorted(details, key=lambda name: int(name.split("_")[-1]))]
