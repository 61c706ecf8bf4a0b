"""A model that multiplies rounded numbers, like a GPU's matrix units, on any machine."""

import copy

import torch
from torch import Tensor, nn

from model_core.model import EncodecModel
from model_core.nn.conv import fold_weight_norm
from model_core.nn.seanet import SLSTM, LSTMState

TF32_BITS = 10
"""Stored bits of the mantissa. bfloat16 has 7."""


def round_mantissa(x: Tensor, bits: int) -> Tensor:
    """Float32 `x` rounded to the nearest number with `bits` bits of mantissa, ties to even."""
    dropped = 23 - bits
    raw = x.contiguous().view(torch.int32)
    even = (raw >> dropped) & 1
    raw = (raw + (1 << (dropped - 1)) - 1 + even) >> dropped << dropped
    return raw.view(torch.float32)


@torch.no_grad()
def rounded(model: EncodecModel, bits: int) -> EncodecModel:
    """A copy in which the factors in convolutions and LSTMs have `bits` bits of mantissa. Sums and
    the search of the codebooks are in float32."""
    model = copy.deepcopy(model).eval()
    fold_weight_norm(model)
    for module in model.modules():
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
            module.weight.copy_(round_mantissa(module.weight, bits))
            module.register_forward_pre_hook(
                lambda _, inputs: (round_mantissa(inputs[0], bits), *inputs[1:])
            )
        elif isinstance(module, SLSTM):
            module.register_module("lstm", _RoundedLSTM(module.lstm, bits))
    return model


class _RoundedLSTM(nn.Module):
    """`nn.LSTM` over `[T, B, H]` that rounds all factors, the state's too."""

    def __init__(self, lstm: nn.LSTM, bits: int):
        super().__init__()
        self._bits = bits
        self._layers = [
            (
                round_mantissa(getattr(lstm, f"weight_ih_l{n}"), bits),
                round_mantissa(getattr(lstm, f"weight_hh_l{n}"), bits),
                getattr(lstm, f"bias_ih_l{n}") + getattr(lstm, f"bias_hh_l{n}"),
            )
            for n in range(lstm.num_layers)
        ]

    def forward(self, x: Tensor, state: LSTMState | None) -> tuple[Tensor, LSTMState | None]:
        if state is not None:
            raise ValueError("whole signals alone")
        for inner, recurrent, bias in self._layers:
            given = round_mantissa(x, self._bits) @ inner.t() + bias
            h = c = x.new_zeros(x.shape[1:])
            out = []
            for gates in given:
                i, f, g, o = (gates + round_mantissa(h, self._bits) @ recurrent.t()).chunk(4, -1)
                c = f.sigmoid() * c + i.sigmoid() * g.tanh()
                h = o.sigmoid() * c.tanh()
                out.append(h)
            x = torch.stack(out)
        return x, None
