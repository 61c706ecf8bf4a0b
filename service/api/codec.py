"""`POST /compress`, `/decompress` and `/roundtrip`: audio to `.ecdc` and back."""

from collections.abc import AsyncGenerator

from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse

from ..http.problems import ProblemCode
from ..pipeline.call import OpenCall, contents
from ..pipeline.decode import receive_ecdc
from ..pipeline.encode import Compressed, compress
from .parameters import (
    DEFAULT_BANDWIDTH,
    DEFAULT_MODEL,
    Bandwidth,
    LanguageModel,
    Model,
    Rescale,
)
from .responses import attachment, audio_headers, require_wav, wav_response
from .routes import (
    AUDIO,
    AUDIO_PROBLEMS,
    ECDC,
    ECDC_PROBLEMS,
    ECDC_TYPE,
    WAV_TYPE,
    answer,
    file_route,
)

router = APIRouter(tags=["codec"])


@file_route(
    router,
    "/compress",
    name="compress",
    summary="Compress audio",
    body=AUDIO,
    response=answer("The `.ecdc` file.", ECDC_TYPE),
    problems=(*AUDIO_PROBLEMS, ProblemCode.LM_UNAVAILABLE),
)
async def compress_file(
    call: OpenCall,
    model: Model = DEFAULT_MODEL,
    bandwidth: Bandwidth = DEFAULT_BANDWIDTH,
    lm: LanguageModel = False,
) -> Response:
    """Encodes while it reads; the answer begins when the last sample has been encoded."""
    compressed = await compress(call, model, bandwidth, lm)
    headers = audio_headers(compressed.codec, compressed.header, compressed.size)
    headers["Content-Length"] = str(compressed.size)
    headers["Content-Disposition"] = attachment(compressed.filename, ".ecdc")
    return StreamingResponse(_file(compressed), headers=headers, media_type=ECDC_TYPE)


async def _file(compressed: Compressed) -> AsyncGenerator[bytes]:
    yield compressed.header.to_bytes()
    async for chunk in contents(compressed.payload):
        yield chunk


@file_route(
    router,
    "/decompress",
    name="decompress",
    summary="Decompress to WAV",
    body=ECDC,
    response=answer("16-bit PCM.", WAV_TYPE),
    problems=(*ECDC_PROBLEMS, ProblemCode.NOT_ACCEPTABLE),
)
async def decompress_file(call: OpenCall, rescale: Rescale = False) -> Response:
    """Streamed as it is decoded. A file that turns out to be broken in the middle cuts the
    answer short of its Content-Length."""
    require_wav(call.request)
    await call.admit()
    compressed = await receive_ecdc(call, await call.upload())
    return await wav_response(call, compressed, rescale)


@file_route(
    router,
    "/roundtrip",
    name="roundtrip",
    summary="Compress and decompress audio",
    body=AUDIO,
    response=answer("16-bit PCM.", WAV_TYPE),
    problems=(*AUDIO_PROBLEMS, ProblemCode.LM_UNAVAILABLE, ProblemCode.NOT_ACCEPTABLE),
)
async def roundtrip(
    call: OpenCall,
    model: Model = DEFAULT_MODEL,
    bandwidth: Bandwidth = DEFAULT_BANDWIDTH,
    lm: LanguageModel = False,
) -> Response:
    """What `/decompress` makes of what `/compress` makes; headers say the size in between."""
    require_wav(call.request)
    return await wav_response(call, await compress(call, model, bandwidth, lm))
