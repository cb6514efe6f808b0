"""Streams and snapshots in JavaScript, held to Python's and exchanged with it."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import treadle
from tests.web.conftest import PRECISIONS
from treadle.state import Snapshot
from treadle.tolerances import tolerance

if TYPE_CHECKING:
    from tests.web.conftest import Ask

CLOSE = tolerance("stream", "float32").outputs


def arrays(given: dict[str, Any]) -> dict[str, Any]:
    return {name: np.array(one["data"]).reshape(one["dims"]) for name, one in given.items()}


def logits(given: dict[str, Any]) -> Any:
    return arrays(given)["logits"]


def test_steps_sequences_and_rows(bundles: dict[str, str], ask: Ask) -> None:
    """Ragged rows, one without anything to read; then steps, rows moved, one reset."""
    rows = [[1, 2, 3, 4, 5], [], [6, 7]]
    calls: list[list[Any]] = [
        ["step", [3, 4, 5]],
        ["feed", rows],
        ["unroll", rows],
        ["select", [2, 2, 0]],
        ["step", [1, 1, 1]],
        ["reset", [1]],
        ["state"],
        ["step", [9, 8, 7]],
    ]
    bundle = bundles["characters"]
    [found] = ask([{"do": "stream", "bundle": bundle, "opening": {"batchSize": 3}, "calls": calls}])
    padded = np.zeros((3, 5), np.int64)
    for place, row in enumerate(rows):
        padded[place, : len(row)] = row
    lengths = np.array([5, 0, 2])
    with treadle.load(bundle) as model, model.stream(batch_size=3) as stream:
        expected: list[Any] = [
            stream.step(np.array([3, 4, 5])),
            stream.feed(padded, lengths),
            stream.unroll(padded, lengths),
        ]
        stream.select([2, 2, 0])
        expected += [None, stream.step(np.array([1, 1, 1]))]
        stream.reset([1])
        expected += [None, stream.state(), stream.step(np.array([9, 8, 7]))]
        assert found["steps"] == stream.steps.tolist()
    for call, given, wanted in zip(calls, found["given"], expected, strict=True):
        if call[0] == "state":
            for name, array in wanted.items():
                np.testing.assert_allclose(arrays(given)[name], array, atol=CLOSE)
        elif wanted is not None:
            np.testing.assert_allclose(logits(given), wanted, atol=CLOSE, err_msg=str(call))


def test_a_prompt_is_fed_through_the_graph_that_is_for_it(prompted: str, ask: Ask) -> None:
    code = """
        const asked = [];
        model.onCall = (graph) => asked.push(graph);
        const { logits } = await stream.feed([[1, 2, 3], [], [4]]);
        const after = await stream.step([5, 6, 7]);
        return [asked, ...[logits, after.logits].map(({ data }) => Array.from(data))];
    """
    opening = {"batchSize": 3}
    [[asked, *found]] = ask(
        [{"do": "program", "bundle": prompted, "opening": opening, "code": code}]
    )
    assert asked == ["prompt", "step"]
    padded = np.array([[1, 2, 3], [0, 0, 0], [4, 0, 0]])
    with treadle.load(prompted) as model, model.stream(batch_size=3) as stream:
        expected = [stream.feed(padded, np.array([3, 0, 1])), stream.step(np.array([5, 6, 7]))]
    allowed = tolerance("stream", "int8").outputs
    for given, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.reshape(given, wanted.shape), wanted, atol=allowed)


def test_a_long_sequence_goes_through_in_spans(bundles: dict[str, str], ask: Ask) -> None:
    rows = [[(i * i) % 9 for i in range(n)] for n in (1100, 3)]
    calls = [["feed", rows], ["step", [1, 2]]]
    opening = {"batchSize": 2}
    [found] = ask(
        [{"do": "stream", "bundle": bundles["characters"], "opening": opening, "calls": calls}]
    )
    padded = np.zeros((2, 1100), np.int64)
    padded[0], padded[1, :3] = rows[0], rows[1]
    with treadle.load(bundles["characters"]) as model, model.stream(batch_size=2) as stream:
        expected = [stream.feed(padded, np.array([1100, 3])), stream.step(np.array([1, 2]))]
    assert found["steps"] == [1101, 4]
    for given, wanted in zip(found["given"], expected, strict=True):
        np.testing.assert_allclose(logits(given), wanted, atol=CLOSE)


def test_numbers_are_read_nested_and_flat(bundles: dict[str, str], ask: Ask) -> None:
    x = np.linspace(-1, 1, 10, dtype=np.float32).reshape(2, 5)
    calls = [["step", x.tolist()], ["step", x.reshape(-1).tolist()], ["feed", [x.tolist()] * 2]]
    opening = {"batchSize": 2}
    [found] = ask(
        [{"do": "stream", "bundle": bundles["features"], "opening": opening, "calls": calls}]
    )
    with treadle.load(bundles["features"]) as model, model.stream(batch_size=2) as stream:
        for given, wanted in zip(
            found["given"],
            [stream.step(x), stream.step(x), stream.feed(np.stack([x, x]))],
            strict=True,
        ):
            np.testing.assert_allclose(logits(given), wanted, atol=CLOSE)


@pytest.mark.parametrize("kind", ["lstm-model", "gru-model", "lstm-general"])
def test_a_snapshot_goes_on_in_the_other_language(
    kind: str, lowered_bundles: dict[tuple[str, str], str], ask: Ask
) -> None:
    source = [[1, 2, 3], [4, 5]] if kind == "lstm-general" else None
    opening = {"batchSize": 2} if source is None else {"source": source}
    for precision in PRECISIONS:
        bundle = lowered_bundles[kind, precision]
        with treadle.load(bundle) as model:
            there = model.stream(source) if source else model.stream(batch_size=2)
            for x in ([3, 4], [5, 6]):
                there.step(np.array(x))
            mine = there.snapshot()
            job = {"do": "stream", "bundle": bundle}
            begun, went_on = ask(
                [
                    {
                        **job,
                        "opening": opening,
                        "calls": [["step", [3, 4]], ["step", [5, 6]], ["snapshot"]],
                    },
                    {
                        **job,
                        "from": base64.b64encode(mine.to_bytes()).decode(),
                        "calls": [["snapshot"], ["step", [7, 8]]],
                    },
                ]
            )
            # What was read is written again, the same to the bit.
            again = Snapshot.from_bytes(base64.b64decode(went_on["given"][0]))
            assert again == mine
            assert went_on["steps"] == [3, 3]
            theirs = Snapshot.from_bytes(base64.b64decode(begun["given"][2]))
            allowed = tolerance("stream", precision)
            wanted = there.step(np.array([7, 8]))
            np.testing.assert_allclose(logits(went_on["given"][1]), wanted, atol=allowed.outputs)
            with model.resume(theirs) as resumed:
                assert resumed.steps.tolist() == [2, 2]
                np.testing.assert_allclose(
                    resumed.step(np.array([7, 8])), wanted, atol=allowed.outputs
                )


REFUSED = {
    "closed": (
        "stream.close(); stream.close(); await stream.step([1])",
        "StateError",
        "this stream is closed; open another with Model.stream",
    ),
    "busy": (
        "const first = stream.step([1]); try { await stream.step([1]); } finally { await first; }",
        "StateError",
        "this stream is in use by another call, which would mix their states",
    ),
    "busy for a snapshot": (
        "const first = stream.step([1]); try { stream.snapshot(); } finally { await first; }",
        "StateError",
        "in use by another call",
    ),
    "an id": (
        "await stream.step([11])",
        "InputError",
        "token should hold ids in 0..10, got 11 at [0]",
    ),
    "half an id": (
        "await stream.step([1.5])",
        "InputError",
        "token should hold ids in 0..10, got 1.5",
    ),
    "rows": ("await stream.step([1, 2])", "InputError", "token should be int64 [1], got 2 values"),
    "no rows": ("await stream.feed([])", "InputError", "leave out empty batches"),
    "lengths": (
        "await stream.feed([[1, 2]], [3])",
        "InputError",
        "should be in 0..2, the time axis",
    ),
    "selecting": ("stream.select([1])", "InputError", "rows should be in 0..0, got 1"),
    "a source": (
        "await model.stream({ source: [[1]] })",
        "InputError",
        "reads no source; call stream() without it",
    ),
    "bytes": (
        "await treadle.Snapshot.fromBytes(new Uint8Array(9))",
        "StateError",
        "expected the bytes of a snapshot, got 9 bytes that are none",
    ),
    "no snapshot": ("stream.restore({})", "StateError", "expected a Snapshot"),
    "sampling": (
        'model.generate("a", { maxLength: 3, topP: 2 })',
        "InputError",
        "topP should be above 0",
    ),
    "an option": (
        'model.generate("a", { maxlength: 3 })',
        "InputError",
        "there is no option maxlength",
    ),
    "no length": ('model.generate("a", {})', "InputError", "maxLength should be an integer"),
    "a prompt": (
        'model.generate("az", { maxLength: 3 })',
        "InputError",
        'the symbol "z" at position 1',
    ),
    "a beam that draws": (
        'await model.complete("a", { maxLength: 3, beam: 2, temperature: 1 })',
        "InputError",
        "expected no options of sampling with a beam",
    ),
    "a closed model": (
        "await model.close(); await model.stream()",
        "StateError",
        "is closed; load it again",
    ),
}


def test_what_cannot_be_is_refused_in_words(bundles: dict[str, str], ask: Ask) -> None:
    jobs = [
        {"do": "program", "bundle": bundles["characters"], "code": code}
        for code, _, _ in REFUSED.values()
    ]
    for name, found, (_, kind, said) in zip(REFUSED, ask(jobs), REFUSED.values(), strict=True):
        assert found is not None, f"{name} was not refused"
        assert found["error"] == kind, (name, found)
        assert said in found["message"], (name, found)


def test_another_models_snapshot_is_refused(bundles: dict[str, str], ask: Ask) -> None:
    calls = [["step", [1]], ["snapshot"]]
    [of_other] = ask([{"do": "stream", "bundle": bundles["other"], "calls": calls}])
    given = {"from": of_other["given"][1], "calls": []}
    [refused] = ask([{"do": "stream", "bundle": bundles["characters"], **given}])
    assert refused["error"] == "StateError"
    assert "the snapshot is of a model with the digest sha256:" in refused["message"]


def test_nobody_can_write_into_a_stream(bundles: dict[str, str], ask: Ask) -> None:
    """Outputs, states and snapshots are overwritten; the stream goes on as one that was let be."""
    code = """
        const calm = await model.stream();
        const spoil = (arrays) => arrays.forEach((array) => array.data.fill(9));
        for (const id of [1, 2, 3]) {
          const outputs = await stream.step([id]);
          await calm.step([id]);
          spoil(Object.values(outputs));
          spoil([...stream.state().values()]);
          spoil([...stream.snapshot().state.values()]);
        }
        const [a, b] = [await stream.step([4]), await calm.step([4])];
        return [Array.from(a.logits.data), Array.from(b.logits.data)];
    """
    [[spoilt, calm]] = ask([{"do": "program", "bundle": bundles["characters"], "code": code}])
    assert spoilt == calm


def test_streams_of_one_model_run_side_by_side(bundles: dict[str, str], ask: Ask) -> None:
    code = """
        const streams = await Promise.all([1, 2, 3, 4].map(() => model.stream()));
        const walk = async (one, ids) => {
          let outputs;
          for (const id of ids) outputs = await one.step([id]);
          return Array.from(outputs.logits.data);
        };
        const paths = [[1, 2, 3], [4, 5, 6], [7, 8, 9], [3, 3, 3]];
        const together = await Promise.all(streams.map((one, at) => walk(one, paths[at])));
        const alone = [];
        for (const path of paths) alone.push(await walk(await model.stream(), path));
        return [together, alone];
    """
    [[together, alone]] = ask([{"do": "program", "bundle": bundles["characters"], "code": code}])
    assert together == alone
    assert len({str(one) for one in alone}) == 4
