"""The LSTM: the reference's bits, and in pieces the same as whole."""

import pytest
import torch
from encodec.modules.lstm import SLSTM as REFERENCE

from model_core.nn.lstm import SLSTM

pytestmark = pytest.mark.usefixtures("one_thread", "no_grad")


def test_bits_are_the_references() -> None:
    torch.manual_seed(1)
    theirs, ours = REFERENCE(12, 2), SLSTM(12, 2)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(3, 12, 40)
    assert torch.equal(ours(x), theirs(x))


def test_pieces_with_carried_state_are_the_whole() -> None:
    torch.manual_seed(2)
    lstm = SLSTM(12, 2).double()
    x = torch.randn(2, 12, 31, dtype=torch.float64)
    state, pieces = None, []
    for piece in x.split([1, 9, 20, 1], dim=2):
        y, state = lstm.step(piece, state)
        pieces.append(y)
    torch.testing.assert_close(torch.cat(pieces, dim=2), lstm(x))
    assert state is not None
    assert [s.shape for s in state] == [(2, 2, 12)] * 2
