import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.tiny_bundles import write_language_model, write_transducer
from treadle.document import canonical_bytes
from treadle.errors import BundleError
from treadle.manifest import (
    TASKS,
    ContextTensor,
    File,
    Manifest,
    check_file_name,
    digest_of,
    seal_of,
)

Document = dict[str, Any]
JUNK: st.SearchStrategy[object] = st.one_of(
    st.none(), st.integers(), st.text(max_size=3), st.sampled_from([[], {}, ".."])
)
NO_GRAPH: Document = {"file": "step.onnx", "inputs": [], "outputs": []}


@pytest.fixture(scope="module")
def language_model(tmp_path_factory: pytest.TempPathFactory) -> Document:
    return _document(write_language_model(tmp_path_factory.mktemp("bundles")))


@pytest.fixture(scope="module")
def transducer(tmp_path_factory: pytest.TempPathFactory) -> Document:
    return _document(write_transducer(tmp_path_factory.mktemp("bundles")))


def _document(bundle: Path) -> Document:
    document: Document = json.loads((bundle / "manifest.json").read_text())
    return document


def _changed(document: Document, path: str, value: object) -> Document:
    copy: Any = json.loads(json.dumps(document))
    place = copy
    *parents, last = [int(key) if key.isdecimal() else key for key in path.split("/")]
    for key in parents:
        place = place[key]
    place[last] = value
    return copy  # type: ignore[no-any-return]


def test_json_round_trip_keeps_everything(language_model: Document, transducer: Document) -> None:
    for document in (language_model, transducer):
        assert Manifest.from_json(document).to_json() == document


def test_format_is_the_first_field_and_context_says_from(transducer: Document) -> None:
    assert next(iter(transducer)) == "format"
    context = transducer["graphs"]["step"]["context"][2]
    assert context == {
        "name": "memory_mask",
        "dtype": "float32",
        "shape": ["batch", "memory"],
        "from": "encode",
        "pad_multiple": 16,
        "pad_value": -1e9,
    }


def test_optional_fields_may_be_missing(transducer: Document) -> None:
    context = {"name": "keys", "from": "encode", "dtype": "float32"}
    context["shape"] = transducer["graphs"]["step"]["context"][0]["shape"]
    document = _changed(transducer, "graphs/step/context/0", context)
    document = _changed(document, "graphs/sequence/context/0", context)
    read = Manifest.from_json(document).graphs["step"].context[0]
    assert read == ContextTensor("keys", "float32", ("batch", "memory", 16))


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("name", 3, "name must be a string, got 3"),
        ("graphs/step/file", None, "graphs.step.file must be a string, got null"),
        ("graphs/step/inputs/0/shape", 5, r"graphs.step.inputs\[0\].shape must be a list, got 5"),
        ("graphs/step/inputs/0/shape", [1.5], r"inputs\[0\].shape\[0\] must be an integer"),
        ("graphs/step/state/0/bound", "x", r'state\[0\].bound must be a number, got "x"'),
        (
            "graphs/step/state/0/initial",
            "ones",
            r"initial must be one of \['zeros'\], got",
        ),
        ("graphs/step/active", 1, "graphs.step.active must be a string, got 1"),
        ("files/step.onnx/bytes", "1", 'files.step.onnx.bytes must be an integer, got "1"'),
        ("files/step.onnx/bytes", True, "files.step.onnx.bytes must be an integer, got true"),
        ("files/step.onnx", [], r"files.step.onnx must be an object, got \[\]"),
        ("surprise", 1, "surprise is not a field of the format; the fields here are name, task"),
        ("graphs/step/surprise", 1, "graphs.step.surprise is not a field of the format"),
        ("evidence", [], r"evidence must be an object, got \[\]"),
        (
            "task",
            "walking",
            f"task must be one of {', '.join(TASKS)}, got 'walking'",
        ),
        ("graphs/step/file", "other.onnx", "graphs.step.file names 'other.onnx', which is not in"),
        ("vocabularies/symbols", "x.json", "vocabularies.symbols names 'x.json', which is not in"),
        ("vocabularies", {}, "vocabularies.symbols is missing: graphs.step reads ids"),
        (
            "graphs/encode",
            {"file": "a", "inputs": [], "outputs": []},
            "graphs.encode is not a graph",
        ),
        (
            "format",
            "treadle-bundle/2",
            "later than 'treadle-bundle/1'; update treadle: pip install",
        ),
        ("format", "other/1", "format must be 'treadle-bundle/1', got 'other/1'"),
        ("format", None, "format must be 'treadle-bundle/1', got 'None'"),
    ],
)
def test_a_wrong_field_is_named_by_its_path(
    language_model: Document, path: str, value: object, words: str
) -> None:
    with pytest.raises(BundleError, match=words):
        Manifest.from_json(_changed(language_model, path, value))


def test_every_missing_field_is_named(language_model: Document) -> None:
    for field in Manifest._fields:
        document = {key: value for key, value in language_model.items() if key != field}
        expected = "format must be" if field == "format" else f"{field} is missing"
        with pytest.raises(BundleError, match=expected):
            Manifest.from_json(document)


@pytest.mark.parametrize("document", [None, [], "text", 3])
def test_a_manifest_is_an_object(document: object) -> None:
    with pytest.raises(BundleError, match="a manifest must be an object"):
        Manifest.from_json(document)


@pytest.mark.parametrize(
    "name",
    ["..", ".", "", "/etc/passwd", "../x", "a/b", "a\\b", "c:x", "nul\0", "manifest.json", "a?"],
)
def test_a_file_name_that_leads_elsewhere_is_refused(language_model: Document, name: str) -> None:
    with pytest.raises(BundleError, match="a file of a bundle has a plain name, without a path"):
        check_file_name(name)
    files = {**language_model["files"], name: {"sha256": "sha256:0", "bytes": 0}}
    with pytest.raises(BundleError, match="do not use this bundle"):
        Manifest.from_json({**language_model, "files": files})


def test_digest_is_of_the_model_and_seal_of_everything(language_model: Document) -> None:
    manifest = Manifest.from_json(language_model)
    same_model: list[Document] = [
        {"name": "other"},
        {"evidence": {"latency": 1.0}},
        {"licence": {"data": "x"}},
        {"provenance": {"torch": "0"}},
        {"target": "arm64"},
    ]
    another_model: list[Document] = [
        {"decoding": {"start": 2}},
        {"plan": {"recurrent.0": "cell"}},
        {"precision": "int8"},
        {"files": {**manifest.files, "weights.bin": File("sha256:1", 1)}},
    ]
    for change in same_model + another_model:
        other = manifest._replace(**change)
        assert (digest_of(other.to_json()) == manifest.digest) == (change in same_model)
        assert seal_of(other.to_json()) != manifest.seal
    golden = {**manifest.files, "golden.npz": File("sha256:1", 1)}
    assert digest_of(manifest._replace(files=golden).to_json()) == manifest.digest


def test_sealing_fills_in_or_checks_the_digest(language_model: Document) -> None:
    manifest = Manifest.from_json(language_model)
    bare = manifest._replace(digest="", seal="")
    assert bare.sealed() == manifest
    assert manifest.sealed() == manifest
    with pytest.raises(BundleError, match="digest is sha256:0, but the parts of the model give"):
        manifest._replace(digest="sha256:0").sealed()


def test_the_same_bundle_twice_has_the_same_digest(tmp_path: Path) -> None:
    first, second = (_document(write_transducer(tmp_path / name)) for name in "ab")
    assert first == second
    other = _document(write_transducer(tmp_path / "c", seed=1))
    assert other["digest"] != first["digest"]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    )
)
def test_anything_at_all_is_read_or_refused(document: object) -> None:
    with pytest.raises(BundleError):
        Manifest.from_json(document)
    with pytest.raises(BundleError):
        Manifest.from_json({"format": "treadle-bundle/1", "name": document})


@given(data=st.data())
def test_any_field_replaced_by_anything_is_read_or_refused(
    transducer: Document, data: st.DataObject
) -> None:
    places = list(_places(transducer))
    path = data.draw(st.sampled_from(places))
    value = data.draw(JUNK)
    try:
        manifest = Manifest.from_json(_changed(transducer, path, value))
    except BundleError:
        return
    assert canonical_bytes(manifest.to_json())


def _places(value: Any, path: str = "") -> list[str]:
    """Paths of all values inside `value`, the keys joined by a slash."""
    items: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    if isinstance(value, list):
        items = list(enumerate(value))
    below = [place for key, item in items for place in _places(item, f"{path}/{key}".lstrip("/"))]
    return ([path] if path else []) + below
