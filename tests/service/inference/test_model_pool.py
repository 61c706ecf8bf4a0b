"""Loading models: warm ones at the start, others on demand, and what is refused."""

import asyncio
import contextlib
import copy
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model_core.checkpoints import Registry, write_index
from model_core.checkpoints.load import load_network
from model_core.checkpoints.save import save_weights
from model_core.codec import Compressor, run_now
from model_core.codec.work import CPU
from model_core.config import ENCODEC_24KHZ
from model_core.ecdc import Header
from model_core.errors import EncodecError
from model_core.model import EncodecModel
from model_core.nn.network import EncodecNetwork
from service.api.errors import to_problem
from service.http.problems import Problem, ProblemCode
from service.inference.model_pool import ModelPool, choose_device
from service.settings import Settings

pytestmark = pytest.mark.anyio


@contextlib.asynccontextmanager
async def loaded(folder: Path, **settings: Any) -> AsyncIterator[ModelPool]:
    settled = asyncio.Event()
    made = Settings(weights=str(folder), **settings)
    models = ModelPool(
        made, CPU, settled.set, lambda name: settled.set() if models.state == "ready" else None
    )
    models.start()
    try:
        await asyncio.wait_for(settled.wait(), 60)
        yield models
    finally:
        models.stop()


async def test_requests_are_refused_until_the_models_are_warm(weights: Path) -> None:
    models = ModelPool(Settings(weights=str(weights)), CPU)
    assert models.state == "starting"
    assert [m.state for m in models.served()] == ["starting", "starting"]
    with pytest.raises(Problem) as refused:
        await models.for_compression("encodec_24khz")
    assert refused.value.code is ProblemCode.STARTING
    assert "Retry-After" in refused.value.headers


async def test_a_precision_that_does_not_work_here_fails_the_start(weights: Path) -> None:
    async with loaded(weights, backend="torch", decode_precision="bfloat16") as models:
        assert models.state == "failed"
        assert models.error is not None
        assert "bfloat16 does not work here" in models.error


async def test_a_warm_model_has_one_codec_for_all_requests(weights: Path) -> None:
    async with loaded(weights) as models:
        assert models.state == "ready"
        mono = await models.for_compression("encodec_24khz", lm=True)
        assert mono is await models.for_compression("encodec_24khz")
        assert mono.name.startswith("encodec_24khz:")
        assert [m.state for m in models.served()] == ["ready", "ready"]
        first, second = (m.codec for m in models.served())
        assert first is mono
        assert second is not None
        assert (second.config.name, second.has_lm) == ("encodec_48khz", False)


async def test_every_missing_codec_is_refused_with_its_own_problem(weights: Path) -> None:
    async with loaded(weights) as models:
        cases = [
            (models.for_compression("encodec_96khz"), ProblemCode.UNKNOWN_MODEL),
            (models.for_compression("encodec_48khz", lm=True), ProblemCode.LM_UNAVAILABLE),
        ]
        mono = await models.for_compression("encodec_24khz")
        elsewhere = Header("encodec_24khz:00000000", 24_000, 8, lm=False)
        published = Header("encodec_24khz", 24_000, 8, lm=False)
        unnamed_lm = Header(mono.name, 24_000, 8, lm=True)
        other_lm = Header(f"{mono.name}+00000000", 24_000, 8, lm=True)
        cases += [
            (models.for_header(elsewhere), ProblemCode.WEIGHTS_UNAVAILABLE),
            (models.for_header(published), ProblemCode.WEIGHTS_UNAVAILABLE),
            (models.for_header(unnamed_lm), ProblemCode.LM_UNAVAILABLE),
            (models.for_header(other_lm), ProblemCode.WEIGHTS_UNAVAILABLE),
            (models.for_header(Header("other", 9, 8, lm=False)), ProblemCode.BROKEN_ECDC),
        ]
        for asked, code in cases:
            with pytest.raises((Problem, EncodecError)) as refused:
                await asked
            assert to_problem(refused.value).code is code
        for header in (elsewhere, published, unnamed_lm, other_lm):
            assert not await models.available(header)


async def test_a_file_is_decoded_by_the_codec_that_made_it(weights: Path) -> None:
    async with loaded(weights) as models:
        for name, lm in (("encodec_24khz", False), ("encodec_24khz", True)):
            codec = await models.for_compression(name, lm=lm)
            compressor = Compressor(codec, 6.0, lm=lm)
            run_now(compressor.push(np.zeros((1, 700), np.float32)))
            run_now(compressor.finish())
            assert await models.available(compressor.header)
            assert await models.for_header(compressor.header) is codec


async def test_extra_weights_are_loaded_once_and_the_oldest_are_dropped(
    weights: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "weights"
    shutil.copytree(weights, folder)
    (current,) = folder.glob("encodec_24khz-*")
    torch.manual_seed(1)
    others = [
        save_weights(EncodecModel(ENCODEC_24KHZ.with_filters(2)), folder, torch.float32)
        for _ in range(3)
    ]
    write_index(folder, {"encodec_24khz": (current, None)})
    headers = [
        Header(f"encodec_24khz:{path.stem.rpartition('-')[2]}", 24_000, 8, lm=False)
        for path in others
    ]
    async with loaded(folder, extra_models=2, models="encodec_24khz") as models:
        assert all([await models.available(header) for header in headers])
        twice = await asyncio.gather(*(models.for_header(headers[0]) for _ in range(3)))
        assert twice[0].name == headers[0].model
        assert twice[0] is twice[1] is twice[2]
        for header in headers[1:]:
            assert (await models.for_header(header)).name == header.model
        assert await models.for_header(headers[0]) is not twice[0]
        # a model that is not kept warm can be compressed with all the same
        assert (await models.for_compression("encodec_48khz")).config.channels == 2


async def test_a_client_that_leaves_does_not_stop_the_loading(weights: Path) -> None:
    async with loaded(weights, models="encodec_24khz") as models:
        leaving = asyncio.ensure_future(models.for_compression("encodec_48khz"))
        staying = asyncio.ensure_future(models.for_compression("encodec_48khz"))
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert (await staying).config.name == "encodec_48khz"


async def test_models_that_cannot_be_loaded_fail_the_pool(tmp_path: Path) -> None:
    async with loaded(tmp_path) as models:
        assert models.state == "failed"
        assert models.error is not None
        assert str(tmp_path) in models.error
        assert "--models" in models.error  # a folder need not hold every model
        assert [m.state for m in models.served()] == ["failed", "failed"]
        with pytest.raises(Problem) as refused:
            await models.for_compression("encodec_24khz")
        assert refused.value.code is ProblemCode.UNAVAILABLE
        assert str(tmp_path) not in refused.value.detail


async def test_weights_that_give_infinite_samples_fail_the_pool(
    weights: Path, tmp_path: Path
) -> None:
    registry = Registry(str(weights))
    broken = load_network(registry.find("encodec_24khz"), EncodecNetwork)
    with torch.no_grad():
        for name, parameter in broken.named_parameters():
            if name.startswith("decoder") and name.endswith("weight_g"):
                parameter.fill_(1e30)
    save_weights(broken, tmp_path, torch.float32)
    async with loaded(tmp_path, models="encodec_24khz") as models:
        assert models.state == "failed"
        assert models.error is not None
        assert "finite" in models.error


async def test_a_broken_language_model_is_a_failure_at_the_start(
    weights: Path, tmp_path: Path
) -> None:
    """Though it is used, and then loaded, only by calls that ask for it."""
    folder = tmp_path / "weights"
    shutil.copytree(weights, folder)
    (path,) = folder.glob("encodec_lm_24khz-*")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)

    async with loaded(folder, models="encodec_24khz") as models:
        assert models.state == "failed"
        assert models.error is not None
        assert path.name in models.error


def test_auto_is_cuda_where_there_is_one_and_a_missing_device_is_refused() -> None:
    assert choose_device("cpu") == "cpu"
    assert choose_device("auto") == ("cuda:0" if torch.cuda.is_available() else "cpu")
    with pytest.raises(ValueError, match="cuda:99"):
        choose_device("cuda:99")


async def test_live_streams_use_the_codec_that_is_on_the_cpu(weights: Path) -> None:
    async with loaded(weights) as models:
        codec = await models.for_compression("encodec_24khz")
        assert await models.on_cpu(codec) is codec


async def test_a_codec_of_another_device_is_loaded_beside_once(weights: Path) -> None:
    async with loaded(weights) as models:
        codec = await models.for_compression("encodec_24khz", lm=True)
        elsewhere = copy.copy(codec)
        elsewhere.engine = copy.copy(codec.engine)
        elsewhere.engine.device = "cuda:0"
        one, two = await asyncio.gather(*(models.on_cpu(elsewhere) for _ in range(2)))
        assert one is two
        assert one is not codec
        assert (one.name, one.device, one.lm) == (codec.name, CPU, codec.lm)
