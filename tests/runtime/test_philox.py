"""The generator against the known answers published with it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.decoding import philox4x32, uniform

F = 0xFFFFFFFF

# Random123 1.14, tests/kat_vectors, lines "philox4x32 10": counter, key, answer.
KNOWN_ANSWERS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((F, F, F, F), (F, F), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_known_answers(
    counter: tuple[int, int, int, int], key: tuple[int, int], answer: tuple[int, int, int, int]
) -> None:
    assert philox4x32(counter, key) == answer


def test_a_uniform_number_is_built_from_the_first_two_words() -> None:
    first, second = 0x6627E8D5 >> 5, 0xE169C58D >> 6
    assert uniform(0, [0], 0).tolist() == [(first * 2**26 + second) / 2**53]


@given(seed=st.integers(0, 2**64 - 1), step=st.integers(0, 2**40), row=st.integers(0, 2**33))
def test_a_row_draws_the_same_alone_and_in_company(seed: int, step: int, row: int) -> None:
    company = uniform(seed, [row + 1, row, 0], step)
    assert company[1] == uniform(seed, [row], step)[0]
    assert ((company >= 0) & (company < 1)).all()
    assert company[0] != company[1]


def test_seeds_steps_and_rows_differ_also_in_their_upper_words() -> None:
    drawn = [
        uniform(seed, [row], step)[0]
        for seed, row, step in [(0, 0, 0), (1 << 32, 0, 0), (0, 1 << 32, 0), (0, 0, 1 << 32)]
    ]
    assert len(set(drawn)) == 4


def test_the_numbers_look_uniform() -> None:
    drawn = np.concatenate([uniform(7, range(64), step) for step in range(100)])
    counts, _ = np.histogram(drawn, bins=16, range=(0, 1))
    expected = len(drawn) / 16
    chi_squared = ((counts - expected) ** 2 / expected).sum()
    assert chi_squared < 37.7  # 99.9 % of true uniform samples, 15 degrees of freedom
