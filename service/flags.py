"""The flags of `encodec-serve`, made from the settings' fields.

pydantic-settings has a command line too, but its help cannot name the environment variables, and
its errors do not say whether a flag or a variable is wrong.
"""

import argparse
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from .settings import ENV_PREFIX, Settings


def parser() -> argparse.ArgumentParser:
    """A flag for every field; its help says the default and the environment variable."""
    made = argparse.ArgumentParser(
        prog="encodec-serve",
        description="Serve EnCodec over HTTP.",
        epilog="A flag is stronger than its environment variable.",
    )
    for name, field in Settings.model_fields.items():
        made.add_argument(
            flag(name),
            dest=name,
            default=argparse.SUPPRESS,
            metavar=name.rpartition("_")[2].upper(),
            help=_help(name, field).replace("%", "%%"),
        )
    return made


def parse(arguments: list[str] | None = None) -> Settings:
    """The settings of the environment and the flags; exits with 2 where they are wrong."""
    flags = parser()
    given = vars(flags.parse_args(arguments))
    try:
        return Settings(**given)
    except ValidationError as error:
        lines = []
        for item in error.errors(include_input=False, include_url=False):
            name = str(item["loc"][0]) if item["loc"] else "settings"
            said = flag(name) if name in given else ENV_PREFIX + name.upper()
            lines.append(f"{said}: {item['msg']}")
        flags.error("; ".join(lines))


def flag(name: str) -> str:
    """`max_batch` -> `--max-batch`."""
    return "--" + name.replace("_", "-")


def _help(name: str, field: FieldInfo) -> str:
    text = " ".join((field.description or "").split())
    return f"{text} [{ENV_PREFIX}{name.upper()}, default: {_shown(field)}]"


def _shown(field: FieldInfo) -> str:
    value: Any = field.get_default()
    if value is PydanticUndefined or value is None or value == ():
        return "none"
    return ",".join(value) if isinstance(value, tuple) else str(value)
