from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from treadle.npz import from_npz, to_npz

ARRAYS = st.dictionaries(
    st.text("abc./_0", min_size=1, max_size=6).filter(lambda name: not name.endswith(".npy")),
    arrays_of.arrays(
        st.sampled_from([np.float32, np.int64, np.bool_]),
        arrays_of.array_shapes(min_dims=0, min_side=0, max_side=3),
    ),
    max_size=4,
)


@given(arrays=ARRAYS, compress=st.booleans())
def test_there_and_back(arrays: dict[str, np.ndarray], compress: bool) -> None:
    content = to_npz(arrays, compress=compress)
    found = from_npz(content)
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()
    assert to_npz(dict(reversed(arrays.items())), compress=compress) == content


def test_numpy_reads_it() -> None:
    content = to_npz({"a": np.arange(3), "state/b.0": np.ones((2, 2), np.float32)})
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        assert archive["a"].tolist() == [0, 1, 2]
        assert archive["state/b.0"].shape == (2, 2)


@pytest.mark.parametrize("content", [b"", b"PK", b"no archive", to_npz({"a": np.arange(9)})[:-9]])
def test_what_is_no_archive(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"zip|File"):
        from_npz(content)


def test_a_member_that_is_no_array() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.npy", b"text")
    with pytest.raises(ValueError, match=r"pickle|magic"):
        from_npz(buffer.getvalue())


def test_objects_are_not_written() -> None:
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        to_npz({"a": np.array([print], object)})


def test_what_unpacks_to_too_much_is_not_unpacked() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("a.npy", "b.npy"):
            archive.writestr(name, bytes(1 << 20))
    bomb = buffer.getvalue()
    # A member's size stands in the directory at the end, where it can be any number.
    size = (1 << 20).to_bytes(4, "little")
    forged = bomb.replace(size, (1 << 28).to_bytes(4, "little"))
    assert len(forged) < 1 << 13
    with pytest.raises(ValueError, match="unpacks to 536870912 bytes, more than the 268435456"):
        from_npz(forged)


def test_arrays_are_compressed_as_numpy_does() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.npy", b"text")
    with pytest.raises(ValueError, match=r"'a.npy' is compressed in a way"):
        from_npz(buffer.getvalue())
