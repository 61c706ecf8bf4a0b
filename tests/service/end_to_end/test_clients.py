"""Other people's clients: one generated from the OpenAPI document, and curl."""

import importlib
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from tests.service.calls import compressed, samples_of
from tests.service.live import Live
from tests.service.sounds import wav

CONFIG = Path(__file__).parents[1] / "openapi_client.yaml"
PACKAGE = "generated_encodec_client"


@pytest.fixture(scope="module")
def generated(server: Live, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The generated package."""
    folder = tmp_path_factory.mktemp("client")
    document = folder / "openapi.json"
    document.write_text(json.dumps(server.app.openapi()))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "openapi_python_client", "generate"),
            *("--path", str(document), "--config", str(CONFIG)),
            *("--output-path", str(folder / PACKAGE), "--meta", "none"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout + done.stderr  # every body and answer was understood
    sys.path.insert(0, str(folder))
    yield importlib.import_module(PACKAGE)
    sys.path.remove(str(folder))


def _operation(name: str) -> Any:
    return importlib.import_module(f"{PACKAGE}.api.codec.{name}")


def test_a_generated_client_compresses_and_decompresses(
    server: Live, generated: ModuleType
) -> None:
    client = generated.Client(base_url=server.url)
    file_type = importlib.import_module(f"{PACKAGE}.types").File
    file = _operation("compress").sync(
        client=client, body=file_type(io.BytesIO(wav(1.2))), bandwidth=12.0
    )
    ecdc = file.payload.read()
    assert ecdc.startswith(b"ECDC")
    back = _operation("decompress").sync(client=client, body=file_type(io.BytesIO(ecdc)))
    assert samples_of(back.payload.read()).shape == (28_800, 1)
    found = _operation("inspect").sync(client=client, body=file_type(io.BytesIO(ecdc)))
    assert found.bandwidth_kbps == 12
    assert found.intact is True
    codes = _operation("codes").sync(client=client, body=file_type(io.BytesIO(wav(1.2))))
    assert len(codes.segments[0].codes) == 8


def test_a_generated_client_uploads_multipart(server: Live, generated: ModuleType) -> None:
    client = generated.Client(base_url=server.url)
    models = importlib.import_module(f"{PACKAGE}.models")
    file_type = importlib.import_module(f"{PACKAGE}.types").File
    part = file_type(io.BytesIO(wav(0.5)), "speech.wav", "audio/wav")
    body = models.RoundtripUploadBody(file=part)
    back = _operation("roundtrip_upload").sync(client=client, body=body, model="encodec_48khz")
    assert samples_of(back.payload.read()).shape == (24_000, 2)


def test_a_generated_client_gets_typed_problems(server: Live, generated: ModuleType) -> None:
    client = generated.Client(base_url=server.url)
    file_type = importlib.import_module(f"{PACKAGE}.types").File
    answer = _operation("compress").sync_detailed(
        client=client, body=file_type(io.BytesIO(b"no audio"))
    )
    assert answer.status_code == 400
    assert answer.parsed.code == "undecodable_audio"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_curl_commands_of_the_readme(
    server: Live, client: httpx.Client, tmp_path: Path
) -> None:
    audio = tmp_path / "speech.wav"
    audio.write_bytes(wav(40))  # large enough for curl to ask before it sends
    expected = compressed(client, audio.read_bytes())
    for flags in (["-F", f"file=@{audio}"], ["--data-binary", f"@{audio}"]):
        file = tmp_path / "speech.ecdc"
        command = ["curl", "-sSf", *flags, f"{server.url}/compress?bandwidth=6", "-o", str(file)]
        subprocess.run(command, check=True, timeout=60)
        assert file.read_bytes() == expected
