"""The service's own description, and the command that writes or checks it.

python -m service.openapi --write openapi.json
python -m service.openapi --check openapi.json
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from pydantic.json_schema import models_json_schema

from .middleware.request_id import HEADER
from .problems import ProblemDocument

TAGS = [
    {"name": "codec", "description": "Audio to `.ecdc` and back"},
    {"name": "models", "description": "What the service can do"},
    {"name": "health", "description": "Whether it can do it now"},
    {"name": "metrics", "description": "How much it does"},
]

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


def complete(document: dict[str, Any]) -> None:
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
        response.setdefault("headers", {})[HEADER] = {
            "description": "The request's id, as in the service's log",
            "schema": {"type": "string"},
        }


def render() -> str:
    """The document as it is committed: that of the default settings."""
    from .app import create_app
    from .settings import Settings

    app = create_app(Settings.defaults().model_copy(update={"device": "cpu"}))
    return json.dumps(app.openapi(), indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """0 written or equal, 1 different."""
    parser = argparse.ArgumentParser(prog="python -m service.openapi", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--write", type=Path, metavar="FILE", help="write the document")
    what.add_argument("--check", type=Path, metavar="FILE", help="compare it with the file")
    options = parser.parse_args(arguments)
    text = render()
    if options.write is not None:
        options.write.write_text(text, encoding="utf-8")
        return 0
    if options.check.is_file() and options.check.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write(f"{options.check} is out of date: run make openapi\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
