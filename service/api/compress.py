"""`POST /compress`: audio in, an `.ecdc` file out."""

from collections.abc import AsyncGenerator

from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse

from ..coding.call import OpenCall
from ..coding.compression import Compressed, compress
from ..coding.spool import contents
from ..problems import ProblemCode
from .bodies import AUDIO, AUDIO_PROBLEMS, ECDC_TYPE, answer
from .file_route import file_route
from .headers import attachment, audio_headers
from .parameters import DEFAULT_BANDWIDTH, DEFAULT_MODEL, Bandwidth, LanguageModel, Model

router = APIRouter(tags=["codec"])


@file_route(
    router,
    "/compress",
    name="compress",
    summary="Compress audio",
    body=AUDIO,
    answer=answer("The `.ecdc` file.", ECDC_TYPE),
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
