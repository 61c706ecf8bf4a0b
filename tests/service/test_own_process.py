"""The calls of a server that is a process of its own."""

import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from model_core.engine.native import find_library
from tests.service.calls import compressed, samples_of
from tests.service.live import Live
from tests.service.sounds import encoded, wav
from tests.service.test_process import _SERVICE, started


def test_the_same_bytes_as_here(client: httpx.Client, weights: Path) -> None:
    with started(_SERVICE, weights) as process, process.ready() as other:
        for model, lm in (("encodec_24khz", True), ("encodec_48khz", False)):
            audio = encoded("m4a")
            params: dict[str, str | float] = {"model": model, "lm": lm}
            file = compressed(other, audio, **params)
            assert file == compressed(client, audio, **params)
            back = other.post("/decompress", content=file)
            assert back.content == client.post("/decompress", content=file).content
            assert back.content == other.post("/roundtrip", content=audio, params=params).content
            assert samples_of(back.content).std() > 0


@pytest.mark.skipif(
    find_library() is None or not Path("/proc/self/maps").exists(),
    reason="without the native engine torch does the work; what is loaded, Linux says",
)
def test_torch_comes_in_with_the_first_call_for_a_language_model(weights: Path) -> None:
    with started(_SERVICE, weights, "--device", "cpu") as process, process.ready() as client:
        loaded = Path(f"/proc/{process.popen.pid}/maps")
        for model in ("encodec_24khz", "encodec_48khz"):
            file = compressed(client, encoded("m4a"), model=model)
            assert client.post("/decompress", content=file).status_code == 200
        assert client.get("/models").json()["models"][0]["language_model"] is not None
        assert "libtorch" not in loaded.read_text()
        compressed(client, encoded("m4a"), lm=True)
        assert "libtorch" in loaded.read_text()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_as_the_readme_does(server: Live, client: httpx.Client, tmp_path: Path) -> None:
    audio = tmp_path / "speech.wav"
    audio.write_bytes(wav(40))  # large enough for curl to ask before it sends
    expected = compressed(client, audio.read_bytes())
    for flags in (["-F", f"file=@{audio}"], ["--data-binary", f"@{audio}"]):
        file = tmp_path / "speech.ecdc"
        command = ["curl", "-sSf", *flags, f"{server.url}/compress?bandwidth=6", "-o", str(file)]
        subprocess.run(command, check=True, timeout=60)
        assert file.read_bytes() == expected
