"""How codebooks learn. Where the reference does something else, a test shows that it does."""

from itertools import pairwise
from typing import Any, TypeVar

import encodec.quantization
import pytest
import torch
from encodec.quantization.core_vq import EuclideanCodebook as ReferenceCodebook
from torch import Tensor, nn

from model_core.nn.rvq import EuclideanCodebook, ResidualVectorQuantizer, nearest
from model_core.training.codec.codebooks import (
    DEAD_BELOW,
    CodebookLearning,
    average_decay,
    dead_code_threshold,
    kmeans,
    loudness_weights,
    rebuild_average,
    replace,
    sample_vectors,
    start,
    update,
)

Codebook = TypeVar("Codebook", EuclideanCodebook, ReferenceCodebook)
Quantizer = ResidualVectorQuantizer | encodec.quantization.ResidualVectorQuantizer
DIM, BINS, LAYERS = 8, 16, 4
FAR = 1e3


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(7)


def filled(codebook: Codebook, embed: Tensor, size: float) -> Codebook:
    """A codebook in training with these entries, each with `size` samples behind it."""
    codebook.get_buffer("embed").copy_(embed)
    codebook.get_buffer("embed_avg").copy_(embed * size)
    codebook.get_buffer("cluster_size").fill_(size)
    codebook.get_buffer("inited").fill_(1)
    return codebook.train()


def learn(codebook: nn.Module, samples: Tensor, dead_below: float = DEAD_BELOW) -> None:
    """One training step of either implementation."""
    if isinstance(codebook, EuclideanCodebook):
        update(codebook, samples, codebook.encode(samples), dead_below)
    else:
        codebook(samples)


def far_entries_after_a_step(codebook: Codebook) -> int:
    """Half of the entries are used by nobody; how many stay far away from every sample?"""
    samples = torch.randn(200, DIM)
    embed = torch.cat([samples[: BINS // 2], FAR + torch.randn(BINS // 2, DIM)])
    filled(codebook, embed, 10.0)
    codebook.get_buffer("cluster_size")[BINS // 2 :] = 0.5
    codebook.get_buffer("embed_avg")[BINS // 2 :] = embed[BINS // 2 :] * 0.5
    learn(codebook, samples)
    return int((torch.cdist(codebook.get_buffer("embed"), samples).amin(dim=1) > FAR / 2).sum())


def test_a_dead_entry_moves_onto_a_sample_and_stays() -> None:
    codebook = EuclideanCodebook(DIM, BINS)
    assert far_entries_after_a_step(codebook) == 0
    assert (codebook.cluster_size >= DEAD_BELOW * 0.99).all()
    samples = torch.randn(400, DIM)
    learn(codebook, samples)
    assert torch.cdist(codebook.embed, samples).amin(dim=1).max() < 10
    assert len(codebook.encode(samples).unique()) > BINS // 2  # the replaced ones are used


def test_the_reference_forgets_its_replacements() -> None:
    """So the test above would fail on it: it replaces, then overwrites by the old average."""
    assert far_entries_after_a_step(ReferenceCodebook(DIM, BINS)) == BINS // 2


def test_moving_average_is_the_references() -> None:
    samples = torch.randn(500, DIM)
    embed = torch.randn(BINS, DIM)
    ours = filled(EuclideanCodebook(DIM, BINS), embed, 30.0)
    theirs = filled(ReferenceCodebook(DIM, BINS), embed, 30.0)
    for _ in range(3):
        learn(ours, samples)
        learn(theirs, samples)
    for name in ("embed", "embed_avg", "cluster_size"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name))
    assert (ours.embed - embed).norm(dim=1).median() > 1e-3


def test_entries_move_towards_their_samples() -> None:
    centre = torch.randn(DIM)
    samples = centre + 0.01 * torch.randn(300, DIM)
    embed = torch.cat([torch.zeros(1, DIM), torch.full((BINS - 1, DIM), FAR)])
    codebook = filled(EuclideanCodebook(DIM, BINS), embed, 3.0)
    before = (codebook.embed[0] - centre).norm()
    update(codebook, samples, torch.zeros(300, dtype=torch.long))
    after = (codebook.embed[0] - centre).norm()
    # 0.99 · 3 samples at 0 and 0.01 · 300 at the centre: about half of the way
    torch.testing.assert_close(after / before, torch.tensor(0.4975), rtol=0.01, atol=0)


def test_first_batch_starts_the_codebooks_by_kmeans() -> None:
    quantizer = ResidualVectorQuantizer(DIM, LAYERS, BINS)
    learning, latent = CodebookLearning(quantizer), torch.randn(2, DIM, 100)
    quantizer.eval()
    learning(latent)
    assert not any(layer.codebook.inited for layer in quantizer.codebooks)
    quantizer.train()
    learning(latent)
    assert all(layer.codebook.inited for layer in quantizer.codebooks)
    errors = [
        (latent - quantizer.decode(quantizer.encode_with(latent, count))).square().mean()
        for count in range(1, LAYERS + 1)
    ]
    assert latent.square().mean() > errors[0]
    assert all(a > b for a, b in pairwise(errors))


def test_kmeans_ends_where_each_centre_is_the_mean_of_its_samples() -> None:
    samples = torch.randn(300, 3, dtype=torch.float64)
    centres, counts = kmeans(samples, BINS, 100)
    index = nearest(samples, centres)
    assert torch.equal(torch.bincount(index, minlength=BINS), counts)
    for cluster in range(BINS):
        torch.testing.assert_close(centres[cluster], samples[index == cluster].mean(dim=0))


def test_kmeans_weighs_its_samples() -> None:
    samples = torch.randn(300, 3, dtype=torch.float64)
    weights = torch.rand(300, dtype=torch.float64)
    centres, sizes = kmeans(samples, BINS, 100, weights)
    index = nearest(samples, centres)
    for cluster in range(BINS):
        mine = weights[index == cluster]
        mean = (samples[index == cluster] * mine[:, None]).sum(dim=0) / mine.sum()
        torch.testing.assert_close(centres[cluster], mean)
        torch.testing.assert_close(sizes[cluster], mine.sum())


def test_quiet_latents_have_entries_of_their_own() -> None:
    """Fitted to as many loud as quiet latents, a codebook leaves less of the quiet ones."""
    quiet, loud = 0.01 * torch.randn(2000, DIM), torch.randn(2000, DIM)
    samples = torch.cat([quiet, loud])
    weights = loudness_weights(samples)
    assert weights.mean() == pytest.approx(1)
    assert weights[:2000].min() > 3 * weights[2000:].median()
    left = []
    for weight in (None, weights):
        torch.manual_seed(1)
        centres, _ = kmeans(samples, BINS, 30, weight)
        left.append((quiet - centres[nearest(quiet, centres)]).square().mean())
    assert left[1] < left[0]


def test_small_steps_average_over_more_of_them() -> None:
    assert average_decay(vectors=4800, bins=1024) == 0.99, "the paper's"
    few = average_decay(vectors=150, bins=1024)
    assert 150 / 1024 / (1 - few) == pytest.approx(50), "vectors for each entry"
    codebook = filled(EuclideanCodebook(DIM, 1), torch.zeros(1, DIM), 1.0)
    update(codebook, torch.ones(10, DIM), torch.zeros(10, dtype=torch.long), 0.0, decay=0.9)
    assert float(codebook.cluster_size) == pytest.approx(0.9 * 1 + 0.1 * 10)


def _layers(quantizer: Quantizer) -> list[Any]:
    """Its vector quantisers, which torch's types know as modules only."""
    return list(quantizer.vq.get_submodule("layers").children())


def trained_once(quantizer: Quantizer, latent: Tensor) -> tuple[Tensor, Tensor]:
    """Fill the codebooks, then one training pass: `(gradient of the penalty, codes)`."""
    for layer in _layers(quantizer):
        filled(layer._codebook, 0.5 * torch.randn(BINS, DIM), 1e6)  # heavy: they hardly move
    latent = latent.clone().requires_grad_()
    quantizer.train()
    if isinstance(quantizer, ResidualVectorQuantizer):
        result = CodebookLearning(quantizer)(latent)
    else:
        result = quantizer(latent, 75)
    (gradient,) = torch.autograd.grad(result.penalty, latent)
    return gradient, result.codes


def commitment_gradients(quantizer: Quantizer, latent: Tensor, codes: Tensor) -> list[Tensor]:
    """What each layer's loss, the mean square of what it leaves over, adds to the gradient."""
    residual, out = latent, []
    for layer, index in zip(_layers(quantizer), codes, strict=True):
        residual = residual - layer.decode(index)
        out.append(2 * residual / residual.numel() / len(codes))
    return out


def test_every_layers_commitment_reaches_the_encoder() -> None:
    quantizer = ResidualVectorQuantizer(DIM, LAYERS, BINS)
    latent = torch.randn(2, DIM, 30)
    gradient, codes = trained_once(quantizer, latent)
    expected = commitment_gradients(quantizer, latent, codes)
    torch.testing.assert_close(gradient, torch.stack(expected).sum(dim=0), rtol=1e-3, atol=1e-7)


def test_in_the_reference_only_the_first_layers_does() -> None:
    """So the test above would fail on it."""
    quantizer = encodec.quantization.ResidualVectorQuantizer(DIM, LAYERS, BINS)
    latent = torch.randn(2, DIM, 30)
    gradient, codes = trained_once(quantizer, latent)
    first = commitment_gradients(quantizer, latent, codes)[0]
    torch.testing.assert_close(gradient, first, rtol=1e-3, atol=1e-7)


def test_gradient_passes_straight_through() -> None:
    quantizer = ResidualVectorQuantizer(DIM, LAYERS, BINS)
    latent = torch.randn(2, DIM, 50, requires_grad=True)
    weight = torch.randn(2, DIM, 50)
    result = CodebookLearning(quantizer.train())(latent)
    (result.latent * weight).sum().backward()
    torch.testing.assert_close(latent.grad, weight)


def test_a_training_pass_reports_what_it_coded() -> None:
    quantizer = ResidualVectorQuantizer(DIM, 8, 1024).train()
    learning, latent = CodebookLearning(quantizer), torch.randn(1, DIM, 40)
    learning(latent)
    for layer in quantizer.codebooks:
        layer.codebook.cluster_size.fill_(1e6)
        layer.codebook.embed_avg.copy_(layer.codebook.embed * 1e6)
    result = learning(latent, 2)
    assert result.codes.shape == (2, 1, 40)
    torch.testing.assert_close(result.latent, quantizer.decode(result.codes), rtol=1e-3, atol=1e-4)


def test_under_autocast_the_choices_are_those_of_float32() -> None:
    quantizer = ResidualVectorQuantizer(32, LAYERS, 256)
    learning, latent = CodebookLearning(quantizer.train()), torch.randn(4, 32, 200)
    learning(latent)
    quantizer.eval()
    expected = learning(latent)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = learning(latent)
        rounded = learning(latent.bfloat16())
    assert torch.equal(result.codes, expected.codes)
    assert torch.equal(result.latent, expected.latent)
    assert torch.equal(rounded.codes, learning(latent.bfloat16().float()).codes)
    assert rounded.latent.dtype == torch.float32


def test_the_generator_alone_decides_what_is_drawn() -> None:
    samples = torch.arange(50.0)[:, None]
    for count in (20, 80):
        drawn = []
        for seed in (1, 1, 2):
            torch.manual_seed(seed)
            drawn.append(sample_vectors(samples, count))
        assert drawn[0].shape == (count, 1)
        assert torch.equal(drawn[0], drawn[1])
        assert not torch.equal(drawn[0], drawn[2])
    assert len(sample_vectors(samples, 50).unique()) == 50  # enough: none is taken twice


def test_dead_codes_are_judged_by_their_fair_share() -> None:
    assert dead_code_threshold(450, 1024) == pytest.approx(0.1 * 450 / 1024)
    assert dead_code_threshold(1024, 1024, share=0.5) == 0.5
    assert dead_code_threshold(1e6, 1024) == 2  # the reference's


def test_small_batches_keep_the_entries_that_are_used() -> None:
    """At the reference's threshold of 2 all of them would be replaced at every step."""
    samples = torch.randn(BINS // 2, DIM)
    embed = torch.cat([samples, FAR + torch.randn(BINS // 2, DIM)])
    codebook = EuclideanCodebook(DIM, BINS)
    filled(codebook, embed, 1.0)
    codebook.cluster_size[BINS // 2 :] = 0
    codebook.embed_avg[BINS // 2 :] = 0
    for _ in range(3):
        learn(codebook, samples, dead_code_threshold(len(samples), BINS))
    torch.testing.assert_close(codebook.embed[: BINS // 2], samples, rtol=1e-3, atol=1e-3)
    assert torch.cdist(codebook.embed, samples).amin(dim=1).max() < 1  # the others came over


def test_sums_are_rebuilt_from_entries_and_sizes() -> None:
    codebook = EuclideanCodebook(DIM, BINS)
    samples = torch.randn(300, DIM)
    start(codebook, samples)
    learn(codebook, samples)
    kept = codebook.embed_avg.clone()
    codebook.embed_avg.zero_()
    rebuild_average(codebook)
    torch.testing.assert_close(codebook.embed_avg, kept)


def test_replacing_no_entry_changes_nothing() -> None:
    """A device does so at every step: whether any entry is dead it is not asked."""
    codebook = EuclideanCodebook(DIM, BINS)
    samples = torch.randn(300, DIM)
    start(codebook, samples)
    before = {name: b.clone() for name, b in codebook.named_buffers()}
    replace(codebook, torch.zeros(BINS, dtype=torch.bool), samples, DEAD_BELOW)
    assert all(torch.equal(b, before[name]) for name, b in codebook.named_buffers())


def test_a_state_from_before_the_start_is_started_again() -> None:
    quantizer, fresh = (ResidualVectorQuantizer(DIM, 1, BINS) for _ in range(2))
    codebook = quantizer.codebooks[0].codebook
    CodebookLearning(quantizer).start(codebook, torch.randn(300, DIM))
    quantizer.load_state_dict(fresh.state_dict())
    learning = CodebookLearning(quantizer)
    learning.start(codebook, FAR + torch.randn(300, DIM))
    assert codebook.embed.min() > FAR / 2
    learning.start(codebook, torch.randn(300, DIM))  # it has entries now
    assert codebook.embed.min() > FAR / 2
