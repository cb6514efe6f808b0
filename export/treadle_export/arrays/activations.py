"""The activations by name: as ONNX has them, and as numpy computes them."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from treadle.errors import InputError
from treadle_export.passes.activations import Activation

Array = NDArray[np.float64]

SOFTMAX = "softmax"


def _sigmoid(x: Array) -> Array:
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def _softmax(x: Array) -> Array:
    powers: Array = np.exp(x - x.max(axis=-1, keepdims=True))
    total: Array = powers.sum(axis=-1, keepdims=True)
    return powers / total


_EQUATIONS: dict[str, tuple[Activation, Callable[[Array], Array]]] = {
    "linear": (Activation("Affine", (1.0, 0.0)), lambda x: x),
    "tanh": (Activation("Tanh"), np.tanh),
    "relu": (Activation("Relu"), lambda x: np.maximum(x, 0.0)),
    "sigmoid": (Activation("Sigmoid"), _sigmoid),
    "hard_sigmoid": (
        Activation("HardSigmoid", (1 / 6, 0.5)),
        lambda x: np.clip(x / 6.0 + 0.5, 0.0, 1.0),
    ),
    "hard_sigmoid_keras2": (
        Activation("HardSigmoid", (0.2, 0.5)),
        lambda x: np.clip(0.2 * x + 0.5, 0.0, 1.0),
    ),
    "softsign": (Activation("Softsign"), lambda x: x / (1.0 + np.abs(x))),
    "softplus": (Activation("Softplus"), lambda x: np.logaddexp(x, 0.0)),
    "elu": (Activation("Elu", (1.0,)), lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0.0)))),
}
"""`hard_sigmoid` as PyTorch and Keras since 3 have it, and as Keras had it up to 2."""

NAMES = tuple(_EQUATIONS)


def _known(name: str, where: str) -> tuple[Activation, Callable[[Array], Array]]:
    if name not in _EQUATIONS:
        raise InputError(
            f"expected an activation of {', '.join(NAMES)} at layer {where!r}, got {name!r}; "
            f"train the layer with one of these"
        )
    return _EQUATIONS[name]


def onnx_activation(name: str, where: str) -> Activation:
    """The activation in ONNX's terms. Raises InputError naming the layer `where`."""
    return _known(name, where)[0]


def evaluated(name: str, x: Array) -> Array:
    """The activation of `x` [..., F] in float64, softmax included."""
    return _softmax(x) if name == SOFTMAX else _known(name, "")[1](x)
