"""The routes of calls that take a file: their parameters, bodies, answers and problems."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import Field

from model_core.audio import FORMATS
from model_core.audio.reader import MAX_RATE, MIN_RATE
from model_core.config import CONFIGS, MOST_BANDWIDTH
from model_core.engine import BEAMS

from ..http.documentation import header, problem_responses
from ..http.problems import ProblemCode, check_names
from ..pipeline.upload import require_multipart

NPZ_TYPE = "application/x-npz"

AUDIO = (
    "Audio in any container and codec that FFmpeg reads, or headerless big-endian PCM as "
    "`audio/L16; rate=…; channels=…` or `audio/L24`."
)
ECDC = "An `.ecdc` file."

_BANDWIDTHS = "; ".join(
    f"{config.name}: {', '.join(f'{b:g}' for b in config.target_bandwidths)}"
    for config in CONFIGS.values()
)
DEFAULT_MODEL = "encodec_24khz"
MOST_EFFORT = len(BEAMS) - 1
DEFAULT_BANDWIDTH = 6.0
Model = Annotated[str, Query(description="Which model.", json_schema_extra={"enum": list(CONFIGS)})]
Bandwidth = Annotated[
    float,
    Query(
        description=f"kbps. {_BANDWIDTHS}.",
        examples=[6.0],
        gt=0,
        le=MOST_BANDWIDTH,
        allow_inf_nan=False,
    ),
]
LanguageModel = Annotated[
    bool, Query(description="Entropy-code with the language model: slower, smaller.")
]
Effort = Annotated[
    int,
    Query(
        description="0 is the reference's search. 1, 2 and 3 search longer for codes that are "
        "nearer to the audio, remove a constant offset, and keep stereo in opposite phase. With "
        "`lm=true` and `format=1`, 2 and 3 choose codes that also cost few bits.",
        ge=0,
        le=MOST_EFFORT,
    ),
]
Live = Annotated[
    bool,
    Query(description="The audio is recorded while it is sent, and may come slowly."),
]
Format = Annotated[
    int,
    Query(
        description="Version of the file format. 0 is the reference's; 1 finds damage, can be cut, "
        "and is the one to use with `lm=true`: only its language model is the same on all "
        "machines.",
        ge=0,
        le=1,
    ),
]
Verify = Annotated[
    bool,
    Query(
        description="With `lm=true`, decode what was coded again before the answer begins; "
        "`verification_failed` where it is not the same."
    ),
]
_MOST_SECONDS = 1e9
Start = Annotated[
    float,
    Query(description="s; where the answer begins.", ge=0, le=_MOST_SECONDS, allow_inf_nan=False),
]
End = Annotated[
    float | None,
    Query(
        description="s; where it ends, by default with the audio.",
        gt=0,
        le=_MOST_SECONDS,
        allow_inf_nan=False,
    ),
]
NewBandwidth = Annotated[
    float | None,
    Query(description="kbps, at most the file's. " + _BANDWIDTHS + ".", gt=0, le=MOST_BANDWIDTH),
]
NewLanguageModel = Annotated[
    bool | None, Query(description="Whether the language model codes the new file.")
]
NewFormat = Annotated[
    int | None, Query(description="Version of the new file's format, 0 or 1.", ge=0, le=1)
]
Salvage = Annotated[
    bool,
    Query(
        description="Decode a damaged file as far as it is intact, with silence where it is not; "
        "`X-Encodec-Salvaged` says how much is lost. Otherwise damage is an error."
    ),
]
Rescale = Annotated[
    bool,
    Query(description="Scale the whole recording down instead of clipping it; takes two passes."),
]
OutputName = Annotated[
    Literal["wav", "flac", "opus", "mp3", "f32", "s16"] | None,
    Query(
        description="The format of the audio, in place of `Accept`: WAV (the default) and FLAC of "
        "16 bits, Opus in Ogg, MP3, or interleaved little-endian samples without a header: `f32` "
        "(floats, not clipped) or `s16`."
    ),
]
SampleRate = Annotated[
    Annotated[int, Field(ge=MIN_RATE, le=MAX_RATE)] | Literal["original"] | None,
    Query(
        description="Hz, by default the model's. `original`: the recording's, which only a file of "
        "version 1 can say. Opus and MP3 have few rates: theirs is the next higher, or the highest."
    ),
]
Channels = Annotated[
    Annotated[int, Field(ge=1, le=2)] | Literal["original"] | None,
    Query(description="1 or 2, by default the model's. `original`: the recording's, at most 2."),
]
OUTPUT_TYPES = tuple(dict.fromkeys(made.media_type for made in FORMATS.values()))
OUTPUT = "The audio, in the format of `output` or `Accept`."

_FILE_PROBLEMS = (
    ProblemCode.BAD_REQUEST,
    ProblemCode.EMPTY_BODY,
    ProblemCode.UNAUTHORIZED,
    ProblemCode.CLIENT_TOO_SLOW,
    ProblemCode.TOO_LARGE,
    ProblemCode.UNSUPPORTED_MEDIA_TYPE,
    ProblemCode.BAD_PARAMETER,
    ProblemCode.BUSY,
    ProblemCode.QUOTA_EXCEEDED,
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
KEPT_PROBLEMS = (
    ProblemCode.DIGEST_MISMATCH,
    ProblemCode.IDEMPOTENCY_IN_USE,
    ProblemCode.IDEMPOTENCY_MISMATCH,
)
"""More problems of a call whose results may be kept."""

AUDIO_HEADERS = (
    header("X-Encodec-Model", "string", "Name of the model.")
    | header("X-Encodec-Weights", "string", "Where its weights are from and which they are.")
    | header("X-Encodec-Bandwidth", "number", "Nominal bandwidth, kbps.")
    | header("X-Audio-Duration", "number", "Length of the audio, s.")
)
WARNING = header(
    "X-Encodec-Warning",
    "string",
    "What in the audio `effort=1` would code better, where there is anything: a structured list "
    "(RFC 9651) of `constant-offset;offset=…` (1 is full scale; it turns into noise) and "
    "`opposite-phase;segments=…;of=…;decibels=…` (stereo that comes back too quiet).",
)
SALVAGED = header(
    "X-Encodec-Salvaged",
    "string",
    "With `salvage=true`, what of the whole file is lost: a structured dictionary (RFC 9651), "
    "`lost=…;gaps=…` in seconds of audio and in silences that stand for them; with `;end=unknown` "
    "where the end is missing and nobody knows how much that is.",
)
CACHE = header(
    "X-Encodec-Cache", "string", "Where the service keeps results: `hit` if this is one, or `miss`."
)
ATTACHMENT = header("Content-Disposition", "string", "`attachment`, with a name for the file.")
_FILE_HEADERS = (
    AUDIO_HEADERS
    | header("X-Compressed-Bytes", "integer", "Size of the .ecdc file.")
    | header("X-Compressed-Kbps", "number", "Its size by the length of the audio.")
    | ATTACHMENT
)
COMPRESSED_HEADERS = _FILE_HEADERS | WARNING
"""Of an answer to audio."""
TRANSCODED_HEADERS = _FILE_HEADERS | CACHE
"""Of another `.ecdc` file."""
DECOMPRESSED_HEADERS = _FILE_HEADERS | SALVAGED
"""Of decompressed audio."""
_JOB: dict[str, Any] = {
    "description": "With `Prefer: respond-async`: the job that works on it.",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/JobDocument"}}},
    "headers": header("Location", "string", "Path of the job.")
    | header("Preference-Applied", "string", "`respond-async`.")
    | header("Retry-After", "integer", "Seconds after which to look at it."),
}
_JOB_PROBLEMS = (*KEPT_PROBLEMS, ProblemCode.URL_FORBIDDEN)


def binary(media_type: str) -> dict[str, Any]:
    """Schema of bytes, for readers of OpenAPI 3.1 and for those of 3.0."""
    return {"type": "string", "format": "binary", "contentMediaType": media_type}


def file_body(description: str, multipart: bool = False) -> dict[str, Any]:
    """`openapi_extra` of a call whose body is the file itself, or `multipart` with it as `file`."""
    media_type = "application/octet-stream"
    schema = binary(media_type)
    if multipart:
        media_type = "multipart/form-data"
        schema = {"type": "object", "required": ["file"], "properties": {"file": schema}}
    content = {media_type: {"schema": schema}}
    return {"requestBody": {"required": True, "description": description, "content": content}}


async def known_parameters(request: Request) -> None:
    """Raises `Problem` 422 for a parameter that the call does not have: one that is misspelt would
    be taken for its default; and for one that is there more than once, of which only one would
    count."""
    route: APIRoute = request.scope["route"]
    names = [name for name, _ in request.query_params.multi_items()]
    check_names(names, _parameters(route.dependant))


def _parameters(dependant: Dependant) -> set[str]:
    """The names of those of a call and of what it depends on."""
    names = {field.alias for field in dependant.query_params}
    return names.union(*map(_parameters, dependant.dependencies))


Handler = Callable[..., Any]


def file_route(
    router: APIRouter,
    path: str,
    *,
    summary: str,
    body: str,
    answer: str,
    media_types: Sequence[str],
    problems: Sequence[ProblemCode],
    headers: dict[str, Any] = _FILE_HEADERS,
    may_be_a_job: bool = False,
) -> Callable[[Handler], Handler]:
    """Register the function below it for `path` and `path`/upload.

    `path` takes the bare bytes as well as multipart/form-data. `path`/upload takes only the
    latter, so that a generated client has one operation for each body.
    `body`, `answer` and `headers` describe the files; `problems` are what may be answered instead,
    and a job, where it `may_be_a_job`.
    """
    name = path.removeprefix("/")
    content = {name: {"schema": binary(name)} for name in media_types}
    found = {"description": answer, "content": content, "headers": headers}
    responses: dict[int | str, dict[str, Any]] = {200: found}
    if may_be_a_job:
        responses[202] = _JOB
        problems = (*problems, *_JOB_PROBLEMS)
    responses |= problem_responses(*problems)

    def add(handler: Handler) -> Handler:
        router.post(
            path,
            operation_id=name,
            summary=summary,
            dependencies=[Depends(known_parameters)],
            response_class=Response,
            responses=responses,
            openapi_extra=file_body(body),
        )(handler)
        description = (
            f"The same as `{path}` with the file as the part `file` of multipart/form-data."
        )
        router.post(
            f"{path}/upload",
            operation_id=f"{name}Upload",
            summary=f"{summary} (multipart)",
            description=description,
            dependencies=[Depends(known_parameters), Depends(require_multipart)],
            response_class=Response,
            responses=responses,
            openapi_extra=file_body(body, multipart=True),
        )(handler)
        return handler

    return add
