"""Narrow weights for replicas."""

from pathlib import Path

import pytest

from tests.service.narrow import write_narrow_models


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    write_narrow_models(folder)
    return folder
