"""Loading models: ready, failed, others on demand, and what is said of them."""

import asyncio
import contextlib
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
from service.api.models import describe
from service.http.problems import Problem, ProblemCode
from service.inference.model_pool import ModelPool, choose_device
from service.settings import Settings


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


def test_nothing_is_given_out_before_the_models_are_warm(weights: Path) -> None:
    async def run() -> None:
        models = ModelPool(Settings(weights=str(weights)), CPU)
        assert models.state == "starting"
        assert [m.state for m in models.served()] == ["starting", "starting"]
        with pytest.raises(Problem) as refused:
            await models.for_compression("encodec_24khz")
        assert refused.value.code is ProblemCode.STARTING
        assert "Retry-After" in refused.value.headers

    asyncio.run(run())


def test_a_precision_that_does_not_work_here_is_said_at_the_start(weights: Path) -> None:
    async def run() -> None:
        async with loaded(weights, backend="torch", decode_precision="bfloat16") as models:
            assert models.state == "failed"
            assert models.error is not None
            assert "bfloat16 does not work here" in models.error

    asyncio.run(run())


def test_warm_models_are_given_out_and_described(weights: Path) -> None:
    async def run() -> None:
        async with loaded(weights) as models:
            assert models.state == "ready"
            mono = await models.for_compression("encodec_24khz", lm=True)
            assert mono is await models.for_compression("encodec_24khz")
            assert mono.header_name(lm=False).startswith("encodec_24khz:")
            first, second = map(describe, models.served())
            assert first.ready
            assert second.ready
            assert [b.codebooks for b in first.bandwidths] == [2, 4, 8, 16, 32]
            assert [b.kbps for b in second.bandwidths] == [3, 6, 12, 24]
            assert first.max_batch == mono.engine.max_batch
            assert first.captured is None  # there are no graphs on a CPU
            assert first.weights is not None
            assert (first.weights.name, first.weights.source) == (mono.name, "folder")
            assert first.weights.id == mono.name.partition(":")[2]
            assert first.network is not None
            assert first.network.n_filters == mono.config.n_filters
            assert first.language_model is not None
            assert first.language_model.name == mono.lm_name
            assert second.language_model is None

    asyncio.run(run())


def test_what_cannot_be_had_is_said(weights: Path) -> None:
    async def run() -> None:
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

    asyncio.run(run())


def test_a_file_gets_the_codec_that_made_it(weights: Path) -> None:
    async def run() -> None:
        async with loaded(weights) as models:
            for name, lm in (("encodec_24khz", False), ("encodec_24khz", True)):
                codec = await models.for_compression(name, lm=lm)
                compressor = Compressor(codec, 6.0, lm=lm)
                run_now(compressor.push(np.zeros((1, 700), np.float32)))
                run_now(compressor.finish())
                assert await models.available(compressor.header)
                assert await models.for_header(compressor.header) is codec

    asyncio.run(run())


def test_other_weights_are_loaded_once_and_forgotten_in_turn(weights: Path, tmp_path: Path) -> None:
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

    async def run() -> None:
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

    asyncio.run(run())


def test_a_client_that_leaves_does_not_stop_the_loading(weights: Path) -> None:
    async def run() -> None:
        async with loaded(weights, models="encodec_24khz") as models:
            leaving = asyncio.ensure_future(models.for_compression("encodec_48khz"))
            staying = asyncio.ensure_future(models.for_compression("encodec_48khz"))
            await asyncio.sleep(0)
            leaving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await leaving
            assert (await staying).config.name == "encodec_48khz"

    asyncio.run(run())


def test_models_that_cannot_be_loaded_are_a_failure(tmp_path: Path) -> None:
    async def run() -> None:
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

    asyncio.run(run())


def test_weights_that_make_no_sound_are_a_failure(weights: Path, tmp_path: Path) -> None:
    registry = Registry(str(weights))
    broken = load_network(registry.find("encodec_24khz"), EncodecNetwork)
    with torch.no_grad():
        for name, parameter in broken.named_parameters():
            if name.startswith("decoder") and name.endswith("weight_g"):
                parameter.fill_(1e30)
    save_weights(broken, tmp_path, torch.float32)

    async def run() -> None:
        async with loaded(tmp_path, models="encodec_24khz") as models:
            assert models.state == "failed"
            assert models.error is not None
            assert "finite" in models.error

    asyncio.run(run())


def test_a_broken_language_model_is_a_failure_at_the_start(weights: Path, tmp_path: Path) -> None:
    """Though it is used, and then loaded, only by calls that ask for it."""
    folder = tmp_path / "weights"
    shutil.copytree(weights, folder)
    (path,) = folder.glob("encodec_lm_24khz-*")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)

    async def run() -> None:
        async with loaded(folder, models="encodec_24khz") as models:
            assert models.state == "failed"
            assert models.error is not None
            assert path.name in models.error

    asyncio.run(run())


def test_the_device() -> None:
    assert choose_device("cpu") == "cpu"
    assert choose_device("auto") == ("cuda:0" if torch.cuda.is_available() else "cpu")
    with pytest.raises(ValueError, match="cuda:99"):
        choose_device("cuda:99")
