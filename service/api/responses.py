"""What a response says and carries: its format, its headers, decoded audio."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from model_core.audio import wav_size
from model_core.codec import Codec
from model_core.ecdc import Header

from ..http.problems import Problem, ProblemCode
from ..pipeline.call import Call
from ..pipeline.decode import decode_to_wav
from ..pipeline.encode import Compressed
from .routes import WAV_TYPE

_WAV_NAMES = (WAV_TYPE, "audio/x-wav", "audio/wave", "audio/vnd.wave", "application/octet-stream")
_PLAIN = re.compile(r"[^A-Za-z0-9._ -]")


def choose_type(accept: str, offers: Sequence[str]) -> str:
    """The media type of `offers` that a client prefers by its `Accept` (RFC 9110, section 12.5.1),
    the first of equals. Raises `Problem` 406 where it accepts none."""
    ranges = [_media_range(part) for part in accept.split(",") if part.strip()] or [("*/*", 1.0)]
    weights = [_weight(offer, ranges) for offer in offers]
    if max(weights) <= 0:
        raise Problem(ProblemCode.NOT_ACCEPTABLE, f"offered: {', '.join(offers)}")
    return offers[weights.index(max(weights))]


def _media_range(part: str) -> tuple[str, float]:
    media_range, *parameters = (piece.strip().lower() for piece in part.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return media_range, min(max(float(value), 0.0), 1.0)
            except ValueError:
                return media_range, 0.0
    return media_range, 1.0


def _weight(offer: str, ranges: Sequence[tuple[str, float]]) -> float:
    """That of the most specific range that has it."""
    for wanted in (offer, f"{offer.partition('/')[0]}/*", "*/*"):
        for media_range, weight in ranges:
            if media_range == wanted:
                return weight
    return 0.0


def require_wav(request: Request) -> None:
    """Raises `Problem` 406 for a client that takes other formats alone."""
    choose_type(request.headers.get("accept", ""), _WAV_NAMES)


async def wav_response(call: Call, compressed: Compressed, rescale: bool = False) -> Response:
    """The audio of `compressed`; the first block is decoded before this returns."""
    wav = await decode_to_wav(call, compressed, rescale)
    channels, samples = compressed.codec.config.channels, compressed.header.audio_length
    headers = audio_headers(compressed.codec, compressed.header, compressed.size)
    headers["Content-Length"] = str(wav_size(channels, samples))
    headers["Content-Disposition"] = attachment(compressed.filename, ".wav")
    return StreamingResponse(wav, headers=headers, media_type=WAV_TYPE)


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
