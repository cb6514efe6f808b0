import json
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.tiny_bundles import write_transducer, write_whole_sequence
from treadle.errors import BundleError
from treadle.manifest import Manifest

Document = dict[str, Any]


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Document:
    bundle = write_transducer(tmp_path_factory.mktemp("bundles"))
    document: Document = json.loads((bundle / "manifest.json").read_text())
    return document


def _refused(document: Document, words: str, **changes: object) -> None:
    """Each change is a path, with `__` between keys, and the value to put there."""
    copy = json.loads(json.dumps(document))
    for path, value in changes.items():
        place = copy["graphs"]
        *parents, last = [int(key) if key.isdecimal() else key for key in path.split("__")]
        for key in parents:
            place = place[key]
        place[last] = value
    with pytest.raises(BundleError, match=words):
        Manifest.from_json(copy)


def test_names_are_unique(graphs: Document) -> None:
    _refused(graphs, "has the input 'keys' twice", step__inputs__0__name="keys")
    _refused(graphs, "has the output 'logits' twice", step__state__0__output="logits")
    name = graphs["graphs"]["step"]["state"][0]["name"]
    _refused(graphs, f"has the state '{name}' twice", step__state__1__name=name)
    _refused(graphs, "has the input 'token' twice", step__active="token")


def test_every_graph_has_an_output(graphs: Document) -> None:
    _refused(graphs, r"graphs.step.outputs is empty", step__outputs=[])


@pytest.mark.parametrize("shape", [[], ["time"], ["batch", 0], ["batch", -1], ["batch", 2**31]])
def test_shapes_begin_with_batch_and_have_positive_sizes(
    graphs: Document, shape: list[object]
) -> None:
    words = "the first axis must be 'batch' and sizes positive"
    _refused(graphs, words, step__outputs__0__shape=shape)


def test_a_row_has_a_size_that_memory_has(graphs: Document) -> None:
    words = "graphs.step: one row has .* elements, more than the 67108864 there may be"
    _refused(graphs, words, step__outputs__0__shape=["batch", 2**31 - 1])
    # Also in parts, each of which would do.
    shape = ["batch", 2**25]
    _refused(graphs, words, step__state__0__shape=shape, step__state__1__shape=shape)


def test_dtypes_are_ours(graphs: Document) -> None:
    _refused(graphs, "'logits' has the dtype 'float64'", step__outputs__0__dtype="float64")


def test_a_state_has_a_fixed_size(graphs: Document) -> None:
    words = "what is carried has a fixed size a row"
    _refused(graphs, words, step__state__0__shape=["batch", "memory"])


def test_padding_is_to_a_positive_multiple(graphs: Document) -> None:
    _refused(graphs, "'keys' has the pad_multiple 0", step__context__0__pad_multiple=0)


def test_a_step_has_one_input_and_one_free_axis(graphs: Document) -> None:
    _refused(graphs, "graphs.step must have one input, has 0", step__inputs=[])
    shape = ["batch", "time"]
    _refused(graphs, "one step has one free axis, 'batch'", step__inputs__0__shape=shape)


def test_a_sequence_is_the_step_over_time(graphs: Document) -> None:
    _refused(graphs, "must have two inputs, x and lengths", sequence__inputs=[])
    words = "the inputs and outputs of graphs.step with 'time' as second axis"
    _refused(graphs, words, sequence__outputs__0__shape=["batch", "time", 11])
    _refused(graphs, words, sequence__inputs__0__dtype="float32")
    words = "must have the same state and the same context"
    _refused(graphs, words, sequence__state=[])
    _refused(graphs, words, sequence__context__0__pad_value=1.0)
    _refused(graphs, "the last input must be lengths", sequence__inputs__1__dtype="float32")
    _refused(graphs, "it takes no active mask", sequence__active="active")


def test_a_prompt_is_a_sequence_that_ends_as_a_step(graphs: Document) -> None:
    parts = graphs["graphs"]
    prompt = parts["sequence"] | {"outputs": parts["step"]["outputs"]}
    known = Manifest.from_json({**graphs, "graphs": {**parts, "prompt": prompt}})
    assert known.graphs["prompt"].outputs == known.graphs["step"].outputs
    words = "must have the inputs of graphs.sequence and the outputs of graphs.step"
    _refused(graphs, words, prompt=parts["sequence"])
    _refused(graphs, words, prompt=prompt | {"inputs": prompt["inputs"][:1]})
    words = "graphs.prompt and graphs.step must have the same state and the same context"
    _refused(graphs, words, prompt=prompt | {"state": []})
    _refused(graphs, words, prompt=prompt | {"context": []})
    _refused(graphs, "it takes no active mask", prompt=prompt | {"active": "active"})
    _refused(graphs, "graphs.other is not a graph of the task", other=prompt)


def test_an_encoder_reads_sources_and_carries_nothing(graphs: Document) -> None:
    words = "graphs.encode must have two inputs, the source"
    _refused(graphs, words, encode__inputs=[])
    _refused(graphs, words, encode__inputs__0__shape=["batch", "time"])
    _refused(graphs, "the last input must be lengths", encode__inputs__1__shape=["batch", 1])
    state = graphs["graphs"]["step"]["state"]
    _refused(graphs, "graphs.encode has no state and no context", encode__state=state)


def test_what_comes_from_the_encoder_comes_out_of_it(graphs: Document) -> None:
    words = "'keys' must be an output of graphs.encode of the same dtype and shape"
    _refused(graphs, words, encode__outputs__0__name="other")
    _refused(graphs, words, encode__outputs__0__shape=["batch", "memory", 8])
    words = "must start from an output of graphs.encode of the same dtype and shape, or from an arr"
    for initial in (
        {},
        {"from": "encode", "output": "nothing"},
        {"from": "x", "output": "keys"},
        {"file": "step.onnx"},
        {"file": "step.onnx", "name": "x", "from": "encode"},
    ):
        changes = {f"{graph}__state__0__initial": initial for graph in ("step", "sequence")}
        _refused(graphs, words, **changes)


def test_what_reads_whole_sequences_carries_nothing(tmp_path: Path) -> None:
    bundle = write_whole_sequence(tmp_path)
    document = json.loads((bundle / "manifest.json").read_text())
    words = r"graphs.sequence must read \[batch, time"
    _refused(document, words, sequence__inputs__0__shape=["batch", 5])
    words = "its free axes are 'batch' and, second, 'time'"
    _refused(document, words, sequence__outputs__0__shape=["batch", 16, "time"])
    _refused(document, words, sequence__inputs__0__shape=["batch", "time", "width"])
    words = "has no state, no context and no active mask without graphs.step"
    _refused(document, words, sequence__active="active")
    words = "the last input must be lengths, int64"
    _refused(document, words, sequence__inputs__1__dtype="float32")


def test_the_tiny_bundles_keep_the_contract(tmp_path: Path) -> None:
    bundle = write_transducer(tmp_path, start_from_encode=False)
    manifest = Manifest.from_json(json.loads((bundle / "manifest.json").read_text()))
    assert [port.initial for port in manifest.graphs["step"].state] == ["zeros", "zeros"]
