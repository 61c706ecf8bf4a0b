"""Streams: what is pushed in pieces is coded as if it came at once, and comes back whole."""

import io

import numpy as np
import pytest

from model_core.codec import Codec, Compressor, Decompressor, iterate_now, run_now
from model_core.codec.codec_cache import codec_of
from model_core.ecdc import payload_bytes, read_header
from model_core.errors import (
    InvalidAudioError,
    TruncatedBitstreamError,
    UnsupportedBandwidthError,
    WeightsUnavailableError,
)
from tests.peers import NAMES, Peers, signal


def _compress(codec: Codec, x: np.ndarray, bandwidth: float, lm: bool, step: int) -> bytes:
    compressor = Compressor(codec, bandwidth, lm)
    payload = b"".join(
        run_now(compressor.push(x[:, start : start + step])) for start in range(0, x.shape[1], step)
    )
    payload += run_now(compressor.finish())
    return compressor.header.to_bytes() + payload


def _decompress(codec: Codec, data: bytes) -> np.ndarray:
    fo = io.BytesIO(data)
    decompressor = Decompressor(codec, read_header(fo), fo)
    return np.concatenate(list(iterate_now(decompressor.blocks())), axis=1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("lm", [False, True])
def test_pieces_of_any_size_give_the_same_bytes(peers: Peers, name: str, lm: bool) -> None:
    pair = peers.pair(name)
    codec = codec_of(pair.ours, peers.lm_pair(name).ours if lm else None)
    rate, channels = codec.config.sample_rate, codec.config.channels
    x = signal(channels, round(1.1 * rate), rate, seed=5).numpy()
    whole = _compress(codec, x, 3.0, lm, step=x.shape[1])
    assert _compress(codec, x, 3.0, lm, step=7_001) == whole
    header = read_header(fo := io.BytesIO(whole))
    assert (header.audio_length, header.num_codebooks, header.lm) == (
        x.shape[1],
        codec.config.codebooks_for(3.0),
        lm,
    )
    if not lm:
        assert len(whole) - fo.tell() == payload_bytes(codec.config, header)
    assert _decompress(codec, whole).shape == x.shape


@pytest.mark.parametrize("name", NAMES)
def test_entropy_coding_loses_nothing(peers: Peers, name: str) -> None:
    codec = codec_of(peers.pair(name).ours, peers.lm_pair(name).ours)
    rate = codec.config.sample_rate
    x = signal(codec.config.channels, rate, rate, seed=6).numpy()
    plain = _compress(codec, x, 3.0, False, step=rate)
    coded = _compress(codec, x, 3.0, True, step=rate)
    assert plain != coded
    np.testing.assert_array_equal(_decompress(codec, plain), _decompress(codec, coded))


@pytest.mark.parametrize("lm", [False, True])
def test_a_stream_that_ends_too_early_says_so(peers: Peers, lm: bool) -> None:
    codec = codec_of(peers.pair("encodec_24khz").ours, peers.lm_pair("encodec_24khz").ours)
    x = signal(1, 12_000, 24_000, seed=7).numpy()
    data = _compress(codec, x, 1.5, lm, step=12_000)
    with pytest.raises(TruncatedBitstreamError):
        _decompress(codec, data[:-20])


def test_what_cannot_be_coded(peers: Peers) -> None:
    codec = codec_of(peers.pair("encodec_48khz").ours)
    with pytest.raises(UnsupportedBandwidthError):
        Compressor(codec, 1.5)
    with pytest.raises(WeightsUnavailableError):
        Compressor(codec, 6.0, lm=True)
    with pytest.raises(InvalidAudioError):
        run_now(Compressor(codec, 6.0).finish())
    with pytest.raises(InvalidAudioError):
        run_now(Compressor(codec, 6.0).push(np.zeros((1, 10), np.float32)))
