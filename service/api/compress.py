"""`POST /compress`: audio in, an `.ecdc` file out."""

from collections.abc import AsyncGenerator

from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse

from ..call import Call, OpenCall
from ..compression import Compressed, compress
from ..headers import attachment, audio_headers
from ..problems import problem_responses
from ..spool import contents
from .bodies import ECDC_TYPE, answer, raw_body, upload_body
from .parameters import DEFAULT_BANDWIDTH, DEFAULT_MODEL, Bandwidth, LanguageModel, Model

AUDIO = (
    "Audio in any container and codec that FFmpeg reads, or headerless 16-bit big-endian PCM as "
    "`audio/L16; rate=…; channels=…`."
)
PROBLEMS = (400, 401, 406, 408, 409, 413, 415, 422, 429, 500, 503, 504)

router = APIRouter(tags=["codec"])


@router.post(
    "/compress",
    operation_id="compress",
    summary="Compress audio",
    response_class=Response,
    responses={200: answer("The `.ecdc` file.", ECDC_TYPE), **problem_responses(*PROBLEMS)},
    openapi_extra=raw_body(AUDIO),
)
async def compress_raw(
    call: OpenCall,
    model: Model = DEFAULT_MODEL,
    bandwidth: Bandwidth = DEFAULT_BANDWIDTH,
    lm: LanguageModel = False,
) -> Response:
    """Encodes while it reads; the answer begins when the last sample has been encoded."""
    return await _compress(call, model, bandwidth, lm)


@router.post(
    "/compress/upload",
    operation_id="compressUpload",
    summary="Compress audio (multipart)",
    response_class=Response,
    responses={200: answer("The `.ecdc` file.", ECDC_TYPE), **problem_responses(*PROBLEMS)},
    openapi_extra=upload_body(AUDIO),
)
async def compress_upload(
    call: OpenCall,
    model: Model = DEFAULT_MODEL,
    bandwidth: Bandwidth = DEFAULT_BANDWIDTH,
    lm: LanguageModel = False,
) -> Response:
    """The same as `/compress` with the file as the part `file` of multipart/form-data."""
    return await _compress(call, model, bandwidth, lm, multipart_only=True)


async def _compress(
    call: Call, model: str, bandwidth: float, lm: bool, multipart_only: bool = False
) -> Response:
    compressed, filename = await compress_request(call, model, bandwidth, lm, multipart_only)
    header = compressed.header
    headers = audio_headers(compressed.codec, header, compressed.size)
    headers["Content-Length"] = str(compressed.size)
    headers["Content-Disposition"] = attachment(filename, ".ecdc")
    return StreamingResponse(_file(compressed), headers=headers, media_type=ECDC_TYPE)


async def compress_request(
    call: Call, model: str, bandwidth: float, lm: bool, multipart_only: bool
) -> tuple[Compressed, str | None]:
    """What the request's audio compresses to, and what the client calls the file."""
    codec = await call.models.for_compression(model, lm)
    codec.config.codebooks_for(bandwidth)
    await call.admit()
    upload = await call.upload(multipart_only)
    return await compress(call, upload, codec, bandwidth, lm), upload.filename


async def _file(compressed: Compressed) -> AsyncGenerator[bytes]:
    yield compressed.header.to_bytes()
    async for chunk in contents(compressed.payload):
        yield chunk
