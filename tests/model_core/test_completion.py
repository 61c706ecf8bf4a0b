"""`--print-completion` of the console scripts, and what bash completes by it."""

import shutil
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import pytest

from model_core.completion import SHELLS

MODULES = {
    "encodec": "model_core.cli",
    "encodec-batch": "service.batch.command",
    "encodec-eval": "model_core.evaluation.command",
    "encodec-serve": "service.__main__",
    "encodec-train": "model_core.training.cli",
}


@lru_cache
def script(command: str, shell: str) -> str:
    """What a command prints."""
    code = f"import sys; from {MODULES[command]} import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "--print-completion", shell],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("command", MODULES)
def test_every_console_script_has_completion(command: str) -> None:
    text = script(command, "bash")
    assert f"complete -o bashdefault -F _shtab_{command.replace('-', '_')} {command}" in text
    assert "SUPPRESS" not in text
    if bash := shutil.which("bash"):
        subprocess.run([bash, "--norc", "-n"], input=text, text=True, check=True)


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_has_the_options_and_the_names_of_files(shell: str) -> None:
    text = script("encodec", shell)
    assert "salvage" in text
    assert "*.ecdc" in text
    assert "*.wav" in text


def test_an_unknown_shell_is_wrong_usage() -> None:
    from model_core.cli import main

    with pytest.raises(SystemExit) as end:
        main(["--print-completion", "nonsense"])
    assert end.value.code == 2


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--sal"], {"--salvage"}),
        ([""], {"a.ecdc", "B.FLAC", "c.wav", "folder"}),
        (["a.ecdc", ""], {"a.ecdc", "B.FLAC", "c.wav", "folder"}),
        (["play", "a"], {"a.ecdc"}),
        (["-o", ""], {"folder"}),
        (["--bandwidth", "1"], {"1.5", "12.0"}),
    ],
)
def test_bash_completes_options_and_names(
    tmp_path: Path, words: list[str], wanted: set[str]
) -> None:
    for name in ("a.ecdc", "B.FLAC", "c.wav", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder").mkdir()
    line = f"COMP_WORDS=(encodec {' '.join(repr(word) for word in words)})\n"
    line += f"COMP_CWORD={len(words)}\n_shtab_encodec\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n"
    done = subprocess.run(
        ["bash", "--norc"],
        input=script("encodec", "bash") + line,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert set(done.stdout.split()) == wanted
