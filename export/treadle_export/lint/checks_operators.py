"""Attributes of recurrent nodes that mean other numbers, or that an engine does not take."""

from collections.abc import Iterator

from treadle_export.lint.finding import Check, Found
from treadle_export.lint.recurrences import RecurrentLayer, integer, texts
from treadle_export.lint.subject import Subject, label

PYTORCH = "pytorch"
"""What PyTorch's exporters write as a file's producer."""

_USUAL_ACTIVATIONS = {
    "LSTM": ("sigmoid", "tanh", "tanh"),
    "GRU": ("sigmoid", "tanh"),
    "RNN": ("tanh",),
}


def _resets_before(layer: RecurrentLayer) -> bool:
    return layer.node.op_type == "GRU" and integer(layer.node, "linear_before_reset", 0) == 0


def _reset_gate(subject: Subject) -> Iterator[Found]:
    from_pytorch = (subject.model.producer_name or "").lower() == PYTORCH
    for layer in subject.layers:
        if not _resets_before(layer):
            continue
        told = f"{subject.place(layer.node)} applies its reset gate before the recurrent product"
        told += " (linear_before_reset=0)"
        if from_pytorch:
            told += ", and the file comes from PyTorch, whose nn.GRU applies it after"
        yield Found("error" if from_pytorch else "note", told, label(layer.node))


def _batch_first(subject: Subject) -> Iterator[Found]:
    for layer in subject.layers:
        if layer.is_batch_first:
            yield Found(
                "error",
                f"{subject.place(layer.node)} has its batch first (layout=1)",
                label(layer.node),
            )


def _cuda(subject: Subject) -> Iterator[Found]:
    for layer in subject.layers:
        reasons = _unknown_to_cudnn(layer)
        if reasons and not layer.is_quantized:
            yield Found(
                "note",
                f"{subject.place(layer.node)} has what cuDNN lacks: {', '.join(reasons)}",
                label(layer.node),
            )


def _unknown_to_cudnn(layer: RecurrentLayer) -> list[str]:
    node = layer.node
    reasons = [
        name for name in ("clip", "activation_alpha", "activation_beta") if name in node.attributes
    ]
    usual = _USUAL_ACTIVATIONS.get(node.op_type, ())
    activations = texts(node, "activations")
    if any(name.lower() != usual[i % len(usual)] for i, name in enumerate(activations) if usual):
        reasons.append(f"activations {', '.join(activations)}")
    if integer(node, "input_forget", 0):
        reasons.append("input_forget")
    if layer.given("P") is not None:
        reasons.append("peepholes")
    if _resets_before(layer):
        reasons.append("linear_before_reset=0")
    return reasons


RESET_GATE_SIDE = Check(
    name="reset-gate-side",
    looks_for="a GRU applies its reset gate before the recurrent product",
    costs="There are two GRUs, and their weights have the same shapes: that of Cho et al. (2014) "
    "resets the state before the product, that of PyTorch, cuDNN and Keras (reset_after=True) "
    "after it. With the other's weights every answer is wrong, without an error.",
    mend="If the weights come from PyTorch, cuDNN or Keras with reset_after=True, set "
    "linear_before_reset to 1, or export again with a newer exporter. If they were trained in "
    "Cho's form, all is well.",
    severities=("error", "note"),
    find=_reset_gate,
)

BATCH_FIRST_LAYOUT = Check(
    name="batch-first-layout",
    looks_for="a recurrent node has its batch first",
    costs="onnxruntime refuses to run it.",
    mend="Set layout to 0 and put Transpose nodes around the node, for X and Y and for the states.",
    severities=("error",),
    find=_batch_first,
)

CUDA_FALLBACK = Check(
    name="cuda-fallback",
    looks_for="a recurrent node has attributes that a GPU does not take",
    costs="On CUDA onnxruntime runs the layer on the processor, and copies its input and output "
    "there and back at every call.",
    mend="Nothing, if it never meets a GPU. Otherwise train the layer without these, as PyTorch's "
    "nn.LSTM and nn.GRU and the tanh form of nn.RNN are, or write its cell in primitive operators.",
    severities=("note",),
    find=_cuda,
)
