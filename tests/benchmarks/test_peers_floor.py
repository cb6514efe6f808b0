"""The floor under a step: bytes and sums counted by hand, and the program that measures rates."""

import subprocess
from pathlib import Path

import pytest

from benchmarks.peers import floor
from benchmarks.peers.floor import (
    Floor,
    built,
    multiply_adds,
    read_bytes,
    weight_bytes,
)
from benchmarks.peers.workloads import WORKLOADS

SMALL, TAGGER, STREAMS = (WORKLOADS[name] for name in ("small", "tagger", "streams"))

# An LSTM of 128 that reads 128: W and R are [512, 128] each; the head is [64, 128]; biases are
# 512 + 512 + 64.
WEIGHTS = 2 * 512 * 128 + 64 * 128
BIASES = 4 * (512 + 512 + 64)


@pytest.mark.parametrize(
    ("precision", "expected"),
    [
        ("fp32", 4 * WEIGHTS + BIASES),  # 561,408
        ("int8", WEIGHTS + 4 * (512 + 512 + 64) + BIASES),  # a scale a row
        ("int4", WEIGHTS // 2 + WEIGHTS // 32 * 2 + BIASES),  # 4.5 bits a weight
    ],
)
def test_bytes_of_a_small_lstm(precision: str, expected: int) -> None:
    assert weight_bytes(SMALL, "lstm", precision) == expected
    assert read_bytes(SMALL, "lstm", precision) == expected


def test_bytes_are_those_that_one_can_write_down() -> None:
    assert weight_bytes(SMALL, "lstm", "fp32") == 561_408
    assert weight_bytes(SMALL, "gru", "fp32") == 4 * (2 * 384 * 128 + 64 * 128 + 2 * 384 + 64)


def test_a_tagger_reads_its_recurrent_matrices_for_every_token() -> None:
    recurrent = 4 * 2 * 1024 * 256  # R of both directions in float32
    once = recurrent + 4 * (2 * 1024 * 128 + 20 * 512) + 4 * (4 * 1024 + 20)
    assert weight_bytes(TAGGER, "lstm", "fp32") == once
    assert read_bytes(TAGGER, "lstm", "fp32") == once + 24 * recurrent


def test_multiply_adds_of_every_stream_and_token() -> None:
    assert multiply_adds(SMALL, "lstm") == WEIGHTS
    assert multiply_adds(STREAMS, "lstm") == 32 * (2 * 2048 * 1024 + 10_000 * 512)
    assert multiply_adds(TAGGER, "lstm") == 25 * (2 * 1024 * (128 + 256) + 20 * 512)


def test_the_floor_is_the_longer_of_reading_and_summing() -> None:
    held = weight_bytes(STREAMS, "lstm", "int8")
    rates = {f"read {held} 1": held / 5e-6, "int8 1": multiply_adds(STREAMS, "lstm") / 70e-6}
    known = Floor(Path("never called"), known=rates)
    assert known.microseconds(STREAMS, "lstm", "int8", 1) == pytest.approx(70)
    rates["int8 1"] *= 100
    assert known.microseconds(STREAMS, "lstm", "int8", 1) == pytest.approx(5)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(floor, "BUILD", tmp_path_factory.mktemp("floor"))
        made = built()
    if made is None:
        pytest.skip("no C compiler here")
    return made


def test_the_program_measures_rates(program: Path) -> None:
    measured = Floor(program, seconds=0.02)
    assert measured.rate("read 65536", 1) > 1e8
    assert measured.rate("fp32", 1) > 1e7
    assert measured.rate("int8", 2) > 1e7
    assert set(measured.known) == {"read 65536 1", "fp32 1", "int8 2"}


def test_the_program_refuses_what_it_does_not_know(program: Path) -> None:
    assert subprocess.run([program, "read", "1"], capture_output=True).returncode == 2
    assert subprocess.run([program, "int8", "0", "1"], capture_output=True).returncode == 2
