"""A client generated from the OpenAPI document works against the running service."""

import importlib
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.service.calls import samples_of
from tests.service.live import Live
from tests.service.sounds import wav

CONFIG = Path(__file__).with_name("openapi_client.yaml")
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


def test_compress_and_decompress(server: Live, generated: ModuleType) -> None:
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


def test_upload(server: Live, generated: ModuleType) -> None:
    client = generated.Client(base_url=server.url)
    models = importlib.import_module(f"{PACKAGE}.models")
    file_type = importlib.import_module(f"{PACKAGE}.types").File
    part = file_type(io.BytesIO(wav(0.5)), "speech.wav", "audio/wav")
    body = models.RoundtripUploadBody(file=part)
    back = _operation("roundtrip_upload").sync(client=client, body=body, model="encodec_48khz")
    assert samples_of(back.payload.read()).shape == (24_000, 2)


def test_problems_are_typed(server: Live, generated: ModuleType) -> None:
    client = generated.Client(base_url=server.url)
    file_type = importlib.import_module(f"{PACKAGE}.types").File
    answer = _operation("compress").sync_detailed(
        client=client, body=file_type(io.BytesIO(b"no audio"))
    )
    assert answer.status_code == 400
    assert answer.parsed.code == "undecodable_audio"
