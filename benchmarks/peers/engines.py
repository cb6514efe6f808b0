"""Who is compared: each engine, each way to use it, what it can do and where it is installed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.peers.workloads import Kind, Workload

PRECISIONS = ("fp32", "int8", "int4")
CANDIDATES = 32
"""Symbols that a screened head rescores; it needs a vocabulary that is 16 times as large."""


@dataclass(frozen=True, slots=True)
class Engine:
    """One way to use one engine.

    family: the module `engine_<family>` that knows it, and its environment where it has one of its
    own. kinds: the workloads that this way can be used for. outputs, streams: at least so many.
    converts: whether it needs more than what all engines share. estimates: the precision of logits
    that it only estimates, by which its largest error is judged; None where it estimates none.
    """

    name: str
    family: str
    precisions: tuple[str, ...]
    kinds: tuple[Kind, ...] = ("step", "tagger", "decoder")
    outputs: int = 1
    streams: int = 1
    converts: bool = True
    estimates: str | None = None

    @property
    def module(self) -> str:
        """What converts and loads it."""
        return f"benchmarks.peers.engine_{self.family}"

    def fits(self, workload: Workload) -> bool:
        """Whether this way can be used for a workload."""
        return (
            workload.kind in self.kinds
            and workload.outputs >= self.outputs
            and workload.streams >= self.streams
        )


ENGINES = {
    one.name: one
    for one in (
        Engine("treadle", "treadle", PRECISIONS),
        Engine("treadle int8-fast", "treadle", ("int8",)),
        Engine("treadle int4-block", "treadle", ("int4",)),
        Engine("treadle int4-fast", "treadle", ("int4",)),
        Engine("treadle int8-tensorwise", "treadle", ("int8",), ("tagger",)),
        Engine(
            *("treadle screened head", "treadle", ("int8",), ("step", "decoder")),
            outputs=16 * CANDIDATES,
            estimates="int4",
        ),
        Engine("treadle pool", "treadle", ("int8",), ("step",), streams=2),
        Engine("torch eager", "torch", ("fp32",), converts=False),
        Engine("torch jit", "torch", ("fp32",), converts=False),
        Engine("torch quantize_dynamic", "torch", ("int8",), converts=False),
        Engine("onnxruntime", "onnxruntime", ("fp32",), converts=False),
        Engine("onnxruntime quantize_dynamic", "onnxruntime", ("int8",)),
        Engine("onnxruntime MatMulNBits", "onnxruntime", ("int8", "int4"), ("step", "decoder")),
        Engine("LiteRT", "litert", PRECISIONS),
        Engine("ExecuTorch", "executorch", ("fp32", "int8")),
        Engine("OpenVINO", "openvino", PRECISIONS),
        Engine("ncnn", "ncnn", ("fp32", "int8")),
    )
}

OWN_ENVIRONMENT = ("litert", "executorch", "openvino", "ncnn")
"""Families whose packages the project does not need otherwise: each has an environment."""
