"""Readers of numbers: frames, series and .ts files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.written import written
from treadle.data.malformed import Malformed
from treadle.data.readers.frames import read_frames
from treadle.data.readers.series import read_series, read_series_array
from treadle.data.readers.time_series import read_time_series
from treadle.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


def frames_file(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


@given(
    lengths=st.lists(st.integers(1, 4), min_size=1, max_size=5),
    features=st.integers(1, 3),
    kind=st.sampled_from(["labels", "symbols", "neither"]),
)
def test_frames_come_back(folder: Path, lengths: list[int], features: int, kind: str) -> None:
    values = np.random.default_rng(len(lengths)).normal(size=(sum(lengths), features))
    arrays: dict[str, Any] = {"frames": values, "lengths": lengths}
    if kind == "labels":
        arrays["labels"] = np.arange(len(lengths))
    if kind == "symbols":
        arrays |= {"symbols": [f"s{k}" for k in range(sum(lengths))], "symbol_lengths": lengths}
    read = list(read_frames(frames_file(folder / "frames.npz", **arrays)))
    assert [len(example) for example in read] == lengths
    np.testing.assert_array_equal(
        np.concatenate([example.values for example in read]), values.astype(np.float32)
    )
    if kind == "labels":
        assert [example.label for example in read] == [str(k) for k in range(len(lengths))]
    if kind == "symbols":
        said = [symbol for example in read for symbol in example.symbols or ()]
        assert said == arrays["symbols"]
        assert [len(example.symbols or ()) for example in read] == lengths


def test_frames_of_one_length_need_no_lengths(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    np.save(tmp_path / "frames.npy", values)
    read = list(read_frames(tmp_path / "frames.npy"))
    np.testing.assert_array_equal([example.values for example in read], values)
    path = frames_file(tmp_path / "named.npz", X=values, y=np.array(["yes", "no"]))
    read = list(read_frames(path, {"frames": "X", "labels": "y"}))
    assert [example.label for example in read] == ["yes", "no"]


def test_a_value_that_is_no_number_is_named_or_left_out(tmp_path: Path) -> None:
    values = np.zeros((3, 4, 2))
    values[1, 2, 1] = np.nan
    path = frames_file(tmp_path / "gaps.npz", frames=values)
    message = r"gaps\.npz, example 1: expected numbers, got nan at step 2 of features 1"
    with pytest.raises(DataError, match=message):
        list(read_frames(path))
    skipped = Malformed("skip")
    assert len(list(read_frames(path, malformed=skipped))) == 2
    assert skipped.count == 1


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"other": np.zeros((1, 2, 2))}, "expected an array 'frames', got other"),
        ({"frames": np.zeros((4, 2))}, r"expected frames \[examples, time, features\], or lengths"),
        ({"frames": np.zeros((4, 2)), "lengths": [1, 2]}, "add up to 4 frames, got 3"),
        ({"frames": np.zeros((4, 2)), "lengths": [5, -1]}, "expected lengths of frames, integers"),
        ({"frames": np.zeros((2, 2, 2)), "labels": [1]}, r"expected labels, .* \[2\]"),
        ({"frames": np.zeros((2, 2, 2)), "symbols": ["a"]}, "expected symbols, .* symbol_lengths"),
        ({"frames": np.array([[["x"]]])}, "expected frames of numbers"),
        ({"frames": np.array([[[None]]])}, "without objects"),
    ],
)
def test_arrays_that_do_not_fit_are_an_error(
    tmp_path: Path, arrays: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        list(read_frames(frames_file(tmp_path / "file.npz", **arrays)))


def test_a_file_that_is_no_numpy_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected arrays of numpy without objects"):
        list(read_frames(written(tmp_path, b"\x80\x04N.", "pickled.npy")))


def test_a_series_comes_back(tmp_path: Path) -> None:
    text = "date,OT,load\n2016-07-01 00:00:00,30.5,1\n2016-07-01 01:00:00,-2e1,2\n"
    series = read_series(written(tmp_path, text), time="date")
    assert series.channels == ("OT", "load")
    np.testing.assert_array_equal(series.values, np.array([[30.5, 1], [-20, 2]], np.float32))
    assert series.times is not None
    assert str(series.times[1]) == "2016-07-01T01:00:00.000000"
    one = read_series(written(tmp_path, text), channels=["load"])
    assert one.values.tolist() == [[1], [2]]
    assert one.times is None
    assert (len(series[1:]), series[1:].values[0, 0]) == (1, -20)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("2016-07-01 02:00:00,nan", ":3: expected a number in the column 'OT', got 'nan'"),
        ("2016-07-01 02:00:00,1e39", ":3: expected a number"),
        ("2016-07-01 02:00:00,1_0", ":3: expected a number"),
        ("2016-07-01 00:00:00,1", ":3: expected a time after 2016-07-01T01"),
        ("soon,1", ":3: expected a time as in .*got 'soon'"),
    ],
)
def test_a_malformed_row_of_a_series_is_named_or_left_out(
    tmp_path: Path, row: str, message: str
) -> None:
    path = written(
        tmp_path, f"date,OT\n2016-07-01 01:00:00,0\n{row}\n2016-07-01 03:00:00,2\n", "hours.csv"
    )
    with pytest.raises(DataError, match=rf"hours\.csv{message}"):
        read_series(path, time="date")
    skipped = Malformed("skip")
    series = read_series(path, time="date", malformed=skipped)
    assert series.values.ravel().tolist() == [0, 2]
    assert series.times is not None
    assert len(series.times) == 2
    assert skipped.count == 1


def test_an_array_is_a_series(tmp_path: Path) -> None:
    np.save(tmp_path / "series.npy", np.array([1, 2, 3]))
    series = read_series_array(tmp_path / "series.npy")
    assert (series.values.shape, series.channels) == ((3, 1), ("0",))
    np.save(tmp_path / "series.npy", np.array([[1.0, np.inf]]))
    with pytest.raises(DataError, match="got inf at step 0 of channels 1"):
        read_series_array(tmp_path / "series.npy")


TS = """#comment
@problemName Vowels
@timeStamps false
@missing false
@dimensions 2
@classLabel true 1 2
@data
1,2,3:4,5,6:2
0.5:-1:1
"""


def test_a_ts_file_gives_frames(tmp_path: Path) -> None:
    first, second = read_time_series(written(tmp_path, TS))
    assert first.values.tolist() == [[1, 4], [2, 5], [3, 6]]
    assert (first.label, second.label, second.values.shape) == ("2", "1", (1, 2))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("0.5:-1:1", "0.5:-1:3", ":9: expected a label out of 1 2, got '3'"),
        ("0.5:-1:1", "0.5:1", ":9: expected 2 channels, got 1"),
        ("0.5:-1:1", "0.5,1:-1:1", ":9: expected channels of one length"),
        ("0.5:-1:1", "?:-1:1", ":9: expected numbers between commas"),
        ("0.5:-1:1", "nan:-1:1", ":9: expected numbers, got nan at step 0"),
        ("@missing false", "@missing true", "expected @missing false, got true"),
        ("@classLabel true 1 2", "@classLabel false", "expected @classLabel true"),
        ("@data\n", "", "expected @data before the first example"),
    ],
)
def test_a_malformed_ts_file_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(read_time_series(written(tmp_path, TS.replace(old, new))))
