"""The parameters of the calls. What is not given is left to the service."""

from collections.abc import Mapping
from typing import Any, Literal, TypedDict
from urllib.parse import quote
from uuid import uuid4

from .sources import Body

Model = Literal["encodec_24khz", "encodec_48khz"]
Output = Literal["wav", "flac", "opus", "mp3", "f32", "s16"]


class CodesOptions(TypedDict, total=False):
    """Of `codes`."""

    model: Model
    """`encodec_24khz` (default) or `encodec_48khz`."""
    bandwidth: float
    """kbps; 6 by default."""
    effort: int
    """0 to 3: how long to search for better codes."""
    live: bool
    """The audio is recorded while it is sent, and may come slowly."""
    content_type: str
    """Of the audio; `audio/L16; rate=16000; channels=1` for samples without a header."""


class _CodingOptions(CodesOptions, total=False):
    lm: bool
    """Entropy-code with the language model."""
    format: int
    """Version of the file format, 0 or 1."""


class CompressOptions(_CodingOptions, total=False):
    """Of `compress`."""

    verify: bool
    """Decode what the language model coded again before the answer begins."""


class OutputOptions(TypedDict, total=False):
    """Of calls that return audio."""

    output: Output
    sample_rate: int | Literal["original"]
    """Hz."""
    channels: int | Literal["original"]


class RoundtripOptions(_CodingOptions, OutputOptions, total=False):
    """Of `roundtrip`."""


class DecompressOptions(OutputOptions, total=False):
    """Of `decompress`."""

    start: float
    """s."""
    end: float
    """s."""
    rescale: bool
    """Scale a recording that is too loud instead of clipping it."""
    salvage: bool
    """Decode what is intact of a damaged file."""


class JobOptions(CompressOptions, DecompressOptions, total=False):
    """Of `submit`: those of the call, and the job's own."""

    source: str
    """The URL of the input, in place of a body."""
    destination: str
    """A URL in a bucket where the result is put too."""
    webhook: str
    """The URL that is told of the end."""


class TranscodeOptions(TypedDict, total=False):
    """Of `transcode`."""

    bandwidth: float
    """kbps, at most the file's."""
    lm: bool
    format: int
    verify: bool


JobCall = Literal["compress", "decompress", "roundtrip"]


def job_path(id: str) -> str:
    """Where the service keeps a job."""
    return f"/jobs/{quote(id, safe='')}"


def job_headers() -> dict[str, str]:
    """Of a request for a new job, which may be sent again."""
    return {"Prefer": "respond-async", "Idempotency-Key": uuid4().hex}


def request_parts(
    options: Any, body: Body, own: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """The query and the headers of a call; `own`: headers of its own."""
    headers = {"Accept": "*/*", **own}
    if body.exists:
        headers["Content-Type"] = options.get("content_type", "application/octet-stream")
    if body.size is not None:
        headers["Content-Length"] = str(body.size)
    return query_of(options), headers


def query_of(options: Any) -> dict[str, str]:
    """The parameters of a call."""
    return {
        name: _text(value)
        for name, value in options.items()
        if value is not None and name != "content_type"
    }


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.12g}" if isinstance(value, float) else str(value)
