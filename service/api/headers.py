"""What the headers of a response say about the audio and the bytes."""

import re
from pathlib import PurePosixPath
from urllib.parse import quote

from model_core.codec import Codec
from model_core.ecdc import Header

_PLAIN = re.compile(r"[^A-Za-z0-9._ -]")


def weights_label(codec: Codec) -> str:
    """Where the weights are from and, unless they are the published ones, which they are:
    `bundled:1a2b3c4d`."""
    weights = codec.weights
    if weights is None:
        return codec.name.partition(":")[2] or "published"
    return weights.source if weights.published else f"{weights.source}:{weights.id}"


def model_headers(codec: Codec, num_codebooks: int) -> dict[str, str]:
    """Which model, weights and bandwidth (kbps)."""
    return {
        "X-Encodec-Model": codec.config.name,
        "X-Encodec-Weights": weights_label(codec),
        "X-Encodec-Bandwidth": f"{codec.config.bandwidth_of(num_codebooks):g}",
    }


def audio_headers(codec: Codec, header: Header, ecdc_bytes: int) -> dict[str, str]:
    """The same with the duration (s) and the size of the whole `.ecdc` file."""
    seconds = header.audio_length / codec.config.sample_rate
    return model_headers(codec, header.num_codebooks) | {
        "X-Audio-Duration": duration(seconds),
        "X-Compressed-Bytes": str(ecdc_bytes),
        "X-Compressed-Kbps": f"{ecdc_bytes * 8 / seconds / 1000:.3f}",
    }


def duration(seconds: float) -> str:
    """As `X-Audio-Duration` says it."""
    return f"{seconds:.6f}"


def attachment(filename: str | None, suffix: str) -> str:
    """A Content-Disposition that names the file as the upload, with another suffix (RFC 6266)."""
    stem = PurePosixPath((filename or "").replace("\\", "/")).stem
    stem = "".join(c for c in stem if c.isprintable())[:100].strip(" .") or "audio"
    plain = _PLAIN.sub("_", stem)
    value = f'attachment; filename="{plain}{suffix}"'
    if plain != stem:
        value += f"; filename*=UTF-8''{quote(stem + suffix, safe='')}"
    return value
