"""What effort gives: a row for each kind, bandwidth and effort, of real work."""

import json
from pathlib import Path

import pytest

from benchmarks import effort
from model_core.audio import pcm16, wav_header
from model_core.config import CONFIGS
from tests.peers import signal


@pytest.mark.parametrize("name", CONFIGS)
def test_more_effort_comes_nearer_to_the_latent(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = CONFIGS[name]
    samples = signal(config.channels, round(1.3 * config.sample_rate), config.sample_rate).numpy()
    (tmp_path / "music").mkdir()
    file = tmp_path / "music" / "a.wav"
    file.write_bytes(wav_header(config.sample_rate, *samples.shape) + pcm16(samples))
    arguments = ["--model", name, "--bandwidths", "3", "--runs", "1"]
    saved = tmp_path / "table.json"
    assert effort.main([str(tmp_path), *arguments, "--save", str(saved)]) == 0
    rows = json.loads(saved.read_text())
    assert [(row["kind"], row["effort"]) for row in rows] == [("music", n) for n in range(4)]
    latent = [row["latent_db"] for row in rows]
    assert latent == sorted(latent, reverse=True)
    assert latent[0] > latent[-1]
    assert rows[0]["times_as_long"] == 1
    assert len(capsys.readouterr().out.splitlines()) == 5
