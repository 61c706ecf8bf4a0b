"""Segments and payload sizes: the reference's loop, and the closed form against that loop."""

import io
import math
import struct
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.config import ENCODEC_24KHZ, ENCODEC_48KHZ, ModelConfig
from model_core.ecdc import (
    ArithmeticCoder,
    BitPacker,
    Header,
    payload_bytes,
    read_scale,
    scale_to_bytes,
    segment_bytes,
    segments,
)
from model_core.errors import BitstreamError, TruncatedBitstreamError

EDGES = [1, 319, 320, 321, 479, 480, 481, *range(47_519, 48_002), 95_039, 95_040, 95_041]
EDGES += [95_519, 95_520, 95_521, 143_039, 143_041, 1_440_000]
lengths = st.integers(1, 1_000_000)


def expected(config: ModelConfig, audio_length: int) -> list[tuple[int, int, int]]:
    """(offset, samples, frames) of each segment, as the reference goes through them."""
    if config.name == "encodec_24khz":
        return [(0, audio_length, math.ceil(audio_length / 320))]
    found = []
    for offset in range(0, audio_length, 47_520):
        samples = min(audio_length - offset, 48_000)
        found.append((offset, samples, math.ceil(samples / 320)))
    return found


def check(config: ModelConfig, audio_length: int) -> None:
    found = [(s.offset, s.samples, s.frames) for s in segments(config, audio_length)]
    assert found == expected(config, audio_length)
    for codebooks in (2, 4, 8, 16):
        header = Header(config.name, audio_length, codebooks, False)
        size = 0
        for _, samples, frames in found:
            part = 4 * config.normalize + math.ceil(frames * codebooks * 10 / 8)
            assert segment_bytes(config, header, samples) == part
            size += part
        assert payload_bytes(config, header) == size


@pytest.mark.parametrize("config", [ENCODEC_24KHZ, ENCODEC_48KHZ], ids=lambda c: c.name)
def test_at_every_edge(config: ModelConfig) -> None:
    for audio_length in EDGES:
        check(config, audio_length)


@settings(deadline=None, derandomize=True)
@given(lengths)
def test_at_any_length(audio_length: int) -> None:
    check(ENCODEC_24KHZ, audio_length)
    check(ENCODEC_48KHZ, audio_length)


def test_a_payload_as_written_has_that_size() -> None:
    audio_length = 47_520 + 700
    for config in (ENCODEC_24KHZ, ENCODEC_48KHZ):
        payload = b""
        for segment in segments(config, audio_length):
            packer = BitPacker(10)
            if config.normalize:
                payload += scale_to_bytes(0.5)
            payload += packer.push(np.zeros((segment.frames, 2), np.int64)) + packer.flush()
        header = Header(config.name, audio_length, 2, False)
        assert payload_bytes(config, header) == len(payload)


def test_a_lie_about_the_length_costs_nothing() -> None:
    huge = 10**15
    header = Header("encodec_24khz", huge, 32, False)
    assert payload_bytes(ENCODEC_24KHZ, header) == huge // 320 * 40
    full = Header("encodec_48khz", huge, 2, False)
    assert payload_bytes(ENCODEC_48KHZ, full) > huge // 47_520 * 379
    assert len(list(islice(segments(ENCODEC_48KHZ, huge), 3))) == 3
    for config in (ENCODEC_24KHZ, ENCODEC_48KHZ):
        assert payload_bytes(config, Header(config.name, huge, 2, True)) > 100_000_000


@pytest.mark.parametrize("audio_length", [1, 48_000, 50 * 48_000])
@pytest.mark.parametrize("config", [ENCODEC_24KHZ, ENCODEC_48KHZ], ids=lambda c: c.name)
def test_with_a_language_model_no_payload_is_smaller(
    config: ModelConfig, audio_length: int
) -> None:
    header = Header(config.name, audio_length, 8, True)
    certain = np.arange(2, 2050, 2)
    certain[511:] = 2**24 - 2 * 512 + np.arange(0, 1026, 2)  # all but 2 * 1023 to symbol 511
    size = 0
    for segment in segments(config, audio_length):
        coder = ArithmeticCoder()
        for _ in range(segment.frames * 8):
            coder.push(511, certain)
        size += 4 * config.normalize + len(coder.flush())
    assert 0.9 * size - 2 <= payload_bytes(config, header) <= size


@settings(deadline=None, derandomize=True)
@given(st.floats(0, width=32, allow_infinity=False))
def test_scales_travel(scale: float) -> None:
    assert scale_to_bytes(scale) == struct.pack("!f", scale)
    assert read_scale(io.BytesIO(scale_to_bytes(scale))) == scale


@pytest.mark.parametrize("scale", [math.nan, math.inf, -math.inf, -1.0])
def test_what_no_scale_can_be(scale: float) -> None:
    with pytest.raises(BitstreamError):
        read_scale(io.BytesIO(scale_to_bytes(scale)))


def test_a_scale_cut_short() -> None:
    with pytest.raises(TruncatedBitstreamError):
        read_scale(io.BytesIO(b"\0\0\0"))
