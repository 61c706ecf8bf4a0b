"""How long the audio of an upload probably is, by its first bytes and its size."""

from model_core.audio import RawFormat
from model_core.audio.completeness import is_wav

UNKNOWN = 60.0
"""Seconds that audio is taken to have where nothing is known, not even its size."""

_TYPICAL = 16_000  # bytes a second of what is compressed: 128 kbps


def estimated_seconds(head: bytes, size: int | None, raw: RawFormat | None = None) -> float:
    """Seconds of audio in a file of `size` bytes that begins with `head`.

    Exact for headerless samples, WAV, AIFF and FLAC, but for what is in the file beside the audio;
    by a typical bit rate for others.
    """
    frames, rate = _flac(head)
    if frames:
        return frames / rate
    if size is None:
        return UNKNOWN
    if raw is not None:
        return size / (raw.rate * raw.channels * raw.bits // 8)
    return size / (_wav(head) or _aiff(head) or _TYPICAL)


def _wav(head: bytes) -> int:
    """Bytes a second of a WAV; 0 for others."""
    if not is_wav(head):
        return 0
    at = head.find(b"fmt ", 12) + 8
    if at < 8 or len(head) < at + 12:
        return 0
    return int.from_bytes(head[at + 8 : at + 12], "big" if head[:4] == b"RIFX" else "little")


def _aiff(head: bytes) -> float:
    """Bytes a second of an AIFF without compression; 0 for others."""
    at = head.find(b"COMM", 12) + 8
    if head[:4] != b"FORM" or head[8:12] != b"AIFF" or at < 8 or len(head) < at + 18:
        return 0
    channels = int.from_bytes(head[at : at + 2])
    bits = int.from_bytes(head[at + 6 : at + 8])
    exponent = int.from_bytes(head[at + 8 : at + 10]) - 16_383 - 63  # an 80-bit float, positive
    if not -64 < exponent <= 0:
        return 0
    rate = int.from_bytes(head[at + 10 : at + 18]) * 2.0**exponent
    return rate * channels * -(-bits // 8)


def _flac(head: bytes) -> tuple[int, int]:
    """Samples and rate of a FLAC file that says how many it has (RFC 9639, 8.2); else zeros."""
    if head[:4] != b"fLaC" or len(head) < 26:
        return 0, 0
    fields = int.from_bytes(head[18:26])  # rate 20 bits, channels 3, bits 5, samples 36
    rate, samples = fields >> 44, fields & (1 << 36) - 1
    return (samples, rate) if rate else (0, 0)
