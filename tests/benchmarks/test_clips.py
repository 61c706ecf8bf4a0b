"""The clips that all contenders get: the same audio, the same codes."""

import io

import numpy as np
import pytest

from benchmarks.clips import Clip, CodedClip
from model_core.config import CONFIGS
from model_core.ecdc import BitUnpacker, payload_bytes, read_header, read_scale


@pytest.mark.parametrize("name", list(CONFIGS))
@pytest.mark.parametrize("seconds", [0.3, 10, 23.4])
def test_the_pieces_of_a_clip_are_the_whole_clip(name: str, seconds: float) -> None:
    clip = Clip(CONFIGS[name], seconds)
    whole = clip.whole()
    assert whole.shape == (clip.config.channels, round(seconds * clip.config.sample_rate))
    np.testing.assert_array_equal(np.concatenate(list(clip.pieces()), axis=1), whole)
    assert 0.1 < np.abs(whole).max() < 1


@pytest.mark.parametrize("name", list(CONFIGS))
def test_a_coded_clip_is_a_file_with_these_codes(name: str) -> None:
    config = CONFIGS[name]
    coded = CodedClip(Clip(config, 3.3), 6.0)
    payload = io.BytesIO(coded.payload())
    header = read_header(io.BytesIO(coded.header(name).to_bytes()))
    assert payload_bytes(config, header) == len(payload.getvalue())
    for codes, scale in coded.frames():
        if scale is not None:
            assert read_scale(payload) == pytest.approx(scale)
        unpacker = BitUnpacker(config.bits_per_codebook)
        unpacker.feed(payload.read(unpacker.missing(codes.size)))
        np.testing.assert_array_equal(unpacker.pull(codes.size).reshape(codes.T.shape).T, codes)
    assert not payload.read()
