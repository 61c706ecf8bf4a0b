"""The streaming transformer: the reference's bits and its states."""

import pytest
import torch
from encodec.modules.transformer import StreamingTransformerEncoder as Reference
from encodec.modules.transformer import create_sin_embedding

from model_core.nn.transformer import StreamingTransformerEncoder, sin_embedding

pytestmark = pytest.mark.usefixtures("one_thread", "no_grad")
CONTEXT = 6


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
