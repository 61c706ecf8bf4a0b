import io
from pathlib import Path

import numpy as np
import pytest
import torch

from model_core.audio import open_audio
from model_core.errors import AudioTooLongError, InvalidAudioError
from model_core.utils import convert_audio
from tests.media import Floats, encode, float_wav, tone


@pytest.mark.parametrize("rate", [8_000, 44_100, 44_101, 96_000])
@pytest.mark.parametrize(("target", "channels"), [(24_000, 1), (48_000, 2)])
def test_the_whole_way_is_convert_audio(rate: int, target: int, channels: int) -> None:
    samples = tone(1.3, rate, 2)
    with open_audio(io.BytesIO(float_wav(samples, rate)), target, channels) as source:
        blocks = list(source)
    assert [block.shape[1] for block in blocks[:-1]] == [target] * (len(blocks) - 1)
    got = np.concatenate(blocks, axis=1)
    assert got.dtype == np.float32
    assert got.shape == (channels, -(-samples.shape[1] * target // rate))
    if rate != 44_101:  # torchaudio's own kernel for this ratio takes gigabytes
        want = convert_audio(torch.from_numpy(samples), rate, target, channels).numpy()
        assert np.abs(got - want).max() < 1e-6


def test_the_limit_is_on_the_seconds_of_audio() -> None:
    data = float_wav(tone(2.0, 8_000), 8_000)
    assert len(list(open_audio(io.BytesIO(data), 24_000, 1, max_seconds=2))) == 2
    blocks: list[Floats] = []
    with pytest.raises(AudioTooLongError):
        blocks.extend(open_audio(io.BytesIO(data), 24_000, 1, max_seconds=1.5))
    assert issubclass(AudioTooLongError, InvalidAudioError)


def test_a_small_file_of_long_silence_stops_at_the_limit() -> None:
    data = encode(np.zeros((1, 8_000 * 120), np.float32), 8_000, "flac", "flac")
    assert len(data) < 50_000
    source = open_audio(io.BytesIO(data), 24_000, 1, max_seconds=10)
    with pytest.raises(AudioTooLongError):
        list(source)


def test_paths(tmp_path: Path) -> None:
    path = tmp_path / "å name with spaces.wav"
    path.write_bytes(encode(tone(0.5, 24_000), 24_000, "wav", "pcm_s16le"))
    for name in (path, str(path)):
        with open_audio(name, 24_000, 1) as source:
            assert sum(block.shape[1] for block in source) == 12_000
    for missing in (tmp_path / "none.wav", tmp_path):
        with pytest.raises(InvalidAudioError, match="cannot open"):
            open_audio(missing, 24_000, 1)


def test_metadata_that_is_no_utf8() -> None:
    data = encode(tone(0.5, 44_100), 44_100, "mp3", "libmp3lame")
    title = b"TIT2" + (6).to_bytes(4, "big") + b"\0\0" + b"\x03\xff\xfe\xc3\x28x"
    tag = b"ID3\x03\0\0" + bytes([0, 0, 0, len(title)]) + title
    assert list(open_audio(io.BytesIO(tag + data), 24_000, 1))


def test_live_audio_comes_in_the_blocks_in_which_it_is_decoded() -> None:
    file = encode(tone(1.5, 48_000), 48_000, "webm", "libopus")
    with open_audio(io.BytesIO(file), 24_000, 1) as source:
        whole = np.concatenate(list(source), axis=1)
    with open_audio(io.BytesIO(file), 24_000, 1, live=True) as source:
        blocks = list(source)
    assert max(block.shape[1] for block in blocks) <= 480 + 24  # one frame of Opus
    assert np.array_equal(np.concatenate(blocks, axis=1), whole)
