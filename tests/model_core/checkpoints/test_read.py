"""What a checkpoint must hold is known without making modules of it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from model_core.checkpoints import Registry
from model_core.checkpoints.files import read_metadata, weights_id
from model_core.checkpoints.load import load_lm
from model_core.checkpoints.read import lm_shapes, read_lm, read_network, read_own_lm
from model_core.checkpoints.save import save_lm, save_weights
from model_core.checkpoints.weight_set import LMSet
from model_core.config import ENCODEC_24KHZ, LMConfig
from model_core.errors import WeightsError
from model_core.model import EncodecModel
from model_core.nn.lm import LMModel

NAME = ENCODEC_24KHZ.name


@pytest.mark.parametrize("depth", [False, True])
def test_the_shapes_of_a_language_model(depth: bool) -> None:
    config = LMConfig(NAME, dim=16, num_layers=2, depth=depth)
    state = LMModel.from_config(config).state_dict()
    assert lm_shapes(config) == {name: tuple(tensor.shape) for name, tensor in state.items()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(4)
    path = save_weights(EncodecModel(ENCODEC_24KHZ.with_filters(2)), tmp_path, torch.float32)
    lm = LMModel.from_config(LMConfig(NAME, dim=16, num_layers=1))
    save_lm(lm, f"{NAME}:{path.stem[-8:]}", tmp_path, torch.float32)
    return tmp_path


def test_a_depth_head_is_in_the_file_and_what_says_it(folder: Path) -> None:
    (plain,) = folder.glob("encodec_lm_24khz-*")
    assert json.loads(read_metadata(plain)["config"]) == {"name": NAME, "dim": 16, "num_layers": 1}
    deep = LMModel.from_config(LMConfig(NAME, dim=16, num_layers=1, depth=True))
    path = save_lm(deep, read_metadata(plain)["for"], folder, torch.float32)
    config, made_for = read_own_lm(path)
    assert config == LMConfig(NAME, 16, 1, depth=True)
    weights = LMSet(config, path)
    read_lm(weights)
    loaded = load_lm(weights)
    assert loaded.depth
    for name, tensor in deep.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    with pytest.raises(WeightsError, match="unexpected: depth_"):
        read_lm(LMSet(LMConfig(NAME, 16, 1), path))
    with pytest.raises(WeightsError, match=r"missing: depth_in\.weight"):
        read_lm(LMSet(config, plain))
    assert made_for == read_metadata(plain)["for"]


def test_arrays_and_modules_hold_the_same(folder: Path) -> None:
    found = Registry(str(folder)).find(NAME)
    weights = read_network(found)
    assert weights.name == found.header_name
    assert weights.state is not None
    modules = weights.network().state_dict()
    assert {n for n in modules if n not in weights.state} == {
        n for n in modules if n.endswith((".inited", ".cluster_size", ".embed_avg"))
    }
    for name, values in weights.state.items():
        np.testing.assert_array_equal(values, modules[name].numpy())


@pytest.mark.parametrize("kind", ["model", "lm"])
def test_a_tensor_of_another_shape_is_named(folder: Path, kind: str) -> None:
    """In a file whose name tells its id, which is that of what it holds."""
    stem, tensor = {
        "model": (NAME, "encoder.model.0.conv.conv.bias"),
        "lm": ("encodec_lm_24khz", "linears.0.bias"),
    }[kind]
    (path,) = folder.glob(f"{stem}-*")
    metadata = read_metadata(path)
    state = load_file(path)
    state[tensor] = np.append(state[tensor], np.float32(0))
    path.unlink()
    save_file(state, folder / f"{stem}-{weights_id(state)}.safetensors", metadata)
    found = Registry(str(folder)).find(NAME)
    with pytest.raises(WeightsError, match=f"another shape: {tensor}"):
        read_network(found) if found.lm is None else read_lm(found.lm)
