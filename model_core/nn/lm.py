"""The language model over codes: a causal transformer that can be run a frame at a time.

The operations and their order are the reference's, because the entropy coder needs equal bits.
Source: paper section 3.3; reference `model.py`, `modules/transformer.py`.
"""

from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import DEPTH_WIDTH, LMConfig


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

    The published model predicts all codebooks of a frame at once, from the frames before it. With a
    depth head, an addition of this project, codebook k also sees the codes of codebooks 0 to k − 1
    of the same frame. With x the transformer's output for the frame:

        u_k = depth_in(x) + sum over j < k of depth_emb[j](code_j)
        h_k = LayerNorm(x + depth_out(ReLU(u_k))),    logits_k = linears[k](h_k)

    The u are `DEPTH_WIDTH` wide. The LayerNorm has no weights, so that each linear layer's input
    is bounded by sqrt(dim).
    """

    def __init__(
        self,
        n_q: int = 32,
        card: int = 1024,
        dim: int = 200,
        num_layers: int = 5,
        past_context: int = 1000,
        depth: bool = False,
    ):
        super().__init__()
        self.n_q = n_q
        self.card = card
        self.dim = dim
        self.depth = depth
        self.transformer = StreamingTransformerEncoder(
            dim=dim, num_layers=num_layers, past_context=past_context
        )
        self.emb = nn.ModuleList(nn.Embedding(card + 1, dim) for _ in range(n_q))
        self.linears = nn.ModuleList(nn.Linear(dim, card) for _ in range(n_q))
        if depth:
            self.depth_in = nn.Linear(dim, DEPTH_WIDTH)
            self.depth_emb = nn.ModuleList(nn.Embedding(card, DEPTH_WIDTH) for _ in range(n_q - 1))
            self.depth_out = nn.Linear(DEPTH_WIDTH, dim)

    @classmethod
    def from_config(cls, config: LMConfig) -> Self:
        """A language model with random weights."""
        return cls(
            n_q=config.num_codebooks,
            card=config.bins,
            dim=config.dim,
            num_layers=config.num_layers,
            past_context=config.past_context,
            depth=config.depth,
        )

    def forward(
        self,
        indices: Tensor,
        states: list[Tensor] | None = None,
        offset: int = 0,
        codes: Tensor | None = None,
    ) -> tuple[Tensor, list[Tensor], int]:
        """One call over T frames: `[B, K, T]` to probabilities `[B, card, K, T]`.

        `indices` are the codes of the previous frames plus one; 0 means "no frame" (the first
        step). K may be 1 to `n_q`. `states` and `offset` come from the previous call. A depth head
        needs the `codes` `[B, K, T]` of the predicted frames too (without it they are not used);
        `trunk` and `next_logits` take them one codebook at a time. Raises `ValueError` if they are
        missing.
        """
        logits, states, offset = self.logits(indices, states, offset, codes)
        return torch.softmax(logits, dim=1), states, offset

    def logits(
        self,
        indices: Tensor,
        states: list[Tensor] | None = None,
        offset: int = 0,
        codes: Tensor | None = None,
    ) -> tuple[Tensor, list[Tensor], int]:
        """Like `forward`, before the softmax."""
        out, states, offset = self.trunk(indices, states, offset)
        logits = []
        for k in range(indices.shape[1]):
            if self.depth and k:
                if codes is None:
                    raise ValueError("a depth head needs the codes of the predicted frames")
                out = self.saw(out, k - 1, codes[:, k - 1])
            logits.append(self.next_logits(out, k))
        return torch.stack(logits, dim=1).permute(0, 3, 1, 2), states, offset

    def trunk(
        self, indices: Tensor, states: list[Tensor] | None = None, offset: int = 0
    ) -> tuple[Tensor, list[Tensor], int]:
        """What `next_logits` takes, `[B, T, width]`, the new states and the new offset: the
        transformer's output x, and with a depth head u_0 after it, `dim + DEPTH_WIDTH` wide."""
        embedded = sum(self.emb[k](indices[:, k]) for k in range(indices.shape[1]))
        x, states, offset = self.transformer(embedded, states, offset)
        if self.depth:
            x = torch.cat([x, self.depth_in(x)], dim=-1)
        return x, states, offset

    def next_logits(self, out: Tensor, k: int) -> Tensor:
        """Logits `[..., card]` of codebook k from the trunk's output `[..., width]`, for a depth
        head after `saw` of all codebooks before k."""
        if self.depth:
            x, hidden = out.split([self.dim, DEPTH_WIDTH], dim=-1)
            out = F.layer_norm(x + self.depth_out(F.relu(hidden)), x.shape[-1:])
        logits: Tensor = self.linears[k](out)
        return logits

    def saw(self, out: Tensor, k: int, codes: Tensor) -> Tensor:
        """`out` `[..., width]` once codebook k of its frame is known to be `codes` `[...]`; the
        last codebook says nothing to others."""
        return out + F.pad(self.depth_emb[k](codes), (self.dim, 0))
