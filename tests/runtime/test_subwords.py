"""Subwords: the pieces that `tokenizers` finds, and texts that come back whole."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.errors import BundleError, InputError
from treadle.subwords import Merges
from treadle.vocabulary import SPACE, Vocabulary
from treadle_train.subwords import UNKNOWN, learn_subwords

tokenizers = pytest.importorskip("tokenizers", reason="tokenizers finds the pieces compared with")

TEXT = "low lower lowest newer newest wider  widest\nabc abcabc aaaa aaaaaaa"
LEARNT = learn_subwords([TEXT], 60)


def reference(vocabulary: Vocabulary) -> Any:
    document = vocabulary.to_json()
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.BPE(
            vocab={symbol: index for index, symbol in enumerate(vocabulary.symbols)},
            merges=[tuple(pair) for pair in document["merges"]],
            unk_token=UNKNOWN,
        )
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace(SPACE, prepend_scheme="never")
    return tokenizer


REFERENCE = reference(LEARNT)


@given(st.text(alphabet="lowernstidabc \n", max_size=80))
def test_the_pieces_are_those_of_tokenizers(text: str) -> None:
    ids = LEARNT.encode(text)
    assert ids == REFERENCE.encode(text).ids
    assert LEARNT.text(ids) == text


@given(st.text(max_size=40))
def test_unknown_characters_are_one_symbol_each(text: str) -> None:
    """Whatever is written: no id out of range, and known characters come back in order."""
    known = set(TEXT)
    ids = LEARNT.encode(text, unknown="symbol")
    assert LEARNT.text(ids) == "".join(c for c in text if c in known)
    assert ids.count(LEARNT.unknown or 0) == sum(c not in known for c in text)


def test_the_sign_for_a_space_is_no_space() -> None:
    with pytest.raises(InputError, match="the symbol '▁' at position 1"):
        LEARNT.encode(f"a{SPACE}b")


def test_a_word_of_thousands_of_characters_takes_no_quadratic_time() -> None:
    """Each merge looks at its neighbours only: about n log n comparisons, not n²."""
    counted = 0

    class Counting(Merges):
        def _found(self, *arguments: Any) -> Any:
            nonlocal counted
            counted += 1
            return super()._found(*arguments)

    Counting([("a", "b"), ("ab", "ab"), ("abab", "abab")]).pieces("ab" * 5000)
    assert counted < 5 * 10_000


def test_json_and_back() -> None:
    assert Vocabulary.from_json(LEARNT.to_json()) == LEARNT
    assert LEARNT._merges is not None
    assert LEARNT.to_json()["merges"][0] == list(LEARNT._merges.pairs[0])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"merges": [["a", "q"]]}, "the merge of 'a' and 'q' needs both"),
        ({"merges": [["a", "b", "c"]]}, "malformed"),
        ({"merges": 3}, "malformed"),
        ({"kind": "characters", "symbols": ["a", "b"], "unknown": None}, "has the fields"),
    ],
)
def test_a_broken_file_is_an_error(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(BundleError, match=words):
        Vocabulary.from_json({**LEARNT.to_json(), **changes})


def test_only_subwords_have_merges() -> None:
    with pytest.raises(InputError, match='of kind "characters" has no merges'):
        Vocabulary(["a", "b"], "characters", merges=[("a", "b")])
