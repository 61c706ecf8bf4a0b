"""Speech read by espeak-ng in many voices."""

import random
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from .programs import find_program, run_program
from .sentences import sentences

_LANGUAGES = (
    "en-us", "en-gb", "de", "fr-fr", "es", "it", "en-gb-scotland", "en-029",
    "cs", "fi", "hu", "id", "nl", "pl", "pt", "ro", "sk", "sv", "sw", "tr",
)  # fmt: skip
_VARIANTS = (
    "f1", "f2", "f3", "f4", "f5", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8",
    "croak", "whisper",
)  # fmt: skip


@dataclass(frozen=True)
class Voice:
    """A reader: an espeak-ng language and voice variant, the mean pitch and speed."""

    language: str
    variant: str
    pitch: int  # 0 to 99
    speed: int  # words per minute

    @property
    def name(self) -> str:
        return f"{self.language}+{self.variant}"


def voices(count: int, source: random.Random) -> list[Voice]:
    """`count` different voices (300 at most)."""
    pairs = list(product(_LANGUAGES, _VARIANTS))
    source.shuffle(pairs)
    return [
        Voice(language, variant, source.randint(15, 80), source.randint(115, 210))
        for language, variant in pairs[:count]
    ]


def speak(voice: Voice, out: Path, source: random.Random) -> None:
    """Write one to three sentences to `out`, a WAV of 22 050 Hz.

    Raises `MissingProgramError` without espeak-ng, `TrainingDataError` when it fails.
    """
    text = sentences(voice.language, source.randint(1, 3), source)
    pitch = min(99, max(0, voice.pitch + source.randint(-8, 8)))
    speed = round(voice.speed * source.uniform(0.9, 1.1))
    command = [find_program("espeak-ng"), "-v", voice.name, "-p", str(pitch), "-s", str(speed)]
    run_program([*command, "-w", str(out), text], out)
