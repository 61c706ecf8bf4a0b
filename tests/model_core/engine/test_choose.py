"""Which backend a model gets, and devices by name."""

from dataclasses import replace

import pytest
import torch

from model_core.checkpoints.load import weights_of
from model_core.config import CONFIGS
from model_core.engine import EngineOptions, NativeEngine, NetworkWeights, make_engine
from model_core.engine.choose import cuda_devices, find_device, lm_build
from model_core.engine.native import find_library
from model_core.engine.torch_engine import TorchEngine
from model_core.errors import EncodecError
from model_core.model import EncodecModel
from tests.peers import Peers

compiled = pytest.mark.skipif(find_library() is None, reason="no C++ compiler at installation")


@pytest.fixture
def weights(peers: Peers) -> NetworkWeights:
    return weights_of(peers.pair("encodec_24khz").ours)


@compiled
def test_native_where_it_works(weights: NetworkWeights, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ENCODEC_BACKEND", raising=False)
    library = find_library()
    assert library is not None
    for backend in (None, "auto", "native", f"native-{library.build}"):
        assert (
            make_engine(weights, options=EngineOptions(backend=backend)).name
            == f"native-{library.build}"
        )


def test_torch_when_it_is_asked_for(
    weights: NetworkWeights, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(make_engine(weights, options=EngineOptions(backend="torch")), TorchEngine)
    monkeypatch.setenv("ENCODEC_BACKEND", "torch")
    assert isinstance(make_engine(weights), TorchEngine)


def test_the_exact_language_model_runs_where_the_networks_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ENCODEC_BACKEND", raising=False)
    builds = {None: None, "auto": None, "cuda": None, "native": None, "native-avx2": "avx2"}
    for backend, build in {**builds, "torch": "torch"}.items():
        assert lm_build(EngineOptions(backend=backend)) == build
    monkeypatch.setenv("ENCODEC_BACKEND", "torch")
    assert lm_build() == "torch"


def test_torch_for_what_native_does_not_know(peers: Peers) -> None:
    double = peers.pair("encodec_24khz", torch.float64).ours
    deep = EncodecModel(replace(CONFIGS["encodec_24khz"], n_filters=2, n_residual_layers=2))
    narrow = EncodecModel(replace(CONFIGS["encodec_24khz"], n_filters=2, ratios=(16, 20)))
    for weights in map(weights_of, (double, deep, narrow)):
        assert not NativeEngine.supports(weights, "cpu")
        assert isinstance(make_engine(weights, options=EngineOptions(backend="auto")), TorchEngine)
        with pytest.raises(EncodecError, match="does not work here"):
            make_engine(weights, options=EngineOptions(backend="native"))


def test_what_takes_a_gpu_is_refused_elsewhere(weights: NetworkWeights) -> None:
    with pytest.raises(EncodecError, match="cpu is no CUDA device"):
        make_engine(weights, options=EngineOptions(backend="cuda"))
    with pytest.raises(EncodecError, match="encoding in tf32 does not work here"):
        make_engine(weights, options=EngineOptions(encode_precision="tf32"))
    for backend in ("auto", "native", "torch"):
        with pytest.raises(EncodecError, match=r"decoding in tf32 does not|was not compiled"):
            make_engine(weights, options=EngineOptions(backend=backend, precision="tf32"))


@pytest.mark.parametrize("backend", ["nativ", "torch-avx2", "native-sse9", "cuda"])
def test_unknown_backends_are_refused(weights: NetworkWeights, backend: str) -> None:
    with pytest.raises(EncodecError, match="backend"):
        make_engine(weights, options=EngineOptions(backend=backend))


def test_the_devices_are_those_that_torch_can_use() -> None:
    assert cuda_devices() == (torch.cuda.device_count() if torch.cuda.is_available() else 0)


def test_auto_is_a_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for count, expected in ((0, "cpu"), (2, "cuda:0")):
        monkeypatch.setattr("model_core.engine.choose.cuda_devices", lambda count=count: count)
        assert find_device("auto") == expected
        assert find_device("cpu") == "cpu"
    assert [find_device(name) for name in ("cuda", "cuda:0", "cuda:1")] == [
        *("cuda:0", "cuda:0", "cuda:1")
    ]
    with pytest.raises(LookupError, match="no device cuda:2"):
        find_device("cuda:2")


@pytest.mark.parametrize("name", ["", "gpu", "cuda:", "cuda:x", "cpu:0", "cuda:-1"])
def test_another_name_is_no_device(name: str) -> None:
    with pytest.raises(ValueError, match="there is no device"):
        find_device(name)
