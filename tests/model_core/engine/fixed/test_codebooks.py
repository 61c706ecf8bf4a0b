"""The quantiser of the engine is that of `nn`."""

import torch

from model_core.engine.fixed.codebooks import Codebooks
from tests.model_core.engine.narrow import narrow_model


def test_the_search_is_that_of_the_network() -> None:
    """In float64 every code, with as many books as are asked for."""
    model = narrow_model("encodec_24khz", torch.float64)
    latent = torch.randn(3, model.config.dimension, 50, dtype=torch.float64)
    codebooks = Codebooks(model)
    for count in (1, 8, model.config.num_codebooks):
        expected = model.quantizer.encode_with(latent, count).transpose(0, 1)
        assert torch.equal(codebooks.search(latent, count), expected)


def test_of_equal_entries_the_first_is_found() -> None:
    model = narrow_model("encodec_24khz")
    embed = model.quantizer.codebooks[0].codebook.embed
    embed[700] = embed[30]
    assert Codebooks(model).search(embed[700][None, :, None], 1).item() == 30


def test_the_look_up_is_that_of_the_network_for_any_number_of_books() -> None:
    model = narrow_model("encodec_24khz")
    books = model.config.num_codebooks
    codes = torch.randint(0, model.config.bins, (4, books, 20))
    counts = torch.tensor([1, 2, 8, books])
    found = Codebooks(model).look_up(codes, counts)
    for row, count in enumerate(counts):
        expected = model.quantizer.decode(codes[row, :count, None])[0]
        assert torch.equal(found[row], expected)
