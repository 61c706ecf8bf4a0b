"""The native engine's sums have the bits of torch's."""

import copy
import os
import platform
import subprocess
import sys

import numpy as np
import pytest
import torch

from model_core.checkpoints.load import state_of
from model_core.engine.native.engine import flat_weights
from model_core.engine.native.sums import cascade_sum, norms, without_weight_norm
from model_core.nn import conv
from tests.model_core.engine.narrow import narrow_model

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(
        torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"),
        reason="torch's vectors have eight lanes with AVX2",
    ),
]

_LENGTHS = (*range(1, 201), 4_095, 4_097, 24_001, 47_999, 48_000, 200_003, 5_000_000)
_SHAPES = ((32, 1, 7), (64, 32, 4), (128, 512, 7), (16, 2, 1), (33, 8, 1), (20, 3, 3))


def test_a_sum_has_torchs_bits() -> None:
    rng = np.random.default_rng(0)
    for length in _LENGTHS:
        x = np.square(rng.normal(0, 0.1, length).astype(np.float32))
        assert cascade_sum(x) == torch.from_numpy(x)[None, None].sum(dim=2).numpy()[0, 0], length


def test_norms_have_torchs_bits() -> None:
    rng = np.random.default_rng(0)
    for shape in _SHAPES:
        v = torch.from_numpy(rng.normal(size=shape).astype(np.float32))
        g = torch.ones(shape[0], 1, 1)
        expected = torch._weight_norm_interface(v, g, 0)[1].flatten().numpy()
        np.testing.assert_array_equal(norms(v.numpy().reshape(shape[0], -1)), expected)


def test_weight_norm_is_folded_with_torchs_bits() -> None:
    model = narrow_model("encodec_24khz")
    state = state_of(model)
    folded = copy.deepcopy(model)
    conv.fold_weight_norm(folded)
    theirs, ours = state_of(folded), without_weight_norm(state)
    assert ours.keys() == theirs.keys()
    for name, values in ours.items():
        np.testing.assert_array_equal(values, theirs[name])
    expected = flat_weights(model.config, theirs)
    np.testing.assert_array_equal(flat_weights(model.config, state), expected)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="these are vectors of x86")
def test_torch_sums_the_same_on_a_processor_without_avx512() -> None:
    environment = {**os.environ, "ATEN_CPU_CAPABILITY": "avx2"}
    own = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", __file__, "-k", "torchs_bits"]
    done = subprocess.run(own, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
