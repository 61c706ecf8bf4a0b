"""The language model a frame at a time: the bits of the model itself."""

import io

import numpy as np
import pytest
import torch
from torch import Tensor

from model_core.codec.entropy import (
    FrameByFrame,
    LMDecoder,
    LMEncoder,
    frame_by_frame,
    rows_stand_alone,
)
from model_core.nn.lm import LMModel
from tests.peers import NAMES, Peers

pytestmark = pytest.mark.usefixtures("one_thread", "no_grad")


def random_codes(codebooks: int, frames: int) -> np.ndarray:
    return np.random.default_rng(codebooks).integers(0, 1024, (codebooks, frames))


def in_steps(lm: LMModel, codes: np.ndarray) -> Tensor:
    """Probabilities `[1, card, K, T]` of each frame of `codes` `[K, T]`, given those before."""
    inputs = torch.from_numpy(np.pad(codes[:, :-1] + 1, ((0, 0), (1, 0))))[None]
    states, offset, found = None, 0, []
    for frame in inputs.split(1, dim=2):
        probabilities, states, offset = lm(frame, states, offset)
        found.append(probabilities)
    assert offset == codes.shape[1]
    return torch.cat(found, dim=3)


def stepping(lm: LMModel) -> LMModel:
    """Skips where the machine's matrix products do not allow it: there, nothing is changed."""
    steps = frame_by_frame(lm)
    if steps is lm:
        pytest.skip("a row's bits depend on the rows beside it here")
    return steps


@pytest.mark.parametrize(
    ("name", "codebooks", "frames"),
    [("encodec_24khz", 8, 300), ("encodec_24khz", 2, 40), ("encodec_48khz", 16, 150)],
)
def test_the_models_bits(peers: Peers, name: str, codebooks: int, frames: int) -> None:
    """300 frames are more than the context of the 24 kHz model."""
    lm = peers.lm_pair(name).ours
    codes = random_codes(codebooks, frames)
    assert torch.equal(in_steps(stepping(lm), codes), in_steps(lm, codes))


@pytest.mark.parametrize("context", [16, 17, 40])
def test_the_models_bits_past_a_short_context(context: int) -> None:
    lm = LMModel(4, 1024, dim=200, num_layers=2, past_context=context).eval()
    codes = random_codes(4, 100)
    assert torch.equal(in_steps(stepping(lm), codes), in_steps(lm, codes))


@pytest.mark.parametrize("name", NAMES)
def test_bytes_do_not_depend_on_it(
    peers: Peers, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = peers.lm_pair(name).ours
    codes = random_codes(4, 60)
    coded = []
    for _ in range(2):
        encoder = LMEncoder(lm, 4)
        coded.append(encoder.encode(codes[:, :20]) + encoder.encode(codes[:, 20:]))
        coded[-1] += encoder.finish()
        monkeypatch.setattr("model_core.codec.entropy.rows_stand_alone", lambda *_shape: False)
        assert frame_by_frame(lm) is lm
    assert coded[0] == coded[1]
    decoder = LMDecoder(lm, 4, io.BytesIO(coded[0]))
    assert np.array_equal(decoder.decode(60), codes)


@pytest.mark.parametrize("codebooks", [1, 2, 4])
@pytest.mark.parametrize("kept", [True, False])
def test_a_depth_head_codes_codebook_by_codebook(
    codebooks: int, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not kept:
        monkeypatch.setattr("model_core.codec.entropy.rows_stand_alone", lambda *_shape: False)
    torch.manual_seed(5)
    lm = LMModel(4, 1024, dim=16, num_layers=2, past_context=20, depth=True).eval()
    for linear in lm.linears:
        linear.get_parameter("weight").mul_(3)
    codes = random_codes(codebooks, 50)
    encoder = LMEncoder(lm, codebooks)
    coded = encoder.encode(codes[:, :20]) + encoder.encode(codes[:, 20:]) + encoder.finish()
    payload = io.BytesIO(coded + b"next")
    decoder = LMDecoder(lm, codebooks, payload)
    assert np.array_equal(decoder.decode(13), codes[:, :13])
    assert np.array_equal(decoder.decode(37), codes[:, 13:])
    assert payload.read() == b"next"
    target = torch.from_numpy(codes)[None]
    inputs = torch.nn.functional.pad(target[:, :, :-1] + 1, (1, 0))
    odds = lm(inputs, codes=target)[0].gather(1, target[:, None])
    assert 8 * len(coded) == pytest.approx(-odds.double().log2().sum().item(), abs=20)


def test_a_model_that_is_trained_or_hardly_remembers_is_left_alone() -> None:
    assert isinstance(stepping(_small(context=100).eval()).transformer, FrameByFrame)
    for lm in (_small(context=100).train(), _small(context=8).eval()):
        assert frame_by_frame(lm) is lm


def test_weights_are_shared_and_the_model_is_not_changed() -> None:
    lm = _small(context=100).eval()
    steps = stepping(lm)
    assert not isinstance(lm.transformer, FrameByFrame)
    codes = random_codes(4, 30)
    before = in_steps(steps, codes)
    for parameter in lm.parameters():
        parameter.mul_(1.1)
    after = in_steps(steps, codes)
    assert not torch.equal(before, after)
    assert torch.equal(after, in_steps(lm, codes))


def test_a_matrix_product_whose_rows_depend_on_each_other_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shape = 200, 60, torch.float32
    product = torch.nn.functional.linear

    def another_order_for_many_rows(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        if len(x) < 50:
            return product(x, weight, bias)
        return product(x[:, 100:], weight[:, 100:], bias) + product(x[:, :100], weight[:, :100])

    def careful(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return (x.double() @ weight.double().t() + bias).float()

    monkeypatch.setattr(torch.nn.functional, "linear", careful)
    assert rows_stand_alone.__wrapped__(*shape)
    monkeypatch.setattr(torch.nn.functional, "linear", another_order_for_many_rows)
    assert not rows_stand_alone.__wrapped__(*shape)


def test_one_position_at_a_time() -> None:
    steps = stepping(_small(context=100).eval())
    with pytest.raises(ValueError, match="one position"):
        steps(torch.zeros(1, 4, 2, dtype=torch.long))


def _small(context: int) -> LMModel:
    return LMModel(4, 1024, dim=200, num_layers=2, past_context=context)
