"""Decoding by FFmpeg (PyAV): any container and codec -> float32 blocks at the file's own rate.

The input is not trusted: demuxers that open other files or URLs (playlists, concat, images) and all
protocols are forbidden, so FFmpeg reads nothing but the given bytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.layout import AudioLayout
from av.audio.stream import AudioStream
from av.codec.context import Flags2
from av.packet import Packet

from model_core.audio.input import MediaInput
from model_core.audio.samples import Samples, frame_samples
from model_core.audio.tags import Tags, tags_of
from model_core.errors import InvalidAudioError

MIN_RATE = 4_000  # Hz
MAX_RATE = 768_000  # Hz
MAX_CHANNELS = 64

# Packets of a WAV, 4 KB each, in which FFmpeg looks for another codec than PCM (AC-3, DTS). Eight
# hold enough frames to find one; by default the search takes longer than decoding.
_WAV_PROBES = "8"
# Demuxers that would open anything but the given bytes, or that read devices.
_REFUSED = {
    *("concat", "dash", "hds", "hls", "image2", "image2pipe", "imf", "live_flv", "mpjpeg"),
    *("rtp", "rtsp", "sap", "sdp", "smoothstreaming", "webm_dash_manifest", "whip"),
    *("alsa", "fbdev", "kmsgrab", "lavfi", "oss", "tee", "tty", "video4linux2,v4l2", "x11grab"),
}
# Containers that may not know their length, those that state the exact number of samples (of a CAF,
# FFmpeg counts what follows its audio too), and codecs that keep them all.
_SIZED = frozenset({"wav", "w64", "aiff", "flac", "caf", "au"})
_EXACT = _SIZED - {"caf"}
_COUNTED = ("pcm_", "flac")  # not ALAC: FFmpeg counts packets, and the last one may be short
_LOSSLESS = ("pcm_", "flac", "alac")
_MOST_JUNK = 1 << 14  # bytes behind an MP3 that are none of its frames, such as tags or zeros


@dataclass(frozen=True)
class SourceInfo:
    """What the input is, for logs and responses."""

    container: str
    codec: str
    sample_rate: int  # Hz
    channels: int
    layout: str
    tags: Tags = ()
    seconds: float | None = None  # as the container says, which need not be true
    bit_rate: int | None = None  # bits a second; the same


@cache
def _admitted() -> str:
    return ",".join(sorted(av.formats_available - _REFUSED))


class MediaReader:
    """The first audio stream of `file`, decoded block by block.

    Iterating gives `(samples [C, n] float32, layout)` in the order of the file; C and the layout
    may change from block to block, the rate may not. Memory is bounded by FFmpeg's packets and
    frames. Raises `InvalidAudioError` if the input is unreadable, holds no audio, or is visibly
    truncated. Samples may be NaN or infinite.
    """

    def __init__(self, file: MediaInput) -> None:
        self._file = file
        if file.empty:
            raise InvalidAudioError("the audio is empty (0 bytes)")
        if file.is_ecdc:
            raise InvalidAudioError("this is an .ecdc file, not audio: decompress it first")
        if file.is_empty_wav:
            raise InvalidAudioError("the audio has no samples")
        options = {"protocol_whitelist": "none", "format_whitelist": _admitted()}
        if file.is_wav:
            options["max_probe_packets"] = _WAV_PROBES
        if file.is_open_wav:
            options["ignore_length"] = "1"  # else FFmpeg would end at a placeholder of 2 GiB
        try:
            self._container = av.open(file, mode="r", metadata_errors="replace", options=options)
        except MemoryError as error:
            raise _too_much_memory() from error
        except (av.FFmpegError, IndexError, ValueError) as error:
            raise InvalidAudioError(f"not readable as audio: {_reason(error)}") from error
        try:
            self._stream = self._first_audio()
            self.info = self._describe()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Frees FFmpeg's memory."""
        self._container.close()

    def __iter__(self) -> Iterator[tuple[Samples, AudioLayout]]:
        total = 0
        padding = self._file.mp3_padding if self.info.container == "mp3" else None
        for frame in self._frames():
            if frame.samples == 0:
                continue
            if frame.sample_rate != self.info.sample_rate:
                raise InvalidAudioError(
                    f"the sample rate changes from {self.info.sample_rate} Hz to "
                    f"{frame.sample_rate} Hz in the middle of the audio"
                )
            if not 1 <= frame.layout.nb_channels <= MAX_CHANNELS:
                raise InvalidAudioError(f"{frame.layout.nb_channels} channels are not supported")
            samples = frame_samples(frame)
            if padding:
                samples = _without(samples, range(padding.start - total, padding.stop - total))
            total += frame.samples
            if samples.shape[1]:
                yield samples, frame.layout
        if total == 0:
            raise InvalidAudioError("the audio has no samples")
        if self._open_ended() and self._file.has_more():
            raise InvalidAudioError(
                "the audio is longer than its container can say, and only "
                f"{total / self.info.sample_rate:.3f} s of it can be read"
            )
        if self._file.is_cut() or total < self._announced():
            raise InvalidAudioError(
                f"truncated audio: it ends after {total / self.info.sample_rate:.3f} s, "
                "before the end that its container announces"
            )

    def _frames(self) -> Iterator[AudioFrame]:
        """Like FFmpeg, it skips a packet that cannot be decoded if good packets follow and are more
        than the bad ones; lossless audio must be entirely intact. What is no frame may be the last
        of an MP3."""
        good = bad = 0
        ends_badly = False
        wrong: Exception | None = None
        for packet in self._packets():
            try:
                frames = packet.decode()
            except MemoryError as error:
                raise _too_much_memory() from error
            except (av.FFmpegError, IndexError, ValueError) as error:
                bad += 1
                ends_badly, wrong = ends_badly or not self._is_junk(packet), error
                if bad > 100 + good or self.info.codec.startswith(_LOSSLESS):
                    break
                continue
            if packet.size and frames:
                good += 1
                ends_badly = False
            yield from frames
        if wrong is not None and (ends_badly or bad > good):
            raise InvalidAudioError(f"broken or truncated audio: {_reason(wrong)}") from wrong

    def _is_junk(self, packet: "Packet[AudioStream]") -> bool:
        """Whether it cannot be a frame of an MP3 that is cut: those begin with a byte of ones."""
        is_mp3 = self.info.container == "mp3"
        return is_mp3 and 0 < packet.size <= _MOST_JUNK and bytes(packet)[0] != 0xFF

    def _packets(self) -> "Iterator[Packet[AudioStream]]":
        try:
            for packet in self._container.demux(self._stream):
                if packet.is_corrupt and not self._open_ended():
                    raise InvalidAudioError("truncated audio: the last packet is incomplete")
                yield packet
        except MemoryError as error:
            raise _too_much_memory() from error
        except (av.FFmpegError, IndexError, UnicodeDecodeError) as error:
            if self.info.container == "ogg" and isinstance(error, av.PatchWelcomeError):
                raise InvalidAudioError(
                    "the channels or the sample rate change in the middle of an Ogg file"
                ) from error
            raise InvalidAudioError(f"broken or truncated audio: {_reason(error)}") from error

    def _first_audio(self) -> AudioStream:
        streams = self._container.streams.audio
        if not streams:
            raise InvalidAudioError("there is no audio stream in the input")
        stream = streams[0]
        if stream.codec_context is None:
            raise InvalidAudioError("no decoder for the audio codec of the input")
        stream.codec_context.thread_count = 1
        if (self._container.format.name, stream.codec_context.name) == ("caf", "alac"):
            # Its last packet has only the samples that there are, and FFmpeg would drop as many
            # of them as it is short of a whole one.
            stream.codec_context.flags2 |= Flags2.skip_manual
        return stream

    def _describe(self) -> SourceInfo:
        context = self._stream.codec_context
        rate, channels = context.sample_rate, context.layout.nb_channels
        if not rate or not channels:
            raise InvalidAudioError("not readable as audio: no rate or channels can be found in it")
        if not MIN_RATE <= rate <= MAX_RATE:
            raise InvalidAudioError(f"sample rate {rate} Hz is outside {MIN_RATE}…{MAX_RATE} Hz")
        if not 1 <= channels <= MAX_CHANNELS:
            raise InvalidAudioError(f"{channels} channels; 1…{MAX_CHANNELS} are supported")
        container, layout = self._container.format.name, context.layout.name
        tags = tags_of(self._container.metadata, self._stream.metadata)
        return SourceInfo(
            container,
            context.codec.name,
            rate,
            channels,
            layout,
            tags,
            self._seconds(),
            context.bit_rate or None,
        )

    def _seconds(self) -> float | None:
        """How long the audio is, if the container says it."""
        duration, base = self._stream.duration, self._stream.time_base
        if duration is not None and base is not None:
            return float(duration * base)
        whole = self._container.duration
        return None if whole is None else whole / av.time_base

    def _open_ended(self) -> bool:
        """Whether the container gives no sizes: a short last packet is then a regular end."""
        return self.info.container in _SIZED and self._file.open_ended

    def _announced(self) -> int:
        """The fewest samples that the container announces; 0 if it does not say."""
        duration, base = self._stream.duration, self._stream.time_base
        exact = self.info.container in _EXACT and self.info.codec.startswith(_COUNTED)
        if not exact or duration is None or base is None or self._open_ended():
            return 0
        return int(duration * base * self.info.sample_rate)


def _without(samples: Samples, unwanted: range) -> Samples:
    """`samples` `[C, n]` without those at the indices `unwanted`, which may lie outside."""
    if unwanted.stop <= 0 or unwanted.start >= samples.shape[1]:
        return samples
    return np.delete(samples, slice(max(0, unwanted.start), unwanted.stop), axis=1)


def _too_much_memory() -> InvalidAudioError:
    return InvalidAudioError("the audio needs too much memory")


def _reason(error: BaseException | None) -> str:
    """FFmpeg's message without its error number and our file object."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text)
