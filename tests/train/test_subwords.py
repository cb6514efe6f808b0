import pytest

from treadle.errors import DataError
from treadle_train.subwords import learn_subwords

pytest.importorskip("tokenizers", reason="tokenizers learns the pieces")


def test_the_same_text_gives_the_same_vocabulary_of_the_asked_size() -> None:
    text = "to be or not to be that is the question " * 20
    first, second = learn_subwords([text], 30), learn_subwords([text], 30)
    assert first == second
    assert len(first) == 30
    assert len(first.encode(text)) < len(text) / 2


def test_more_characters_than_symbols_are_refused() -> None:
    with pytest.raises(DataError, match="26 different characters, which do not fit"):
        learn_subwords(["abcdefghijklmnopqrstuvwxyz"], 20)


def test_the_sign_for_a_space_is_refused() -> None:
    with pytest.raises(DataError, match=r"U\+2581"):
        learn_subwords(["a\u2581b"], 20)
