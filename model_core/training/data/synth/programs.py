"""Finds and runs the programs that make the sound."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ....errors import MissingProgramError, TrainingDataError

_SOUNDFONTS = (Path("/usr/share/sounds/sf2"), Path("/usr/share/soundfonts"))
_SECONDS = 300.0  # limit of one call


def find_program(name: str) -> str:
    """The path of a program. Raises `MissingProgramError`."""
    found = shutil.which(name)
    if found is None:
        raise MissingProgramError(f"{name} is not installed (Debian: apt install {name})")
    return found


def find_soundfont(given: Path | None = None) -> Path:
    """`given`, or an installed General MIDI soundfont. Raises `MissingProgramError`."""
    if given is not None:
        if not given.is_file():
            raise MissingProgramError(f"the soundfont {given} does not exist")
        return given
    found = sorted(path for folder in _SOUNDFONTS for path in folder.glob("*.sf[23]"))
    if not found:
        raise MissingProgramError(
            "no General MIDI soundfont is installed (Debian: apt install timgm6mb-soundfont, or "
            "fluid-soundfont-gm); or name a .sf2 file"
        )
    return found[0]


def run_program(command: Sequence[str], made: Path) -> None:
    """Run a program that writes `made`. Raises `TrainingDataError` if it fails."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TrainingDataError(f"{command[0]} failed: {error}") from error
    if done.returncode or not made.is_file() or not made.stat().st_size:
        said = done.stderr.decode(errors="replace").strip()
        raise TrainingDataError(f"{command[0]} ended with {done.returncode}: {said}")
