"""On a GPU the engine gives what it gives on a CPU but for near ties, alone as in company."""

import numpy as np
import pytest
import torch

from model_core.engine import DecodeItem, EncodedBlock, EncodeItem, StreamState, TorchEngine
from tests.peers import NAMES, Peers, signal

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


@pytest.mark.parametrize("name", NAMES)
def test_equal_to_the_cpu_and_to_itself_in_company(peers: Peers, name: str) -> None:
    model = peers.pair(name).ours
    cpu, gpu = TorchEngine(model), TorchEngine(model, "cuda", max_batch=4)
    size, rate = cpu.block_samples, cpu.config.sample_rate
    blocks = [signal(cpu.config.channels, size, rate, seed=s).numpy() for s in range(4)]
    k = cpu.config.num_codebooks

    def items() -> list[EncodeItem]:
        return [EncodeItem(x, k, False, StreamState()) for x in blocks]

    expected = np.stack([cpu.encode([item])[0].codes for item in items()])
    alone = np.stack([gpu.encode([item])[0].codes for item in items()])
    together = np.stack([block.codes for block in gpu.encode(items())])
    np.testing.assert_array_equal(alone, together)
    frames_equal = (alone == expected).all(axis=1).mean()
    assert frames_equal > 0.97
    encoded = [EncodedBlock(codes, 0.1 if cpu.config.normalize else None) for codes in expected]
    for block in encoded:
        a = cpu.decode([DecodeItem(block, False)])[0]
        b = gpu.decode([DecodeItem(block, False)])[0]
        assert np.abs(a - b).max() <= 1e-4 * np.abs(a).max()
