"""The language model: the reference's probabilities to the last bit, in steps and at once."""

import pytest
import torch
from encodec.modules.transformer import StreamingTransformerEncoder as Reference
from encodec.modules.transformer import create_sin_embedding
from torch import Tensor

from model_core.nn.lm import LMModel, StreamingTransformerEncoder, sin_embedding
from tests.peers import NAMES, LMPair, Peers

pytestmark = pytest.mark.usefixtures("one_thread", "no_grad")
CONTEXT = 6


def random_codes(codebooks: int, frames: int) -> Tensor:
    """Inputs of the model `[1, K, T]`: nothing for the first frame, then codes plus one."""
    generator = torch.Generator().manual_seed(codebooks)
    codes = 1 + torch.randint(1024, (1, codebooks, frames), generator=generator)
    codes[:, :, 0] = 0
    return codes


def in_steps(model: torch.nn.Module, indices: Tensor, step: int = 1) -> Tensor:
    """Probabilities `[1, card, K, T]` by calls of `step` frames."""
    states, offset, out = None, 0, []
    for part in indices.split(step, dim=2):
        probabilities, states, offset = model(part, states, offset)
        out.append(probabilities)
    assert offset == indices.shape[2]
    return torch.cat(out, dim=3)


@pytest.mark.parametrize("codebooks", [2, 16])
@pytest.mark.parametrize("name", NAMES)
def test_steps_have_the_references_bits(peers: Peers, name: str, codebooks: int) -> None:
    pair = peers.lm_pair(name)
    indices = random_codes(codebooks, 24)
    theirs = in_steps(pair.reference, indices)
    assert torch.equal(in_steps(pair.ours, indices), theirs)
    assert theirs.amax(dim=1).mean() > 0.05  # peaked: even odds would be 1 / 1024


@pytest.mark.parametrize("name", NAMES)
def test_one_call_has_the_references_bits(peers: Peers, name: str) -> None:
    pair = peers.lm_pair(name)
    indices = random_codes(pair.ours.n_q, 40)
    theirs, states_, offset_ = pair.reference(indices)
    ours, states, offset = pair.ours(indices)
    assert torch.equal(ours, theirs)
    assert offset == offset_ == 40
    assert len(states) == len(states_)
    for state, state_ in zip(states, states_, strict=True):
        assert torch.equal(state, state_)


@pytest.fixture(scope="module")
def long_run(peers: Peers) -> tuple[LMPair, Tensor, Tensor]:
    """A run past the 24 kHz model's context of 262 frames, by the reference."""
    pair = peers.lm_pair("encodec_24khz")
    indices = random_codes(4, 300)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.no_grad():
        theirs = in_steps(pair.reference, indices)
    torch.set_num_threads(threads)
    return pair, indices, theirs


def test_steps_past_the_context(long_run: tuple[LMPair, Tensor, Tensor]) -> None:
    pair, indices, theirs = long_run
    assert torch.equal(in_steps(pair.ours, indices), theirs)


@pytest.mark.parametrize("step", [7, 300])
def test_long_calls_agree_with_steps(long_run: tuple[LMPair, Tensor, Tensor], step: int) -> None:
    pair, indices, theirs = long_run
    ours = in_steps(pair.ours, indices, step)
    assert torch.equal(ours, in_steps(pair.reference, indices, step))
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


def test_the_context_ends(peers: Peers) -> None:
    """A frame outside every layer's window has no influence, one inside has."""
    model = peers.lm_pair("encodec_24khz").ours
    context = model.transformer.past_context
    assert context == 262
    indices = random_codes(2, context + 2)
    state = [torch.randn(1, context, 200) for _ in model.transformer.layers]
    last = indices[:, :, -1:]
    probabilities, states, _ = model(last, state, 1000)
    assert all(s.shape == (1, context, 200) for s in states)
    oldest, newest = [s.clone() for s in state], [s.clone() for s in state]
    for s in oldest:
        s[:, 0] += 1
    for s in newest:
        s[:, -1] += 1
    assert not torch.allclose(model(last, oldest, 1000)[0], probabilities, rtol=1e-6, atol=0)
    assert not torch.allclose(model(last, newest, 1000)[0], probabilities, rtol=1e-3, atol=0)
    shifted = [torch.cat([torch.randn(1, 1, 200), s], dim=1) for s in state]
    beyond = model(last, shifted, 1000)[0]  # one position more than a stream ever carries
    torch.testing.assert_close(beyond, probabilities, rtol=1e-4, atol=1e-7)


def test_logits_are_what_the_softmax_is_taken_of(peers: Peers) -> None:
    model = peers.lm_pair("encodec_48khz").ours
    indices = random_codes(16, 5)
    logits, _, offset = model.logits(indices)
    assert logits.shape == (1, 1024, 16, 5)
    assert offset == 5
    torch.testing.assert_close(logits.softmax(dim=1), model(indices)[0])


@pytest.fixture
def deep() -> LMModel:
    torch.manual_seed(11)
    return LMModel(4, 1024, dim=16, num_layers=2, past_context=CONTEXT, depth=True).eval()


def test_the_depth_heads_formula(deep: LMModel) -> None:
    indices, codes = random_codes(4, 9), random_codes(4, 10)[:, :, 1:] - 1
    x = deep.transformer(sum(deep.emb[k](indices[:, k]) for k in range(4)))[0]
    hidden = deep.depth_in(x)
    logits, states, offset = deep.logits(indices, codes=codes)
    assert (offset, len(states)) == (9, 2)
    for k in range(4):
        if k:
            hidden = hidden + deep.depth_emb[k - 1].get_parameter("weight")[codes[:, k - 1]]
        weight, bias = (deep.depth_out.get_parameter(name) for name in ("weight", "bias"))
        h = x + hidden.clamp(min=0) @ weight.t() + bias
        centred = h - h.mean(dim=-1, keepdim=True)
        normed = centred / (centred.square().mean(dim=-1, keepdim=True) + 1e-5).sqrt()
        weight, bias = (deep.linears[k].get_parameter(name) for name in ("weight", "bias"))
        expected = normed @ weight.t() + bias
        torch.testing.assert_close(logits[:, :, k].transpose(1, 2), expected)
    torch.testing.assert_close(deep(indices, codes=codes)[0], logits.softmax(dim=1))
    with pytest.raises(ValueError, match="needs the codes"):
        deep.logits(indices)
    assert deep.logits(indices[:, :1])[0].shape == (1, 1024, 1, 9)  # the first needs none


def test_the_depth_head_codebook_by_codebook(deep: LMModel) -> None:
    indices, codes = random_codes(3, 9), random_codes(3, 10)[:, :, 1:] - 1
    whole = deep.logits(indices, codes=codes)[0]
    states, offset = None, 0
    for t in range(9):
        out, states, offset = deep.trunk(indices[:, :, t : t + 1], states, offset)
        for k in range(3):
            logits = deep.next_logits(out, k)[0, 0]
            torch.testing.assert_close(logits, whole[0, :, k, t], rtol=1e-4, atol=1e-5)
            out = deep.saw(out, k, codes[:, k, t : t + 1])


def test_a_codebook_sees_those_before_it(deep: LMModel) -> None:
    indices, codes = random_codes(4, 5), random_codes(4, 6)[:, :, 1:] - 1
    before = deep.logits(indices, codes=codes)[0]
    codes[:, 1, 2] = (codes[:, 1, 2] + 1) % 1024
    changed = (deep.logits(indices, codes=codes)[0] != before).any(dim=1)[0]
    expected = torch.zeros(4, 5, dtype=torch.bool)
    expected[2:, 2] = True
    assert torch.equal(changed, expected)


def test_without_a_depth_head_nothing_has_changed(peers: Peers) -> None:
    model = peers.lm_pair("encodec_48khz").ours
    indices = random_codes(16, 5)
    assert not model.depth
    assert not any(name.startswith("depth") for name in model.state_dict())
    assert torch.equal(model(indices, codes=indices)[0], model(indices)[0])


@pytest.fixture
def both() -> tuple[Reference, StreamingTransformerEncoder]:
    torch.manual_seed(10)
    theirs = Reference(dim=16, num_heads=4, num_layers=3, past_context=CONTEXT).eval()
    ours = StreamingTransformerEncoder(dim=16, num_heads=4, num_layers=3, past_context=CONTEXT)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours.eval()


def test_positions() -> None:
    positions = torch.arange(5).view(1, -1, 1) + 1000
    theirs = create_sin_embedding(positions, 200, max_period=10000)
    assert torch.equal(sin_embedding(positions, 200, 10000), theirs)


@pytest.mark.parametrize("steps", [[1] * 20, [20], [3, 1, 9, 7]])
def test_calls_of_any_length(
    both: tuple[Reference, StreamingTransformerEncoder], steps: list[int]
) -> None:
    theirs, ours = both
    x = torch.randn(2, 20, 16)
    states, states_, offset, offset_ = None, None, 0, 0
    for part in x.split(steps, dim=1):
        y, states, offset = ours(part, states, offset)
        y_, states_, offset_ = theirs(part, states_, offset_)
        assert torch.equal(y, y_)
        assert offset == offset_
        assert all(torch.equal(s, s_) for s, s_ in zip(states, states_, strict=True))
    assert states is not None
    assert all(s.shape == (2, CONTEXT, 16) for s in states)


def test_a_step_does_not_look_ahead(
    both: tuple[Reference, StreamingTransformerEncoder],
) -> None:
    ours = both[1]
    x = torch.randn(1, 8, 16)
    changed = x.clone()
    changed[:, 5:] *= -1
    torch.testing.assert_close(ours(x)[0][:, :5], ours(changed)[0][:, :5])
    assert not torch.allclose(ours(x)[0][:, 5:], ours(changed)[0][:, 5:])


@pytest.mark.parametrize(("dim", "heads"), [(15, 5), (16, 3)])
def test_width_must_suit_heads_and_positions(dim: int, heads: int) -> None:
    with pytest.raises(ValueError, match="dim"):
        StreamingTransformerEncoder(dim=dim, num_heads=heads)
