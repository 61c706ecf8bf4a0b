"""What a decoded recording can be written as: each format is a row of `FORMATS`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from model_core.audio.completeness import id3_bytes
from model_core.audio.wav import wav_header

_BIT_RATE = 64_000  # of Opus and MP3, for each channel
_BYTES = {"s16": 2, "f32": 4}


@dataclass(frozen=True)
class AudioFormat:
    """A format, stored as samples after a header or made by FFmpeg (`codec`, `container`)."""

    name: str
    suffix: str
    media_type: str
    sample: Literal["s16", "f32"] = "s16"
    """What is stored, or given to FFmpeg; little-endian."""
    header: Callable[[int, int, int], bytes] | None = None
    """What comes before stored samples, from the rate, channels, and samples per channel."""
    codec: str = ""
    container: str = ""
    """FFmpeg's names."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Of FFmpeg's container."""
    rates: tuple[int, ...] = ()
    """Hz, ascending: all that it can have. Empty: any."""
    lossy: bool = False
    rewinds: bool = False
    """FFmpeg writes its header only where it can go back to complete it."""
    say_length: Callable[[bytearray, int, int, int], bool] | None = None
    """Says in the first bytes from FFmpeg, which does not know it yet, how long the file will be:
    from them, the samples, the rate and the bit rate. False if they are too few."""

    def rate(self, wanted: int) -> int:
        """The lowest of its rates (Hz) that is not below the wanted one, else its highest."""
        if not self.rates:
            return wanted
        return next((rate for rate in self.rates if rate >= wanted), self.rates[-1])

    def bit_rate(self, rate: int, channels: int) -> int:
        """bit/s, of a lossy one. At low rates as much as MPEG-2.5 and MPEG-2 can have."""
        most = 64_000 if rate < 16_000 else 160_000 if rate < 32_000 else 320_000
        return min(channels * _BIT_RATE, most)

    def size(self, channels: int, samples: int) -> int | None:
        """Bytes of the whole file, where that is known beforehand."""
        if self.codec:
            return None
        header = b"" if self.header is None else self.header(8_000, channels, samples)
        return len(header) + _BYTES[self.sample] * channels * samples

    def content_type(self, rate: int, channels: int) -> str:
        """`media_type`; with all that a reader must know where there is no header."""
        if self.codec or self.header:
            return self.media_type
        layout = f"rate={rate};channels={channels};layout=interleaved"
        return f"{self.media_type};format={self.sample.upper()}LE;{layout}"


def _say_flac_length(data: bytearray, samples: int, rate: int, bit_rate: int) -> bool:
    """In STREAMINFO (RFC 9639, section 8.2), 36 bits. More cannot be said: 0 means that it is not
    known."""
    if not samples >> 36:
        data[21] |= samples >> 32
        data[22:26] = (samples & 0xFFFF_FFFF).to_bytes(4, "big")
    return True


_MP3_DELAY = 576  # samples that LAME's output is late, less those of every decoder


def _say_mp3_length(data: bytearray, samples: int, rate: int, bit_rate: int) -> bool:
    """In the first frame, after the ID3 tags, the `Xing` tag with LAME's extension: how many frames
    there are, and how many samples to drop at both ends."""
    place = data.find(b"Xing", id3_bytes(data))
    if place < 0 or len(data) < place + 144:
        return False
    frame = 1152 if rate >= 32_000 else 576
    ended = samples + _MP3_DELAY
    padding = frame - ended % frame
    if padding < 576:  # lame_encode_flush
        padding += frame
    frames = min((ended + padding) // frame, 0xFFFF_FFFF)
    data[place : place + 4] = b"Info"  # of a constant bit rate
    data[place + 8 : place + 12] = frames.to_bytes(4, "big")
    size = (frames + 1) * frame * bit_rate // rate // 8
    data[place + 12 : place + 16] = min(size, 0xFFFF_FFFF).to_bytes(4, "big")
    data[place + 141 : place + 144] = (_MP3_DELAY << 12 | padding).to_bytes(3, "big")
    return True


FORMATS = {
    made.name: made
    for made in (
        AudioFormat("wav", ".wav", "audio/wav", header=wav_header),
        AudioFormat(
            *("flac", ".flac", "audio/flac"),
            codec="flac",
            container="flac",
            options={"metadata_header_padding": "0"},
            say_length=_say_flac_length,
        ),
        AudioFormat(
            *("opus", ".opus", "audio/ogg"),
            codec="libopus",
            container="ogg",
            rates=(8_000, 12_000, 16_000, 24_000, 48_000),
            lossy=True,
        ),
        AudioFormat(
            *("mp3", ".mp3", "audio/mpeg"),
            codec="libmp3lame",
            container="mp3",
            rates=(8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000),
            lossy=True,
            rewinds=True,
            say_length=_say_mp3_length,
        ),
        # GStreamer's media type: the one in use that can say all of this
        AudioFormat("f32", ".f32", "audio/x-raw", sample="f32"),
        AudioFormat("s16", ".s16", "audio/x-raw"),
    )
}
