"""The residual quantiser without training: the reference's choices and sums."""

import encodec.quantization
import pytest
import torch

from model_core.nn.rvq import ResidualVectorQuantizer, beam_search, nearest
from tests.peers import NAMES, Peers

pytestmark = pytest.mark.usefixtures("one_thread", "no_grad")


@pytest.mark.parametrize("bandwidth", [None, 0, 0.5, 1.5, 3, 6, 12, 24])
@pytest.mark.parametrize("name", NAMES)
def test_codes_and_sums_of_any_latent(peers: Peers, name: str, bandwidth: float | None) -> None:
    pair = peers.pair(name)
    ours, theirs = pair.ours.quantizer, pair.reference.quantizer
    rate = pair.ours.frame_rate
    latent = torch.randn(2, 128, 9, generator=torch.Generator().manual_seed(5))
    codes = theirs.encode(latent, rate, bandwidth)
    assert torch.equal(ours.encode(latent, rate, bandwidth), codes)
    assert torch.equal(ours.decode(codes), theirs.decode(codes))
    assert len(codes) == ours.get_num_quantizers_for_bandwidth(rate, bandwidth)


@pytest.mark.parametrize("bandwidth", [None, 0, 1e-3, 0.75, 1.5, 2.9, 6, 24])
def test_codebooks_that_fit_a_bandwidth(bandwidth: float | None) -> None:
    ours = ResidualVectorQuantizer(n_q=32)
    theirs = encodec.quantization.ResidualVectorQuantizer(n_q=32)
    assert ours.dimension == theirs.dimension
    assert ours.get_bandwidth_per_quantizer(75) == theirs.get_bandwidth_per_quantizer(75) == 0.75
    assert ours.get_num_quantizers_for_bandwidth(
        75, bandwidth
    ) == theirs.get_num_quantizers_for_bandwidth(75, bandwidth)


def test_the_first_of_equally_near_entries() -> None:
    centres = torch.tensor([[0.0, 0.0], [2.0, 0.0], [2.0, 0.0], [4.0, 0.0]])
    samples = torch.tensor([[1.0, 0.0], [2.1, 0.0], [3.0, 0.0]])
    assert nearest(samples, centres).tolist() == [0, 1, 1]


def test_fewer_codes_are_the_first_ones(peers: Peers) -> None:
    quantizer = peers.pair("encodec_24khz").ours.quantizer
    latent = torch.randn(1, 128, 20, generator=torch.Generator().manual_seed(6))
    codes = quantizer.encode_with(latent, 32)
    for count in (1, 2, 7, 31):
        assert torch.equal(quantizer.encode_with(latent, count), codes[:count])


def _best_by_hand(
    sample: torch.Tensor, codebooks: list[torch.Tensor], beam: int
) -> tuple[int, ...]:
    """All extensions of the kept paths, sorted by the error of their sum."""
    paths: list[tuple[int, ...]] = [()]
    for centres in codebooks:
        longer = [(*path, code) for path in paths for code in range(len(centres))]
        sums = [sum(codebooks[k][c] for k, c in enumerate(path)) for path in longer]
        errors = [float((sample - total).square().sum()) for total in sums]
        paths = [longer[i] for i in sorted(range(len(longer)), key=errors.__getitem__)[:beam]]
    return paths[0]


@pytest.mark.parametrize("beam", [2, 3, 16, 400])
def test_a_beam_keeps_the_best_paths_by_the_error_of_their_sum(beam: int) -> None:
    generator = torch.Generator().manual_seed(beam)
    codebooks = [
        torch.randn(7, 3, generator=generator, dtype=torch.float64) / 2**k for k in range(3)
    ]
    samples = 2 * torch.randn(20, 3, generator=generator, dtype=torch.float64)
    codes = beam_search(samples, codebooks, beam)
    expected = [_best_by_hand(sample, codebooks, beam) for sample in samples]
    assert codes.T.tolist() == [list(path) for path in expected]


def test_wider_beams_come_nearer(peers: Peers) -> None:
    quantizer = peers.pair("encodec_24khz").ours.quantizer
    latent = torch.randn(1, 128, 50, generator=torch.Generator().manual_seed(7))
    greedy, *beams = (quantizer.encode_with(latent, 8, beam) for beam in (1, 4, 8, 16))
    errors = [
        float((quantizer.decode(codes) - latent).square().sum()) for codes in (greedy, *beams)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0]


def test_names_and_shapes_of_the_tensors_are_the_references() -> None:
    ours = ResidualVectorQuantizer(dimension=8, n_q=2, bins=16).state_dict()
    theirs = encodec.quantization.ResidualVectorQuantizer(dimension=8, n_q=2, bins=16).state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}
