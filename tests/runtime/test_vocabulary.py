import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.errors import BundleError, InputError
from treadle.vocabulary import Vocabulary, words_of

LETTERS = Vocabulary(["<pad>", "<unk>", *"abc"], "characters", padding=0, unknown=1)
PHONEMES = Vocabulary(["<s>", "</s>", "AA", "B"], "symbols", start=0, end=1)


def test_characters_one_by_one() -> None:
    assert len(LETTERS) == 5
    assert LETTERS.encode("cab") == [4, 2, 3]
    assert LETTERS.text([0, 4, 2, 3, 0]) == "cab"


def test_symbols_between_white_space() -> None:
    assert PHONEMES.encode(" AA  B\tAA\n") == [2, 3, 2]
    assert PHONEMES.decode([0, 2, 3, 1]) == ["AA", "B"]
    assert PHONEMES.text([0, 2, 3, 1]) == "AA B"


def test_an_unknown_symbol_is_named_with_its_place() -> None:
    with pytest.raises(InputError) as raised:
        LETTERS.encode("abX")
    assert str(raised.value) == (
        "the symbol 'X' at position 2 is not in the vocabulary of 3 symbols (abc); "
        'leave it out, or ask for unknown="symbol"'
    )
    assert LETTERS.encode("aXb", unknown="symbol") == [2, 1, 3]
    with pytest.raises(InputError, match="it has no unknown symbol that could stand in"):
        PHONEMES.encode("AA X", unknown="symbol")
    with pytest.raises(InputError, match=r"'X' at position 1 .* \(AA B\); leave it out$"):
        PHONEMES.encode("AA X")


def test_text_cannot_write_a_special_symbol() -> None:
    with pytest.raises(InputError, match="'<s>' at position 0"):
        PHONEMES.encode("<s> AA")


@pytest.mark.parametrize("number", [-1, 5])
def test_an_id_out_of_range_is_refused(number: int) -> None:
    with pytest.raises(InputError, match=rf"an id must be in 0..4, got {number}"):
        LETTERS.decode([0, number])


@pytest.mark.parametrize(
    ("symbols", "kind", "special", "words"),
    [
        ([], "characters", {}, "needs at least one symbol"),
        (["a", "a"], "characters", {}, "the symbol 'a' is in the vocabulary twice"),
        (["a", ""], "symbols", {}, "strings that are not empty"),
        (["a", 3], "symbols", {}, "strings that are not empty"),
        (["ab"], "characters", {}, "single characters, got 'ab'; use kind \"symbols\""),
        (["a"], "lines", {}, "not 'lines'"),
        (["a"], "symbols", {"start": 1}, "the id of the start symbol must be in 0..0, got 1"),
        (["a"], "symbols", {"end": True}, "the id of the end symbol must be in 0..0, got True"),
    ],
)
def test_a_wrong_vocabulary_is_refused(
    symbols: list[Any], kind: Any, special: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        Vocabulary(symbols, kind, **special)


def test_build_sorts_and_puts_special_symbols_first() -> None:
    built = Vocabulary.build(["ba", "cb"], "characters", padding="_", end="_", unknown="?")
    assert built.symbols == ("_", "?", "a", "b", "c")
    assert (built.padding, built.start, built.end, built.unknown) == (0, None, 0, 1)
    again = Vocabulary.build(["cb", "ba", "a"], "characters", padding="_", end="_", unknown="?")
    assert again == built
    assert hash(again) == hash(built)
    with pytest.raises(InputError, match="the data holds 'b', which is to be a special symbol"):
        Vocabulary.build(["ba"], "characters", padding="b")


texts = st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1)


@given(st.lists(texts, min_size=1))
def test_text_to_ids_and_back(lines: list[str]) -> None:
    built = Vocabulary.build(lines, "characters", start="<start>", end="<end>")
    for line in lines:
        assert built.text(built.encode(line)) == line
    assert Vocabulary.from_json(json.loads(json.dumps(built.to_json()))) == built


@given(st.lists(st.lists(st.sampled_from(["AA", "B", "CH"]), min_size=1), min_size=1))
def test_symbols_to_ids_and_back(rows: list[list[str]]) -> None:
    built = Vocabulary.build(rows, "symbols", padding="<pad>")
    for row in rows:
        assert built.decode(built.encode(" ".join(row))) == row


def test_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "symbols.json"
    PHONEMES.write(path)
    assert Vocabulary.read(path) == PHONEMES
    assert [entry.name for entry in tmp_path.iterdir()] == ["symbols.json"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "cannot read the vocabulary"),
        ("[" * 100_000, "cannot read the vocabulary"),
        ("[]", r"a vocabulary of the format 'treadle-vocabulary/1' is expected, got '\[\]'"),
        ('{"format": "treadle-vocabulary/2"}', "update treadle if it is a later one"),
        ('{"format": "treadle-vocabulary/1"}', "a vocabulary has the fields end, format, kind"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "symbols.json"
    path.write_text(content)
    with pytest.raises(BundleError, match=words):
        Vocabulary.read(path)
    with pytest.raises(BundleError, match="cannot read the vocabulary"):
        Vocabulary.read(tmp_path / "missing.json")


json_values = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text())


@given(key=st.sampled_from(list(LETTERS.to_json())), value=json_values)
def test_any_field_replaced_by_anything_is_read_or_refused(key: str, value: object) -> None:
    try:
        read = Vocabulary.from_json({**LETTERS.to_json(), key: value})
    except BundleError:
        return
    assert Vocabulary.from_json(read.to_json()) == read


@given(
    symbols=st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=8, unique=True),
    picks=st.lists(st.integers(0, 7), max_size=20),
)
def test_symbols_one_by_one_are_whole_utf8(symbols: list[str], picks: list[int]) -> None:
    """No character spans symbols, so text shown symbol by symbol is never broken on the way."""
    vocabulary = Vocabulary(symbols, "symbols")
    ids = [pick % len(symbols) for pick in picks]
    shown = b" ".join(symbol.encode() for i in ids for symbol in vocabulary.decode([i]))
    assert shown.decode() == vocabulary.text(ids)


@pytest.mark.parametrize("half", ["\ud83d", "a\udc00"])
def test_half_a_character_is_no_symbol(half: str) -> None:
    with pytest.raises(InputError, match="holds half a character"):
        Vocabulary(["a", half], "symbols")
    document = {**Vocabulary(["a", "b"], "symbols").to_json(), "symbols": ["a", half]}
    with pytest.raises(BundleError, match="holds half a character"):
        Vocabulary.from_json(json.loads(json.dumps(document)))


def test_words_of_ordinary_text() -> None:
    assert words_of("It's GOOD!\n(really)") == ["it's", "good", "!", "(", "really", ")"]
    vocabulary = Vocabulary(["<unknown>", "it's", "good"], "words", unknown=0)
    assert vocabulary.encode("Good? It's good") == [2, 0, 1, 2]  # new words need no asking
    assert vocabulary.text([1, 0, 2]) == "it's good"
    assert Vocabulary.from_json(vocabulary.to_json()) == vocabulary
    with pytest.raises(InputError, match="the symbol 'film' at position 1"):
        Vocabulary(["good"], "words").encode("good film")


@given(st.text())
def test_words_leave_nothing_but_white_space_out(text: str) -> None:
    assert "".join(words_of(text)) == "".join(text.lower().split())
