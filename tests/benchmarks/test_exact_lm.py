"""`python -m benchmarks.exact_lm`."""

import pytest

from benchmarks.exact_lm import main


def test_it_compares_files_of_both_versions(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--model", "encodec_24khz", "--seconds", "0.2", "--runs", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for what in ("compress", "decompress", "codes to bytes", "bytes to codes"):
        assert any(what in line and "ours, version 1" in line for line in lines)
    assert any("reference" in line and line.endswith("x") for line in lines)
