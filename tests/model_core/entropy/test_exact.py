"""The exact language model: every evaluation gives the same bytes."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model_core.config import CONFIGS, LMConfig
from model_core.engine.native.library import BUILDS, find_library
from model_core.entropy import MOST_FRAMES, ExactLM
from model_core.entropy.quantize import quantize
from model_core.entropy.torch_coder import TorchCoder
from model_core.entropy.torch_lm import Past, TorchLM
from model_core.errors import WeightsError
from tests.model_core.entropy.models import codes_of, state_of

VECTORS = Path(__file__).parents[2] / "vectors" / "exact-lm.json"

MODELS: dict[str, tuple[LMConfig, dict[str, Any]]] = {
    "narrow": (LMConfig("encodec_24khz", 64, 2), {}),
    "with a depth head": (LMConfig("encodec_24khz", 64, 2, depth=True), {}),
    "48 kHz": (LMConfig("encodec_48khz", 16, 1, depth=True), {}),
    "odd heads": (LMConfig("encodec_24khz", 24, 2), {}),
    "the paper's size": (LMConfig("encodec_24khz", 200, 5, depth=True), {}),
    "as wide as can be": (LMConfig("encodec_24khz", 256, 1), {}),
    "loud": (LMConfig("encodec_24khz", 32, 2, depth=True), {"scale": 50.0}),
    "faint": (LMConfig("encodec_24khz", 32, 2), {"scale": 1e-3}),
    "all zero": (LMConfig("encodec_24khz", 16, 1, depth=True), {"scale": 0.0}),
}


def builds() -> list[str]:
    return [build for build in BUILDS if find_library(build) is not None]


def in_torch(lm: LMConfig, options: dict[str, Any], codes: np.ndarray) -> bytes:
    return TorchCoder(quantize(state_of(lm, **options), lm)).encode(codes)


@pytest.mark.parametrize("name", MODELS)
def test_every_build_writes_and_reads_what_torch_does(name: str) -> None:
    config, options = MODELS[name]
    integers = quantize(state_of(config, **options), config)
    codes = codes_of(3, 40)
    want = TorchCoder(integers).encode(codes)
    assert builds() or pytest.skip("there is no native library")
    for build in builds():
        lm = ExactLM(integers, build)
        assert lm.encode([codes]) == [want], build
        (got,) = lm.decode([(want, 40)], books=3)
        assert got is not None
        assert np.array_equal(got, codes), build


@pytest.mark.parametrize("name", ["narrow", "with a depth head", "loud"])
def test_torch_reads_frame_by_frame_what_it_wrote_at_once(name: str) -> None:
    config, options = MODELS[name]
    coder = TorchCoder(quantize(state_of(config, **options), config))
    chunks = [codes_of(3, 12, seed) for seed in range(4)]
    data = [coder.encode(codes) for codes in chunks]
    assert np.array_equal(coder.decode(data, 3, 12), np.stack(chunks))
    assert np.array_equal(coder.decode(data[:1], 3, 12)[0], chunks[0])


def test_batches_and_threads_change_no_byte() -> None:
    config, options = MODELS["with a depth head"]
    lm = ExactLM.from_state(state_of(config, **options), config)
    chunks = [codes_of(4, 1 + 7 * i % 40, seed=i) for i in range(21)]
    alone = [lm.encode([codes])[0] for codes in chunks]
    framed = [(data, codes.shape[1]) for data, codes in zip(alone, chunks, strict=True)]
    for threads in (1, 2, 5):
        assert lm.encode(chunks, threads) == alone
        for got, codes in zip(lm.decode(framed, 4, threads), chunks, strict=True):
            assert got is not None
            assert np.array_equal(got, codes)


def test_a_chunk_longer_than_the_context_forgets_its_beginning() -> None:
    config = LMConfig("encodec_24khz", 16, 1)
    integers = quantize(state_of(config), config)
    codes = codes_of(2, MOST_FRAMES)
    want = TorchCoder(integers).encode(codes)
    for build in builds():
        assert ExactLM(integers, build).encode([codes]) == [want]
    lm = TorchLM(integers)
    inputs = torch.from_numpy(codes_of(2, 400)[None] + 1)
    other = inputs.clone()
    other[:, :, :50] = 1
    h, _ = lm.trunk(inputs, Past(integers, 1))
    changed, _ = lm.trunk(other, Past(integers, 1))
    context = config.past_context
    assert torch.equal(h[:, 50 + context :], changed[:, 50 + context :])
    assert not torch.equal(h[:, 49 + context], changed[:, 49 + context])


@pytest.mark.parametrize("depth", [False, True])
def test_it_follows_the_float_model(depth: bool) -> None:
    """Probabilities within what 8-bit weights cost: 0.1 % of the bits."""
    from model_core.nn.lm import LMModel

    config = LMConfig("encodec_24khz", 200, 5, depth)
    state = state_of(config)
    model = LMModel.from_config(config).eval()
    model.load_state_dict({name: torch.from_numpy(x) for name, x in state.items()})
    codes = torch.from_numpy(codes_of(4, 60))
    inputs = torch.zeros_like(codes)
    inputs[:, 1:] = codes[:, :-1] + 1
    integers = quantize(state, config)
    with torch.inference_mode():
        logits, _, _ = model.logits(inputs[None], codes=codes[None])
        h, x = TorchLM(integers).trunk(inputs[None], Past(integers, 1))
        for k in range(4):
            ours = TorchLM(integers).weights(h[0], x[0], k, codes[:k]).double()
            ours = ours / ours.sum(dim=-1, keepdim=True)
            theirs = torch.softmax(logits[0, :, k].double(), dim=0).t()
            lost = (theirs * (theirs / ours.clamp(min=1e-9)).log2()).sum(dim=-1).mean()
            entropy = -(theirs * theirs.clamp(min=1e-30).log2()).sum(dim=-1).mean()
            assert 0 <= lost < 0.001 * entropy


def test_damaged_bytes_give_other_codes_or_none() -> None:
    config, options = MODELS["with a depth head"]
    lm = ExactLM.from_state(state_of(config, **options), config)
    codes = codes_of(4, 30)
    (data,) = lm.encode([codes])
    random = np.random.default_rng(5)
    none = 0
    for _ in range(200):
        wrong = bytearray(data)
        for place in random.integers(0, len(data), 3):
            wrong[place] = random.integers(256)
        for some in (bytes(wrong), bytes(wrong[: random.integers(len(wrong))]), random.bytes(90)):
            (got,) = lm.decode([(some, 30)], books=4)
            none += got is None
            assert got is None or (got.shape == (4, 30) and 0 <= got.min() <= got.max() < 1024)
    (got,) = lm.decode([(b"\xff" * 400, 30)], books=4)
    assert got is None or got.max() < 1024


def test_what_cannot_be_coded_is_refused() -> None:
    config = LMConfig("encodec_24khz", 16, 1)
    lm = ExactLM.from_state(state_of(config), config)
    assert lm.encode([]) == []
    assert lm.decode([], books=2) == []
    for wrong in (codes_of(33, 5), codes_of(2, 0), codes_of(2, MOST_FRAMES + 1)):
        with pytest.raises(ValueError, match=r"1 to 1024 frames|32 codebooks"):
            lm.encode([wrong])
    for wrong in (np.zeros(5, np.int64), np.full((2, 5), 1.5)):
        with pytest.raises(ValueError, match=r"integers \[K, T\]"):
            lm.encode([wrong])
    for value in (-1, 1024):
        with pytest.raises(ValueError, match="codes are not in"):
            lm.encode([np.full((2, 5), value)])
    with pytest.raises(ValueError, match="differ"):
        lm.encode([codes_of(2, 5), codes_of(3, 5)])
    with pytest.raises(WeightsError, match="at most 256"):
        ExactLM.from_state({}, LMConfig("encodec_24khz", 264, 1))
    broken = state_of(config)
    broken["linears.0.bias"][3] = np.nan
    with pytest.raises(WeightsError, match="not finite"):
        quantize(broken, config)
    broken["linears.0.bias"][3] = 1e30
    with pytest.raises(WeightsError, match="impossible size"):
        quantize(broken, config)
    for name in ("emb.0.weight", "transformer.norm_in.weight", "transformer.layers.0.norm1.bias"):
        broken = state_of(config)
        broken[name].flat[3] = 1e30
        with pytest.raises(WeightsError, match="impossible size"):
            quantize(broken, config)
    config = replace(config, depth=True)
    deep = state_of(config)
    deep["depth_emb.0.weight"][7] = 40_000
    with pytest.raises(WeightsError, match="embeddings of impossible size"):
        quantize(deep, config)


@pytest.mark.parametrize("name", ["narrow", "with a depth head", "48 kHz", "the paper's size"])
def test_the_arithmetic_is_frozen(name: str) -> None:
    """Files of the same arithmetic number depend on every bit of it."""
    vector = json.loads(VECTORS.read_text())[name]
    config, options = MODELS[name]
    integers = quantize(state_of(config, **options), config)
    assert digest_of(integers) == vector["integers"]
    codes = codes_of(vector["books"], vector["frames"])
    for build in [*builds(), "torch"]:
        assert ExactLM(integers, build).encode([codes])[0].hex() == vector["bytes"], build


def digest_of(lm: object) -> str:
    """Of every integer of a model."""
    seen = hashlib.sha256()

    def add(value: object) -> None:
        if isinstance(value, np.ndarray):
            seen.update(value.astype("<i8").tobytes())
        elif isinstance(value, tuple):
            for part in value:
                add(part)
        elif isinstance(value, int):
            seen.update(value.to_bytes(8, "little", signed=True))
        elif value is not None and not isinstance(value, LMConfig):
            for part in vars(value).values():
                add(part)

    add(lm)
    return seen.hexdigest()[:32]


PROGRAM = """
import sys
from model_core.config import LMConfig
from model_core.entropy import ExactLM
from tests.model_core.entropy.models import codes_of, state_of
config = LMConfig("encodec_24khz", 64, 2, depth=True)
build = sys.argv[1] if len(sys.argv) > 1 else None
lm = ExactLM.from_state(state_of(config), config, build)
print(lm.encode([codes_of(4, 30)])[0].hex())
"""


def test_processor_capabilities_and_threads_change_no_byte() -> None:
    def run(*arguments: str, **environment: str) -> str:
        command = [sys.executable, "-c", PROGRAM, *arguments]
        done = subprocess.run(
            command, env=os.environ | environment, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    config = LMConfig("encodec_24khz", 64, 2, depth=True)
    want = in_torch(config, {}, codes_of(4, 30)).hex()
    for capability in ("default", "avx2"):
        assert run(ATEN_CPU_CAPABILITY=capability) == want
        assert run("torch", ATEN_CPU_CAPABILITY=capability, OMP_NUM_THREADS="2") == want


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda_writes_and_reads_the_same() -> None:
    for name in ("with a depth head", "the paper's size", "loud"):
        config, options = MODELS[name]
        integers = quantize(state_of(config, **options), config)
        codes = codes_of(3, 40)
        want = TorchCoder(integers).encode(codes)
        on_device = TorchCoder(integers, "cuda")
        assert on_device.encode(codes) == want
        assert np.array_equal(on_device.decode([want, want], 3, 40)[1], codes)


def test_every_codec_has_a_chunk_that_fits() -> None:
    for config in CONFIGS.values():
        assert config.frame_rate <= MOST_FRAMES
