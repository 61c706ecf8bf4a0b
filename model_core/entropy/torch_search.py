"""The search for codes in torch, in float64: the plain reading that `native_search` is held to."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..nn.rvq import best_extensions
from .fixed import OCTAVE
from .integer_lm import IntegerLM
from .torch_lm import TOTAL_BITS, Past, TorchLM

_WEIGHT_BITS = 28  # of the likeliest symbol's weight


class TorchSearch:
    """One chunk after the other, a frame at a time."""

    def __init__(self, lm: IntegerLM, entries: np.ndarray):
        """`entries`: `[K, bins, D]`."""
        self._integers = lm
        self._lm = TorchLM(lm)
        self._entries = torch.from_numpy(np.asarray(entries, np.float64))

    def find(
        self,
        latents: Sequence[np.ndarray],
        books: int,
        beam: int,
        rate: float,
        together: int,
        threads: int,
    ) -> list[np.ndarray]:
        """Codes int64 `[books, T]` of chunks of latents `[D, T]`; see `CodeSearch`."""
        return [self._found(latent, books, beam, rate) for latent in latents]

    @torch.inference_mode()
    def _found(self, latent: np.ndarray, books: int, beam: int, rate: float) -> np.ndarray:
        rows = torch.from_numpy(np.asarray(latent.T, np.float64))
        prices = rate * self._nearest_errors(rows, books)
        past = Past(self._integers, 1)
        chosen = torch.zeros((books, len(rows)), dtype=torch.int64)
        inputs = torch.zeros((1, books, 1), dtype=torch.int64)
        for t, (row, price) in enumerate(zip(rows, prices, strict=True)):
            h, x = self._lm.trunk(inputs, past)
            chosen[:, t] = self._best(row, h[0], x[0], books, beam, price)
            inputs = chosen[None, :, t : t + 1] + 1
        return chosen.numpy()

    def _nearest_errors(self, rows: Tensor, books: int) -> Tensor:
        """The squared error of each frame, by the nearest entry of each codebook in turn."""
        for entries in self._entries[:books]:
            _, code = best_extensions(rows[:, None], entries, 1)
            rows = rows - entries[code[:, 0]]
        return rows.square().sum(dim=1)

    def _best(
        self, row: Tensor, h: Tensor, x: Tensor, books: int, beam: int, price: Tensor
    ) -> Tensor:
        """The codes `[books]` of a frame `[D]`, where a bit costs `price`; `h`, `x` `[1, dim]` are
        `TorchLM.trunk`'s."""
        rests = row[None]  # [P, D]: what each path leaves
        costs = torch.zeros(1, dtype=torch.float64)  # [P]: of its codes
        paths = torch.zeros((0, 1), dtype=torch.int64)  # [k, P]
        for k, entries in enumerate(self._entries[:books]):
            kept = beam if k + 1 < books else 1
            logits = self._lm.logits(h, x, k, paths)  # [P or 1, bins]
            prices = costs[:, None] + price * self._bits(logits)
            parent, code = (n[0] for n in best_extensions(rests[None], entries, kept, prices[None]))
            rests = rests[parent] - F.embedding(code, entries)
            costs = prices[parent, code]
            paths = torch.cat([paths[:, parent], code[None]])
        return paths[:, 0]

    def _bits(self, logits: Tensor) -> Tensor:
        """What symbols cost: the bits of their frequencies, but for the rounding of these."""
        below = (logits.amax(dim=-1, keepdim=True) - logits).double()
        total = self._lm.exponentials(logits).sum(dim=-1, keepdim=True).double()
        return (below / OCTAVE + total.log2() - _WEIGHT_BITS).clamp(max=TOTAL_BITS)
