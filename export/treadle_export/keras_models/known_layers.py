"""Which Keras classes are known, and what to do about some that are not."""

from typing import NoReturn

from treadle.errors import UnsupportedGraph

RECURRENT = frozenset({"SimpleRNN", "LSTM", "GRU"})
MODELS = frozenset({"Sequential", "Functional", "Model"})
WRAPPERS = {"Bidirectional": RECURRENT, "TimeDistributed": frozenset[str]()}
"""Classes that hold layers, and what these may be; those of TimeDistributed follow below."""

IDENTITIES = frozenset(
    {"Dropout", "SpatialDropout1D", "GaussianNoise", "GaussianDropout", "ActivityRegularization"}
)
"""What lets everything pass at inference."""

_POINTWISE = IDENTITIES | frozenset(
    {"Dense", "Activation", "Softmax", "ReLU", "LayerNormalization", "BatchNormalization"}
)
WRAPPERS["TimeDistributed"] = _POINTWISE

LAYERS = RECURRENT | _POINTWISE | frozenset({"InputLayer", "Embedding", "Masking", *WRAPPERS})

_CODE = "it holds Python code, which is never loaded from a file"
_REMEDIES = {
    "Lambda": f"{_CODE}: replace it by Activation or Dense",
    "RNN": "replace it by SimpleRNN, LSTM or GRU",
    "StackedRNNCells": "stack SimpleRNN, LSTM or GRU layers instead",
    "CuDNNLSTM": "load its weights into LSTM and save the model again",
    "CuDNNGRU": "load its weights into GRU(reset_after=True) and save the model again",
    "ConvLSTM1D": "its state has more axes than a stream carries: use LSTM",
    "ConvLSTM2D": "its state has more axes than a stream carries: use LSTM",
}


def refuse(name: str, class_name: str, reason: str) -> NoReturn:
    """Raises UnsupportedGraph naming the layer, its class, and what to do."""
    raise UnsupportedGraph(f"the Keras layer {name!r} ({class_name}) cannot be adopted: {reason}")


def refuse_class(name: str, class_name: str, module: str | None) -> NoReturn:
    """Raises UnsupportedGraph for a class that is not known."""
    custom = module is not None and module.partition(".")[0] != "keras"
    other = f"{_CODE}: rebuild the model of Keras's own layers" if custom else None
    known = ", ".join(sorted(LAYERS))
    refuse(
        name,
        class_name,
        other or _REMEDIES.get(class_name) or f"rebuild the model of the known layers: {known}",
    )
