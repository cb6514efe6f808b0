import re

import pytest

import treadle
from treadle import errors


def _drawn() -> list[tuple[int, str]]:
    """(depth, name) of each line of the tree at the top of the module."""
    lines = (errors.__doc__ or "").splitlines()
    found = [re.match(r"([│├└─ ]*)([A-Z]\w+)", line) for line in lines]
    return [(len(m[1]) // 4, m[2]) for m in found if m and hasattr(errors, m[2])]


def test_the_drawn_tree_is_the_tree() -> None:
    parents: dict[int, str] = {}
    drawn = _drawn()
    for depth, name in drawn:
        parents[depth] = name
        kind = getattr(errors, name)
        expected = "Exception" if depth == 0 else parents[depth - 1]
        assert kind.__mro__[1].__name__ == expected, name
    defined = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert {name for _, name in drawn} == defined


def test_wrong_input_is_also_a_value_error() -> None:
    assert issubclass(errors.InputError, ValueError)


@pytest.mark.parametrize("name", treadle.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(treadle, name) is not None
    assert name in dir(treadle)


def test_another_name_is_not() -> None:
    with pytest.raises(AttributeError, match="module 'treadle' has no attribute 'nothing'"):
        treadle.nothing  # noqa: B018
