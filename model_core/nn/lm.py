"""The language model over codes: a causal transformer that can be run a frame at a time.

The operations and their order are the reference's, because the entropy coder needs equal bits.
Source: paper section 3.3; reference `model.py`, `modules/transformer.py`.
"""

from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import LMConfig


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

    def __init__(self, dim: int, num_heads: int = 8, num_layers: int = 5, past_context: int = 1000):
        super().__init__()
        if dim % num_heads or dim % 2:
            raise ValueError(f"dim {dim} must be even and a multiple of num_heads {num_heads}")
        self.max_period = 10_000
        self.past_context = past_context
        self.norm_in = nn.LayerNorm(dim)
        self.layers = nn.ModuleList(
            StreamingTransformerEncoderLayer(
                dim, num_heads, 4 * dim, activation=F.gelu, batch_first=True, dropout=0.0
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


class LMModel(nn.Module):
    """Probabilities of every codebook's next entry, given all earlier codes.

    It predicts all codebooks of a frame at once, from the frames before it.
    """

    def __init__(
        self,
        n_q: int = 32,
        card: int = 1024,
        dim: int = 200,
        num_layers: int = 5,
        past_context: int = 1000,
    ):
        super().__init__()
        self.n_q = n_q
        self.card = card
        self.dim = dim
        self.transformer = StreamingTransformerEncoder(
            dim=dim, num_layers=num_layers, past_context=past_context
        )
        self.emb = nn.ModuleList(nn.Embedding(card + 1, dim) for _ in range(n_q))
        self.linears = nn.ModuleList(nn.Linear(dim, card) for _ in range(n_q))

    @classmethod
    def from_config(cls, config: LMConfig) -> Self:
        """A language model with random weights."""
        return cls(
            n_q=config.num_codebooks,
            card=config.bins,
            dim=config.dim,
            num_layers=config.num_layers,
            past_context=config.past_context,
        )

    def forward(
        self, indices: Tensor, states: list[Tensor] | None = None, offset: int = 0
    ) -> tuple[Tensor, list[Tensor], int]:
        """One call over T frames: `[B, K, T]` to probabilities `[B, card, K, T]`.

        `indices` are the codes of the previous frames plus one; 0 means "no frame" (the first
        step). K may be 1 to `n_q`. `states` and `offset` come from the previous call.
        """
        logits, states, offset = self.logits(indices, states, offset)
        return torch.softmax(logits, dim=1), states, offset

    def logits(
        self, indices: Tensor, states: list[Tensor] | None = None, offset: int = 0
    ) -> tuple[Tensor, list[Tensor], int]:
        """Like `forward`, before the softmax."""
        codebooks = range(indices.shape[1])
        embedded = sum(self.emb[k](indices[:, k]) for k in codebooks)
        out, states, offset = self.transformer(embedded, states, offset)
        logits = torch.stack([self.linears[k](out) for k in codebooks], dim=1)
        return logits.permute(0, 3, 1, 2), states, offset
