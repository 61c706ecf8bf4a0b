"""Two processes over gloo train as one: gradients, codebooks, balancer and adversary agree."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch import distributed as dist
from torch import multiprocessing as mp

from model_core import Balancer, distrib
from model_core.config import ENCODEC_24KHZ
from model_core.model import EncodecModel
from model_core.nn.rvq import EuclideanCodebook
from model_core.training.codec.adversary import Adversary
from model_core.training.codec.codebooks import (
    CodebookLearning,
    dead_code_threshold,
    start,
    update,
)
from model_core.training.codec.losses import MultiScaleMelLoss, l1

CONFIG = replace(ENCODEC_24KHZ, n_filters=2, dimension=8, lstm=1, bins=16, target_bandwidths=(1.2,))
CODEBOOKS = 4
BATCH, SAMPLES = 2, 4800
DIM, BINS = 4, 8
FAR = 1e3

State = dict[str, Any]


def clips(rank: int, step: int = 0) -> Tensor:
    """A batch `[B, 1, T]` that only this rank sees."""
    generator = torch.Generator().manual_seed(100 * step + rank)
    return 0.1 * torch.randn(BATCH, 1, SAMPLES, generator=generator)


def gradients(module: torch.nn.Module) -> State:
    return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


@torch.no_grad()
def louden(encoder: torch.nn.Module) -> None:
    """Latents that vary with the audio, so that they are coded by many entries."""
    for name, parameter in encoder.named_parameters():
        if name.endswith(".bias"):
            parameter.zero_()
        elif name.endswith("weight_g"):
            parameter.mul_(2)


def train(rank: int) -> State:
    """Two whole steps, k-means start included, from different seeds; what has come of them."""
    torch.manual_seed(rank)
    model = EncodecModel(CONFIG).train()
    distrib.broadcast_tensors(model.parameters())
    frames = distrib.world_size() * BATCH * CONFIG.frames(SAMPLES)
    threshold = dead_code_threshold(frames, CONFIG.bins, share=0.5)
    codebooks = CodebookLearning(model.quantizer, threshold)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.5, 0.9))
    adversary = Adversary(CONFIG, filters=2, update_probability=1.0)
    balancer = Balancer({"time": 0.1, "mel": 1, "adversarial": 3, "feature": 3})
    mel = MultiScaleMelLoss(CONFIG.sample_rate)
    for step in range(2):
        x = clips(rank, step)
        result = codebooks(model.encoder(x))
        y = model.decoder(result.latent)[..., :SAMPLES]
        losses = {"time": l1(x, y), "mel": mel(x, y), **adversary.generator_losses(x, y)}
        optimizer.zero_grad()
        balanced = balancer.gradient(losses, y)
        torch.autograd.backward([y, result.penalty], [balanced, torch.ones_like(result.penalty)])
        distrib.sync_grad(model.parameters())
        optimizer.step()
        adversary.update(x, y.detach(), step)
    return {
        "model": model.state_dict(),
        "gradients": gradients(model),
        "adversary": adversary.state_dict(),
        "balancer": balancer.state_dict(),
        "optimizer": optimizer.state_dict(),
    }


def exact_step(x: Tensor) -> State:
    """One step, up to the gradients, whose losses are means over the clips: none depends on how
    they are spread over processes. The codebooks have started and keep all their entries."""
    torch.manual_seed(0)
    model = EncodecModel(CONFIG).train()
    louden(model.encoder)
    for layer in model.quantizer.codebooks:
        book = layer.codebook
        book.embed.normal_(std=0.5)
        book.embed_avg.copy_(10 * book.embed)
        book.cluster_size.fill_(10)
        book.inited.fill_(1)
    adversary = Adversary(CONFIG, filters=2, update_probability=1.0)
    latent = model.encoder(x)
    result = CodebookLearning(model.quantizer, dead_below=0.0)(latent)
    y = model.decoder(result.latent)[..., :SAMPLES]
    mel = MultiScaleMelLoss(CONFIG.sample_rate)
    adversarial = adversary.generator_losses(x, y)["adversarial"]
    (l1(x, y) + mel(x, y) + adversarial + result.penalty).backward()
    distrib.sync_grad(model.parameters())
    adversary.update(x, y.detach(), 0)
    buffers = dict(model.quantizer.named_buffers())
    return {
        "codes": result.codes,
        "codebooks": buffers,
        "gradients": gradients(model),
        "adversary": gradients(adversary.discriminator),
    }


def codebook_step(rank: int) -> State:
    """K-means on samples that are near 0 on rank 0 and far away on rank 1; then a dead entry."""
    torch.manual_seed(rank)
    samples = torch.randn(60, DIM) + rank * FAR
    book = EuclideanCodebook(DIM, BINS)
    start(book, samples)
    started = {name: b.clone() for name, b in book.named_buffers()}
    book.cluster_size[0] = 0
    book.embed_avg[0] = 0
    update(book, samples, book.encode(samples))
    return {"started": started, "after": dict(book.named_buffers()), "samples": samples}


def worker(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    store = dist.FileStore(f"{folder}/store", 2)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2)
    results = {
        "train": train(rank),
        "exact": exact_step(clips(rank)),
        "codebook": codebook_step(rank),
    }
    torch.save(results, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[State]:
    """What each of the two processes has come to."""
    folder = tmp_path_factory.mktemp("ranks")
    mp.spawn(worker, args=(str(folder),), nprocs=2)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def leaves(value: Any, name: str = "") -> dict[str, Any]:
    """Nested dicts and lists as one, by path."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {k: v for key, part in items for k, v in leaves(part, f"{name}/{key}").items()}
    return {name: value}


def test_after_training_both_hold_the_same(ranks: list[State]) -> None:
    first, second = (leaves(rank["train"]) for rank in ranks)
    assert first.keys() == second.keys()
    for name, value in first.items():
        if isinstance(value, Tensor):
            assert torch.equal(value, second[name]), name
        else:
            assert value == second[name], name


def test_they_did_train(ranks: list[State]) -> None:
    state = ranks[0]["train"]
    torch.manual_seed(0)
    untrained = EncodecModel(CONFIG)
    # A filter of one number has no direction to turn in: what moves it is rounding.
    free = {
        name: p
        for name, p in untrained.named_parameters()
        if not name.endswith("weight_v") or p[0].numel() > 1
    }
    moved = [n for n, p in free.items() if not torch.equal(p, state["model"][n])]
    assert len(moved) == len(free)
    assert len(state["gradients"]) == len(list(untrained.parameters()))
    for layer in range(CODEBOOKS):
        prefix = f"quantizer.vq.layers.{layer}._codebook."
        assert state["model"][prefix + "inited"] == 1
        assert len(state["model"][prefix + "embed"].unique(dim=0)) > CONFIG.bins / 2
    assert set(state["balancer"]["sums"]) == {"time", "mel", "adversarial", "feature"}
    assert all(slot["step"] == 2 for slot in state["adversary"]["optimizer"]["state"].values())


@pytest.mark.usefixtures("one_thread")
def test_two_halves_of_a_batch_are_as_good_as_the_whole(ranks: list[State]) -> None:
    whole = exact_step(torch.cat([clips(0), clips(1)]))
    halves = [rank["exact"] for rank in ranks]
    codes = torch.cat([half["codes"] for half in halves], dim=1)
    assert torch.equal(codes, whole["codes"])
    assert len(codes.unique()) > CONFIG.bins / 2
    for part in ("codebooks", "gradients", "adversary"):
        assert whole[part].keys() == halves[0][part].keys()
        largest = max(float(expected.abs().max()) for expected in whole[part].values())
        for name, expected in whole[part].items():
            first, second = (half[part][name] for half in halves)
            assert torch.equal(first, second), name
            # Some gradients are sums that cancel out: what is left of those is rounding.
            atol = max(1e-5 * largest, 5e-7)
            torch.testing.assert_close(first, expected, rtol=1e-3, atol=atol)


def test_codebooks_start_from_the_first_process(ranks: list[State]) -> None:
    first, second = (rank["codebook"]["started"] for rank in ranks)
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
    assert first["inited"] == 1
    assert first["embed"].abs().max() < FAR / 10


def test_a_dead_entry_moves_onto_the_same_sample_on_both(ranks: list[State]) -> None:
    first, second = (rank["codebook"]["after"] for rank in ranks)
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
    samples = ranks[0]["codebook"]["samples"]
    assert (samples - first["embed"][0]).norm(dim=1).min() < 1e-2
    # the other process's samples count as well: all are far away and pull what they are coded as
    assert first["embed"][1:].norm(dim=1).max() > 2
