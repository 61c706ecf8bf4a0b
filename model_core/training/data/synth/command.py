"""`encodec-train synth FOLDER`: a folder of synthetic speech and music, with its manifest."""

import argparse
import csv
import random
import sys
import wave
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ....errors import SettingsError, TrainingDataError
from ....flags import Range, number_in, positive
from ...settings import SHARE
from ..listing import MANIFEST
from .music import play
from .programs import find_program, find_soundfont
from .speech import speak, voices

_PIECE = (15.0, 45.0)  # s


def synthesise(
    folder: Path,
    minutes: float,
    speech_share: float = 0.6,
    seed: int = 1,
    soundfont: Path | None = None,
    voice_count: int = 60,
) -> int:
    """Fill `folder` with `minutes` of sound and return the number of files.

    `speech/` has sentences of `voice_count` voices, `music/` pieces for a few instruments;
    `manifest.csv` gives their category and their group (the voice, or the piece). The same seed
    and programs give the same files. Raises `MissingProgramError`, `SettingsError`, or
    `TrainingDataError` if the folder is not empty or a program fails.
    """
    if not (minutes > 0 and 0 <= speech_share <= 1 and voice_count > 0):
        raise SettingsError(
            f"cannot make {minutes:g} minutes, {speech_share:g} of it speech, "
            f"by {voice_count} voices"
        )
    if folder.exists() and any(folder.iterdir()):
        raise TrainingDataError(f"{folder} already exists and is not empty")
    speech, music = 60 * minutes * speech_share, 60 * minutes * (1 - speech_share)
    if speech:
        find_program("espeak-ng")
    if music:
        find_program("fluidsynth")
        soundfont = find_soundfont(soundfont)
    rows: list[tuple[str, str, str]] = []
    with tqdm(total=round(speech + music), unit="s", desc="making sound") as bar:
        if speech:
            rows += _speeches(folder, speech, voice_count, seed, bar)
        if music and soundfont is not None:
            rows += _pieces(folder, music, soundfont, seed, bar)
    with (folder / MANIFEST).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("file", "category", "group"), *rows])
    return len(rows)


def _speeches(
    folder: Path, seconds: float, voice_count: int, seed: int, bar: "tqdm[Any]"
) -> list[tuple[str, str, str]]:
    (folder / "speech").mkdir(parents=True)
    source = random.Random(f"speech {seed}")
    readers = voices(voice_count, source)
    rows: list[tuple[str, str, str]] = []
    made = 0.0
    while made < seconds:
        voice = readers[len(rows) % len(readers)]
        name = f"speech/{voice.name}_{len(rows) // len(readers):04}.wav"
        speak(voice, folder / name, source)
        made += _count(folder / name, bar)
        rows.append((name, "speech", voice.name))
    return rows


def _pieces(
    folder: Path, seconds: float, soundfont: Path, seed: int, bar: "tqdm[Any]"
) -> list[tuple[str, str, str]]:
    (folder / "music").mkdir(parents=True)
    source = random.Random(f"music {seed}")
    rows: list[tuple[str, str, str]] = []
    made = 0.0
    while made < seconds:
        name = f"music/piece_{len(rows):04}.wav"
        length = min(source.uniform(*_PIECE), max(2.0, seconds - made))
        play(soundfont, length, folder / name, source)
        made += _count(folder / name, bar)
        rows.append((name, "music", f"piece {len(rows)}"))
    return rows


def _count(path: Path, bar: "tqdm[Any]") -> float:
    """Length of a WAV in seconds, also shown on the bar. Raises `TrainingDataError`."""
    try:
        with wave.open(str(path)) as file:
            seconds = file.getnframes() / file.getframerate()
    except (OSError, EOFError, wave.Error) as error:
        raise TrainingDataError(f"{path} is not audio: {error}") from error
    if seconds <= 0:
        raise TrainingDataError(f"{path} has no sound")
    bar.update(round(seconds))
    return seconds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `encodec-train synth`."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder to make")
    parser.add_argument(
        "--minutes", type=number_in(Range(0.01)), default=10.0, help="length of the audio"
    )
    parser.add_argument(
        "--speech-share",
        type=number_in(SHARE),
        default=0.6,
        metavar="SHARE",
        help="share of it that is speech (default %(default)s); the rest is music",
    )
    parser.add_argument("--voices", type=positive, default=60, help="readers (default %(default)s)")
    parser.add_argument("--soundfont", type=Path, help=".sf2 file (default: an installed one)")
    parser.add_argument("--seed", type=int, default=1, help="seed of all random draws")


def run(arguments: argparse.Namespace) -> None:
    """Make the folder. Raises `EncodecError`."""
    count = synthesise(
        arguments.folder,
        arguments.minutes,
        arguments.speech_share,
        arguments.seed,
        arguments.soundfont,
        arguments.voices,
    )
    sys.stdout.write(f"{count} files in {arguments.folder}\n")
