"""What is missing or fails is said."""

import sys
from pathlib import Path

import pytest

from model_core.errors import MissingProgramError, TrainingDataError
from model_core.training.data.synth import programs
from model_core.training.data.synth.programs import find_program, find_soundfont, run_program


def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingProgramError, match="apt install espeak-ng"):
        find_program("espeak-ng")


def test_a_missing_soundfont_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(MissingProgramError, match="nothing here"):
        find_soundfont(tmp_path / "nothing here")
    monkeypatch.setattr(programs, "_SOUNDFONTS", (tmp_path,))
    with pytest.raises(MissingProgramError, match="timgm6mb"):
        find_soundfont()
    (tmp_path / "some.sf2").touch()
    assert find_soundfont() == tmp_path / "some.sf2"


def test_what_a_failing_program_says_is_told(tmp_path: Path) -> None:
    made = tmp_path / "made"
    with pytest.raises(TrainingDataError, match="ended with 3: no voice"):
        run_program(
            [sys.executable, "-c", "import sys; sys.stderr.write('no voice'); sys.exit(3)"], made
        )
    with pytest.raises(TrainingDataError, match="ended with 0"):
        run_program([sys.executable, "-c", ""], made)
    with pytest.raises(TrainingDataError, match="failed"):
        run_program([str(tmp_path)], made)
    run_program([sys.executable, "-c", f"open({str(made)!r}, 'w').write('x')"], made)
