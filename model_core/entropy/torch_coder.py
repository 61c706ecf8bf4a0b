"""Chunks of codes to bytes and back by the torch evaluation; `native_lm` gives the same bytes."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .integer_lm import IntegerLM
from .range_coder import RangeDecoder, RangeEncoder
from .torch_lm import Past, TorchLM, cumulative


class TorchCoder:
    """Codes with an exact language model on a device."""

    def __init__(self, lm: IntegerLM, device: torch.device | str = "cpu"):
        self._integers = lm
        self._lm = TorchLM(lm, device)
        self._device = device

    @torch.inference_mode()
    def encode(self, codes: np.ndarray) -> bytes:
        """The bytes of a chunk of codes, int64 `[K, T]`: all frames at once."""
        now = torch.from_numpy(np.ascontiguousarray(codes, np.int64)).to(self._device)
        inputs = torch.zeros_like(now)
        inputs[:, 1:] = now[:, :-1] + 1
        h, x = self._lm.trunk(inputs[None], Past(self._integers, 1, self._device))
        intervals = []
        for k, row in enumerate(now):
            sums = cumulative(self._lm.weights(h[0], x[0], k, now[:k]))
            places = torch.stack([row, row + 1], dim=1)
            intervals.append(sums.gather(1, places).cpu())
        encoder = RangeEncoder()
        for start, end in torch.stack(intervals, dim=1).reshape(-1, 2).tolist():
            encoder.push(start, end)
        return encoder.finish()

    @torch.inference_mode()
    def decode(self, chunks: Sequence[bytes], books: int, frames: int) -> np.ndarray:
        """The codes int64 `[B, K, T]` of chunks of `frames` frames each, a frame of all at a time.

        Raises `BitstreamError` for bytes that are no codes.
        """
        decoders = [RangeDecoder(data) for data in chunks]
        past = Past(self._integers, len(chunks), self._device)
        codes = torch.zeros((len(chunks), books, frames), dtype=torch.int64, device=self._device)
        inputs = torch.zeros_like(codes[:, :, :1])
        for t in range(frames):
            h, x = self._lm.trunk(inputs, past)
            for k in range(books):
                earlier = codes[:, :k, t].t()
                sums = cumulative(self._lm.weights(h[:, 0], x[:, 0], k, earlier))
                codes[:, k, t] = _pull(decoders, sums.cpu()).to(self._device)
            inputs = codes[:, :, t : t + 1] + 1
        return codes.cpu().numpy()


def _pull(decoders: Sequence[RangeDecoder], sums: Tensor) -> Tensor:
    """The next symbol of each, by cumulative frequencies `[B, card + 1]`."""
    targets = torch.tensor([decoder.target() for decoder in decoders])
    symbols = torch.searchsorted(sums, targets[:, None], right=True)[:, 0] - 1
    bounds = sums.gather(1, torch.stack([symbols, symbols + 1], dim=1)).tolist()
    for decoder, (start, end) in zip(decoders, bounds, strict=True):
        decoder.take(start, end)
    return symbols
