"""The reference of `encodec-serve`: its settings, from `service.settings`."""

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic.fields import FieldInfo

from service.settings import Settings, flag, variable

from .markdown import code, escaped

INTRODUCTION = """\
# `encodec-serve`

```text
encodec-serve [--SETTING VALUE ...]
```

Each setting is an environment variable and a flag; the flag is stronger. An empty variable counts
as not set. A wrong value ends the command with status 2 and says which setting it is.
`encodec-serve doctor` says what is wrong with a machine ([Operations](../operations.md#doctor)).
`--print-completion SHELL` prints the completion of the command, `--help` this list.
[Operations](../operations.md) says how the settings work together.
"""
_BOUNDS = {Ge: ("ge", "at least"), Gt: ("gt", "above"), Le: ("le", "at most"), Lt: ("lt", "below")}


def page() -> str:
    """The page of all settings."""
    lines = [INTRODUCTION.strip(), "", "## Settings", ""]
    for name, field in Settings.model_fields.items():
        lines += _setting(name, field)
    return "\n".join(lines)


def _setting(name: str, field: FieldInfo) -> Iterator[str]:
    yield f"### {code(variable(name))} {{#{name.replace('_', '-')}}}"
    yield ""
    facts = [f"Flag {code(flag(name))}", _default(field.default), *_values(field)]
    yield f"{'; '.join(fact for fact in facts if fact)}."
    yield ""
    yield escaped(" ".join((field.description or "").split()))
    yield ""


def _default(value: Any) -> str:
    if value in (None, ()):
        return "not set by default"
    text = ",".join(value) if isinstance(value, tuple) else str(value).lower()
    if hasattr(value, "human_readable") and value:
        text = value.human_readable(separator="")
    return f"default {code(text)}"


def _values(field: FieldInfo) -> Iterator[str]:
    """Which values it may have, as far as its type says so."""
    if get_origin(field.annotation) is Literal:
        yield "one of " + ", ".join(code(str(value)) for value in get_args(field.annotation))
    if field.annotation is bool:
        yield "`true` or `false`"
    for bound in field.metadata:
        if type(bound) in _BOUNDS:
            attribute, words = _BOUNDS[type(bound)]
            yield f"{words} {getattr(bound, attribute):g}"
        elif isinstance(bound, MinLen):
            yield "not empty"
