"""The routes of calls that take a file, with their documentation: bodies, answers, problems."""

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import APIRouter, Depends, Response

from ..http.problems import ProblemCode, problem_responses
from ..pipeline.upload import require_multipart
from .parameters import known_parameters

ECDC_TYPE = "application/octet-stream"
WAV_TYPE = "audio/wav"
NPZ_TYPE = "application/x-npz"

AUDIO = (
    "Audio in any container and codec that FFmpeg reads, or headerless big-endian PCM as "
    "`audio/L16; rate=…; channels=…` or `audio/L24`."
)
ECDC = "An `.ecdc` file."

_FILE_PROBLEMS = (
    ProblemCode.BAD_REQUEST,
    ProblemCode.EMPTY_BODY,
    ProblemCode.UNAUTHORIZED,
    ProblemCode.CLIENT_TOO_SLOW,
    ProblemCode.TOO_LARGE,
    ProblemCode.UNSUPPORTED_MEDIA_TYPE,
    ProblemCode.BAD_PARAMETER,
    ProblemCode.BUSY,
    ProblemCode.INTERNAL_ERROR,
    ProblemCode.STARTING,
    ProblemCode.UNAVAILABLE,
    ProblemCode.SHUTTING_DOWN,
    ProblemCode.WAITED_TOO_LONG,
    ProblemCode.INSUFFICIENT_STORAGE,
)

AUDIO_PROBLEMS = (
    *_FILE_PROBLEMS,
    ProblemCode.UNDECODABLE_AUDIO,
    ProblemCode.TOO_LONG,
    ProblemCode.UNKNOWN_MODEL,
    ProblemCode.UNSUPPORTED_BANDWIDTH,
    ProblemCode.WEIGHTS_UNAVAILABLE,
)
"""The problems of a call that takes audio."""

INSPECT_PROBLEMS = (*_FILE_PROBLEMS, ProblemCode.BROKEN_ECDC, ProblemCode.TRUNCATED_ECDC)
"""The problems of a call that looks at an `.ecdc` file."""

ECDC_PROBLEMS = (
    *INSPECT_PROBLEMS,
    ProblemCode.TOO_LONG,
    ProblemCode.WEIGHTS_UNAVAILABLE,
    ProblemCode.LM_UNAVAILABLE,
)
"""The problems of a call that decodes an `.ecdc` file."""

_ATTACHMENT = ("string", "`attachment`, with a name for the file.")

_HEADERS = {
    "X-Encodec-Model": ("string", "Name of the model."),
    "X-Encodec-Weights": ("string", "Where its weights are from and which they are."),
    "X-Encodec-Bandwidth": ("number", "Nominal bandwidth, kbps."),
    "X-Audio-Duration": ("number", "Length of the audio, s."),
    "X-Compressed-Bytes": ("integer", "Size of the .ecdc file."),
    "X-Compressed-Kbps": ("number", "Its size by the length of the audio."),
}


def binary(media_type: str) -> dict[str, Any]:
    """Schema of bytes, for readers of OpenAPI 3.1 and for those of 3.0."""
    return {"type": "string", "format": "binary", "contentMediaType": media_type}


def raw_body(description: str) -> dict[str, Any]:
    """`openapi_extra` of a call whose body is the file itself."""
    return {
        "requestBody": {
            "required": True,
            "description": description,
            "content": {"application/octet-stream": {"schema": binary("application/octet-stream")}},
        }
    }


def upload_body(description: str) -> dict[str, Any]:
    """`openapi_extra` of a call whose body is multipart/form-data with the part `file`."""
    schema = {
        "type": "object",
        "required": ["file"],
        "properties": {"file": binary("application/octet-stream")},
    }
    return {
        "requestBody": {
            "required": True,
            "description": description,
            "content": {"multipart/form-data": {"schema": schema}},
        }
    }


def answer(
    description: str, *media_types: str, headers: int = len(_HEADERS), **more: tuple[str, str]
) -> dict[str, Any]:
    """A binary answer in one of `media_types`, with the first `headers` of the headers and some
    `more` (type and text)."""
    described = dict(list(_HEADERS.items())[:headers])
    described |= {"Content-Disposition": _ATTACHMENT, **more}
    return {
        "description": description,
        "content": {media_type: {"schema": binary(media_type)} for media_type in media_types},
        "headers": {
            name: {"description": text, "schema": {"type": kind}}
            for name, (kind, text) in described.items()
        },
    }


Handler = Callable[..., Any]


def file_route(
    router: APIRouter,
    path: str,
    *,
    name: str,
    summary: str,
    body: str,
    response: dict[str, Any],
    problems: Sequence[ProblemCode],
) -> Callable[[Handler], Handler]:
    """Register the function below it for `path` and `path`/upload.

    `path` takes the bare bytes as well as multipart/form-data. `path`/upload takes only the
    latter, so that a generated client has one operation (`name`, `name`Upload) for each body.
    `body` describes the file, `response` the answer, `problems` what there may be instead.
    """
    responses: dict[int | str, dict[str, Any]] = {200: response, **problem_responses(*problems)}

    def add(handler: Handler) -> Handler:
        router.post(
            path,
            operation_id=name,
            summary=summary,
            dependencies=[Depends(known_parameters)],
            response_class=Response,
            responses=responses,
            openapi_extra=raw_body(body),
        )(handler)
        router.post(
            f"{path}/upload",
            operation_id=f"{name}Upload",
            summary=f"{summary} (multipart)",
            description=(
                f"The same as `{path}` with the file as the part `file` of multipart/form-data."
            ),
            dependencies=[Depends(known_parameters), Depends(require_multipart)],
            response_class=Response,
            responses=responses,
            openapi_extra=upload_body(body),
        )(handler)
        return handler

    return add
