"""A service and the package in Node. Without Node these tests are skipped."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from model_core.codec import Codec
from tests.clients.web.package_in_node import NODE, RELAXED, Package, package_in_node
from tests.clients.web.rounded import rounded
from tests.service.live import Live, live
from tests.service.narrow import write_narrow_models


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A service with narrow models."""
    folder = tmp_path_factory.mktemp("weights")
    write_narrow_models(folder)
    with live(folder) as running:
        yield running


def codec_of(server: Live, name: str) -> Codec:
    """A model of the service."""
    served = server.app.state.models.served()
    codec: Codec = next(model.codec for model in served if model.config.name == name)
    return codec


@pytest.fixture(scope="session")
def mono(server: Live) -> Codec:
    """The 24 kHz model with the weights that a browser has."""
    return rounded(codec_of(server, "encodec_24khz"))


@pytest.fixture(scope="session")
def stereo(server: Live) -> Codec:
    return rounded(codec_of(server, "encodec_48khz"))


@pytest.fixture(scope="session", params=["simd", "relaxed"])
def package(
    request: pytest.FixtureRequest, server: Live, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Package]:
    """Each of the two builds."""
    if NODE is None:
        pytest.skip("there is no Node here")
    flags = [RELAXED] if request.param == "relaxed" else []
    with package_in_node(tmp_path_factory.mktemp("node"), server.url, *flags) as running:
        yield running


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return tmp_path / "recording"
