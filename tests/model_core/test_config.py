"""Each model is known wherever its name is needed: what a new one must be added to."""

from typing import Literal, get_args

import pytest

from model_core.checkpoints.hub import config_from_hub, config_to_hub
from model_core.checkpoints.weight_set import FileName, Kind, file_stem
from model_core.compress import MODELS
from model_core.config import CONFIGS
from model_core.entropy.code_search import RATES
from service.settings import Settings

NAMES = list(CONFIGS)


def test_every_list_of_models_is_whole() -> None:
    assert set(MODELS) == set(NAMES)
    assert set(RATES) == set(NAMES)
    assert set(Settings().models) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_its_files_are_its_own(name: str) -> None:
    kinds: tuple[Kind, ...] = get_args(Literal["model", "lm"])
    for kind in kinds:
        found = FileName.parse(f"{file_stem(name, kind)}-0123abcd.safetensors")
        assert found is not None
        assert (found.name, found.kind) == (name, kind)


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_of_transformers_is_told_by_what_is_in_it(name: str) -> None:
    config = CONFIGS[name]
    assert config_from_hub(config_to_hub(config), "here") == config
