"""The OpenAPI document: what the framework leaves out of it is added here."""

from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic.json_schema import models_json_schema

from .middleware import REQUEST_ID
from .problems import ProblemDocument

TAGS = [
    {"name": "codec", "description": "Audio to `.ecdc` and back"},
    {"name": "models", "description": "What the service can do"},
    {"name": "health", "description": "Whether it can do it now"},
    {"name": "metrics", "description": "How much it does"},
]

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


def install(app: FastAPI) -> None:
    """Have the app serve the completed document, and its documentation pages on HEAD too."""
    for page in app.routes:  # so far those of the documentation alone
        if isinstance(page, APIRoute) and page.methods == {"GET"}:
            page.methods = {"GET", "HEAD"}
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(generate())
        return generate()

    app.openapi = openapi  # type: ignore[method-assign]


def _complete(document: dict[str, Any]) -> None:
    """Add what the framework does not know of: problem documents, request ids, optional keys."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    _, problem = models_json_schema(
        [(ProblemDocument, "serialization")], ref_template="#/components/schemas/{model}"
    )
    schemas.update(problem["$defs"])
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    for path in document["paths"].values():
        for method in _METHODS:
            if method in path:
                _complete_operation(path[method])


def _complete_operation(operation: dict[str, Any]) -> None:
    if "security" in operation:
        operation["security"].insert(0, {})  # no key is needed where none is set
    for response in operation["responses"].values():
        response.setdefault("headers", {})[REQUEST_ID] = {
            "description": "The request's id, as in the service's log",
            "schema": {"type": "string"},
        }
