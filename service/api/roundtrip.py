"""`POST /roundtrip`: audio in, what the codec makes of it out."""

from fastapi import APIRouter, Response

from ..call import Call, OpenCall
from ..problems import problem_responses
from .bodies import WAV_TYPE, answer, raw_body, upload_body
from .compress import AUDIO, PROBLEMS, compress_request
from .decompress import wav_response
from .parameters import DEFAULT_BANDWIDTH, DEFAULT_MODEL, Bandwidth, LanguageModel, Model

router = APIRouter(tags=["codec"])


@router.post(
    "/roundtrip",
    operation_id="roundtrip",
    summary="Compress and decompress audio",
    response_class=Response,
    responses={200: answer("16-bit PCM.", WAV_TYPE), **problem_responses(*PROBLEMS)},
    openapi_extra=raw_body(AUDIO),
)
async def roundtrip_raw(
    call: OpenCall,
    model: Model = DEFAULT_MODEL,
    bandwidth: Bandwidth = DEFAULT_BANDWIDTH,
    lm: LanguageModel = False,
) -> Response:
    """What `/decompress` makes of what `/compress` makes; headers say the size in between."""
    return await _roundtrip(call, model, bandwidth, lm)


@router.post(
    "/roundtrip/upload",
    operation_id="roundtripUpload",
    summary="Compress and decompress audio (multipart)",
    response_class=Response,
    responses={200: answer("16-bit PCM.", WAV_TYPE), **problem_responses(*PROBLEMS)},
    openapi_extra=upload_body(AUDIO),
)
async def roundtrip_upload(
    call: OpenCall,
    model: Model = DEFAULT_MODEL,
    bandwidth: Bandwidth = DEFAULT_BANDWIDTH,
    lm: LanguageModel = False,
) -> Response:
    """The same as `/roundtrip` with the file as the part `file` of multipart/form-data."""
    return await _roundtrip(call, model, bandwidth, lm, multipart_only=True)


async def _roundtrip(
    call: Call, model: str, bandwidth: float, lm: bool, multipart_only: bool = False
) -> Response:
    compressed, filename = await compress_request(call, model, bandwidth, lm, multipart_only)
    return await wav_response(call, compressed, filename)
