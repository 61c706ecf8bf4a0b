"""What is trained is what codes: whole sequences at once give the probabilities of single steps."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from model_core.nn.lm import LMModel
from model_core.training.lm.data import IGNORED, LMBatch
from model_core.training.lm.loss import linear_bits
from model_core.training.lm.network import LMNetwork

BOOKS, CARD, STEPS = 3, 32, 50


def _network(depth: bool = False) -> LMNetwork:
    torch.manual_seed(0)
    lm = LMModel(BOOKS, CARD, dim=16, num_layers=2, past_context=20, depth=depth)
    network = LMNetwork(lm, torch.randn(BOOKS, CARD, 8), torch.rand(BOOKS, CARD))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return network.eval()


def _inputs(codebooks: int) -> Tensor:
    inputs = torch.randint(1, CARD + 1, (2, codebooks, STEPS))
    inputs[:, :, 0] = 0
    return inputs


@pytest.mark.parametrize("codebooks", [1, BOOKS])
@pytest.mark.parametrize("depth", [False, True])
def test_a_sequence_equals_its_steps(depth: bool, codebooks: int, no_grad: None) -> None:
    network = _network(depth)
    lm, inputs = network.merged(), _inputs(codebooks)
    codes = torch.randint(0, CARD, inputs.shape)
    states, offset = None, 0
    steps = []
    for t in range(STEPS):
        frame = slice(t, t + 1)
        probabilities, states, offset = lm(inputs[..., frame], states, offset, codes[..., frame])
        steps.append(probabilities)
    expected = torch.cat(steps, dim=-1).permute(0, 3, 2, 1)
    logits = network(inputs, torch.zeros(2, dtype=torch.long), codes)
    assert expected.max() > 0.2
    torch.testing.assert_close(logits.softmax(dim=-1), expected, rtol=0, atol=1e-5)
    cost = F.cross_entropy(logits.flatten(0, 2), codes.permute(0, 2, 1).flatten()) / math.log(2)
    mean, _ = network.bits(LMBatch(6.0, inputs, codes, torch.zeros(2, dtype=torch.long)))
    torch.testing.assert_close(mean, cost)


def test_what_lies_past_the_end_of_a_stream_does_not_count(no_grad: None) -> None:
    network, inputs = _network(depth=True), _inputs(BOOKS)
    codes = torch.randint(0, CARD, inputs.shape)
    codes[1, :, 30:] = IGNORED
    mean, bits = network.bits(LMBatch(6.0, inputs, codes, torch.zeros(2, dtype=torch.long)))
    assert (bits[1, 30:] == 0).all()
    torch.testing.assert_close(mean, bits.sum() / (BOOKS * (STEPS + 30)))


@pytest.mark.parametrize(("before", "after"), [(False, False), (False, True), (True, True)])
def test_a_start_from_finished_weights_changes_nothing(
    before: bool, after: bool, no_grad: None
) -> None:
    lm = _network(before).merged()
    for layer in lm.transformer.layers:
        layer.get_parameter("norm2.weight").mul_(torch.rand(16) + 0.5)
    network = _network(after)
    network.start_from(lm)
    inputs = _inputs(BOOKS)
    codes = torch.randint(0, CARD, inputs.shape)
    expected = lm.logits(inputs, codes=codes)[0]
    found = network.merged().logits(inputs, codes=codes)[0]
    assert expected.std() > 0.5
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
    for k in range(BOOKS):
        tied = network.entries[k] @ network.outward[k]
        assert tied.square().mean() > 0.05 * lm.linears[k].get_parameter("weight").square().mean()


def test_from_the_middle_no_start_is_seen(no_grad: None) -> None:
    network = _network()
    lm, inputs = network.merged(), _inputs(BOOKS)
    nothing = [torch.zeros(2, 0, 16) for _ in range(2)]
    expected = lm.logits(inputs, nothing, 700)[0].permute(0, 3, 2, 1)
    found = network(inputs, torch.full((2,), 700))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    assert not torch.allclose(network(inputs, torch.zeros(2, dtype=torch.long)), expected, atol=0.1)


@pytest.mark.parametrize("inputs", ["n", "k n"])
def test_bits_are_the_cross_entropy_and_so_is_their_gradient(inputs: str) -> None:
    """With one input for all codebooks and with one for each."""
    torch.manual_seed(1)
    x = torch.randn(7, 5) if inputs == "n" else torch.randn(BOOKS, 7, 5)
    weight, bias = torch.randn(BOOKS, CARD, 5), torch.randn(BOOKS, CARD)
    targets = torch.randint(0, CARD, (7, BOOKS))
    targets[4:, 1] = -1
    leaves = [t.requires_grad_() for t in (x, weight, bias)]
    logits = torch.einsum(f"{inputs} d,kcd->nkc".replace(" ", ""), x, weight) + bias
    plain = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1)
    expected = torch.autograd.grad(3 * plain / math.log(2), leaves)
    mean, bits = linear_bits(x, weight, bias, targets)
    found = torch.autograd.grad(3 * mean, leaves)
    torch.testing.assert_close(mean, plain / math.log(2))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
    assert (bits[4:, 1] == 0).all()
    torch.testing.assert_close(bits.sum() / (targets >= 0).sum(), mean)


def test_predictions_start_from_how_often_codes_occur(no_grad: None) -> None:
    torch.manual_seed(0)
    counts = torch.tensor([[90.0, *[1.0] * (CARD - 1)]] * BOOKS)
    lm = LMModel(BOOKS, CARD, dim=16, num_layers=1)
    network = LMNetwork(lm, 1e-3 * torch.randn(BOOKS, CARD, 8), counts).eval()
    network.outward.zero_()
    first = network(_inputs(BOOKS), torch.zeros(2, dtype=torch.long)).softmax(dim=-1)[..., 0]
    torch.testing.assert_close(first, torch.full_like(first, 90.5 / (121 + CARD / 2)))
