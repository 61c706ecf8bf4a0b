import io
import struct

import numpy as np
import pytest

from model_core.audio import (
    FORMATS,
    encoder,
    open_audio,
    pcm16,
    rescale_factor,
    wav_header,
)
from model_core.errors import InvalidAudioError
from tests.media import tone


def test_reads_back_what_was_written() -> None:
    samples = tone(1.5, 24_000, 2)
    file = io.BytesIO()
    writer = encoder(FORMATS["wav"], 24_000, 2, samples.shape[1])
    for start in range(0, samples.shape[1], 7777):
        file.write(writer.push(samples[:, start : start + 7777]))
    file.write(writer.finish())
    assert len(file.getvalue()) == FORMATS["wav"].size(2, samples.shape[1])
    file.seek(0)
    with open_audio(file, 24_000, 2) as source:
        back = np.concatenate(list(source), axis=1)
        assert source.info.codec == "pcm_s16le"
    assert np.array_equal(back, np.rint(samples * 32767) / np.float32(32768))


def test_pcm_is_clipped_rounded_and_interleaved() -> None:
    left, right = [0.0, 2.0, 0.5, 1.0], [-2.0, -0.99, 1 / 32767, -0.4 / 32767]
    values = struct.unpack("<8h", pcm16(np.array([left, right], np.float32)))
    assert values == (0, -32439, 32439, -32439, 16384, 1, 32439, 0)


def test_rescale() -> None:
    assert rescale_factor(2.0) == pytest.approx(0.495)
    assert rescale_factor(0.5) == 1.0
    assert rescale_factor(0.0) == 1.0
    assert struct.unpack("<2h", pcm16(np.array([[2.0, 1.0]]), rescale_factor(2.0))) == (
        32439,
        16220,
    )


def test_past_4_gb_the_header_is_rf64() -> None:
    last = (0xFFFF_FFFF - 36) // 4
    assert wav_header(48_000, 2, last)[:4] == b"RIFF"
    header = wav_header(48_000, 2, last + 1)
    assert header[:4] == b"RF64"
    assert len(header) == 80
    riff, data, count = struct.unpack_from("<QQQ", header, 20)
    assert (data, count) == (4 * (last + 1), last + 1)
    assert riff == len(header) - 8 + data
    assert FORMATS["wav"].size(2, last + 1) == len(header) + data


def test_ffmpeg_reads_the_rf64_header() -> None:
    """The announced end is far away: FFmpeg knows the format, and the file is seen to be cut."""
    data = wav_header(48_000, 2, 1 << 31) + pcm16(tone(1.0, 48_000, 2))
    with open_audio(io.BytesIO(data), 48_000, 2) as source:
        assert (source.info.sample_rate, source.info.channels) == (48_000, 2)
        with pytest.raises(InvalidAudioError, match="truncated"):
            list(source)
