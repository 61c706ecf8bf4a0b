"""The native backend's weights come from a state and a configuration alone."""

import copy

import numpy as np
import pytest
import torch

from model_core.checkpoints.load import state_of
from model_core.engine.native.weights import flat_weights, fold_weight_norm
from model_core.nn import conv
from tests.model_core.engine.narrow import narrow_model
from tests.peers import NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_weight_is_there_once(name: str) -> None:
    model = narrow_model(name)
    conv.fold_weight_norm(model)
    state = state_of(model)
    flat = flat_weights(model.config, state)
    used = [v.ravel() for k, v in state.items() if not k.endswith(("inited", "_size", "_avg"))]
    np.testing.assert_array_equal(np.sort(flat), np.sort(np.concatenate(used)))


@pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"),
    reason="torch's vectors have eight lanes with AVX2",
)
def test_weight_norm_is_folded_with_torchs_bits() -> None:
    model = narrow_model("encodec_24khz")
    state = state_of(model)
    folded = copy.deepcopy(model)
    conv.fold_weight_norm(folded)
    theirs, ours = state_of(folded), fold_weight_norm(state)
    assert ours.keys() == theirs.keys()
    for name, values in ours.items():
        np.testing.assert_array_equal(values, theirs[name])
    expected = flat_weights(model.config, theirs)
    np.testing.assert_array_equal(flat_weights(model.config, state), expected)
