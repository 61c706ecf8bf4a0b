"""`python -m benchmarks.lm_threads`."""

import pytest

from benchmarks.lm_threads import main


def test_it_measures_the_command_and_the_service(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--model", "encodec_24khz", "--seconds", "0.2", "--threads", "1", "--runs", "1"]
    assert main(given) == 0
    lines = capsys.readouterr().out.splitlines()
    for what in ("command, compress", "command, decompress", "service, decompress"):
        assert any(what in line and line.endswith("1.00") for line in lines)
