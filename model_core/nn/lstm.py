"""The LSTM between the convolutions. Source: paper section 3.1; reference `modules/lstm.py`."""

import torch
from torch import Tensor, nn

LSTMState = tuple[Tensor, Tensor]


class SLSTM(nn.Module):
    """A stack of LSTM layers over `[B, C, T]` with a skip connection around all of them."""

    def __init__(self, dimension: int, num_layers: int = 2):
        super().__init__()
        self.lstm = nn.LSTM(dimension, dimension, num_layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.step(x, None)[0]

    def step(self, x: Tensor, state: LSTMState | None) -> tuple[Tensor, LSTMState]:
        """Continue from `state`, `(h, c)` of `[num_layers, B, C]` each; None starts from zeros."""
        x = x.permute(2, 0, 1)
        y, state = self.lstm(x, state)
        return torch.permute(y + x, (1, 2, 0)), state
