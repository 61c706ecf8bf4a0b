"""Bit packing: the reference's bytes, however the values come in pieces."""

import io

import numpy as np
import pytest
from encodec import binary
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.ecdc import BitPacker, BitUnpacker
from model_core.errors import TruncatedBitstreamError


@st.composite
def widths_and_values(draw: st.DrawFn) -> tuple[int, list[int]]:
    bits = draw(st.integers(1, 32))
    return bits, draw(st.lists(st.integers(0, 2**bits - 1), max_size=60))


def reference_bytes(bits: int, values: list[int]) -> bytes:
    fo = io.BytesIO()
    packer = binary.BitPacker(bits, fo)
    for value in values:
        packer.push(value)
    packer.flush()
    return fo.getvalue()


def pieces(values: np.ndarray, data: st.DataObject) -> list[np.ndarray]:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(values)), max_size=4)))
    return np.split(values, cuts)


@settings(deadline=None, derandomize=True)
@given(widths_and_values(), st.data())
def test_bytes_are_the_references_in_any_pieces(
    given_values: tuple[int, list[int]], data: st.DataObject
) -> None:
    bits, values = given_values
    packer = BitPacker(bits)
    packed = b"".join(packer.push(piece) for piece in pieces(np.array(values, np.int64), data))
    assert packed + packer.flush() == reference_bytes(bits, values)


@settings(deadline=None, derandomize=True)
@given(widths_and_values(), st.data())
def test_values_come_back_in_any_pieces(
    given_values: tuple[int, list[int]], data: st.DataObject
) -> None:
    bits, values = given_values
    packed = reference_bytes(bits, values)
    unpacker = BitUnpacker(bits)
    back: list[int] = []
    for piece in pieces(np.array(values, np.int64), data):
        need = unpacker.missing(len(piece))
        unpacker.feed(packed[:need])
        packed = packed[need:]
        pulled = unpacker.pull(len(piece))
        assert pulled.dtype == np.int64
        back += pulled.tolist()
    assert back == values
    assert packed == b""


@settings(max_examples=10, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 7, 10, 16, 17, 32]))
def test_long_streams(seed: int, bits: int) -> None:
    values = np.random.default_rng(seed).integers(0, 2**bits, 70_001)
    packer = BitPacker(bits)
    packed = packer.push(values[:3]) + packer.push(values[3:]) + packer.flush()
    assert packed == reference_bytes(bits, values.tolist())
    unpacker = BitUnpacker(bits)
    unpacker.feed(packed)
    assert (unpacker.pull(1) == values[:1]).all()
    assert (unpacker.pull(70_000) == values[1:]).all()


def test_codes_are_packed_frame_by_frame() -> None:
    codes = np.arange(12).reshape(4, 3)  # [K, T]
    packer = BitPacker(10)
    packed = packer.push(codes.T) + packer.flush()
    assert packed == reference_bytes(10, [int(codes[k, t]) for t in range(3) for k in range(4)])


def test_after_a_flush_the_packer_starts_afresh() -> None:
    packer = BitPacker(10)
    first = packer.push(np.array([1, 2, 3])) + packer.flush()
    assert packer.flush() == b""
    assert packer.push(np.array([1, 2, 3])) + packer.flush() == first


def test_too_few_bytes_take_nothing() -> None:
    unpacker = BitUnpacker(10)
    unpacker.feed(b"\x01\x08")
    with pytest.raises(TruncatedBitstreamError):
        unpacker.pull(2)
    with pytest.raises(TruncatedBitstreamError):
        unpacker.pull(10**15)
    unpacker.feed(b"\x00")
    assert unpacker.pull(2).tolist() == [1, 2]


@pytest.mark.parametrize(("bits", "value"), [(10, 1024), (10, -1), (1, 2), (32, 2**32)])
def test_values_that_do_not_fit(bits: int, value: int) -> None:
    packer = BitPacker(bits)
    with pytest.raises(ValueError, match="fit"):
        packer.push(np.array([0, value]))
    assert packer.flush() == b""


@pytest.mark.parametrize("bits", [0, -1, 33])
def test_widths_that_are_not_there(bits: int) -> None:
    for kind in (BitPacker, BitUnpacker):
        with pytest.raises(ValueError, match="width"):
            kind(bits)
