"""The package in Chromium, with weights from a running service, through worker and worklet.

Skipped without Node, Chromium, or `playwright-core` (`npm ci` in clients/web).
"""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from model_core.codec import Codec
from tests.clients.web.package_in_node import NODE, PACKAGE, ROOT
from tests.clients.web.rounded import decoded
from tests.clients.web.test_decoding import compressed
from tests.service.live import Live

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PLAYWRIGHT = ROOT / "clients/web/node_modules/playwright-core"

pytestmark = pytest.mark.skipif(
    NODE is None or CHROMIUM is None or not PLAYWRIGHT.exists(),
    reason="there is no Node, Chromium or playwright-core here",
)


@pytest.mark.parametrize("model", ["encodec_24khz", "encodec_48khz"])
def test_files_are_decoded_and_played(
    server: Live, mono: Codec, stereo: Codec, tmp_path: Path, model: str
) -> None:
    codec = mono if model == "encodec_24khz" else stereo
    data = compressed(server, model, 8, format=1)
    path = tmp_path / "recording.ecdc"
    path.write_bytes(data)
    assert NODE is not None
    assert CHROMIUM is not None
    script = str(Path(__file__).with_name("browser.mjs"))
    command = [NODE, script, CHROMIUM, str(PACKAGE), server.url, str(path)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    found = json.loads(ran.stdout)
    assert found["errors"] == []
    assert found["info"]["samples"] == 8 * codec.config.sample_rate

    # Decoded in the worker, then the output of the graph.
    expected = decoded(codec, data)
    np.testing.assert_allclose(found["decoded"], expected[0, :48_000], rtol=0, atol=1e-5)
    assert found["compared"] >= 1.5 * codec.config.sample_rate * codec.config.channels
    assert found["difference"] < 1e-3  # a quick start; no gap, no sample lost
    assert found["resampled"] == pytest.approx(1, abs=0.2)  # what is above the band goes

    # The player: seeks, goes on in time, ends.
    assert found["heard"] < 5000
    assert found["moved"] > 0.2
    assert found["ended"] == "ended"
    assert "playing" in found["states"]

    assert found["streamed"] == found["info"]["samples"]
    assert sorted(found["cancelled"]) == ["closed", "no file"]
    assert found["code"] == "invalid_file"
    assert found["aborted"] == "aborted"
    assert (found["encoded"] > 100, found["again"]) == (True, 30_000)

    # Decoder and codebooks of the file's model, encoder and codebooks, decoder of the other one.
    assert found["kept"] >= 3
    assert found["refetched"] == 0
