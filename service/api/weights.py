"""`GET /models/{id}/weights`: what a decoder elsewhere needs, such as one in a browser."""

import asyncio
from collections import OrderedDict
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Path, Query, Request, Response

from model_core.checkpoints import Registry, WeightSet
from model_core.errors import UnknownModelError, WeightsUnavailableError

from ..http.conditional import is_known, whole_or_part
from ..http.documentation import header, problem_responses
from ..http.problems import Problem, ProblemCode
from ..inference.model_pool import ModelPool
from ..pipeline.weights import Part, weights_file
from .routes import known_parameters

router = APIRouter(tags=["models"])

_FORMAT = 1
"""Of the files: in their `ETag`."""
_KEPT_BYTES = 96 * 2**20
_MEDIA_TYPE = "application/octet-stream"
_PROBLEMS = (
    ProblemCode.UNAUTHORIZED,
    ProblemCode.NOT_FOUND,
    ProblemCode.WEIGHTS_UNAVAILABLE,
    ProblemCode.BAD_PARAMETER,
    ProblemCode.INTERNAL_ERROR,
    ProblemCode.STARTING,
    ProblemCode.UNAVAILABLE,
)
_BINARY = {_MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}


class WeightFiles:
    """The files made last, the least recently used dropped first; one is made at a time."""

    def __init__(self) -> None:
        self._files: OrderedDict[tuple[str, Part], bytes] = OrderedDict()
        self._making = asyncio.Lock()

    async def get(self, registry: Registry, weights: WeightSet, name: str, part: Part) -> bytes:
        """Raises as `weights_file`."""
        key = name, part
        async with self._making:
            if key not in self._files:
                made = await to_thread.run_sync(weights_file, registry, weights, part)
                self._files[key] = made
                while len(self._files) > 1 and sum(map(len, self._files.values())) > _KEPT_BYTES:
                    self._files.popitem(last=False)
            self._files.move_to_end(key)
            return self._files[key]


@router.head("/models/{id}/weights", include_in_schema=False)
@router.get(
    "/models/{id}/weights",
    operation_id="getWeights",
    summary="A model's weights, for decoders elsewhere",
    dependencies=[Depends(known_parameters)],
    response_class=Response,
    responses={
        200: {
            "description": "A safetensors file",
            "content": _BINARY,
            "headers": header("ETag", "string", "Of this file, which never changes."),
        },
        206: {"description": "The bytes that `Range` asks for", "content": _BINARY},
        304: {"description": "The client has this file"},
        **problem_responses(*_PROBLEMS, ProblemCode.RANGE_NOT_SATISFIABLE),
    },
)
async def get_weights(
    request: Request,
    id: Annotated[
        str,
        Path(max_length=100, description="As headers and `GET /models` (`weights.name`) say it."),
    ],
    part: Annotated[Part, Query(description="Which part of the model.")],
) -> Response:
    """Networks and codebooks are in float16, under the reference's names; the language model is in
    the integers of its exact form. Tensors stand in the order in which the engine takes them. An
    id always means the same weights, so a file can be kept without asking again."""
    models: ModelPool = request.app.state.models
    weights = await _find(models, id, part)
    etag = f'"{id}/{part}/{_FORMAT}"'
    access = "private" if len(request.app.state.keys) else "public"
    headers = {
        "ETag": etag,
        "Cache-Control": f"{access}, max-age=31536000, immutable",
    }
    if is_known(request, etag):
        return Response(status_code=304, headers=headers)
    files: WeightFiles = request.app.state.weight_files
    data = await files.get(models.require_ready(), weights, id, part)
    return whole_or_part(request, data, headers, _MEDIA_TYPE)


async def _find(models: ModelPool, id: str, part: Part) -> WeightSet:
    """The weights that headers call `id`, warm or not. Raises `Problem` 404 where they are not
    here, and 503 while models are loaded."""
    known = []
    registry = models.require_ready()
    for served in models.served():
        codec = served.codec
        if codec is None or codec.weights is None:
            continue
        known += [name for name in (codec.name, codec.lm_name) if name]
        if id == codec.lm_name or (id == codec.name and part is not Part.LM):
            return codec.weights
    try:
        found = await to_thread.run_sync(registry.find_exact, id)
    except (UnknownModelError, WeightsUnavailableError) as error:
        others = f"; there are {', '.join(known)}" if known else ""
        detail = f"there are no weights {id!r} here{others}"
        raise Problem(ProblemCode.NOT_FOUND, detail) from error
    if part is Part.LM and found.lm_header_name != id:
        raise Problem(ProblemCode.NOT_FOUND, f"{id!r} names no language model that is here")
    return found
