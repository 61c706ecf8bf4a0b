"""The bytes of a file as FFmpeg sees them."""

import io
import os

import numpy as np
import pytest

from model_core.audio import open_audio
from model_core.audio.input import MediaInput
from tests.media import Pipe, encode, tone


@pytest.mark.parametrize(
    ("container", "codec", "seekable"),
    [("wav", "pcm_s16le", False), ("flac", "flac", False), ("mp3", "libmp3lame", False),
     ("adts", "aac", False), ("ogg", "libopus", False), ("aiff", "pcm_s16be", True),
     ("ipod", "aac", True)],
)  # fmt: skip
def test_ffmpeg_seeks_only_where_it_must(container: str, codec: str, seekable: bool) -> None:
    data = encode(tone(0.2, 48_000), 48_000, container, codec)
    assert MediaInput(io.BytesIO(data)).seekable() == seekable
    assert not MediaInput(Pipe(data)).seekable()
    for source in (io.BytesIO(data), Pipe(data)):
        file = MediaInput(source)
        got = b""
        while part := file.read(999):
            got += part
        assert got == data


def test_it_begins_where_the_file_stands() -> None:
    data = encode(tone(0.2, 48_000), 48_000, "aiff", "pcm_s16be")
    for skipped in (b"", b"skipped"):
        source = io.BytesIO(skipped + data)
        source.seek(len(skipped))
        (block,) = open_audio(source, 48_000, 1)
        assert block.shape == (1, 9_600)


def test_pipe_and_file_give_the_same_samples() -> None:
    for container, codec in (("wav", "pcm_s24le"), ("mp3", "libmp3lame"), ("ogg", "libopus")):
        data = encode(tone(1.0, 48_000, 2), 48_000, container, codec)
        whole = list(open_audio(io.BytesIO(data), 24_000, 1))
        piped = list(open_audio(Pipe(data), 24_000, 1))
        assert np.array_equal(np.concatenate(whole, 1), np.concatenate(piped, 1))


def test_a_seek_before_the_beginning_is_an_error_for_ffmpeg() -> None:
    file = MediaInput(io.BytesIO(b"FORM" + bytes(100)))
    assert file.seekable()
    assert file.seek(-5) < 0
    assert file.seek(5) == 5
    assert file.seek(0, os.SEEK_END) == 104
