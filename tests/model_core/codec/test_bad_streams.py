"""Samples that no file can hold, files that no samples can come from, and who says so."""

import io
import struct
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from model_core.codec import Compressor, Decompressor, iterate_now, open_stored, run_now
from model_core.codec.codec_cache import codec_of
from model_core.codec.entropy import LMEncoder
from model_core.config import CONFIGS
from model_core.ecdc import Header
from model_core.ecdc.v1 import Header as ChunkedHeader
from model_core.ecdc.v1 import Writer
from model_core.errors import BitstreamError, InvalidAudioError, WeightsUnavailableError
from model_core.model import EncodecModel
from model_core.nn.lm import LMModel

NAMES = tuple(CONFIGS)


def _narrow(name: str) -> EncodecModel:
    torch.manual_seed(3)
    return EncodecModel(CONFIGS[name].with_filters(2), name).eval()


def _small_lm() -> LMModel:
    torch.manual_seed(4)
    return LMModel(32, 1024, dim=8, num_layers=1, past_context=262).eval()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 3e38, -1e20])
def test_samples_that_overflow_the_networks(name: str, value: float) -> None:
    codec = codec_of(_narrow(name))
    samples = np.zeros((codec.config.channels, 500), np.float32)
    samples[0, 123] = value
    compressor = Compressor(codec, 6)
    with pytest.raises(InvalidAudioError, match=r"NaN|infinite|beyond"):
        run_now(compressor.push(samples))


@pytest.mark.parametrize("dtype", [np.int16, np.int64, np.complex64, bool])
def test_samples_that_are_no_floats(dtype: type) -> None:
    compressor = Compressor(codec_of(_narrow("encodec_24khz")), 6)
    with pytest.raises(InvalidAudioError, match="floating point"):
        run_now(compressor.push(np.ones((1, 500), dtype)))


def test_a_scale_that_decodes_to_no_audio() -> None:
    codec = codec_of(_narrow("encodec_48khz"))
    payload = struct.pack("!f", 3.4e38) + bytes(10)
    decompressor = Decompressor(codec, Header(codec.name, 640, 4, lm=False), io.BytesIO(payload))
    with pytest.raises(BitstreamError, match="not finite"):
        next(iterate_now(decompressor.blocks()))


def test_a_gain_that_overflows() -> None:
    codec = codec_of(_narrow("encodec_48khz"))
    writer = Writer(ChunkedHeader(codec.name, 4, 0, 1, gain=128))
    data = writer.header() + writer.chunk(640, bytes(10), [1e36]) + writer.finish()
    with pytest.raises(BitstreamError, match="beyond"):
        next(iterate_now(open_stored(io.BytesIO(data)).audio(codec)))


def test_a_language_model_that_leaves_a_symbol_no_range() -> None:
    """Rounded probabilities may overrun the range; what lies past its end cannot be coded."""

    class Overrun(LMModel):
        def forward(self, *inputs: Any) -> tuple[Tensor, list[Tensor], int]:
            probabilities, states, offset = super().forward(*inputs)
            return 4 * probabilities, states, offset

    lm = Overrun(32, 1024, dim=8, num_layers=1, past_context=262).eval()
    with pytest.raises(InvalidAudioError, match="language model"):
        LMEncoder(lm, 4).encode(np.full((4, 3), 1023))
    assert LMEncoder(lm, 4).encode(np.full((4, 3), 3))


def test_a_file_coded_with_a_language_model_it_does_not_name() -> None:
    """The published weights' one, which this codec does not have."""
    model = _narrow("encodec_24khz")
    codec = codec_of(model, _small_lm(), "encodec_24khz:1a2b3c4d+5e6f7a8b")
    header = Header("encodec_24khz", 640, 2, lm=True)
    with pytest.raises(WeightsUnavailableError, match="language model"):
        Decompressor(codec, header, io.BytesIO(bytes(100)))
    named = Header("encodec_24khz:1a2b3c4d+5e6f7a8b", 640, 2, lm=True)
    Decompressor(codec, named, io.BytesIO(bytes(100)))
