"""`POST /codes`: audio in, its discrete codes out."""

import asyncio

from fastapi import APIRouter, Depends, Response
from fastapi.responses import StreamingResponse

from ..http.problems import ProblemCode, problem_responses
from ..pipeline.call import OpenCall, contents, in_chunks
from ..pipeline.codes import Codes, encode
from .parameters import DEFAULT_BANDWIDTH, DEFAULT_MODEL, Bandwidth, Model, known_parameters
from .responses import attachment, choose_type, duration, model_headers
from .routes import AUDIO, AUDIO_PROBLEMS, NPZ_TYPE, answer, raw_body

JSON_TYPE = "application/json"

router = APIRouter(tags=["codec"])

_ANSWER = answer(
    "The codes.",
    NPZ_TYPE,
    headers=4,
    Vary=("string", "`Accept`."),
)
_ANSWER["content"] = {
    JSON_TYPE: {"schema": {"$ref": "#/components/schemas/Codes"}},
    **_ANSWER["content"],
}


@router.post(
    "/codes",
    operation_id="codes",
    summary="The discrete codes of audio",
    dependencies=[Depends(known_parameters)],
    response_class=Response,
    responses={
        200: {"model": Codes, **_ANSWER},
        **problem_responses(*AUDIO_PROBLEMS, ProblemCode.NOT_ACCEPTABLE),
    },
    openapi_extra=raw_body(AUDIO),
)
async def codes(
    call: OpenCall, model: Model = DEFAULT_MODEL, bandwidth: Bandwidth = DEFAULT_BANDWIDTH
) -> Response:
    """JSON, or by `Accept: application/x-npz` a NumPy archive: `codes` uint16 [K, T] with the
    segments one after the other, `segment_frames`, `segment_offsets`, `segment_samples`, `scales`
    where the model normalises, and the other fields of the JSON."""
    media_type = choose_type(call.request.headers.get("accept", ""), (JSON_TYPE, NPZ_TYPE))
    codec = await call.models.for_compression(model)
    num_codebooks = codec.config.codebooks_for(bandwidth)
    await call.admit()
    upload = await call.upload()
    encoded = await encode(call, upload, codec, num_codebooks)
    headers = model_headers(codec, num_codebooks)
    headers["X-Audio-Duration"] = duration(encoded.seconds)
    headers["Vary"] = "Accept"
    if media_type == JSON_TYPE:
        return StreamingResponse(in_chunks(encoded.json()), headers=headers, media_type=media_type)
    archive = call.spool()
    await asyncio.to_thread(encoded.write_npz, archive)
    headers["Content-Length"] = str(archive.seek(0, 2))
    headers["Content-Disposition"] = attachment(upload.filename, ".npz")
    archive.seek(0)
    return StreamingResponse(contents(archive), headers=headers, media_type=media_type)
