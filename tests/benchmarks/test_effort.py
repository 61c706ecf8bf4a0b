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
    arguments = ["--model", name, "--bandwidths", "3", "--runs", "1", "--rates", "0", "0.3"]
    saved = tmp_path / "table.json"
    assert effort.main([str(tmp_path), *arguments, "--save", str(saved)]) == 0
    rows = json.loads(saved.read_text())
    assert {row["kind"] for row in rows} == {"music"}
    by_effort = {row["effort"]: row for row in rows}
    assert list(by_effort) == ["0", "1", "2", "2 lm", "2 r=0", "2 r=0.3", "3", "3 lm"]
    latent = [by_effort[str(n)]["latent_db"] for n in range(4)]
    assert latent == sorted(latent, reverse=True)
    assert latent[0] > latent[-1]
    for number in ("2", "3"):
        plain, chosen = by_effort[number], by_effort[f"{number} lm"]
        assert chosen["coded_kbps"] < plain["coded_kbps"]
        assert chosen["latent_db"] > plain["latent_db"]
    assert by_effort["2 r=0"]["coded_kbps"] == by_effort["2"]["coded_kbps"]
    assert by_effort["2 r=0.3"]["coded_kbps"] < by_effort["2 lm"]["coded_kbps"]
    assert rows[0]["times_as_long"] == 1
    assert len(capsys.readouterr().out.splitlines()) == 9
