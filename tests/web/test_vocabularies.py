"""Text to ids and back in JavaScript, for every kind of vocabulary, held to Python's."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from treadle.errors import InputError
from treadle.vocabulary import Vocabulary

if TYPE_CHECKING:
    from tests.web.conftest import Ask

# White space, letters and marks on which Python and JavaScript disagree unless told otherwise.
SIGNS = "ab'-_ \t\n\x1c\x85\xa0\ufeff\u2028éÉßŁ漢字²½٣ΣΑ\u0301ﬁ🦆👩\u200d🌾!?.,\u2581"


def texts() -> list[str]:
    generator = random.Random(3)
    return ["".join(generator.choices(SIGNS, k=generator.randrange(25))) for _ in range(300)]


def check(vocabulary: Vocabulary, ask: Ask, unknown: Any = "symbol") -> None:
    job = {"do": "vocabulary", "document": vocabulary.to_json(), "texts": texts()}
    [found] = ask([{**job, "unknown": unknown}])
    ids = [vocabulary.encode(text, unknown=unknown) for text in texts()]
    assert found == [{"ids": one, "text": vocabulary.text(one)} for one in ids]
    assert len({tuple(one) for one in ids}) > 100


def test_characters(ask: Ask) -> None:
    check(Vocabulary(["<unk>", *"abé漢字🦆👩 \n"], "characters", unknown=0), ask)


def test_symbols(ask: Ask) -> None:
    known = [*{part for text in texts()[::2] for part in text.split()}, "<unk>"]
    check(Vocabulary(sorted(known), "symbols", unknown=sorted(known).index("<unk>")), ask)


def test_words(ask: Ask) -> None:
    from treadle.vocabulary import words_of

    known = sorted({word for text in texts()[::2] for word in words_of(text)})
    check(Vocabulary(["<unk>", *known], "words", unknown=0), ask, unknown="error")


def test_subwords(ask: Ask) -> None:
    merges = [("a", "b"), ("▁", "ab"), ("ab", "ab"), ("b", "'"), ("▁", "▁"), ("é", "É")]
    pieces = ["<unk>", *dict.fromkeys(SIGNS.replace(" ", ""))]
    pieces += ["".join(pair) for pair in merges]
    vocabulary = Vocabulary(dict.fromkeys(pieces), "subwords", unknown=0, merges=merges)
    check(vocabulary, ask)


def test_what_is_unknown_is_said(ask: Ask) -> None:
    plain = Vocabulary([*"abc"], "characters")
    standing_in = Vocabulary(["<unk>", *"abc"], "characters", unknown=0)
    jobs = [
        {"do": "vocabulary", "document": one.to_json(), "texts": ["ab🦆c"]}
        for one in (plain, standing_in)
    ]
    without, within = ask(jobs)
    for found, vocabulary in ((without, plain), (within, standing_in)):
        try:
            vocabulary.encode("ab🦆c")
        except InputError as error:
            said = str(error).replace("'🦆'", '"🦆"')
            assert found["error"] == "InputError"
            assert found["message"] == said.replace('unknown="symbol"', 'unknown: "symbol"')
        else:
            raise AssertionError("Python knows what it should not")
    malformed = {**plain.to_json(), "symbols": ["a", "a", "b"]}
    [refused] = ask([{"do": "vocabulary", "document": malformed, "texts": []}])
    assert refused["error"] == "BundleError"
    assert "twice" in refused["message"]
