"""Typed settings of a run: a frozen dataclass, filled from a TOML file and from flags.

A field's help text is its metadata `help`. Flags override the file, the file overrides the settings
that the run started with, and those override the defaults.
"""

import argparse
import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, field, fields
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from ..checkpoints.files import replace_with
from ..checkpoints.registry import WORDS
from ..errors import SettingsError
from ..flags import Range, number, whole

T = TypeVar("T")
SETTINGS = "settings.json"
_WORDS = (*WORDS, "transform")
"""Values of a path setting that are words, even where a file has that name."""


SHARE = Range(0, 1)


def setting(default: Any, help: str, range: Range | None = None, **metadata: Any) -> Any:
    """A field of a settings dataclass."""
    metadata |= {"help": help, "range": range}
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def check(settings: Any) -> None:
    """Check each field's type, range and choices; for `__post_init__`. Raises `SettingsError`."""
    hints = get_type_hints(type(settings))
    for f in fields(settings):
        value = getattr(settings, f.name)
        if not _fits(value, hints[f.name]):
            raise SettingsError(f"{f.name} is {value!r}, which is of the wrong type")
        allowed = f.metadata.get("range")
        if allowed is not None and value is not None:
            allowed.check(f.name, value)
        choices = f.metadata.get("choices")
        if choices is not None and value not in choices:
            raise SettingsError(f"{f.name} is {value!r}, not one of {', '.join(choices)}")


def _fits(value: object, hint: Any) -> bool:
    """Whether `value`, from TOML or JSON, has a field's type; 1 is accepted as a float."""
    if isinstance(hint, UnionType):
        return any(_fits(value, part) for part in get_args(hint))
    if get_origin(hint) is dict:
        of_key, of_value = get_args(hint)
        return isinstance(value, dict) and all(
            _fits(k, of_key) and _fits(v, of_value) for k, v in value.items()
        )
    if isinstance(value, bool):
        return hint is bool
    return isinstance(value, int | float if hint is float else hint)


def add_flags(parser: argparse.ArgumentParser, settings: type[Any]) -> None:
    """A flag for each field, and `--config FILE.toml`; the result has only the given flags."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings as a TOML file")
    hints = get_type_hints(settings)
    for f in fields(settings):
        default = _shown(f.default)
        metavar = "yes|no" if hints[f.name] is bool else f.name.upper().rsplit("_", 1)[-1]
        parser.add_argument(
            "--" + f.name.replace("_", "-"),
            type=_reader(hints[f.name]),
            default=argparse.SUPPRESS,
            choices=f.metadata.get("choices"),
            metavar=None if "choices" in f.metadata else metavar,
            help=f"{f.metadata['help']} (default: {default})".replace("%", "%%"),
        )


def _shown(default: Any) -> str:
    if isinstance(default, bool):
        return "yes" if default else "no"
    return "none" if default in (None, MISSING) else str(default)


def from_flags(
    settings: type[T],
    arguments: argparse.Namespace,
    run: Path,
    preset: Mapping[str, Any] | None = None,
) -> T:
    """The settings of the run in folder `run`: a new one (from `preset`) or a continued one.

    Raises `SettingsError` for an unknown setting or a wrong value.
    """
    names = {f.name for f in fields(settings)}  # type: ignore[arg-type]
    values: dict[str, Any] = dict(preset or {})
    saved = run / SETTINGS
    if saved.exists():
        values |= _checked(_json(saved), names, saved)
    if arguments.config is not None:
        values |= _checked(_toml(arguments.config), names, arguments.config)
    values |= {k: v for k, v in vars(arguments).items() if k in names}
    for f in fields(settings):  # type: ignore[arg-type]
        given = values.get(f.name)
        if not f.metadata.get("path") or not isinstance(given, str) or given in _WORDS:
            continue
        if Path(given).exists():
            values[f.name] = str(Path(given).absolute())  # valid from any working directory
    try:
        return settings(**values)
    except TypeError as error:
        raise SettingsError(str(error)) from error


def save_settings(settings: Any, run: Path) -> None:
    """Save the settings in the run's folder, for `from_flags` of the next start."""
    run.mkdir(parents=True, exist_ok=True)
    with replace_with(run / SETTINGS) as file:
        file.write((json.dumps(asdict(settings), indent=2) + "\n").encode())


def require_same(run: Path, names: Iterable[str], before: Mapping[str, Any], now: Any) -> None:
    """Raises `SettingsError` if one of the settings `names` has changed since the run's start."""
    for name in names:
        if before[name] != getattr(now, name):
            raise SettingsError(
                f"{run} holds a run with {name} {before[name]!r}, not {getattr(now, name)!r}"
            )


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path}: {error}") from error


def _json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path}: {error}") from error
    if not isinstance(values, dict):
        raise SettingsError(f"{path}: not the settings of a run")
    return values


def _checked(values: Mapping[str, Any], names: set[str], path: Path) -> dict[str, Any]:
    unknown = sorted(set(values) - names)
    if unknown:
        raise SettingsError(f"{path}: there is no setting {', '.join(unknown)}")
    return dict(values)


def _reader(hint: Any) -> Any:
    """The function from a flag's text to a value of the field's type; `none` is None where the
    field may be that, and no shares."""
    if isinstance(hint, UnionType):
        read = _reader(next(a for a in get_args(hint) if a is not type(None)))
        return lambda text: None if text == "none" else read(text)
    if get_origin(hint) is dict:
        return lambda text: {} if text == "none" else _shares(text)
    return {bool: _boolean, int: whole, float: number}.get(hint, hint)


def _boolean(text: str) -> bool:
    if text.lower() not in ("yes", "no", "true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither yes nor no")
    return text.lower() in ("yes", "true")


def _shares(text: str) -> dict[str, float]:
    """`speech=0.6,music=0.4` as a mapping."""
    try:
        pairs = [part.split("=") for part in text.split(",") if part]
        return {name.strip(): float(value) for name, value in pairs}
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=SHARE,…") from error
