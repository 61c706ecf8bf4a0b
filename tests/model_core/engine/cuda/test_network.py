"""Codebooks as in `nn`; decoding in bfloat16 near float32, in operations that a GPU has too."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from model_core.engine import EngineOptions
from model_core.engine.cuda import CudaEngine, network
from model_core.engine.cuda.network import Codebooks
from model_core.model import load_model
from tests.model_core.engine.narrow import decode_items, encode_items, narrow_model, streams_of
from tests.peers import NAMES


def test_the_search_is_that_of_the_network() -> None:
    """In float64 every code, with as many books as are asked for."""
    model = narrow_model("encodec_24khz", torch.float64)
    latent = torch.randn(3, model.config.dimension, 50, dtype=torch.float64)
    codebooks = Codebooks(model)
    for count in (1, 8, model.config.num_codebooks):
        expected = model.quantizer.encode_with(latent, count).transpose(0, 1)
        assert torch.equal(codebooks.search(latent, count), expected)


def test_a_beam_is_that_of_the_network_for_any_number_of_books_in_a_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In float64 every code, in one piece and in several."""
    model = narrow_model("encodec_24khz", torch.float64)
    latent = torch.randn(4, model.config.dimension, 20, dtype=torch.float64)
    codebooks, books = Codebooks(model), torch.tensor([1, 2, 8, 5])
    for most in (network._PATHS, 20 * 8):
        monkeypatch.setattr(network, "_PATHS", most)
        for beam in (4, 8):
            found = codebooks.search_paths(latent, books, 8, beam)
            for row, count in enumerate(books.tolist()):
                expected = model.quantizer.encode_with(latent[row : row + 1], count, beam)
                assert torch.equal(found[row, :count], expected[:, 0])
                assert not found[row, count:].any()


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


# The CPU mixes types where CUDA raises an error: in what multiplies, and in norms.
_OF_ONE_TYPE = ("conv", "group_norm", "mm", "lstm", "linear")


class _OneType(TorchDispatchMode):
    """Notes operations that are given floating-point tensors of several types."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.mixed: list[str] = []
        self.seen: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = func.name().split("::")[-1].split(".")[0]
        if any(part in name for part in _OF_ONE_TYPE):
            self.seen.add(name)
            kinds = {
                x.dtype
                for x in tree_leaves(args)
                if isinstance(x, Tensor) and x.is_floating_point()
            }
            if len(kinds) > 1:
                self.mixed.append(f"{name}: {kinds}")
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seconds", [1.0, 0.9], ids=["whole", "short"])
def test_bfloat16_is_near_float32(name: str, seconds: float) -> None:
    model = load_model(name, "bundled")
    exact = CudaEngine(model, "cpu", EngineOptions(max_batch=1))
    rounded = CudaEngine(model, "cpu", EngineOptions(max_batch=1, precision="bfloat16"))
    stream = streams_of(model, [round(seconds * model.sample_rate)])[0]
    blocks = exact.encode(encode_items(exact, stream, 8))
    np.testing.assert_array_equal(
        rounded.encode(encode_items(rounded, stream, 8))[0].codes, blocks[0].codes
    )
    expected, audio = (e.decode(decode_items(e, blocks))[0] for e in (exact, rounded))
    noise = np.square(audio - expected).mean() / np.square(expected).mean()
    assert 0 < noise < 10**-3.5


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seconds", [1.0, 0.9], ids=["whole", "short"])
def test_bfloat16_is_never_multiplied_with_float32(name: str, seconds: float) -> None:
    model = narrow_model(name)
    engine = CudaEngine(model, "cpu", EngineOptions(max_batch=1, precision="bfloat16"))
    stream = streams_of(model, [round(seconds * model.sample_rate)])[0]
    blocks = engine.encode(encode_items(engine, stream, 8))
    with _OneType() as watching:
        engine.decode(decode_items(engine, blocks))
    assert any("conv" in name for name in watching.seen)
    assert not watching.mixed
