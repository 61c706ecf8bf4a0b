"""Numbers in as few bytes as they need, and in no other form."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.ecdc.v1.varint import MAX_VARINT, read_varint, varint
from model_core.errors import BitstreamError

EDGES = [(0, b"\0"), (127, b"\x7f"), (128, b"\x80\x01"), (16_383, b"\xff\x7f"), (300, b"\xac\x02")]
EDGES += [(MAX_VARINT, b"\xff" * 7 + b"\x7f")]


@pytest.mark.parametrize(("value", "data"), EDGES)
def test_edges(value: int, data: bytes) -> None:
    assert varint(value) == data
    assert read_varint(b"x" + data + b"y", 1) == (value, 1 + len(data))


@settings(deadline=None, derandomize=True)
@given(st.integers(0, MAX_VARINT), st.binary(max_size=3))
def test_numbers_come_back_and_a_cut_one_is_not_there_yet(value: int, after: bytes) -> None:
    data = varint(value)
    assert read_varint(bytearray(data + after), 0) == (value, len(data))
    assert all(read_varint(data[:end], 0) is None for end in range(len(data)))


@pytest.mark.parametrize("data", [b"\x80\0", b"\xff\x80\0", b"\x80" * 8, b"\xff" * 9])
def test_longer_forms_are_refused(data: bytes) -> None:
    with pytest.raises(BitstreamError):
        read_varint(data, 0)


@pytest.mark.parametrize("value", [-1, MAX_VARINT + 1])
def test_other_numbers_are_refused(value: int) -> None:
    with pytest.raises(ValueError, match="not in"):
        varint(value)
