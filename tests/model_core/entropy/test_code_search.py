"""Codes that are searched by error and bits: every build finds what float64 does."""

import numpy as np
import pytest
import torch

from model_core.config import LMConfig
from model_core.engine.native.library import BUILDS, find_library
from model_core.entropy import CodeSearch, ExactLM
from model_core.entropy.quantize import quantize
from model_core.nn.rvq import beam_search
from tests.model_core.entropy.models import state_of, weights

PLAIN = LMConfig("encodec_24khz", 64, 2)
DEPTH = LMConfig("encodec_24khz", 32, 2, depth=True)
STEREO = LMConfig("encodec_48khz", 16, 1, depth=True)
DIMENSION = 20  # no whole number of vectors


def builds() -> list[str]:
    found = [build for build in BUILDS if find_library(build) is not None]
    assert found or pytest.skip("there is no native library")
    return found


def entries_of(config: LMConfig) -> np.ndarray:
    """Codebooks of a residual quantiser: each half as large as the one before."""
    shape = config.num_codebooks, config.bins, DIMENSION
    scales: np.ndarray = 0.5 ** np.arange(config.num_codebooks, dtype=np.float32)
    return weights(shape, 5, 1.0) * scales[:, None, None]


def latents_of(*frames: int) -> list[np.ndarray]:
    """One chunk each, some frames louder than others."""
    return [
        weights((DIMENSION, count), 90 + seed, 2.0) * np.linspace(0.1, 1, count, dtype=np.float32)
        for seed, count in enumerate(frames)
    ]


def search_of(config: LMConfig, build: str | None = None) -> tuple[ExactLM, CodeSearch]:
    lm = ExactLM(quantize(state_of(config), config), build)
    return lm, CodeSearch(lm, entries_of(config))


@pytest.mark.parametrize("config", [PLAIN, DEPTH, STEREO], ids=["plain", "depth head", "48 kHz"])
@pytest.mark.parametrize("rate", [0.0, 0.05, 1.0])
def test_every_build_finds_what_float64_does(config: LMConfig, rate: float) -> None:
    latents = latents_of(9, 14)
    _, in_torch = search_of(config, "torch")
    for books, beam in ((4, 4), (1, 3), (3, 2)):
        expected = in_torch.find(latents, books, beam, rate)
        for build in builds():
            found = search_of(config, build)[1].find(latents, books, beam, rate)
            for codes, wanted in zip(found, expected, strict=True):
                np.testing.assert_array_equal(codes, wanted, err_msg=build)


@pytest.mark.parametrize("config", [PLAIN, DEPTH], ids=["plain", "depth head"])
def test_where_bits_cost_nothing_it_is_the_beam(config: LMConfig) -> None:
    (latent,) = latents_of(30)
    codebooks = [torch.from_numpy(book).double() for book in entries_of(config)[:5]]
    expected = beam_search(torch.from_numpy(latent.T).double(), codebooks, 8).numpy()
    for build in ("torch", *builds()):
        (codes,) = search_of(config, build)[1].find([latent], 5, 8, rate=0.0)
        np.testing.assert_array_equal(codes, expected, err_msg=build)


@pytest.mark.parametrize("config", [PLAIN, DEPTH], ids=["plain", "depth head"])
def test_the_more_bits_cost_the_fewer_there_are(config: LMConfig) -> None:
    lm, search = search_of(config)
    latents = latents_of(60, 60)
    entries = entries_of(config)
    sizes, errors = [], []
    for rate in (0.0, 0.02, 0.05, 0.2, 1.0):
        found = search.find(latents, 4, 8, rate)
        sizes.append(sum(map(len, lm.encode(found))))
        errors.append(
            sum(
                float(np.square(latent - sum(entries[k][codes[k]] for k in range(4)).T).sum())
                for latent, codes in zip(latents, found, strict=True)
            )
        )
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < 0.9 * sizes[0]
    assert errors == sorted(errors)


@pytest.mark.parametrize("config", [PLAIN, DEPTH], ids=["plain", "depth head"])
def test_company_and_threads_change_no_code(config: LMConfig) -> None:
    _, search = search_of(config)
    latents = latents_of(20, 1, 33, 20, 7, 41, 12, 3, 28, 5)
    alone = [search.find([latent], 4, 8)[0] for latent in latents]
    for threads in (1, 2, 5):
        together = search.find(latents, 4, 8, threads=threads)
        for codes, expected in zip(together, alone, strict=True):
            np.testing.assert_array_equal(codes, expected)


def test_latents_that_are_not_finite_have_codes() -> None:
    latents = [
        np.full((DIMENSION, 3), value, np.float32) for value in (np.nan, np.inf, 3e38, -3e38)
    ]
    for build in ("torch", *builds()):
        for config in (PLAIN, DEPTH):
            _, search = search_of(config, build)
            for codes in search.find(latents, 3, 4):
                assert ((codes >= 0) & (codes < config.bins)).all()


def test_silence_costs_nothing() -> None:
    """Where there is no error to compare with, bits have no price."""
    lm, search = search_of(PLAIN)
    entries = entries_of(PLAIN).copy()
    entries[:, 7] = 0
    search = CodeSearch(lm, entries)
    (codes,) = search.find([np.zeros((DIMENSION, 4), np.float32)], 3, 4)
    assert (codes == 7).all()


def test_what_cannot_be_searched_is_refused() -> None:
    lm, search = search_of(PLAIN)
    (latent,) = latents_of(4)
    assert search.find([], 3, 4) == []
    for latents, books, beam, rate in (
        ([latent[1:]], 3, 4, 0.1),
        ([latent[:, :0]], 3, 4, 0.1),
        ([np.zeros((DIMENSION, 1025), np.float32)], 3, 4, 0.1),
        ([latent], 33, 4, 0.1),
        ([latent], 0, 4, 0.1),
        ([latent], 3, 1, 0.1),
        ([latent], 3, 4, -0.1),
    ):
        with pytest.raises(ValueError, match=r"latents are|a chunk has|there is no search"):
            search.find(latents, books, beam, rate)
    with pytest.raises(ValueError, match="no codes of codebooks"):
        CodeSearch(lm, entries_of(STEREO))
