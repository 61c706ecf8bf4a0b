"""`POST /decompress`: an `.ecdc` file in, WAV out."""

from fastapi import APIRouter, Response

from ..coding.call import OpenCall
from ..coding.ecdc_file import receive_ecdc
from ..problems import ProblemCode
from .bodies import ECDC, ECDC_PROBLEMS, WAV_TYPE, answer
from .file_route import file_route
from .parameters import Rescale
from .wav import require_wav, wav_response

router = APIRouter(tags=["codec"])


@file_route(
    router,
    "/decompress",
    name="decompress",
    summary="Decompress to WAV",
    body=ECDC,
    answer=answer("16-bit PCM.", WAV_TYPE),
    problems=(*ECDC_PROBLEMS, ProblemCode.NOT_ACCEPTABLE),
)
async def decompress_file(call: OpenCall, rescale: Rescale = False) -> Response:
    """Streamed as it is decoded. A file that turns out to be broken in the middle cuts the
    answer short of its Content-Length."""
    require_wav(call.request)
    await call.admit()
    compressed = await receive_ecdc(call, await call.upload())
    return await wav_response(call, compressed, rescale)
