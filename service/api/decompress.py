"""`POST /decompress`: an `.ecdc` file in, WAV out."""

from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse

from model_core.audio import wav_size

from ..call import Call, OpenCall
from ..compression import Compressed, Decoding
from ..ecdc_upload import receive_ecdc
from ..headers import attachment, audio_headers
from ..problems import problem_responses
from ..together import while_connected
from .bodies import WAV_TYPE, answer, raw_body, upload_body
from .parameters import Rescale

ECDC = "An `.ecdc` file."
PROBLEMS = (400, 401, 406, 408, 409, 413, 415, 422, 429, 500, 503, 504)

router = APIRouter(tags=["codec"])


@router.post(
    "/decompress",
    operation_id="decompress",
    summary="Decompress to WAV",
    response_class=Response,
    responses={200: answer("16-bit PCM.", WAV_TYPE), **problem_responses(*PROBLEMS)},
    openapi_extra=raw_body(ECDC),
)
async def decompress_raw(call: OpenCall, rescale: Rescale = False) -> Response:
    """Streamed as it is decoded. A file that turns out to be broken in the middle cuts the
    answer short of its Content-Length."""
    return await _decompress(call, rescale)


@router.post(
    "/decompress/upload",
    operation_id="decompressUpload",
    summary="Decompress to WAV (multipart)",
    response_class=Response,
    responses={200: answer("16-bit PCM.", WAV_TYPE), **problem_responses(*PROBLEMS)},
    openapi_extra=upload_body(ECDC),
)
async def decompress_upload(call: OpenCall, rescale: Rescale = False) -> Response:
    """The same as `/decompress` with the file as the part `file` of multipart/form-data."""
    return await _decompress(call, rescale, multipart_only=True)


async def _decompress(call: Call, rescale: bool, multipart_only: bool = False) -> Response:
    await call.admit()
    upload = await call.upload(multipart_only)
    compressed = await receive_ecdc(call, upload)
    return await wav_response(call, compressed, upload.filename, rescale)


async def wav_response(
    call: Call, compressed: Compressed, filename: str | None, rescale: bool = False
) -> Response:
    """The audio of `compressed`; the first block is decoded before this returns."""
    decoding = Decoding(call.scheduler, compressed)
    if rescale:
        await while_connected(call.request, decoding.rescale())
    await while_connected(call.request, decoding.begin())
    channels, samples = compressed.codec.config.channels, compressed.header.audio_length
    headers = audio_headers(compressed.codec, compressed.header, compressed.size)
    headers["Content-Length"] = str(wav_size(channels, samples))
    headers["Content-Disposition"] = attachment(filename, ".wav")
    return StreamingResponse(decoding.wav(), headers=headers, media_type=WAV_TYPE)
