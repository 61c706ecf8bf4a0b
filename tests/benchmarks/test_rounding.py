"""Rounded multiplication: the numbers of TF32 and bfloat16, in a model that stays a model."""

from dataclasses import replace

import torch

from benchmarks.rounding import TF32_BITS, round_mantissa, rounded
from model_core.config import ENCODEC_24KHZ
from model_core.model import EncodecModel


def test_seven_bits_are_bfloat16() -> None:
    x = torch.randn(10_000, generator=torch.Generator().manual_seed(0)) * 1e3
    x[:4] = torch.tensor([0.0, -0.0, 1 + 2**-8, 1 + 3 * 2**-8])  # the last two are ties
    assert torch.equal(round_mantissa(x, 7), x.bfloat16().float())


def test_ten_bits_are_half_precision_where_that_has_the_range() -> None:
    x = torch.rand(10_000, generator=torch.Generator().manual_seed(1)) + 0.01
    assert torch.equal(round_mantissa(x, TF32_BITS), x.half().float())


def _narrow() -> EncodecModel:
    torch.manual_seed(3)
    model = EncodecModel(replace(ENCODEC_24KHZ, n_filters=4, dimension=16)).eval()
    for book in model.quantizer.codebooks:
        torch.nn.init.normal_(book.codebook.embed)
    return model


@torch.inference_mode()
def test_more_bits_are_nearer_to_the_unrounded_model() -> None:
    model = _narrow()
    x = torch.randn(1, 1, 6400, generator=torch.Generator().manual_seed(2))
    expected = model.encoder(x)
    errors = [(rounded(model, bits).encoder(x) - expected).norm() for bits in (7, 10, 22)]
    size = expected.norm()
    assert errors[0] > 4 * errors[1] > 0
    assert errors[1] > 4 * errors[2]
    assert errors[2] < 1e-6 * size
