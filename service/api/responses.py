"""What a response says and carries: its format, its headers, decoded audio."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from model_core.audio import FORMATS, AudioFormat
from model_core.codec import Codec, InputWarning, Salvaged

from ..http.problems import Problem, ProblemCode
from ..pipeline.call import Call
from ..pipeline.decode import decode_to_file, output_of
from ..pipeline.encode import Compressed

ECDC_TYPES = ("application/octet-stream", "audio/x-encodec")
"""Media types of an `.ecdc` file; the first of equals is preferred."""

_FORMAT_NAMES = {
    **dict.fromkeys(("audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"), "wav"),
    "application/octet-stream": "wav",
    **dict.fromkeys(("audio/flac", "audio/x-flac"), "flac"),
    **dict.fromkeys(("audio/ogg", "audio/opus"), "opus"),
    **dict.fromkeys(("audio/mpeg", "audio/mp3"), "mp3"),
}
"""Media types by which clients ask for a format; the first of equals is preferred."""


def choose_type(accept: str, offers: Sequence[str]) -> str:
    """The media type of `offers` that a client prefers by its `Accept` (RFC 9110, section 12.5.1),
    the first of equals. Raises `Problem` 406 where it accepts none."""
    ranges = dict(_media_range(part) for part in reversed(accept.split(",")) if part.strip())
    ranges = ranges or {"*/*": 1.0}

    def weight(offer: str) -> float:
        """That of the most specific range that has it."""
        wanted = (offer, f"{offer.partition('/')[0]}/*", "*/*")
        return next((ranges[name] for name in wanted if name in ranges), 0.0)

    best = max(offers, key=weight)
    if weight(best) <= 0:
        raise Problem(ProblemCode.NOT_ACCEPTABLE, f"offered: {', '.join(offers)}")
    return best


def _media_range(part: str) -> tuple[str, float]:
    """A range of `Accept` and its weight."""
    media_range, *parameters = (piece.strip().lower() for piece in part.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return media_range, min(max(float(value), 0.0), 1.0)
            except ValueError:
                return media_range, 0.0
    return media_range, 1.0


def choose_ecdc_type(accept: str) -> str:
    """What an `.ecdc` file is answered as: its own media type for a client that prefers it."""
    try:
        return choose_type(accept, ECDC_TYPES)
    except Problem:
        return ECDC_TYPES[0]


def choose_format(accept: str, output: str | None) -> AudioFormat:
    """The format that a client asks for by name or, without one, by its `Accept`. Raises `Problem`
    406 where it accepts none."""
    return FORMATS[output or _FORMAT_NAMES[choose_type(accept, tuple(_FORMAT_NAMES))]]


def accepted(request: Request) -> str:
    """Its `Accept`: several lines of it are one list (RFC 9110, section 5.3)."""
    return ", ".join(request.headers.getlist("accept"))


async def audio_response(
    call: Call,
    compressed: Compressed,
    part: range,
    format: AudioFormat,
    rate: int | str | None = None,
    channels: int | str | None = None,
    rescale: bool = False,
) -> Response:
    """A part of the audio of `compressed`; the first block is decoded before this returns. Raises
    as `output_of`."""
    output = output_of(compressed, part, format, rate, channels)
    file = await decode_to_file(call, compressed, part, output, rescale)
    config = compressed.codec.config
    headers = file_headers(compressed, format.suffix) | salvage_headers(compressed)
    headers["Vary"] = "Accept"
    headers["X-Audio-Duration"] = f"{len(part) / config.sample_rate:.6f}"
    size = format.size(output.channels, output.samples)
    if size is not None:
        headers["Content-Length"] = str(size)
    content_type = format.content_type(output.rate, output.channels)
    return StreamingResponse(call.sent(file), headers=headers, media_type=content_type)


def audio_headers(codec: Codec, num_codebooks: int, seconds: float) -> dict[str, str]:
    """Which model, weights and bandwidth (kbps), and the duration (s).

    Weights that are not the published ones are named by their id too: `bundled:1a2b3c4d`.
    """
    weights = codec.weights
    assert weights is not None  # the service makes no codec without
    return {
        "X-Encodec-Model": codec.config.name,
        "X-Encodec-Weights": weights.source + ("" if weights.published else f":{weights.id}"),
        "X-Encodec-Bandwidth": f"{codec.config.bandwidth_of(num_codebooks):g}",
        "X-Audio-Duration": f"{seconds:.6f}",
    }


def file_headers(compressed: Compressed, suffix: str) -> dict[str, str]:
    """The same with the size of the whole `.ecdc` file, and a name for the answer's file."""
    stored, seconds = compressed.stored, compressed.seconds
    headers = audio_headers(compressed.codec, stored.num_codebooks, seconds) | {
        "X-Compressed-Bytes": str(stored.size),
        "X-Compressed-Kbps": f"{stored.size * 8 / seconds / 1000:.3f}",
        "Content-Disposition": attachment(compressed.filename, suffix),
    }
    return headers | warning_headers(compressed.warnings)


def warning_headers(warnings: Sequence[InputWarning]) -> dict[str, str]:
    """What a higher effort would have coded better, if anything: a list of structured items."""
    value = ", ".join(warning.field() for warning in warnings)
    return {"X-Encodec-Warning": value} if value else {}


def salvage_headers(compressed: Compressed) -> dict[str, str]:
    """What a damaged file has lost, as a structured dictionary; for an intact one that it has lost
    nothing. Empty where no file was to be salvaged."""
    salvaged = compressed.stored
    if not isinstance(salvaged, Salvaged):
        return {}
    lost = salvaged.lost / compressed.codec.config.sample_rate
    end = "" if salvaged.known_end else ";end=unknown"
    return {"X-Encodec-Salvaged": f"lost={lost:.3f};gaps={salvaged.gaps}{end}"}


def attachment(filename: str | None, suffix: str) -> str:
    """A Content-Disposition that names the file as the upload, with another suffix (RFC 6266)."""
    stem = PurePosixPath((filename or "").replace("\\", "/")).stem
    stem = "".join(c for c in stem if c.isprintable())[:100].strip(" .") or "audio"
    plain = re.sub(r"[^A-Za-z0-9._ -]", "_", stem)
    value = f'attachment; filename="{plain}{suffix}"'
    if plain != stem:
        value += f"; filename*=UTF-8''{quote(stem + suffix, safe='')}"
    return value
