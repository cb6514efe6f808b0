"""The JSON Schema of a manifest and the code that reads manifests say the same.

They differ in two ways only: the schema cannot see whether the parts of a manifest fit each other,
and the code looks at digests and sizes when it opens the files they belong to.
"""

import copy
import json
import re
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from tests.project.repository import ROOT
from tests.runtime.tiny_bundles import (
    HIDDEN,
    start_from_file,
    write_generator,
    write_language_model,
    write_transducer,
    write_whole_sequence,
)
from treadle.errors import BundleError
from treadle.manifest import FORMAT, TASKS, Manifest
from treadle_export.targets import TARGETS

Document = dict[str, Any]


def write_prompted(directory: Path) -> Path:
    """A manifest with the optional graph; its file is not looked at here."""
    bundle = write_language_model(directory)
    document = json.loads((bundle / "manifest.json").read_text("utf-8"))
    graphs = document["graphs"]
    graphs["prompt"] = graphs["sequence"] | {"outputs": graphs["step"]["outputs"]}
    (bundle / "manifest.json").write_text(json.dumps(document))
    return bundle


def write_as(task: str, writer: Callable[[Path], Path]) -> Callable[[Path], Path]:
    """The manifest of a classifier, or a tagger, that has the graphs of another bundle."""

    def write(directory: Path) -> Path:
        bundle = writer(directory)
        document = json.loads((bundle / "manifest.json").read_text("utf-8"))
        files = [*document["vocabularies"].values()]
        vocabularies = dict(zip(["input"], files, strict=False))
        document |= {"task": task, "vocabularies": vocabularies}
        (bundle / "manifest.json").write_text(json.dumps(document))
        return bundle

    return write


def write_delayed_tagger(directory: Path) -> Path:
    """The manifest of a tagger that answers two tokens at a time, seeing one more."""
    bundle = write_as("tagging", write_language_model)(directory)
    document = json.loads((bundle / "manifest.json").read_text("utf-8"))
    document["decoding"] |= {"delay": 2, "chunk": 2}
    (bundle / "manifest.json").write_text(json.dumps(document))
    return bundle


def write_forecaster(directory: Path) -> Path:
    """The manifest of a forecaster, which reads numbers and has no vocabulary."""
    bundle = write_language_model(directory, features=3)
    document = json.loads((bundle / "manifest.json").read_text("utf-8"))
    document |= {"task": "forecasting", "vocabularies": {}}
    (bundle / "manifest.json").write_text(json.dumps(document))
    return bundle


def write_speech_transducer(directory: Path) -> Path:
    """The manifest of an RNN-T; the files of its predictor and joiner are not looked at."""
    bundle = write_language_model(directory)
    document = json.loads((bundle / "manifest.json").read_text("utf-8"))
    graphs, symbols = document["graphs"], [*document["vocabularies"].values()]
    step = copy.deepcopy(graphs["step"])
    encoded, predicted = ({**step["outputs"][0], "name": name} for name in ("encoded", "predicted"))
    for name in ("step", "sequence"):
        read = graphs[name]["inputs"][0]
        read |= {"name": "frames", "dtype": "float32", "shape": [*read["shape"], 3]}
        graphs[name]["outputs"][0]["name"] = "encoded"
    graphs["predictor"] = {**step, "outputs": [predicted]}
    joined = {"inputs": [encoded, predicted], "outputs": [{**encoded, "name": "logits"}]}
    graphs["joiner"] = {**step, **joined, "state": [], "active": None}
    document |= {"task": "speech-transduction", "vocabularies": {"output": symbols[0]}}
    (bundle / "manifest.json").write_text(json.dumps(document))
    return bundle


Place = tuple[str | int, ...]
WRITERS: dict[str, Callable[[Path], Path]] = {
    "characters": write_language_model,
    # numbers in, and a state that starts from a file
    "features": lambda directory: start_from_file(
        write_language_model(directory, features=3),
        {"recurrent.0.hidden": np.full(HIDDEN, 0.5, np.float32)},
    ),
    "transducer": write_transducer,
    "generator": write_generator,
    "whole": write_whole_sequence,
    "classifier": write_as("classification", write_language_model),
    "forecaster": write_forecaster,
    "whole classifier": write_as("classification", write_whole_sequence),
    "speech transducer": write_speech_transducer,
    "tagger": write_as("tagging", write_language_model),
    "delayed tagger": write_delayed_tagger,
}
# Neither a digest nor a size is looked at before the file it belongs to is: opening does that.
JUDGED_WHEN_OPENED = {"digest", "seal", "sha256", "bytes"}
# What only the code can see: whether one part of a manifest fits another.
AGREEMENTS = re.compile(
    "which is not in files|must have the same state and the same context|as second axis"
    "|must have the inputs of graphs.sequence and the outputs of graphs.step"
    "|must read the output of graphs.step and that of graphs.predictor"
    "|must be an output of graphs.encode|must start from an output of graphs.encode|twice"
    "|waits for those behind it"
)
WRONG_VALUES: list[Any] = [None, True, -1, 0, 0.5, "nonsense", "a/b", [], {}, ["batch", "time"]]


@pytest.fixture(scope="module")
def schema() -> jsonschema.Draft202012Validator:
    text = (resources.files("treadle") / "schema/manifest.schema.json").read_text("utf-8")
    document = json.loads(text)
    jsonschema.Draft202012Validator.check_schema(document)
    return jsonschema.Draft202012Validator(document)


@pytest.fixture(scope="module", params=WRITERS)
def manifest(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Document:
    bundle = WRITERS[request.param](tmp_path_factory.mktemp("bundle"))
    document: Document = json.loads((bundle / "manifest.json").read_text("utf-8"))
    return document


def paths(node: Any, here: Place = ()) -> Iterator[Place]:
    """Every place in a document, the inside of a list by its first and last item."""
    if here:
        yield here
    if isinstance(node, dict):
        for key, value in node.items():
            yield from paths(value, (*here, key))
    elif isinstance(node, list) and node:
        for index in sorted({0, len(node) - 1}):
            yield from paths(node[index], (*here, index))


def parent(document: Document, path: Place) -> Any:
    node: Any = document
    for key in path[:-1]:
        node = node[key]
    return node


def edits(document: Document) -> Iterator[tuple[str, Document]]:
    """(what was done, result): each place removed, extended, or holding something else."""
    for number, path in enumerate(paths(document)):
        where = ".".join(map(str, path))
        removed = copy.deepcopy(document)
        del parent(removed, path)[path[-1]]
        yield f"{where} removed", removed
        if isinstance(parent(document, path)[path[-1]], dict):
            extended = copy.deepcopy(document)
            parent(extended, path)[path[-1]]["surprise"] = 1
            yield f"{where}.surprise added", extended
        if isinstance(parent(document, path)[path[-1]], list):
            longer = copy.deepcopy(document)
            items = parent(longer, path)[path[-1]]
            items.append(copy.deepcopy(items[0]) if items else "surprise")
            yield f"{where} with one more", longer
        # A few values a place, in rotation: like places make up for one another.
        for value in (WRONG_VALUES[(3 * number + i) % len(WRONG_VALUES)] for i in range(4)):
            changed = copy.deepcopy(document)
            parent(changed, path)[path[-1]] = value
            yield f"{where} = {json.dumps(value)}", changed


def fault(document: Document) -> str:
    """What the code says is wrong with a manifest; nothing when it reads it."""
    try:
        Manifest.from_json(document)
    except BundleError as error:
        return str(error)
    return ""


def test_real_manifests_follow_the_schema(
    schema: jsonschema.Draft202012Validator, manifest: Document
) -> None:
    assert [error.message for error in schema.iter_errors(manifest)] == []


def test_schema_and_code_reject_the_same_edits(
    schema: jsonschema.Draft202012Validator, manifest: Document
) -> None:
    seen = {True: 0, False: 0}
    for what, edited in edits(manifest):
        by_schema, by_code = schema.is_valid(edited), fault(edited)
        seen[by_schema] += 1
        if by_schema:
            agrees = not by_code or AGREEMENTS.search(by_code)
            assert agrees, f"{what}: only the code rejects it: {by_code}"
        elif what.partition(" ")[0].rpartition(".")[2] not in JUDGED_WHEN_OPENED:
            assert by_code, f"{what}: only the schema rejects it"
    assert min(seen.values()) > 20


def test_schema_names_the_format_and_the_tasks_of_the_code(
    schema: jsonschema.Draft202012Validator,
) -> None:
    properties = schema.schema["properties"]
    assert properties["format"]["const"] == FORMAT
    assert properties["task"]["enum"] == list(TASKS)
    assert set(properties["graphs"]["properties"]) == {
        g for t in TASKS.values() for g in t.graphs + t.optional
    }


def test_schema_and_specification_name_the_targets_of_the_exporter(
    schema: jsonschema.Draft202012Validator,
) -> None:
    assert schema.schema["properties"]["target"]["examples"] == list(TARGETS)
    *others, last = (f"`{name}`" for name in TARGETS)
    page = (ROOT / "docs/bundle-format.md").read_text(encoding="utf-8")
    assert f"what the bundle is built for: {', '.join(others)} or {last}, " in page
