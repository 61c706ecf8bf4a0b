"""The range coder in Python."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_core.entropy.range_coder import RangeDecoder, RangeEncoder
from model_core.errors import BitstreamError

TOTAL = 2**24


@st.composite
def intervals(draw: st.DrawFn) -> tuple[int, int]:
    start = draw(st.integers(0, TOTAL - 1) | st.sampled_from([0, TOTAL - 1]))
    end = draw(st.integers(start + 1, TOTAL) | st.sampled_from([start + 1, TOTAL]))
    return start, end


def encoded(symbols: list[tuple[int, int]]) -> bytes:
    encoder = RangeEncoder()
    for symbol in symbols:
        encoder.push(*symbol)
    return encoder.finish()


@given(st.lists(intervals(), max_size=200))
def test_symbols_come_back(symbols: list[tuple[int, int]]) -> None:
    data = encoded(symbols)
    decoder = RangeDecoder(data)
    for start, end in symbols:
        assert start <= decoder.target() < end
        decoder.take(start, end)
    bits = sum(24 - math.log2(end - start) for start, end in symbols)
    assert 8 * len(data) <= bits + 8 + 1e-4 * len(symbols)


@given(st.lists(intervals(), max_size=50))
def test_no_shorter_file_says_the_same(symbols: list[tuple[int, int]]) -> None:
    data = encoded(symbols)
    assert not data.endswith(b"\0")
    if data:
        decoder = RangeDecoder(data[:-1])
        wrong = 0
        for start, end in symbols:
            if not start <= decoder.target() < end:
                wrong += 1
                break
            decoder.take(start, end)
        assert wrong


def test_a_carry_runs_through_many_bytes() -> None:
    # The last of 2**24 parts, again and again, fills the bytes with 255s; then a carry.
    symbols = [(0, 3), *[(TOTAL - 1, TOTAL)] * 40, (TOTAL - 1, TOTAL), (TOTAL - 2, TOTAL)]
    decoder = RangeDecoder(encoded(symbols))
    for start, end in symbols:
        assert start <= decoder.target() < end
        decoder.take(start, end)


def test_a_number_beyond_the_last_symbol_is_an_error() -> None:
    decoder = RangeDecoder(b"\xff" * 50)
    for start in (1, 5):  # the range is then no multiple of 2**24, and the number at its very end
        decoder.take(start, TOTAL)
    with pytest.raises(BitstreamError, match="past the last symbol"):
        decoder.target()
