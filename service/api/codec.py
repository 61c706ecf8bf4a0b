"""`POST /compress`, `/decompress`, `/roundtrip` and `/codes`: audio to `.ecdc` and back."""

import asyncio
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any

from fastapi import APIRouter, Depends, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import iterate_in_threadpool

from model_core.codec import Coding

from ..http.documentation import header, problem_responses
from ..http.problems import ProblemCode
from ..pipeline.call import Call, OpenCall, contents, in_chunks
from ..pipeline.codes import Codes, encode
from ..pipeline.decode import part_of, receive_ecdc
from ..pipeline.encode import Compressed, codec_for, compress
from ..pipeline.lookup import Lookup, RequestClaims, look_up
from ..pipeline.result_cache import Result
from ..pipeline.salvage import receive_damaged
from ..pipeline.transcode import recode
from . import routes
from .respond_async import RequestWish, respond_async
from .responses import (
    ECDC_TYPES,
    accepted,
    attachment,
    audio_headers,
    audio_response,
    choose_ecdc_type,
    choose_format,
    choose_type,
    file_headers,
    warning_headers,
)

router = APIRouter(tags=["codec"])


@routes.file_route(
    router,
    "/compress",
    summary="Compress audio",
    body=routes.AUDIO,
    answer="The `.ecdc` file.",
    media_types=ECDC_TYPES,
    problems=(
        *routes.AUDIO_PROBLEMS,
        *routes.KEPT_PROBLEMS,
        ProblemCode.LM_UNAVAILABLE,
        ProblemCode.VERIFICATION_FAILED,
    ),
    headers=routes.COMPRESSED_HEADERS | routes.CACHE,
    may_be_a_job=True,
)
async def compress_file(
    call: OpenCall,
    claims: RequestClaims,
    wish: RequestWish,
    model: routes.Model = routes.DEFAULT_MODEL,
    bandwidth: routes.Bandwidth = routes.DEFAULT_BANDWIDTH,
    lm: routes.LanguageModel = False,
    format: routes.Format = 0,
    effort: routes.Effort = 0,
    verify: routes.Verify = False,
    live: routes.Live = False,
) -> Response:
    """Encodes while it reads; the answer begins when the last sample has been encoded."""
    coding = Coding(bandwidth=bandwidth, lm=lm, format=format, effort=effort, verify=verify)
    codec = await codec_for(call, model, coding)
    if (job := await respond_async(call, wish, live)) is not None:
        return job
    call.claim.passes = 1 + lm * (1 + verify)
    upload = await call.upload(live)
    known = await look_up(call, upload, claims, ("compress", coding, codec.name, codec.lm_name))
    if known.result is not None:
        return _kept_file(call, known, known.result)
    compressed = await compress(call, codec, coding, known.upload)
    return await _new_file(call, known, compressed)


async def _new_file(call: Call, known: Lookup, compressed: Compressed) -> Response:
    size = compressed.stored.size
    headers = file_headers(compressed, ".ecdc") | {"Content-Length": str(size), "Vary": "Accept"}
    await known.keep(size, compressed.data(), headers)
    return _file(call, compressed.data(), headers | known.headers())


def _kept_file(call: Call, known: Lookup, result: Result) -> Response:
    return _file(call, contents(BytesIO(result.data)), result.headers | known.headers())


def _file(call: Call, data: AsyncIterator[bytes], headers: dict[str, str]) -> Response:
    media_type = choose_ecdc_type(accepted(call.request))
    return StreamingResponse(call.sent(data), headers=headers, media_type=media_type)


@routes.file_route(
    router,
    "/decompress",
    summary="Decompress to audio",
    body=routes.ECDC,
    answer=routes.OUTPUT,
    media_types=routes.OUTPUT_TYPES,
    problems=(*routes.ECDC_PROBLEMS, ProblemCode.NOT_ACCEPTABLE),
    headers=routes.DECOMPRESSED_HEADERS,
    may_be_a_job=True,
)
async def decompress_file(
    call: OpenCall,
    wish: RequestWish,
    start: routes.Start = 0.0,
    end: routes.End = None,
    rescale: routes.Rescale = False,
    salvage: routes.Salvage = False,
    output: routes.OutputName = None,
    sample_rate: routes.SampleRate = None,
    channels: routes.Channels = None,
) -> Response:
    """Streamed as it is decoded. A file that turns out to be broken in the middle cuts the
    answer short: of its Content-Length, where it has one. A part has the samples that the whole has
    there (before another rate is made of them); only of a file of version 1 is that quick."""
    format = choose_format(accepted(call.request), output)
    if (job := await respond_async(call, wish)) is not None:
        return job
    if salvage:
        call.claim.passes = 1 + rescale  # and with a language model more
        compressed = await receive_damaged(call, await call.upload())
        part = part_of(compressed, start, end)
    else:
        compressed = await receive_ecdc(call, await call.upload())
        part = part_of(compressed, start, end)
        codec, file = compressed.codec, compressed.file
        call.note_audio(codec, file.decoded(codec, part.start, part.stop))
        call.claim.passes = (1 + compressed.stored.lm) * (1 + rescale)
        await call.admit()
    return await audio_response(call, compressed, part, format, sample_rate, channels, rescale)


@routes.file_route(
    router,
    "/transcode",
    summary="Change a file without decoding it",
    body=routes.ECDC,
    answer="The other `.ecdc` file.",
    media_types=ECDC_TYPES,
    problems=(
        *routes.ECDC_PROBLEMS,
        *routes.KEPT_PROBLEMS,
        ProblemCode.UNSUPPORTED_BANDWIDTH,
        ProblemCode.VERIFICATION_FAILED,
    ),
    headers=routes.TRANSCODED_HEADERS,
)
async def transcode_file(
    call: OpenCall,
    claims: RequestClaims,
    bandwidth: routes.NewBandwidth = None,
    lm: routes.NewLanguageModel = None,
    format: routes.NewFormat = None,
    verify: routes.Verify = False,
) -> Response:
    """To a lower bandwidth, to another version of the format, with the language model or without:
    the codes stay as they are. Parameters that are not given keep what the file has."""
    parameters = "transcode", bandwidth, lm, format, verify
    known = await look_up(call, await call.upload(), claims, parameters)
    if known.result is not None:
        return _kept_file(call, known, known.result)
    received = await receive_ecdc(call, known.upload)
    call.note_audio(received.codec, received.file.samples)
    codes = received.file.lm
    call.claim.passes = codes + (codes if lm is None else lm) * (1 + verify)
    await call.admit()
    recoded = await recode(call, received, bandwidth, lm, format, verify)
    return await _new_file(call, known, recoded)


@routes.file_route(
    router,
    "/roundtrip",
    summary="Compress and decompress audio",
    body=routes.AUDIO,
    answer=routes.OUTPUT,
    media_types=routes.OUTPUT_TYPES,
    problems=(*routes.AUDIO_PROBLEMS, ProblemCode.LM_UNAVAILABLE, ProblemCode.NOT_ACCEPTABLE),
    headers=routes.COMPRESSED_HEADERS,
    may_be_a_job=True,
)
async def roundtrip(
    call: OpenCall,
    wish: RequestWish,
    model: routes.Model = routes.DEFAULT_MODEL,
    bandwidth: routes.Bandwidth = routes.DEFAULT_BANDWIDTH,
    lm: routes.LanguageModel = False,
    format: routes.Format = 0,
    effort: routes.Effort = 0,
    live: routes.Live = False,
    output: routes.OutputName = None,
    sample_rate: routes.SampleRate = None,
    channels: routes.Channels = None,
) -> Response:
    """What `/decompress` makes of what `/compress` makes; headers say the size in between."""
    audio = choose_format(accepted(call.request), output)
    coding = Coding(bandwidth=bandwidth, lm=lm, format=format, effort=effort)
    codec = await codec_for(call, model, coding)
    if (job := await respond_async(call, wish, live)) is not None:
        return job
    call.claim.passes = 2 * (1 + lm)
    compressed = await compress(call, codec, coding, await call.upload(live))
    part = part_of(compressed, 0.0, None)
    return await audio_response(call, compressed, part, audio, sample_rate, channels)


_JSON_TYPE = "application/json"
_CODES: dict[str, Any] = {
    "model": Codes,
    "description": "The codes.",
    "content": {
        _JSON_TYPE: {"schema": {"$ref": "#/components/schemas/Codes"}},
        routes.NPZ_TYPE: {"schema": routes.binary(routes.NPZ_TYPE)},
    },
    "headers": routes.AUDIO_HEADERS
    | routes.ATTACHMENT
    | routes.WARNING
    | header("Vary", "string", "`Accept`."),
}


@router.post(
    "/codes",
    operation_id="codes",
    summary="The discrete codes of audio",
    dependencies=[Depends(routes.known_parameters)],
    response_class=Response,
    responses=problem_responses(*routes.AUDIO_PROBLEMS, ProblemCode.NOT_ACCEPTABLE) | {200: _CODES},
    openapi_extra=routes.file_body(routes.AUDIO),
)
async def codes(
    call: OpenCall,
    model: routes.Model = routes.DEFAULT_MODEL,
    bandwidth: routes.Bandwidth = routes.DEFAULT_BANDWIDTH,
    effort: routes.Effort = 0,
    live: routes.Live = False,
) -> Response:
    """JSON, or by `Accept: application/x-npz` a NumPy archive: `codes` uint16 [K, T] with the
    segments one after the other, `segment_frames`, `segment_offsets`, `segment_samples`, `scales`
    where the model normalises, and the other fields of the JSON."""
    media_type = choose_type(accepted(call.request), (_JSON_TYPE, routes.NPZ_TYPE))
    codec = await call.models.for_compression(model)
    num_codebooks = codec.config.codebooks_for(bandwidth)
    upload = await call.upload(live)
    encoded = await encode(call, upload, codec, num_codebooks, effort)
    headers = audio_headers(codec, num_codebooks, encoded.seconds) | {"Vary": "Accept"}
    headers |= warning_headers(encoded.warnings)
    if media_type == _JSON_TYPE:
        document = call.sent(iterate_in_threadpool(in_chunks(encoded.json())))
        return StreamingResponse(document, headers=headers, media_type=media_type)
    archive = call.spool()
    await asyncio.to_thread(encoded.write_npz, archive)
    headers["Content-Length"] = str(archive.seek(0, 2))
    headers["Content-Disposition"] = attachment(upload.filename, ".npz")
    archive.seek(0)
    file = call.sent(contents(archive))
    return StreamingResponse(file, headers=headers, media_type=media_type)
