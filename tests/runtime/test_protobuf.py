import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.protobuf import fields, message, varints


def read(content: bytes) -> list[tuple[int, object]]:
    return [
        (n, bytes(v) if isinstance(v, memoryview) else v) for n, v in fields(memoryview(content))
    ]


def test_the_fields_of_a_message() -> None:
    tensor = onnx.TensorProto(dims=[3, -1, 300], data_type=1, name="w", raw_data=b"abc")
    unsigned = [(1, 3), (1, 2**64 - 1), (1, 300)]
    assert read(tensor.SerializeToString()) == [*unsigned, (2, 1), (8, b"w"), (9, b"abc")]


def test_numbers_of_fixed_size_are_bytes() -> None:
    attribute = onnx.AttributeProto(f=1.0)
    assert read(attribute.SerializeToString()) == [(2, b"\x00\x00\x80\x3f")]


def test_packed_numbers() -> None:
    assert list(varints(memoryview(b"\x01\xac\x02"))) == [1, 300]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x80", "does not end"),
        (b"\x08" + b"\xff" * 11, "does not end"),
        (b"\x0a\x05abc", "a field of 5 bytes has 3"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "a field of 18446744073709551615 bytes"),
        (b"\x09abc", "a field of 8 bytes has 3"),
        (b"\x0b", "wire type 3"),
    ],
)
def test_what_breaks_off_or_is_unknown(content: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read(content)


@given(st.binary(max_size=60))
def test_any_bytes_are_fields_or_a_value_error(content: bytes) -> None:
    try:
        found = read(content)
    except ValueError:
        return
    assert all(isinstance(value, int | bytes) for _, value in found)


@given(
    st.lists(
        st.tuples(
            st.integers(1, 2**29 - 1), st.one_of(st.integers(0, 2**64 - 1), st.binary(max_size=300))
        )
    )
)
def test_what_is_written_is_read(pairs: list[tuple[int, int | bytes]]) -> None:
    assert read(message(*pairs)) == pairs


def test_a_message_is_what_onnx_writes() -> None:
    tensor = onnx.TensorProto(dims=[300], data_type=2, name="ä", raw_data=b"abc")
    assert message((1, 300), (2, 2), (8, "ä"), (9, b"abc")) == tensor.SerializeToString()
