"""`POST /roundtrip`: audio in, what the codec makes of it out."""

from fastapi import APIRouter, Response

from ..coding.call import OpenCall
from ..coding.compression import compress
from ..problems import ProblemCode
from .bodies import AUDIO, AUDIO_PROBLEMS, WAV_TYPE, answer
from .file_route import file_route
from .parameters import DEFAULT_BANDWIDTH, DEFAULT_MODEL, Bandwidth, LanguageModel, Model
from .wav import require_wav, wav_response

router = APIRouter(tags=["codec"])


@file_route(
    router,
    "/roundtrip",
    name="roundtrip",
    summary="Compress and decompress audio",
    body=AUDIO,
    answer=answer("16-bit PCM.", WAV_TYPE),
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
