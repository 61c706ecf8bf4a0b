"""Files made with older weights decompress on a service that has newer ones."""

from pathlib import Path

import pytest

from model_core.checkpoints import Registry
from model_core.checkpoints.registry import PACKAGE_WEIGHTS
from model_core.codec import Codec, Compressor, run_now
from model_core.config import CONFIGS
from tests.releases import release_first, release_next
from tests.service.live import live
from tests.service.sounds import sound, wav

BUNDLED = sorted(
    f"{name}:{path.stem[-8:]}"
    for name in CONFIGS
    for path in PACKAGE_WEIGHTS.glob(f"{name}-*.safetensors")
)


def test_files_of_earlier_weights_decompress_to_the_same_audio(tmp_path: Path) -> None:
    first = release_first(tmp_path)
    before = {}
    with live(tmp_path, models="encodec_24khz") as server, server.client() as client:
        for lm in (False, True):
            made = client.post("/compress", content=wav(0.4), params={"lm": lm})
            assert made.status_code == 200, made.text
            decoded = client.post("/decompress", content=made.content)
            before[first.lm if lm else first.model] = (made.content, decoded.content)
    second = release_next(tmp_path)
    with live(tmp_path, models="encodec_24khz") as server, server.client() as client:
        (described,) = client.get("/models").json()["models"]
        assert described["weights"]["name"] == second.model
        for header, (file, decoded_then) in before.items():
            assert header.encode() in file
            answer = client.post("/decompress", content=file)
            assert answer.status_code == 200, answer.text
            assert answer.content == decoded_then


@pytest.mark.parametrize("name", CONFIGS)
def test_files_of_every_bundled_release_decompress(name: str) -> None:
    releases = [header for header in BUNDLED if header.startswith(f"{name}:")]
    current = Registry("bundled").find(name).header_name
    assert current in releases
    with live(Path("bundled"), models=name) as server, server.client() as client:
        for header in releases:
            codec = Codec.load(header, "bundled", exact=True, lm=False)
            compressor = Compressor(codec, 6.0, lm=False)
            samples = sound(codec.config.channels, 0.3, codec.config.sample_rate)
            payload = run_now(compressor.push(samples)) + run_now(compressor.finish())
            file = compressor.header.to_bytes() + payload
            answer = client.post("/decompress", content=file)
            assert answer.status_code == 200, answer.text
            assert header.encode() in file
