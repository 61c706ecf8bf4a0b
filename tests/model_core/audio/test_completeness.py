"""Which files are told to be cut, and which are taken as they are. Whole ones always are."""

import io
import struct

import av
import numpy as np
import pytest

from model_core.audio import completeness, open_audio, wav_header
from model_core.audio.input import MediaInput
from model_core.audio.reader import MediaReader
from model_core.errors import InvalidAudioError
from tests.media import Pipe, encode, tone

RATE = 48_000


def length(data: bytes, pipe: bool = False) -> int:
    """Samples at 48 kHz that are read from these bytes, as a file or as a pipe."""
    source = Pipe(data) if pipe else io.BytesIO(data)
    return sum(block.shape[1] for block in open_audio(source, RATE, 2))


def cut(data: bytes, end: int, pipe: bool = False) -> None:
    """These bytes, but not those from `end` on, are refused."""
    with pytest.raises(InvalidAudioError, match="truncated"):
        length(data[:end], pipe)


def remuxed(data: bytes, container: str, streams: int = 1, offset: float = 0.0) -> bytes:
    """The packets of `data` in another file, as so many streams, `offset` seconds later."""
    file = io.BytesIO()
    with av.open(io.BytesIO(data), "r") as source, av.open(file, "w", format=container) as out:
        copies = [out.add_stream_from_template(source.streams.audio[0]) for _ in range(streams)]
        for packet in source.demux(audio=0):
            if packet.pts is None or packet.dts is None or packet.time_base is None:
                continue
            pts, dts = packet.pts, packet.dts
            for stream in copies:  # muxing changes the packet
                packet.pts = pts + round(offset / packet.time_base)
                packet.dts = dts + round(offset / packet.time_base)
                packet.stream = stream
                time_base = packet.time_base
                out.mux(packet)
                packet.time_base = time_base
    return file.getvalue()


def patched(data: bytes, after: bytes, new: bytes) -> bytes:
    """`data` with `new` written over what follows the first `after`."""
    start = data.index(after) + len(after)
    return data[:start] + new + data[start + len(new) :]


@pytest.fixture(scope="module")
def opus() -> bytes:
    """3 s."""
    return encode(tone(3.0, RATE, 2), RATE, "ogg", "libopus")


@pytest.mark.parametrize("pipe", [False, True])
@pytest.mark.parametrize("streams", [1, 2])
@pytest.mark.parametrize("container", ["matroska", "webm"])
def test_matroska(opus: bytes, container: str, streams: int, pipe: bool) -> None:
    data = remuxed(opus, container, streams)
    assert length(data, pipe) == 3 * RATE
    for part in (0.5, 0.9):
        cut(data, int(part * len(data)), pipe)


def test_matroska_that_does_not_begin_at_zero(opus: bytes) -> None:
    data = remuxed(opus, "matroska", offset=2.0)
    assert length(data) == 3 * RATE
    cut(data, len(data) - 1)


def test_matroska_written_to_a_pipe(opus: bytes) -> None:
    """Neither its size nor its end is known, and its duration is what was planned: 60 s."""
    data = remuxed(opus, "matroska")
    data = patched(data, b"\x18\x53\x80\x67", b"\x01" + b"\xff" * 7)
    data = patched(data, b"\x44\x89\x88", struct.pack(">d", 60_000.0))
    assert length(data) == 3 * RATE
    assert RATE < length(data[: len(data) // 2]) < 2 * RATE


@pytest.mark.parametrize("pipe", [False, True])
@pytest.mark.parametrize("streams", [1, 2])
def test_avi(streams: int, pipe: bool) -> None:
    """Cut between two of its chunks, where each packet is whole."""
    data = remuxed(encode(tone(3.0, RATE, 2), RATE, "wav", "pcm_s16le"), "avi", streams)
    assert length(data, pipe) == 3 * RATE
    cut(data, data.rindex(b"00wb", 0, len(data) // 2), pipe)


def test_avi_written_to_a_pipe() -> None:
    data = encode(tone(3.0, RATE, 2), RATE, "avi", "pcm_s16le")
    data = b"RIFF\xff\xff\xff\xff" + data[8:]
    assert length(data, pipe=True) == 3 * RATE


@pytest.mark.parametrize("samples", [RATE, 100_001])
def test_alac_in_caf_need_not_fill_its_last_packet(samples: int) -> None:
    data = encode(tone(samples / RATE, RATE, 2), RATE, "caf", "alac")
    assert length(data) == samples
    # some writers count whole packets
    packets = struct.pack(">qqii", -(-samples // 4096), -(-samples // 4096) * 4096, 0, 0)
    assert length(patched(data, data[data.index(b"pakt") :][:12], packets)) == samples


@pytest.mark.parametrize("pipe", [False, True])
def test_caf_written_to_a_pipe(pipe: bool) -> None:
    data = encode(tone(1.0, RATE, 2), RATE, "caf", "pcm_s16be")
    assert length(data, pipe) == RATE
    cut(data, len(data) // 2, pipe)
    for size in (-1, 4):  # the second is sox's
        assert length(patched(data, b"data", struct.pack(">q", size)), pipe) == RATE


@pytest.mark.parametrize("pipe", [False, True])
def test_chunks_behind_the_audio_of_a_caf(pipe: bool) -> None:
    data = encode(tone(1.0, RATE, 2), RATE, "caf", "pcm_s16be")
    more = b"info" + struct.pack(">qI", 14, 1) + b"title\0abc\0" + b"uuid" + struct.pack(">q", 40)
    assert length(data + more + bytes(40), pipe) == RATE
    cut(data, len(data) - 1, pipe)


@pytest.mark.parametrize("size", [0x7EFF_FFF4, 0x7F00_0000, 0x7FFF_FFF8, 0xFFFF_FFF0])
def test_aiff_written_to_a_pipe(size: int) -> None:
    """sox writes the first two, for whole blocks of samples."""
    data = encode(tone(1.0, RATE, 2), RATE, "aiff", "pcm_s16be")
    cut(data, len(data) // 2)
    frames = struct.pack(">HI", 2, size // 4)
    data = patched(patched(data, b"COMM\0\0\0\x12", frames), b"SSND", struct.pack(">I", size + 8))
    assert length(data) == RATE


@pytest.mark.parametrize(
    "size",
    # sox writes multiples of a block of samples, here for GSM and for six channels of 24 bits
    [0, 0x7FFF_EFC2, 0x7FFF_EFF6, 0x7FFF_F000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFDB, 0xFFFF_FFFF],
)
def test_wav_written_to_a_pipe(size: int) -> None:
    """sox, arecord, FFmpeg and others."""
    data = patched(
        encode(tone(1.0, RATE), RATE, "wav", "pcm_s16le"), b"data", struct.pack("<I", size)
    )
    assert length(data) == RATE
    assert length(data[:-1001], pipe=True) == RATE - 501


@pytest.mark.parametrize("size", [0x7FFE_FFFE, 0x9000_0000, 0xF000_0000])
def test_wav_of_hours_that_is_cut(size: int) -> None:
    data = encode(tone(1.0, RATE), RATE, "wav", "pcm_s16le")
    cut(patched(data, b"data", struct.pack("<I", size)), len(data))


def test_wav_whose_samples_begin_late() -> None:
    """Behind more than is searched for their size, a picture for instance."""
    data = encode(tone(1.0, RATE), RATE, "wav", "pcm_s16le")
    picture = b"id3 " + struct.pack("<I", 2 << 20) + bytes(2 << 20)
    data = data.replace(b"data", picture + b"data", 1)
    assert length(data) == RATE
    cut(data, len(data) - 20_000)


@pytest.mark.parametrize("sizes", [(1000,), (1 << 20,), (3 << 20,), (1000, 2000), (1 << 20, 9)])
@pytest.mark.parametrize("pipe", [False, True])
def test_mp3_behind_tags_of_any_length(sizes: tuple[int, ...], pipe: bool) -> None:
    """A cover picture is as long as it likes, and some programs write a second tag."""
    data = encode(tone(3.0, RATE), RATE, "mp3", "libmp3lame")
    audio = data[completeness.id3_bytes(data) :]
    tags = b"".join(
        b"ID3\x04\0\0" + bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0)) + bytes(size)
        for size in sizes
    )
    assert length(tags + audio, pipe) == length(audio) == 3 * RATE
    cut(tags + audio, len(tags) + len(audio) // 2, pipe)


LYRICS = b"LYRICSBEGININD0000200000021LYRICS200TAG" + bytes(125)


@pytest.mark.parametrize("junk", [LYRICS, bytes(5000), b"\n"], ids=["lyrics", "zeros", "newline"])
@pytest.mark.parametrize("options", [{}, {"write_xing": "0"}], ids=["xing", "plain"])
@pytest.mark.parametrize("pipe", [False, True])
def test_mp3_before_something_else(junk: bytes, options: dict[str, str], pipe: bool) -> None:
    """Old tags, and what programs leave there; but an MP3 of which the rest is zeros is refused."""
    data = encode(tone(3.0, RATE), RATE, "mp3", "libmp3lame", options=options)
    assert length(data + junk, pipe) == length(data, pipe)
    with pytest.raises(InvalidAudioError, match="truncated"):
        length(data + bytes(1 << 16), pipe)


@pytest.mark.parametrize("name", [b"LIST", b"bext"])
def test_a_wav_without_samples_is_not_what_follows_them(name: bytes) -> None:
    head = encode(tone(1.0, RATE), RATE, "wav", "pcm_s16le")
    head = head[: head.index(b"data")] + b"data" + bytes(4)
    more = name + struct.pack("<I", 38) + bytes(range(38))
    data = patched(head + more, b"RIFF", struct.pack("<I", len(head + more) - 8))
    with pytest.raises(InvalidAudioError, match="no samples"):
        length(data)
    crashed = patched(head + more, b"RIFF", struct.pack("<I", len(head) - 8))
    assert length(crashed) == len(more) // 2


@pytest.mark.parametrize("form", [b"RF64", b"BW64"])
@pytest.mark.parametrize("size", [0, 0xFFFF_FFFF])
def test_an_rf64_without_samples_is_not_what_follows_them(form: bytes, size: int) -> None:
    """Its true sizes stand in `ds64`."""
    head = encode(tone(1.0, RATE), RATE, "wav", "pcm_s16le")
    head = head[12 : head.index(b"data")] + b"data" + struct.pack("<I", size)
    more = b"bext" + struct.pack("<I", 38) + bytes(range(38))

    def file(whole: int) -> bytes:
        sizes = b"ds64" + struct.pack("<IQQQI", 28, whole, 0, 0, 0)
        return form + b"\xff\xff\xff\xffWAVE" + sizes + head + more

    with pytest.raises(InvalidAudioError, match="no samples"):
        length(file(len(file(0)) - 8))
    assert length(file(0)) == len(more) // 2  # of a writer that was stopped


def test_ogg_that_ends_with_a_whole_page(opus: bytes) -> None:
    """A live stream that was stopped looks like that."""
    assert RATE < length(opus[: opus.rindex(b"OggS")]) < 3 * RATE
    cut(opus, len(opus) - 1)


def test_ogg_that_changes_is_told_in_our_words(opus: bytes) -> None:
    with pytest.raises(InvalidAudioError, match="change in the middle"):
        length(opus + encode(tone(1.0, RATE), RATE, "ogg", "libopus"))


def test_a_pipe_gives_the_samples_of_the_file(opus: bytes) -> None:
    data = remuxed(opus, "matroska", streams=2)
    file, pipe = (
        np.concatenate(list(open_audio(source, RATE, 2)), axis=1)
        for source in (io.BytesIO(data), Pipe(data))
    )
    assert np.array_equal(file, pipe)


class _LongPipe:
    """A WAV as arecord writes one to a pipe, of more samples than its size field can say."""

    def __init__(self, head: bytes, data_bytes: int):
        self._head = head
        self._left = data_bytes
        self._zeros = bytes(1 << 16)

    def read(self, size: int, /) -> bytes:
        if self._head:
            part, self._head = self._head[:size], self._head[size:]
            return part
        count = min(size, self._left, len(self._zeros))
        self._left -= count
        return self._zeros[:count]


def aiff_of_unknown_length(size: int, samples: int) -> bytes:
    """As sox writes one to a pipe, with the placeholder `size` for the bytes of its samples."""
    data = encode(tone(samples / RATE, RATE, 2), RATE, "aiff", "pcm_s16be")
    frames = struct.pack(">HI", 2, size // 4)
    return patched(patched(data, b"COMM\0\0\0\x12", frames), b"SSND", struct.pack(">I", size + 8))


@pytest.mark.parametrize("pipe", [False, True])
def test_what_lies_behind_a_placeholder_is_not_silently_cut(
    monkeypatch: pytest.MonkeyPatch, pipe: bool
) -> None:
    """FFmpeg reads an AIFF up to its placeholder, here one of 128 KiB instead of 2 GiB."""
    monkeypatch.setattr(completeness, "_LARGEST", (1 << 17,))
    assert length(aiff_of_unknown_length(1 << 17, 20_000), pipe) == 20_000
    with pytest.raises(InvalidAudioError, match="longer than its container can say"):
        length(aiff_of_unknown_length(1 << 17, 50_000), pipe)


def test_a_wav_from_a_pipe_is_not_cut_at_the_2_gib_of_its_placeholder() -> None:
    head = bytearray(wav_header(RATE, 2, 1))
    for place in (4, 40):
        head[place : place + 4] = (0x7FFF_FFFF).to_bytes(4, "little")
    data_bytes = (2 << 30) + (1 << 20)
    reader = MediaReader(MediaInput(_LongPipe(bytes(head), data_bytes)))
    assert sum(samples.shape[1] for samples, _ in reader) == data_bytes // 4
    reader.close()
