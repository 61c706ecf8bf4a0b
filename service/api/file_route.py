"""Calls that take a file: one handler, two documented bodies."""

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import APIRouter, Depends, Response

from ..problems import ProblemCode, problem_responses
from ..upload import require_multipart
from .bodies import raw_body, upload_body
from .parameters import known_parameters

Handler = Callable[..., Any]


def file_route(
    router: APIRouter,
    path: str,
    *,
    name: str,
    summary: str,
    body: str,
    answer: dict[str, Any],
    problems: Sequence[ProblemCode],
) -> Callable[[Handler], Handler]:
    """Have `path` answered by the function below it, and `path`/upload too.

    `path` takes the bare bytes as well as multipart/form-data. `path`/upload takes only the
    latter, so that a generated client has one operation (`name`, `name`Upload) for each body.
    `body` describes the file, `answer` the response, `problems` what there may be instead.
    """
    responses: dict[int | str, dict[str, Any]] = {200: answer, **problem_responses(*problems)}

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
