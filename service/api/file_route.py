"""Calls that take a file: one handler, two documented bodies."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Depends, Response

from ..problems import problem_responses
from ..upload import require_multipart
from .bodies import PROBLEMS, raw_body, upload_body

Handler = Callable[..., Any]


def file_route(
    router: APIRouter, path: str, *, name: str, summary: str, body: str, answer: dict[str, Any]
) -> Callable[[Handler], Handler]:
    """Have `path` answered by the function below it, and `path`/upload too.

    `path` takes the bare bytes as well as multipart/form-data. `path`/upload takes only the
    latter, so that a generated client has one operation (`name`, `name`Upload) for each body.
    `body` describes the file, `answer` the response.
    """
    responses: dict[int | str, dict[str, Any]] = {200: answer, **problem_responses(*PROBLEMS)}

    def add(handler: Handler) -> Handler:
        router.post(
            path,
            operation_id=name,
            summary=summary,
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
            dependencies=[Depends(require_multipart)],
            response_class=Response,
            responses=responses,
            openapi_extra=upload_body(body),
        )(handler)
        return handler

    return add
