"""Which input becomes which output, before anything is read."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import EncodecError
from .arguments import Arguments
from .suffixes import AUDIO, DECODED, ECDC, WAV

STDIO = "-"
STDOUT = (STDIO, "/dev/stdout")
"""Names of stdout, as an output."""


class UsageError(Exception):
    """The arguments make no sense together: exit code 2."""


class CommandError(EncodecError):
    """A file that is not there, or that must not be written: exit code 1."""


class OutputExistsError(CommandError):
    """An output is there already and -f is not given. A file of a folder is then skipped."""


@dataclass(frozen=True)
class Conversion:
    """One input. `target` None: the output is named after the input.

    `folder` is the input folder that it was found in, None for an input that was named itself.
    """

    source: str
    target: str | None = None
    folder: Path | None = None


def plan(arguments: Arguments) -> list[Conversion]:
    """A conversion for each input. Raises `UsageError`, and `CommandError` for an empty folder."""
    paths = arguments.paths
    folder = arguments.output_dir
    if folder is not None and folder.exists() and not folder.is_dir():
        raise UsageError(f"-o {folder} is not a folder")
    if folder is None and len(paths) == 2 and _second_is_output(*paths):
        return [Conversion(paths[0], paths[1])]
    if STDIO in paths and (len(paths) > 1 or folder is not None):
        raise UsageError("- (stdin) cannot be one of many inputs, nor be given with -o")
    return [conversion for path in paths for conversion in _inputs(path, folder)]


def compressed_inputs(paths: Iterable[str]) -> list[str]:
    """The files to look at; a folder stands for the `.ecdc` files in it and its subfolders.

    Raises `CommandError` for a folder without any.
    """
    sources: list[str] = []
    for path in paths:
        if not _is_dir(path):
            sources.append(path)
            continue
        files = _files_below(Path(path), None)
        found = [str(file) for file in files if file.suffix.lower() == ECDC]
        if not found:
            raise CommandError(f"folder {path} holds no {ECDC} files")
        sources += found
    return sources


def _second_is_output(first: str, second: str) -> bool:
    if _is_dir(first):
        return False
    if _is_dir(second):
        raise UsageError(f"{second} is a folder; to write into it, give it with -o")
    if first == STDIO or second in STDOUT:
        return True
    # No .ecdc is made of another. A name that exists and is no regular file (a device, a pipe)
    # is an output: to read it could block.
    outputs = DECODED if Path(first).suffix.lower() == ECDC else (WAV, ECDC)
    return Path(second).suffix.lower() in outputs or not Path(second).is_file()


def _is_dir(path: str) -> bool:
    return path != STDIO and Path(path).is_dir()


def _inputs(path: str, output_dir: Path | None) -> list[Conversion]:
    if not _is_dir(path):
        return [Conversion(path)]
    files = _files_below(Path(path), output_dir)
    audio = [file for file in files if file.suffix.lower() in AUDIO]
    chosen = audio or [file for file in files if file.suffix.lower() == ECDC]
    if not chosen:
        raise CommandError(f"folder {path} holds no audio and no {ECDC} files")
    return [Conversion(str(file), folder=Path(path)) for file in chosen]


def _files_below(folder: Path, output_dir: Path | None) -> list[Path]:
    """Files in a folder and its subfolders, sorted, less hidden ones and those of `output_dir`."""

    def refuse(error: OSError) -> None:
        raise error

    left_out = None if output_dir is None else output_dir.resolve()
    found: list[Path] = []
    for place, folders, names in os.walk(folder, onerror=refuse):
        shown = [name for name in folders if not name.startswith(".")]
        folders[:] = [name for name in shown if Path(place, name).resolve() != left_out]
        found += [Path(place, name) for name in names if not name.startswith(".")]
    return sorted(file for file in found if file.is_file())


class Targets:
    """Names the outputs, and refuses those that would destroy something.

    That is an existing file without -f, an input of this run, or an output of this run.
    """

    def __init__(self, arguments: Arguments, sources: Iterable[str]):
        self._arguments = arguments
        self._inputs = {_identity(source) for source in sources if source != STDIO}
        self._claimed: dict[Path, Conversion] = {}

    def of(self, conversion: Conversion, decompress: bool) -> Path | None:
        """The output, None for stdout. Raises `OutputExistsError` and `CommandError`."""
        source = conversion.source
        if conversion.target in STDOUT or (conversion.target is None and source == STDIO):
            return None
        target = self._named(conversion, decompress)
        allowed = tuple(DECODED) if decompress else (WAV, ECDC)
        if target.suffix.lower() not in allowed:
            *others, last = allowed
            raise CommandError(f"output {target} must end in {', '.join(others)} or {last}")
        if self._arguments.output_dir is None and not target.parent.is_dir():
            raise CommandError(f"output folder {target.parent} does not exist")
        other = self._claimed.setdefault(target.resolve(), conversion)
        if other is not conversion:
            raise CommandError(f"its output {target} is also that of {other.source}")
        own = _identity(str(target))
        if own is not None and own in self._inputs:
            raise CommandError(f"output {target} is also an input")
        if target.is_dir():
            raise CommandError(f"output {target} is a folder")
        if (own is not None or target.is_symlink()) and not self._arguments.force:
            named_two = not decompress and target.suffix.lower() == WAV and source != STDIO
            other_way = ", or -o DIR to compress both" if named_two else ""
            raise OutputExistsError(f"output {target} exists; use -f to overwrite it{other_way}")
        return target

    def failed(self, conversion: Conversion) -> None:
        """Its output, if it has one, can be that of another input."""
        for target, other in list(self._claimed.items()):
            if other is conversion:
                del self._claimed[target]

    def _named(self, conversion: Conversion, decompress: bool) -> Path:
        if conversion.target is not None:
            return Path(conversion.target)
        source = Path(conversion.source)
        suffix = self._arguments.decompress_suffix + WAV if decompress else ECDC
        target = source.with_name(source.stem + suffix)
        folder = self._arguments.output_dir
        if folder is None:
            return target
        below = target.name if conversion.folder is None else target.relative_to(conversion.folder)
        return folder / below


def _identity(path: str) -> tuple[int, int] | None:
    """What two names of one file have in common; None where there is no file."""
    try:
        stat = Path(path).stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino
