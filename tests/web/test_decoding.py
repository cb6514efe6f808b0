"""treadle.js decodes as Python does: the same numbers drawn, the same symbols made."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import treadle
from tests.web.conftest import LETTERS, SYMBOLS
from treadle.decoding import Sampler
from treadle.decoding.philox import uniform

if TYPE_CHECKING:
    from tests.web.conftest import Ask

# The engine's kernels give the same answers here and there; those of blocks do not: in WebAssembly
# activations stay in float, so that logits are others in their second digit.
EXACT = ("float32", "int8", "int4")
BLOCKS = ("int8-block", "int4-block")
# An option as Python says it -> as JavaScript does.
NAMES = {
    "temperature": "temperature",
    "top_k": "topK",
    "top_p": "topP",
    "min_p": "minP",
    "repetition_penalty": "repetitionPenalty",
    "seed": "seed",
    "max_length": "maxLength",
    "stop": "stop",
    "beam": "beam",
    "n_best": "nBest",
    "length_normalization": "lengthNormalization",
    "prompt": "prompt",
}
DRAWING: tuple[dict[str, Any], ...] = (
    {"temperature": 0.0},
    {"seed": 3},
    {"temperature": 0.7, "seed": 2**63 + 5},
    {"top_k": 4, "seed": 11},
    {"top_p": 0.6, "seed": 12},
    {"min_p": 0.2, "seed": 13},
    {"repetition_penalty": 1.7, "seed": 14},
    {"temperature": 1.3, "top_k": 9, "top_p": 0.8, "min_p": 0.05, "repetition_penalty": 0.6},
)


def script(options: dict[str, Any]) -> dict[str, Any]:
    return {NAMES[name]: value for name, value in options.items()}


def rounded(answers: list[list[Any]]) -> list[list[tuple[Any, ...]]]:
    """Python's hypotheses and JavaScript's alike; scores to what float32 kernels agree on."""

    def parts(made: Any) -> dict[str, Any]:
        names = ("symbols", "ids", "text", "score", "finished")
        return made if isinstance(made, dict) else {name: getattr(made, name) for name in names}

    return [
        [
            (tuple(p["symbols"]), tuple(p["ids"]), p["text"], round(p["score"], 3), p["finished"])
            for p in map(parts, hypotheses)
        ]
        for hypotheses in answers
    ]


def test_random_numbers_are_the_same_to_the_bit(ask: Ask) -> None:
    seeds = [0, 1, 12345, 2**32 - 1, 2**32, 2**53 + 1, 2**64 - 1]
    draws = [[row, step] for row, step in product((0, 1, 255, 2**31, 2**33), (0, 1, 999, 2**40))]
    given = ask([{"do": "uniform", "seed": str(seed), "draws": draws} for seed in seeds])
    for seed, numbers in zip(seeds, given, strict=True):
        assert numbers == [float(uniform(seed, [row], step)[0]) for row, step in draws]


@pytest.mark.parametrize("options", DRAWING, ids=str)
def test_the_same_logits_draw_the_same_symbols(options: dict[str, Any], ask: Ask) -> None:
    generator = np.random.default_rng(1)
    logits = (generator.normal(size=(400, 50)) * 3).astype(np.float32)
    logits[::7, :10] = logits[::7, 10:20]  # some that are equally likely
    made = generator.random((400, 50)) < 0.2
    numbers = [[row % 5, row] for row in range(400)]
    job = {
        "do": "draw",
        "options": {**script(options), "seed": str(options.get("seed", 0))},
        "logits": logits.tolist(),
        "draws": numbers,
        "made": [np.flatnonzero(row).tolist() for row in made],
    }
    sampler = Sampler(**options)
    expected = [
        int(sampler.draw(logits[at : at + 1], step, made=made[at : at + 1], rows=[row])[0])
        for at, (row, step) in enumerate(numbers)
    ]
    assert ask([job]) == [expected]
    assert len(set(expected)) > 5


@pytest.mark.parametrize("kind", ["lstm-model", "gru-model", "elman-model"])
def test_a_language_model_writes_the_same(
    kind: str, lowered_bundles: dict[tuple[str, str], str], ask: Ask
) -> None:
    prompts = ["", "".join(map(chr, range(0x4E05, 0x4E11)))]
    jobs, expected = [], []
    for precision in EXACT:
        bundle = lowered_bundles[kind, precision]
        with treadle.load(bundle) as model:
            for prompt, drawing in product(prompts, DRAWING):
                options = {**drawing, "seed": drawing.get("seed", 0) % 2**53, "max_length": 40}
                expected.append(list(model.generate(prompt, **options)))
                jobs.append(generate(bundle, prompt, options))
    found = ask(jobs)
    wrong = [(job, a, b) for job, a, b in zip(jobs, found, expected, strict=True) if a != b]
    assert not wrong, wrong[0]
    assert sum(map(len, expected)) == len(EXACT) * 2 * len(DRAWING) * 40


@pytest.mark.parametrize("kind", ["lstm-model", "gru-model", "elman-model"])
def test_blocks_draw_what_python_draws_from_their_logits(
    kind: str, lowered_bundles: dict[tuple[str, str], str], ask: Ask
) -> None:
    prompt = SYMBOLS.text(range(5, 12))
    begun = [0, *range(5, 12)]
    cases = [
        (lowered_bundles[kind, precision], {**drawing, "seed": drawing.get("seed", 0) % 2**53})
        for precision, drawing in product(BLOCKS, DRAWING)
    ]
    texts = ask([generate(b, prompt, {**options, "max_length": 30}) for b, options in cases])
    written = [SYMBOLS.encode("".join(text)) for text in texts]
    forced = ask(
        [
            {
                "do": "stream",
                "bundle": bundle,
                "calls": [["feed", [begun]], *(["step", [symbol]] for symbol in ids[:-1])],
            }
            for (bundle, _), ids in zip(cases, written, strict=True)
        ]
    )
    for (_, options), ids, read in zip(cases, written, forced, strict=True):
        sampler, made = Sampler(**options), np.zeros((1, len(SYMBOLS)), bool)
        for step, (symbol, outputs) in enumerate(zip(ids, read["given"], strict=True)):
            logits = np.array(outputs["logits"]["data"], np.float32)[None]
            assert int(sampler.draw(logits, step, made=made)[0]) == symbol, (options, step)
            made[0, symbol] = True
    assert sum(map(len, written)) == len(cases) * 30


def generate(bundle: str, prompt: str, options: dict[str, Any]) -> dict[str, Any]:
    return {"do": "generate", "bundle": bundle, "prompt": prompt, "options": script(options)}


@pytest.mark.parametrize("precision", EXACT)
def test_a_transducer_answers_the_same(
    precision: str, lowered_bundles: dict[tuple[str, str], str], ask: Ask
) -> None:
    bundle = lowered_bundles["lstm-general", precision]
    letters = LETTERS.symbols[1:]
    texts = ["".join(letters[(3 * n + i) % 29] for i in range(1 + n)) for n in range(6)]
    searches: list[dict[str, Any]] = [
        {},
        {"beam": 1},
        {"beam": 3, "n_best": 3},
        {"beam": 8, "n_best": 4, "length_normalization": 0.0},
        {"beam": 5, "n_best": 2, "length_normalization": 1.2, "max_length": 6},
        *({**drawing, "seed": drawing.get("seed", 0) % 2**53} for drawing in DRAWING),
    ]
    jobs = [
        {"do": "transduce", "bundle": bundle, "texts": texts, "options": script(options)}
        for options in searches
    ]
    with treadle.load(bundle) as model:
        expected = [rounded(model.transduce(texts, **options)) for options in searches]
    assert [rounded(found) for found in ask(jobs)] == expected


def test_completions_and_stop_strings_are_the_same(bundles: dict[str, str], ask: Ask) -> None:
    prompts = ["", "a", "hab", "bcdefgh"]
    searches: list[dict[str, Any]] = [
        {"max_length": 12},
        {"max_length": 12, "beam": 4, "n_best": 2},
        {"max_length": 30, "temperature": 1.0, "seed": 4, "stop": ["ab", "\n"]},
        {"max_length": 9, "beam": 3, "n_best": 3, "stop": "c"},
    ]
    jobs: list[dict[str, Any]] = [
        {
            "do": "complete",
            "bundle": bundles["characters"],
            "prompts": prompts,
            "options": script(options),
        }
        for options in searches
    ]
    stopped = {"max_length": 60, "seed": 9, "stop": ["hc", "eg", "d"]}
    jobs += [
        generate(bundles["characters"], "abc", stopped),
        generate(bundles["own-start"], "", {"max_length": 60, "seed": 9}),
    ]
    *found, plain, own = ask(jobs)
    with treadle.load(bundles["characters"]) as model:
        expected = [rounded(model.complete(prompts, **options)) for options in searches]
        assert [rounded(answers) for answers in found] == expected
        assert plain == list(model.generate("abc", **stopped))
    with treadle.load(bundles["own-start"]) as model:
        assert own == list(model.generate("", max_length=60, seed=9))
    with treadle.load(bundles["characters"]) as model:
        assert own != list(model.generate("", max_length=60, seed=9))


def test_a_generator_writes_the_same(bundles: dict[str, str], ask: Ask) -> None:
    options = {"temperature": 1.2, "seed": 6, "max_length": 12, "prompt": "CH"}
    labels = ["a", "d", "h"]
    jobs = [
        {
            "do": "running",
            "bundle": bundles["generator"],
            "given": label,
            "options": script(options),
        }
        for label in labels
    ]
    with treadle.load(bundles["generator"]) as model:
        assert ask(jobs) == [list(model.running(label, **options)) for label in labels]
