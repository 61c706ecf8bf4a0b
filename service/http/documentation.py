"""The OpenAPI document: what the framework leaves out of it is added here."""

from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute
from pydantic.json_schema import models_json_schema
from starlette.routing import Route

from ..timings import SERVER_TIMING
from .conditional import conditional
from .problems import PROBLEM_JSON, ProblemCode, ProblemDocument
from .request_stats import REQUEST_ID

TAGS = [
    {"name": "codec", "description": "Audio to `.ecdc` and back"},
    {"name": "jobs", "description": "Long work, answered later"},
    {"name": "models", "description": "What the service can do"},
    {"name": "health", "description": "Whether it can do it now"},
    {"name": "metrics", "description": "How much it does"},
]
_RETRY_AFTER = ("Retry-After", "integer", "Seconds to wait before the next attempt.")
_HEADERS = {
    401: ("WWW-Authenticate", "string", "`Bearer`."),
    429: _RETRY_AFTER,
    503: _RETRY_AFTER,
    507: _RETRY_AFTER,
}
"""Of the problems of a status."""
_LIMITED = ("200", "429")
"""Statuses of answers that are said to tell a key's limits; the others do too."""


def problem_responses(*codes: ProblemCode) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a route that answers with these problems, by status."""
    responses: dict[int | str, dict[str, Any]] = {}
    for code in ProblemCode:
        if code not in codes:
            continue
        text = f"{code.summary} (`{code}`)"
        if code.status in responses:
            responses[code.status]["description"] += f"; {text}"
            continue
        schema = {"$ref": "#/components/schemas/ProblemDocument"}
        response = {"description": text, "content": {PROBLEM_JSON: {"schema": schema}}}
        if code.status in _HEADERS:
            response["headers"] = header(*_HEADERS[code.status])
        responses[code.status] = response
    return responses


def header(name: str, kind: str, text: str) -> dict[str, Any]:
    """A header of a response, `kind` its type."""
    return {name: {"description": text, "schema": {"type": kind}}}


def install(app: FastAPI) -> None:
    """Have the app serve the completed document, and its documentation pages on HEAD too."""
    for page in app.routes:  # so far those of the documentation alone
        if isinstance(page, APIRoute) and page.methods == {"GET"}:
            page.methods = {"GET", "HEAD"}
    for number, route in enumerate(app.routes):
        if isinstance(route, Route) and route.path == app.openapi_url:
            app.routes[number] = _conditional(route)
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(generate())
        return generate()

    app.openapi = openapi  # type: ignore[method-assign]


def _conditional(route: Route) -> Route:
    """The same, for clients that keep the document."""

    async def answer(request: Request) -> Response:
        return conditional(request, await route.endpoint(request))

    return Route(route.path, answer, include_in_schema=False)


def _complete(document: dict[str, Any]) -> None:
    """Add what the framework does not know of: problem documents, request ids, optional keys."""
    schemas = document["components"]["schemas"]
    _, problem = models_json_schema(
        [(ProblemDocument, "serialization")], ref_template="#/components/schemas/{model}"
    )
    schemas.update(problem["$defs"])
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    for operation in (found for path in document["paths"].values() for found in path.values()):
        if "security" in operation:
            operation["security"].insert(0, {})  # no key is needed where none is set
        for status, response in operation["responses"].items():
            if "security" in operation and status in _LIMITED:
                response.setdefault("headers", {}).update(_limits())
            response.setdefault("headers", {}).update(
                header(REQUEST_ID, "string", "The request's id, as in the service's log")
                | header(SERVER_TIMING, "string", "How long its phases took, ms")
            )


def _limits() -> dict[str, Any]:
    draft = "(draft-ietf-httpapi-ratelimit-headers), of a key that has limits."
    policy = header("RateLimit-Policy", "string", f"The limits of the API key {draft}")
    return policy | header("RateLimit", "string", f"What is left of them {draft}")
