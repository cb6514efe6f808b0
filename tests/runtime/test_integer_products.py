"""Products in integers are tried before a model runs, and one that saturates is refused."""

from __future__ import annotations

import json
import platform
import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from tests.runtime.tiny_bundles import reseal, write_language_model
from treadle import integer_products, vnni
from treadle.bundle import open_bundle
from treadle.errors import DeviceError
from treadle.graph_products import products_of
from treadle.integer_products import Product, check_products, is_exact
from treadle.loading import load
from treadle.probe_graph import block_product, integer_product

if TYPE_CHECKING:
    from pathlib import Path

SAFE = Product("MatMulInteger", largest=63)
FULL = Product("MatMulInteger", largest=127)
IN_BLOCKS = [Product("MatMulNBits", bits=bits, block_size=32) for bits in (4, 8)]


@pytest.fixture(autouse=True)
def _untried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integer_products, "_exact", set())


def pretend(patch: pytest.MonkeyPatch, session: Any) -> None:
    """Let the runtime see an onnxruntime that opens `session`."""
    engine = {**vars(onnxruntime), "InferenceSession": session}
    patch.setitem(sys.modules, "onnxruntime", SimpleNamespace(**engine))


class Saturating:
    """Multiplies as a processor without VNNI does: sums of two products in 16 bits."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def run(self, _: None, feeds: dict[str, Any]) -> list[Any]:
        a, b = feeds["a"].astype(np.int32), feeds["b"].astype(np.int32)
        zero = 128 * (feeds["a"].dtype == np.uint8)
        products = a[:, :, None] * b[None]
        pairs = (products[:, 0::2] + products[:, 1::2]).clip(-(2**15), 2**15 - 1)
        return [pairs.sum(axis=1) - zero * b.sum(axis=0)]


@given(largest=st.integers(1, 127))
def test_sums_in_16_bits_are_found_as_soon_as_they_saturate(largest: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        pretend(patch, Saturating)
        exact = is_exact(replace(FULL, largest=largest))
    assert exact == (2 * 255 * largest < 2**15)


def test_all_kinds_are_exact_where_nothing_saturates() -> None:
    whole = [SAFE, Product("MatMulInteger", "int8", "int8"), Product("QGemm", "uint8", "uint8")]
    for product in (*whole, *IN_BLOCKS, Product("MatMulNBits", bits=4, block_size=128)):
        assert is_exact(product), product


@pytest.mark.parametrize("product", [SAFE, *IN_BLOCKS], ids=str)
def test_an_answer_that_is_wrong_is_an_error(
    product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong(onnxruntime.InferenceSession):  # type: ignore[misc]
        def run(self, *arguments: Any) -> list[Any]:
            [first, *others] = super().run(*arguments)
            first[0, -1] *= 0.95  # what one pair may lose
            return [first, *others]

    check_products([product])
    monkeypatch.setattr(integer_products, "_exact", set())
    pretend(monkeypatch, Wrong)
    words = rf"exact products of {product.operator}.*lack VNNI \(avx512_vnni.*; export the model in"
    with pytest.raises(DeviceError, match=words):
        check_products([product])


def test_a_product_is_tried_once_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Product] = []

    def tries(product: Product) -> bool:
        tried.append(product)
        return True

    monkeypatch.setattr(integer_products, "is_exact", tries)
    check_products([SAFE])
    check_products([SAFE, FULL])
    check_products([FULL])
    assert tried == [SAFE, FULL]


@pytest.mark.parametrize(
    ("machine", "cpuinfo", "expected"),
    [
        ("x86_64", "processor\t: 0\nflags\t\t: fpu avx2 fma\nbugs\t\t:\n", True),
        ("x86_64", "processor\t: 0\nflags\t\t: fpu avx2 avx_vnni\nbugs\t\t: x\n", False),
        ("AMD64", "processor\t: 0\nflags\t\t: fpu avx512f avx512_vnni\n", False),
        ("x86_64", "model name\t: avx512_vnni\nflags\t\t: fpu avx2\n", True),
        ("AMD64", None, True),
        ("x86_64", "", True),
        ("aarch64", "Features\t: fp asimd\n", False),
        ("arm64", None, False),
    ],
)
def test_only_x86_without_vnni_is_tried(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    machine: str,
    cpuinfo: str | None,
    expected: bool,
) -> None:
    if cpuinfo is not None:
        (tmp_path / "cpuinfo").write_text(cpuinfo)
    monkeypatch.setattr(vnni, "_CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert vnni.may_saturate.__wrapped__() is expected


@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 9), columns=st.integers(1, 9))
def test_a_graph_of_our_own_making_is_onnx(seed: int, rows: int, columns: int) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.integers(-63, 64, (rows, columns)).astype(np.int8)
    content = integer_product(weights, np.array(128, np.uint8))
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    named = {array.name: numpy_helper.to_array(array) for array in model.graph.initializer}
    np.testing.assert_array_equal(named["weights"], weights)
    packed = rng.integers(0, 256, (columns, 2, 16)).astype(np.uint8)
    node = onnx.load_from_string(block_product(packed, 64, 4, 32)).graph.node[0]
    assert (node.op_type, node.domain) == ("MatMulNBits", "com.microsoft")
    assert {a.name: helper.get_attribute_value(a) for a in node.attribute} == {
        "K": 64,
        "N": columns,
        "bits": 4,
        "block_size": 32,
        "accuracy_level": 4,
    }


def with_nodes(
    directory: Path, *nodes: onnx.NodeProto, external: bool = False, largest: int = 90
) -> Path:
    """A tiny bundle whose step graph also holds these nodes, which nobody reads, and weights."""
    path = write_language_model(directory)
    model = onnx.load(path / "step.onnx")
    weights = np.full((8, 8), -largest, np.int8)
    weights[0] = 3
    arrays: dict[str, Any] = {
        "integers": weights,
        "unsigned": np.zeros((8, 8), np.uint8),
        "zero": np.array(128, np.uint8),
        "signed_zero": np.array(0, np.int8),
        "ones": np.ones(8, np.float32),
        "x8": np.zeros((1, 8), np.uint8),
        "x": np.zeros((1, 8), np.float32),
        # an odd number of levels, so that half a byte is left
        "levels": np.array([[-8, 3, 7]] * 3, ml_dtypes.int4),
        "multiples": np.array([[-5, 4, 1]], ml_dtypes.int4),
    }
    model.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in arrays.items())
    model.graph.node.extend(nodes)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    document = json.loads((path / "manifest.json").read_text())
    if external:
        document["files"]["more.data"] = {}
    onnx.save(
        model,
        path / "step.onnx",
        save_as_external_data=external,
        location="more.data",
        size_threshold=0,
    )
    reseal(path, document)
    return path


@pytest.mark.parametrize("external", [False, True])
def test_products_are_found_with_their_types_and_their_largest_weight(
    tmp_path: Path, *, external: bool
) -> None:
    inside = helper.make_graph(
        [helper.make_node("MatMulInteger", ["x8", "unsigned", "zero"], ["u"])],
        "inside",
        [],
        [helper.make_tensor_value_info("u", TensorProto.INT32, None)],
    )
    nodes = [
        helper.make_node("MatMulInteger", ["x8", "integers", "zero"], ["p"]),
        helper.make_node("MatMulInteger", ["x8", "computed", "signed_zero"], ["q"]),
        helper.make_node("MatMulInteger", ["x8", "integers"], ["r"]),
        helper.make_node(
            "DynamicQuantizeMatMul", ["x", "integers", "ones"], ["s"], domain="com.microsoft"
        ),
        helper.make_node("If", ["c"], ["t"], then_branch=inside, else_branch=inside),
        *(
            helper.make_node(
                "MatMulNBits", ["x", "w", "z"], ["n"], bits=8, block_size=32, accuracy_level=level
            )
            for level in (4, 1)
        ),
    ]
    with open_bundle(with_nodes(tmp_path, *nodes, external=external)) as bundle:
        assert products_of(bundle, "step.onnx") == {
            Product("MatMulInteger", largest=90),
            Product("MatMulInteger", "int8", largest=90),
            Product("MatMulInteger", weights="uint8", largest=255),
            Product("DynamicQuantizeMatMul", largest=90),
            Product("MatMulNBits", bits=8, block_size=32),
        }
        assert not products_of(bundle, "sequence.onnx")


@pytest.mark.parametrize("external", [False, True])
@pytest.mark.parametrize(("largest", "expected"), [(3, 40), (41, 41)])
def test_weights_made_of_4_bits_are_as_large_as_one_times_the_other(
    tmp_path: Path, largest: int, expected: int, *, external: bool
) -> None:
    nodes = [
        helper.make_node("Cast", ["levels"], ["a"], to=TensorProto.INT8),
        helper.make_node("Cast", ["multiples"], ["b"], to=TensorProto.INT8),
        helper.make_node("Mul", ["a", "b"], ["unpacked"]),
        helper.make_node("MatMulInteger", ["x8", "unpacked", "zero"], ["p"]),
    ]
    path = with_nodes(tmp_path, *nodes, external=external, largest=largest)
    with open_bundle(path) as bundle:
        found = products_of(bundle, "step.onnx")
    assert found == {Product("MatMulInteger", largest=expected)}


@pytest.mark.parametrize(
    "numbers",
    [
        {"bits": 4, "block_size": 0},
        {"bits": 4, "block_size": 2**40},
        {"bits": 4, "block_size": -32},
        {"bits": 63, "block_size": 32},
        {"bits": -4, "block_size": 32},
        {"bits": 8},
    ],
)
def test_sizes_that_no_engine_takes_are_left_to_it(tmp_path: Path, numbers: dict[str, int]) -> None:
    node = helper.make_node("MatMulNBits", ["x", "w", "z"], ["n"], accuracy_level=4)
    node.attribute.extend(helper.make_attribute(name, value) for name, value in numbers.items())
    with open_bundle(with_nodes(tmp_path, node)) as bundle:
        assert not products_of(bundle, "step.onnx")


def test_a_name_that_is_no_text_names_nothing(tmp_path: Path) -> None:
    nodes = [helper.make_node(kind, ["x8", "ghost"], ["p"]) for kind in ("MatMulInteger", "Spook")]
    path = with_nodes(tmp_path, *nodes)
    content = (path / "step.onnx").read_bytes()
    for name in (b"ghost", b"Spook"):
        content = content.replace(name, b"\xff" + name[1:])
    (path / "step.onnx").write_bytes(content)
    reseal(path, json.loads((path / "manifest.json").read_text()))
    with open_bundle(path) as bundle:
        found = products_of(bundle, "step.onnx")
    assert found == {Product("MatMulInteger", largest=90)}


def test_a_model_whose_products_would_be_wrong_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = with_nodes(
        tmp_path, helper.make_node("MatMulInteger", ["x8", "integers", "zero"], ["p"])
    )
    monkeypatch.setattr(integer_products, "is_exact", lambda product: product.largest <= 64)
    monkeypatch.setattr("treadle.model.may_saturate", lambda: True)
    with load(path) as model, pytest.raises(DeviceError, match=r"MatMulInteger .*up to 90"):
        model.stream()
    monkeypatch.setattr("treadle.model.may_saturate", lambda: False)
    with load(path) as model:
        assert model.stream().step(np.array([1])).shape


def test_a_model_whose_products_are_exact_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = with_nodes(
        tmp_path, helper.make_node("MatMulInteger", ["x8", "integers", "zero"], ["p"])
    )
    monkeypatch.setattr("treadle.model.may_saturate", lambda: True)
    with load(path) as model:
        assert model.stream().step(np.array([1])).shape
    assert integer_products._exact == {Product("MatMulInteger", largest=90)}
