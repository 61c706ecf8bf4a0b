"""What is trained is what codes: whole sequences at once give the probabilities of single steps."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from model_core.nn.lm import LMModel
from model_core.training.lm.loss import linear_bits
from model_core.training.lm.network import LMNetwork

BOOKS, CARD, STEPS = 3, 32, 50


def _network() -> LMNetwork:
    torch.manual_seed(0)
    lm = LMModel(BOOKS, CARD, dim=16, num_layers=2, past_context=20)
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
def test_a_sequence_equals_its_steps(codebooks: int, no_grad: None) -> None:
    network = _network()
    lm, inputs = network.merged(), _inputs(codebooks)
    states, offset = None, 0
    steps = []
    for t in range(STEPS):
        probabilities, states, offset = lm(inputs[:, :, t : t + 1], states, offset)
        steps.append(probabilities)
    expected = torch.cat(steps, dim=-1).permute(0, 3, 2, 1)
    whole = network(inputs, torch.zeros(2, dtype=torch.long)).softmax(dim=-1)
    assert expected.max() > 0.2
    torch.testing.assert_close(whole, expected, rtol=0, atol=1e-5)


def test_from_the_middle_no_start_is_seen(no_grad: None) -> None:
    network = _network()
    lm, inputs = network.merged(), _inputs(BOOKS)
    nothing = [torch.zeros(2, 0, 16) for _ in range(2)]
    expected = lm.logits(inputs, nothing, 700)[0].permute(0, 3, 2, 1)
    found = network(inputs, torch.full((2,), 700))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    assert not torch.allclose(network(inputs, torch.zeros(2, dtype=torch.long)), expected, atol=0.1)


def test_bits_are_the_cross_entropy_and_so_is_their_gradient() -> None:
    torch.manual_seed(1)
    x, weight, bias = torch.randn(7, 5), torch.randn(BOOKS, CARD, 5), torch.randn(BOOKS, CARD)
    targets = torch.randint(0, CARD, (7, BOOKS))
    targets[4:, 1] = -1
    leaves = [t.requires_grad_() for t in (x, weight, bias)]
    logits = torch.einsum("nd,kcd->nkc", x, weight) + bias
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
