from __future__ import annotations

import threading
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import rnn as torch_rnn

from tests.export import foreign_modules as modules
from tests.export import recurrent_grid as grids
from tests.export.foreign_modules import HIDDEN, WIDTH, WORDS
from treadle.errors import InputError
from treadle.ladder import compare
from treadle_export.canonical import IR_VERSION, OPSET
from treadle_export.engine import Arrays, Engine
from treadle_export.foreign import StatePair
from treadle_export.torch_modules import foreign_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from treadle_export.foreign import Foreign

RECURRENT = ("LSTM", "GRU", "RNN")


def _zeros(foreign: Foreign, arrays: Arrays) -> Arrays:
    """Zeros for every input of the graph that `arrays` leaves out: its states."""
    rows = next(array.shape[_batch(foreign, name)] for name, array in arrays.items())
    feeds = {}
    for value in foreign.model.graph.inputs:
        if value.name not in arrays and value.shape is not None:
            shape = [size if isinstance(size, int) else rows for size in value.shape]
            feeds[str(value.name)] = np.zeros(shape, np.float32)
    return feeds


def _batch(foreign: Foreign, name: str) -> int:
    value = next(value for value in foreign.model.graph.inputs if value.name == name)
    assert value.shape is not None
    return [str(size) for size in value.shape].index("batch")


def _answers_alike(foreign: Foreign, arrays: Arrays) -> None:
    """The graph answers as the module does."""
    expected = foreign.run(arrays)
    found = Engine(foreign.model).run({**_zeros(foreign, arrays), **arrays})
    assert set(found) <= set(expected)
    _equal({name: expected[name] for name in found}, found)


def _equal(expected: Arrays, found: Arrays) -> None:
    assert set(expected) == set(found)
    for name, array in expected.items():
        assert array.shape == found[name].shape, name
        assert array.dtype == found[name].dtype, name
        pair = array[None], found[name][None]
        assert compare("onnx sequence", "float32", states=[pair]).passed, name


def _frames(data: st.DataObject, *shape: int) -> np.ndarray[Any, Any]:
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    return random.normal(size=shape).astype(np.float32)


def _named(answers: dict[str, Any]) -> Arrays:
    """A grid's answers as its graph names them."""
    parts = {key: one if isinstance(one, tuple) else (one,) for key, one in answers.items()}
    return {
        f"{key}_1" if number else key: part.numpy()
        for key, tensors in parts.items()
        for number, part in enumerate(tensors)
    }


SIZES = st.tuples(st.integers(1, 5), st.integers(1, 9))


WHOLE = [
    pytest.param(False, id="some"),
    # A trace of the whole grid takes half a minute.
    pytest.param(True, id="all", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("whole", WHOLE)
@pytest.mark.parametrize("packed", grids.FLAGS)
@pytest.mark.parametrize("states", grids.STATES)
@settings(max_examples=10)
@given(data=st.data(), lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4))
def test_every_kind_of_layer_answers_as_torch(
    states: str, packed: bool, whole: bool, data: st.DataObject, lengths: list[int]
) -> None:
    module, foreign = grids.grid(states, packed, whole)
    feeds = {"x": _frames(data, len(lengths), max(lengths), grids.INPUT)}
    if packed:
        feeds["lengths"] = np.array(lengths)
    arguments: dict[str, Any] = {name: torch.from_numpy(array) for name, array in feeds.items()}
    if states == "passed":
        x = arguments["x"]
        arguments["hidden"] = {kind.key: kind.zeros(x, len(lengths)) for kind in module.grid}
        for key, state in arguments["hidden"].items():
            parts = state if isinstance(state, tuple) else (state,)
            for name, part in zip((f"hidden.{key}", f"hidden.{key}_1"), parts, strict=False):
                if key.startswith("projected") and part is parts[0]:
                    continue  # what was before the projection is not known: it starts from zero
                part.copy_(torch.from_numpy(_frames(data, *part.shape)))
                feeds[name] = part.numpy()
    with torch.no_grad():
        answers = module(**arguments)
    expected = _named(answers)
    lost = {name for name in expected if name.startswith("projected") and name.endswith(".final")}
    _equal(
        {name: array for name, array in expected.items() if name not in lost},
        Engine(foreign.model).run(feeds),
    )


@pytest.mark.parametrize("whole", WHOLE)
@pytest.mark.parametrize("packed", grids.FLAGS)
@pytest.mark.parametrize("states", grids.STATES)
def test_each_layer_is_one_node_with_named_weights(states: str, packed: bool, whole: bool) -> None:
    module, foreign = grids.grid(states, packed, whole)
    graph = foreign.model.graph
    nodes = [node for node in graph if node.op_type in RECURRENT]
    biased = {
        f"kinds.{kind.key}.{layer}": kind.bias
        for kind in module.grid
        for layer in range(kind.layers)
    }
    for node in nodes:
        names = [str(value.name) for value in node.inputs[1:4] if value is not None]
        path = names[0].removesuffix(".w")
        assert names[:2] == [f"{path}.w", f"{path}.r"]
        # Zeros in place of a bias are the same for all.
        assert names[2] == f"{path}.b" or not biased[path]
        assert all(name in graph.initializers for name in names)
        del biased[path]
        assert (len(node.inputs) > 4 and node.inputs[4] is not None) == packed
    assert not biased
    assert foreign.model.ir_version == IR_VERSION
    assert graph.opset_imports[""] == OPSET
    assert foreign.lengths == ("lengths" if packed else None)
    assert sorted(foreign.example) == (["lengths", "x"] if packed else ["x"])
    assert foreign.example["x"].shape[0] >= 2
    assert foreign.example["x"].shape[1] >= 4


@pytest.mark.parametrize("batched", grids.FLAGS)
@pytest.mark.parametrize("states", grids.STATES)
@settings(max_examples=10)
@given(data=st.data(), rows=st.integers(1, 6))
def test_every_cell_answers_as_torch(
    states: str, batched: bool, data: st.DataObject, rows: int
) -> None:
    module, foreign = grids.cell_grid(states, batched)
    feeds = {"x": _frames(data, rows, grids.INPUT)}
    arguments: dict[str, Any] = {"x": torch.from_numpy(feeds["x"])}
    if states == "passed":
        arguments["state"] = {}
        for key in module.cells:
            parts = [_frames(data, rows, grids.HIDDEN) for _ in range(1 + key.startswith("lstm"))]
            feeds |= dict(zip((f"state.{key}", f"state.{key}_1"), parts, strict=False))
            tensors = tuple(map(torch.from_numpy, parts))
            arguments["state"][key] = tensors if key.startswith("lstm") else tensors[0]
    with torch.no_grad():
        answers = module(**arguments)
    _equal(_named(answers), Engine(foreign.model).run(feeds))
    assert list(foreign.example) == ["x"]


STREAMING: dict[str, tuple[Callable[[], nn.Module], int, int]] = {
    # how to make it, steps that it takes together, input axis of time
    "causal-convolutions": (modules.CausalConvolutions, 1, 1),
    "running-norm": (modules.RunningNorm, 1, 1),
    "shifted-frames": (modules.ShiftedFrames, 1, 1),
    "stacked-frames": (modules.StackedFrames, 3, 0),
    "subsampled": (modules.Subsampled, 2, 1),
    "mixed": (modules.Mixed, 1, 1),
}


@cache
def _streaming(name: str) -> tuple[nn.Module, Foreign]:
    make, together, time = STREAMING[name]
    module = make().eval()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d):
            nn.init.uniform_(part.running_mean, -1, 1)  # type: ignore[arg-type]
            nn.init.uniform_(part.running_var, 0.5, 2)  # type: ignore[arg-type]
    shape = [1, 1, WIDTH]
    shape[time] = together
    return module, foreign_of(module, torch.zeros(shape))


@pytest.mark.parametrize("name", STREAMING)
@settings(max_examples=10)
@given(data=st.data(), rows=st.integers(1, 4), steps=st.integers(1, 9))
def test_what_stands_around_a_layer_is_carried_over(
    name: str, data: st.DataObject, rows: int, steps: int
) -> None:
    module, foreign = _streaming(name)
    _, together, time = STREAMING[name]
    shape = [rows, rows, WIDTH]
    shape[time] = steps * together
    x = _frames(data, *shape)
    with torch.no_grad():
        expected = module(torch.from_numpy(x)).numpy()
    (taken,) = foreign.example
    _equal({"output": expected}, Engine(foreign.model).run({taken: x}))
    _equal({"output": expected}, foreign.run({taken: x}))


PACKED: dict[str, Callable[[], nn.Module]] = {
    "unsorted": modules.Tagger,
    "sorted": lambda: modules.Tagger(enforce_sorted=True),
    "counted": modules.CountingTagger,
}


@cache
def _tagger(name: str) -> tuple[nn.Module, Foreign]:
    module = PACKED[name]().eval()
    example = (torch.ones(1, 1, dtype=torch.int64), torch.ones(1, dtype=torch.int64))
    return module, foreign_of(module, example[: 1 if name == "counted" else 2])


@pytest.mark.parametrize("name", PACKED)
@settings(max_examples=15)
@given(data=st.data(), lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_packing_becomes_lengths(name: str, data: st.DataObject, lengths: list[int]) -> None:
    module, foreign = _tagger(name)
    lengths = sorted(lengths, reverse=True) if name == "sorted" else lengths
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    tokens = random.integers(1, WORDS, (len(lengths), max(lengths)))
    if name == "counted":
        tokens *= np.arange(max(lengths)) < np.array(lengths)[:, None]
    feeds = {"tokens": tokens, "lengths": np.array(lengths)}
    if name == "counted":
        feeds.pop("lengths")
    with torch.no_grad():
        answers = module(*(torch.from_numpy(array) for array in feeds.values()))
    expected = {way: tensor.numpy() for way, tensor in answers.items()}
    _equal(expected, Engine(foreign.model).run(feeds))
    assert foreign.lengths == (None if name == "counted" else "lengths")


@pytest.mark.parametrize("name", ["unsorted", "sorted"])
@settings(max_examples=15)
@given(
    data=st.data(),
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=5),
    more=st.integers(0, 4),
)
def test_origin_takes_rows_in_any_order_and_any_padding(
    name: str, data: st.DataObject, lengths: list[int], more: int
) -> None:
    module, foreign = _tagger(name)
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    tokens = random.integers(1, WORDS, (len(lengths), max(lengths) + more))
    feeds = {"tokens": tokens, "lengths": np.array(lengths)}
    _answers_alike(foreign, feeds)
    answers = foreign.run(feeds)
    for row, length in enumerate(lengths):
        with torch.no_grad():
            alone = module(torch.from_numpy(tokens[row : row + 1, :length]), torch.tensor([length]))
        for way in ("plain", "whole", "other"):
            found = answers[way][row : row + 1, :length]
            _equal({way: alone[way].numpy()}, {way: found})


@settings(max_examples=10)
@given(data=st.data(), lengths=st.lists(st.integers(1, 6), min_size=1, max_size=5))
def test_final_states_are_those_at_each_length(data: st.DataObject, lengths: list[int]) -> None:
    module, foreign = _classifier()
    frames = _frames(data, max(lengths), len(lengths), WIDTH)
    feeds = {"frames": frames, "lengths": np.array(lengths)}
    with torch.no_grad():
        expected = [one.numpy() for one in module(*map(torch.from_numpy, feeds.values()))]
    named = dict(zip(("output", "output_1"), expected, strict=True))
    _equal(named, Engine(foreign.model).run(feeds))
    _equal(named, foreign.run(feeds))


@cache
def _classifier() -> tuple[nn.Module, Foreign]:
    module = modules.SequenceClassifier().eval()
    return module, foreign_of(module, (torch.zeros(1, 1, WIDTH), torch.tensor([1])))


def test_lengths_may_be_a_list() -> None:
    module = modules.Tagger().eval()
    foreign = foreign_of(module, (torch.ones(2, 5, dtype=torch.int64), [5, 3]))
    assert foreign.lengths == "lengths"
    lengths = np.array([3, 6, 1])
    _answers_alike(foreign, {"tokens": np.ones((3, 6), np.int64), "lengths": lengths})


def test_padding_alone_keeps_its_value() -> None:
    module = modules.Padded().eval()
    foreign = foreign_of(module, {"lengths": torch.tensor([2]), "frames": torch.zeros(1, 2, WIDTH)})
    frames = np.random.default_rng(0).normal(size=(3, 4, WIDTH)).astype(np.float32)
    feeds = {"frames": frames, "lengths": np.array([2, 4, 1])}
    _answers_alike(foreign, feeds)
    assert (foreign.run(feeds)["output_1"][0, 2:] == -1.5).all()


def test_names_follow_parameters_keys_and_fields() -> None:
    zeros = torch.zeros(1, HIDDEN)
    foreign = foreign_of(
        modules.StepDecoder(),
        {"state": modules.StepState(zeros, zeros), "token": torch.zeros(1, dtype=torch.int64)},
    )
    names = [value.name for value in foreign.model.graph.inputs]
    assert names == ["token", "state.hidden", "state.cell"]
    outputs = [value.name for value in foreign.model.graph.outputs]
    assert outputs == ["logits", "next_state.hidden", "next_state.cell"]
    assert foreign.name == "step-decoder"
    assert list(foreign.example) == ["token"]
    assert foreign.states == (
        StatePair("state.hidden", "next_state.hidden"),
        StatePair("state.cell", "next_state.cell"),
    )
    assert foreign.provenance["origin"] == "torch"
    assert foreign.provenance["module"].endswith(".StepDecoder")
    _answers_alike(foreign, {"token": np.array([3, 1, 2, 9])})


def test_a_state_that_others_read_is_a_pair() -> None:
    foreign = foreign_of(modules.Gated(), (torch.zeros(1, WIDTH), torch.zeros(1, HIDDEN)))
    assert foreign.states == (StatePair("hidden", "next_hidden"),)
    assert list(foreign.example) == ["x"]
    outputs = [value.name for value in foreign.model.graph.outputs]
    assert outputs == ["scores", "next_hidden"]
    _answers_alike(foreign, {"x": np.ones((5, WIDTH), np.float32)})


def test_a_key_that_goes_in_and_comes_out_is_a_pair() -> None:
    zeros = torch.zeros(1, 1, WIDTH), torch.zeros(1, WIDTH, 2), torch.zeros(1, 1, HIDDEN)
    foreign = foreign_of(modules.Cached(), zeros)
    assert foreign.states == (StatePair("h", "next_h"), StatePair("cache", "next_cache"))
    assert list(foreign.example) == ["x"]
    frames = np.random.default_rng(1).normal(size=(3, 7, WIDTH)).astype(np.float32)
    _answers_alike(foreign, {"x": frames})


def test_a_state_that_is_passed_starts_from_zeros() -> None:
    module = nn.GRU(WIDTH, HIDDEN).eval()
    foreign = foreign_of(module, (torch.zeros(2, 1, WIDTH), torch.ones(1, 1, HIDDEN)))
    frames = np.random.default_rng(1).normal(size=(7, 2, WIDTH)).astype(np.float32)
    with torch.no_grad():
        outputs, final = module(torch.from_numpy(frames))
    expected = {"output": outputs.numpy(), "output_1": final.numpy()}
    _equal(expected, foreign.run({"input": frames}))
    assert [value.name for value in foreign.model.graph.inputs] == ["input", "hx"]
    assert "gru.0.w" in foreign.model.graph.initializers


def test_the_module_is_left_as_it_was() -> None:
    module = modules.Tagger().double().train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    packing = torch_rnn.pack_padded_sequence, vars(modules)["pack_padded_sequence"]
    foreign_of(module, (torch.ones(1, 1, dtype=torch.int64), torch.ones(1, dtype=torch.int64)))
    assert packing == (torch_rnn.pack_padded_sequence, vars(modules)["pack_padded_sequence"])
    assert type(module.rnn) is nn.LSTM
    assert module.training
    assert list(before) == list(module.state_dict())
    for name, tensor in module.state_dict().items():
        assert tensor.dtype == before[name].dtype
        assert torch.equal(tensor, before[name])


def test_other_threads_still_pack() -> None:
    from treadle_export.torch_modules.packing import Packed, packing_replaced

    packed: list[Any] = []

    def pack_once() -> None:
        pack = vars(modules)["pack_padded_sequence"]
        packed.append(pack(torch.ones(2, 1, 1), torch.tensor([2])))

    with packing_replaced(nn.Linear(1, 1)):
        pack_once()
        thread = threading.Thread(target=pack_once)
        thread.start()
        thread.join()
    assert isinstance(packed[0], Packed)
    assert type(packed[1]) is torch_rnn.PackedSequence


def test_no_trace_of_the_machine_is_left() -> None:
    for foreign in (_tagger("unsorted")[1], _streaming("mixed")[1]):
        text = ir.to_proto(foreign.model).SerializeToString()
        assert b".py" not in text
        assert b"pkg.torch" not in text


def test_axes_may_be_said() -> None:
    module = nn.GRU(WIDTH, HIDDEN, batch_first=True)
    state = torch.zeros(1, 4, HIDDEN)
    foreign = foreign_of(
        module,
        (torch.zeros(4, 4, WIDTH), state),
        axes={"input": ("batch", "time"), "hx": (None, "batch")},
        name="mine",
    )
    assert foreign.name == "mine"
    assert [str(size) for size in foreign.model.graph.inputs[0].shape or ()][:2] == [
        "batch",
        "time",
    ]
    assert foreign.example["input"].shape == (5, 4, WIDTH)
    _answers_alike(foreign, {"input": np.ones((2, 3, WIDTH), np.float32)})


def test_origin_names_what_it_takes() -> None:
    _, foreign = _tagger("unsorted")
    with pytest.raises(InputError, match=r"expected inputs named tokens, lengths, got words"):
        foreign.run({"words": np.ones((1, 1), np.int64)})


@pytest.mark.parametrize("make", [modules.CachedStep, modules.CachedChunk])
def test_caches_are_found_without_names(make: Callable[[], nn.Module]) -> None:
    steps = () if make is modules.CachedStep else (1,)
    cached = 2 if make is modules.CachedStep else 3
    past, state = torch.zeros(1, cached, WIDTH), torch.zeros(*steps, 1, HIDDEN)
    foreign = foreign_of(make(), (torch.zeros(1, *steps, WIDTH), past, state))
    assert foreign.states == (StatePair("h", "output_2"), StatePair("past", "output_1"))
    assert list(foreign.example) == ["frame" if make is modules.CachedStep else "x"]
    name = next(iter(foreign.example))
    _answers_alike(foreign, {name: np.ones((3, *[5 for _ in steps], WIDTH), np.float32)})


def test_what_is_not_carried_is_no_state() -> None:
    foreign = foreign_of(modules.Speaker(), (torch.zeros(1, 1, WIDTH), torch.ones(1, WIDTH)))
    assert foreign.states == ()
    assert list(foreign.example) == ["x", "speaker"]
