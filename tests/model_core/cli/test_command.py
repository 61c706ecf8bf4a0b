"""Exit codes, and one line on stderr for each failure."""

import subprocess
import sys
from pathlib import Path

import pytest

from model_core import __version__
from model_core.cli import main

from .conftest import (
    OTHERS,
    WAVS,
    Command,
    files_in,
)


def test_answers_without_the_networks() -> None:
    """`--help`, `--version` and wrong usage do not wait for torch."""
    script = (
        "import sys; from model_core.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "finally: assert 'torch' not in sys.modules"
    )
    for argv, code, text in (
        (["--version"], 0, __version__),
        (["--help"], 0, "--decompress_suffix"),
        (["--nonsense"], 2, "usage"),
        ([], 2, "usage"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", script, *argv], capture_output=True, text=True, check=False
        )
        assert done.returncode == code
        assert text in done.stdout + done.stderr
        assert "Traceback" not in done.stderr


def test_the_others_are_done_when_one_fails(encodec: Command, folder: Path) -> None:
    (folder / "b.WAV").write_text("not audio")
    (folder / "c.ecdc").write_bytes(b"precious")
    outcome = encodec(folder / "a.wav", folder / "b.WAV", folder / "c.wav", folder / "none.wav")
    assert outcome.code == 1
    assert [line.split(": ")[1] for line in outcome.lines] == [
        str(folder / name) for name in ("b.WAV", "c.wav", "none.wav")
    ]
    assert files_in(folder) == OTHERS | WAVS | {"a.ecdc", "c.ecdc"}
    assert (folder / "c.ecdc").read_bytes() == b"precious"


def test_interrupted(
    encodec: Command, wav: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the middle of decoding."""
    from model_core.engine import NativeEngine
    from model_core.engine.torch_engine import TorchEngine

    encodec(wav)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    for backend in (NativeEngine, TorchEngine):
        monkeypatch.setattr(backend, "decode", interrupt)
    outcome = encodec(tmp_path / "x.ecdc")
    assert outcome.code == 130
    assert len(outcome.lines) == 1
    assert files_in(tmp_path) == {"x.wav", "x.ecdc"}


def test_ctrl_c_while_the_command_is_imported_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted:
        @staticmethod
        def find_spec(name: str, *_: object) -> None:
            if name == "model_core.cli.command":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "model_core.cli.command", raising=False)
    monkeypatch.delattr("model_core.cli.command", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Interrupted, *sys.meta_path])
    assert main(["--help"]) == 130
