"""A causal transformer that can be run one step at a time.

Shapes are `[B, T, C]`. Source: paper section 3.3; reference `modules/transformer.py`. The
operations and their order are the reference's, because the entropy coder needs equal bits.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def sin_embedding(positions: Tensor, dim: int, max_period: float) -> Tensor:
    """Cosines, then sines, of `positions` `[1, T, 1]` at `dim / 2` periods: `[1, T, dim]`."""
    half = dim // 2
    index = torch.arange(half, device=positions.device).view(1, 1, -1)
    phase = positions / (max_period ** (index / (half - 1)))
    return torch.cat([torch.cos(phase), torch.sin(phase)], dim=-1)


class StreamingTransformerEncoderLayer(nn.TransformerEncoderLayer):
    """Post-norm layer whose attention also sees the inputs of earlier calls."""

    def step(self, x: Tensor, past: Tensor, past_context: int) -> Tensor:
        """One layer over `x` `[B, T, C]`, attending to `past` `[B, H, C]` and itself.

        A position sees itself and at most `past_context` positions before it.
        """
        steps, history = x.shape[1], past.shape[1]
        keys = torch.cat([past, x], dim=1)
        query_index = torch.arange(history, steps + history, device=x.device).view(-1, 1)
        key_index = torch.arange(steps + history, device=x.device).view(1, -1)
        delta = query_index - key_index
        visible = (delta >= 0) & (delta <= past_context)
        attended = self.self_attn(x, keys, keys, attn_mask=~visible, need_weights=False)[0]
        x = self.norm1(x + self.dropout1(attended))
        return self.norm2(x + self._ff_block(x))


class StreamingTransformerEncoder(nn.Module):
    """Transformer over `[B, T, C]` with sinusoidal positions and a bounded past.

    The state is a list with the recent inputs of each layer, `[B, <= past_context, C]`. A stream
    starts from one position of zeros in each layer, as in the reference.
    """

    def __init__(
        self,
        dim: int,
        hidden_scale: float = 4.0,
        num_heads: int = 8,
        num_layers: int = 5,
        max_period: float = 10000,
        past_context: int = 1000,
        dropout: float = 0.0,
    ):
        super().__init__()
        if dim % num_heads or dim % 2:
            raise ValueError(f"dim {dim} must be even and a multiple of num_heads {num_heads}")
        self.max_period = max_period
        self.past_context = past_context
        self.norm_in = nn.LayerNorm(dim)
        self.layers = nn.ModuleList(
            StreamingTransformerEncoderLayer(
                dim,
                num_heads,
                int(dim * hidden_scale),
                activation=F.gelu,
                batch_first=True,
                dropout=dropout,
            )
            for _ in range(num_layers)
        )

    def forward(
        self, x: Tensor, states: list[Tensor] | None = None, offset: int = 0
    ) -> tuple[Tensor, list[Tensor], int]:
        """Returns the output `[B, T, C]`, the new states and the new offset."""
        _, steps, dim = x.shape
        if states is None:
            states = [torch.zeros_like(x[:, :1]) for _ in self.layers]
        positions = torch.arange(steps, device=x.device).view(1, -1, 1) + offset
        x = self.norm_in(x) + sin_embedding(positions, dim, self.max_period)

        new_states = []
        for past, layer in zip(states, self.layers, strict=True):
            recent = torch.cat([past, x], dim=1)[:, -self.past_context :, :]
            new_states.append(recent)
            assert isinstance(layer, StreamingTransformerEncoderLayer)
            x = layer.step(x, past, self.past_context)
        return x, new_states, offset + steps
