"""Codebook after codebook: packed, unpacked, and cut to fewer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.ecdc.v1 import keep_codebooks, pack_codes, unpack_codes
from model_core.errors import TruncatedBitstreamError


def test_bytes() -> None:
    """Least significant bit first: 1 and 2 of the first codebook, then 1023 and 0."""
    data = pack_codes(np.array([[1, 2], [1023, 0]]), 10)
    assert data == bytes([0b1, 0b1000, 0b11110000, 0b111111, 0])


@settings(deadline=None, derandomize=True)
@given(st.integers(1, 32), st.integers(1, 12), st.integers(0, 2**32), st.data())
def test_fewer_codebooks_are_as_if_packed_alone(
    codebooks: int, frames: int, seed: int, data: st.DataObject
) -> None:
    codes = np.random.default_rng(seed).integers(0, 1024, (codebooks, frames))
    packed = pack_codes(codes, 10)
    assert np.array_equal(unpack_codes(packed, codebooks, 10, frames), codes)
    keep = data.draw(st.integers(1, codebooks))
    assert keep_codebooks(packed, keep, 10, frames) == pack_codes(codes[:keep], 10)
    assert np.array_equal(unpack_codes(packed, keep, 10, frames), codes[:keep])


def test_too_few_bytes_are_an_error() -> None:
    with pytest.raises(TruncatedBitstreamError):
        unpack_codes(bytes(4), 2, 10, 2)
