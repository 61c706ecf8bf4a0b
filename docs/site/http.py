"""The reference of the HTTP calls, from the OpenAPI document."""

import json
from collections.abc import Iterator
from typing import Any

from .markdown import anchor, code, escaped, table
from .tree import ROOT

Json = dict[str, Any]

INTRODUCTION = """
# HTTP

This page is made from the [OpenAPI document](../files/openapi.json), which every service has at
`/openapi.json`, and as a page to try calls on at `/docs`. [With curl](../start/http.md) shows how
calls are used, [Operations](../operations.md) how they work together. The streams over WebSocket,
`/live/…`, are described in [Live audio](../live.md).

Errors are problem documents; [their codes](../operations.md#problems) are in a table.
A service with API keys wants one of them in every call but health, metrics and documentation:
`Authorization: Bearer KEY` or `X-API-Key: KEY`. A `POST` with an unknown or a repeated parameter
gets 422.
"""
_UPLOAD = "/upload"


def page() -> str:
    """The page of all calls and their types."""
    document = json.loads((ROOT / "openapi.json").read_text())
    calls = document["paths"]
    lines = [INTRODUCTION.strip(), ""]
    for tag in document["tags"]:
        lines += [f"## {tag['description']} {{#{tag['name']}}}", ""]
        for path, methods in calls.items():
            for method, call in methods.items():
                if tag["name"] in call["tags"] and not path.endswith(_UPLOAD):
                    lines += _call(method.upper(), path, call, path + _UPLOAD in calls)
    lines += ["## Types", ""]
    for name, schema in document["components"]["schemas"].items():
        lines += _type(name, schema)
    return "\n".join(lines)


def _call(method: str, path: str, call: Json, has_form: bool) -> Iterator[str]:
    name = f"{method} {path}"
    yield from (f"### {code(name)} {{#{anchor(name)}}}", "")
    yield from (f"**{call['summary']}.** {escaped(call.get('description', ''))}", "")
    if has_form:
        yield f"{code(path + _UPLOAD)} takes the file as the part `file` of multipart/form-data."
        yield ""
    if parameters := call.get("parameters"):
        rows = (
            (_place(part), _kind(part["schema"]), escaped(part["description"]))
            for part in parameters
        )
        yield from table(("parameter", "value", ""), rows)
    answers = call["responses"].items()
    for status, answer in answers:
        if status >= "400":
            continue
        kinds = ", ".join(code(kind) for kind in answer.get("content", {}))
        yield f"**{status}**: {escaped(answer['description'])} {kinds and f'({kinds})'}".rstrip()
        yield ""
        for content in answer.get("content", {}).values():
            if link := _reference(content.get("schema", {})):
                yield from (f"The document is {link}.", "")
        if headers := answer.get("headers"):
            said = ((code(name), escaped(head["description"])) for name, head in headers.items())
            yield from table(("header", ""), said)
    errors = [
        (status, escaped(error["description"])) for status, error in answers if status >= "400"
    ]
    if errors:
        yield from table(("error", ""), errors)


def _place(parameter: Json) -> str:
    """Its name and, unless it is in the query, where it is."""
    where = "" if parameter["in"] == "query" else f" ({parameter['in']})"
    return code(parameter["name"]) + where


def _type(name: str, schema: Json) -> Iterator[str]:
    yield from (f"### {code(name)} {{#{anchor('type ' + name)}}}", "")
    if text := schema.get("description"):
        yield from (escaped(text), "")
    if values := schema.get("enum"):
        yield from (", ".join(code(str(value)) for value in values), "")
    needed = schema.get("required", ())
    if properties := schema.get("properties"):
        rows = (
            (
                code(part) + ("" if part in needed else " (optional)"),
                _kind(value),
                escaped(value.get("description", "")),
            )
            for part, value in properties.items()
        )
        yield from table(("field", "value", ""), rows)


def _kind(schema: Json) -> str:
    """What a value may be, and what it is where it is not given."""
    if link := _reference(schema):
        return link
    if alternatives := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(_kind(each) for each in alternatives)
    kind = str(schema.get("type", "any"))
    if kind == "array":
        kind = f"array of {_kind(schema.get('items', {}))}"
    if values := schema.get("enum"):
        kind = ", ".join(code(str(value)) for value in values)
    if schema.get("format") == "binary":
        kind = "bytes"
    bounds = [
        f"{words} {schema[key]:g}"
        for key, words in (
            ("minimum", "at least"),
            ("exclusiveMinimum", "above"),
            ("maximum", "at most"),
        )
        if key in schema
    ]
    kind = ", ".join([kind, *bounds])
    default = schema.get("default")
    return (
        kind if default is None else f"{kind}; default {code(json.dumps(default).strip(chr(34)))}"
    )


def _reference(schema: Json) -> str:
    """A link to a named type."""
    if "$ref" not in schema:
        return ""
    name = schema["$ref"].rpartition("/")[2]
    return f"[{code(name)}](#{anchor('type ' + name)})"
