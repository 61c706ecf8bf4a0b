"""Music played by fluidsynth from a General MIDI soundfont."""

import random
import tempfile
from pathlib import Path

from .composition import compose
from .midi import midi_file
from .programs import find_program, run_program

RATE = 48_000  # Hz, stereo
_GAIN = 0.7  # of fluidsynth: full pieces stay below clipping


def play(soundfont: Path, seconds: float, out: Path, source: random.Random) -> None:
    """Write a piece of about `seconds` (and the sound's end) to `out`, a stereo WAV of 48 kHz.

    Raises `MissingProgramError` without fluidsynth, `TrainingDataError` when it fails.
    """
    piece = compose(seconds, source)
    program = find_program("fluidsynth")
    with tempfile.TemporaryDirectory() as folder:
        score = Path(folder) / "piece.mid"
        score.write_bytes(midi_file(piece.players, piece.notes, piece.tempo))
        options = ["-n", "-i", "-q", "-g", str(_GAIN), "-r", str(RATE), "-O", "s16", "-T", "wav"]
        run_program([program, *options, "-F", str(out), str(soundfont), str(score)], out)
