"""Fixtures of the tests of what is deployed beside the service."""

from pathlib import Path

import pytest

from tests.service.narrow import write_narrow_models


@pytest.fixture(scope="session")
def narrow_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with weights of both models."""
    folder = tmp_path_factory.mktemp("weights")
    write_narrow_models(folder)
    return folder
