"""The language model over codes. Source: paper section 3.3; reference `model.py`."""

from typing import Self

import torch
from torch import Tensor, nn

from ..config import LMConfig
from .transformer import StreamingTransformerEncoder


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
