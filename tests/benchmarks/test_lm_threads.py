"""`python -m benchmarks.lm_threads`."""

import pytest

from benchmarks import lm_threads
from benchmarks.models import seeded_model
from model_core.config import CONFIGS
from model_core.model import EncodecModel


def _narrow(name: str) -> EncodecModel:
    return seeded_model(name, CONFIGS[name].with_filters(4))


def test_it_measures_the_command_and_the_service(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a narrow codec: the language models are what is measured."""
    monkeypatch.setattr(lm_threads, "seeded_model", _narrow)
    given = ["--model", "encodec_24khz", "--seconds", "0.2", "--threads", "1", "--runs", "1"]
    assert lm_threads.main(given) == 0
    lines = capsys.readouterr().out.splitlines()
    for what in ("command, compress", "command, decompress", "service, decompress"):
        assert any(what in line and line.endswith("1.00") for line in lines)
