"""Entropy coding of codes with the language model (paper section 3.3; reference `compress.py`).

The model is called once a frame, on one thread of a CPU whatever the device of the codec: coder and
decoder, ours and the reference's, must agree on every bit of the probabilities.
"""

import copy
from functools import lru_cache
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..ecdc import ArithmeticCoder, ArithmeticDecoder, build_stable_quantized_cdf
from ..errors import InvalidAudioError
from ..nn.lm import (
    LMModel,
    StreamingTransformerEncoder,
    StreamingTransformerEncoderLayer,
    sin_embedding,
)
from ..threads import single_thread

_ROWS = 16
"""Positions that are projected together. For fewer, matrix products have kernels of their own that
add in another order (MKL below 4 rows)."""


class LMEncoder:
    """Codes one segment's frames; state of one stream."""

    def __init__(self, lm: LMModel, num_codebooks: int):
        self._coder = ArithmeticCoder()
        self._predictor = _Predictor(lm, num_codebooks, self._coder.total_range_bits)

    def encode(self, codes: np.ndarray) -> bytes:
        """Code the next frames `[K, T]`; returns the bytes that are settled.

        Raises `InvalidAudioError` where the rounding of the probabilities leaves a code no range;
        no file can then hold it (the reference writes one that nobody can read).
        """
        try:
            with single_thread(), torch.inference_mode():
                for frame in codes.T:
                    for part in self._predictor.parts:
                        self._coder.push_many(frame[part], self._predictor.next())
                        self._predictor.saw(frame[part])
        except ValueError as error:
            raise InvalidAudioError(
                f"the language model cannot code this audio, only plain codes can: {error}"
            ) from error
        return self._coder.take()

    def finish(self) -> bytes:
        """End the segment; returns its last bytes."""
        return self._coder.flush()


class LMDecoder:
    """Decodes one segment's frames from `payload`; reads no byte more than it needs."""

    def __init__(self, lm: LMModel, num_codebooks: int, payload: BinaryIO):
        self._decoder = ArithmeticDecoder(payload)
        self._num_codebooks = num_codebooks
        self._predictor = _Predictor(lm, num_codebooks, self._decoder.total_range_bits)

    def decode(self, frames: int) -> np.ndarray:
        """The next `frames` frames `[K, frames]`.

        Raises `TruncatedBitstreamError` or `BitstreamError`.
        """
        codes = np.zeros((self._num_codebooks, frames), np.int64)
        with single_thread(), torch.inference_mode():
            for frame in codes.T:
                for part in self._predictor.parts:
                    frame[part] = self._decoder.pull_many(self._predictor.next())
                    self._predictor.saw(frame[part])
        return codes


class _Predictor:
    """Quantised distributions of the next codes, given those so far; called on one thread, in
    inference mode.

    `parts` are the codebooks of a frame that are predicted together: all, or with a depth head one
    after the other. `next` and `saw` are called in turn for each part of each frame.
    """

    def __init__(self, lm: LMModel, num_codebooks: int, range_bits: int):
        with single_thread():
            self._lm = frame_by_frame(lm)
        self._range_bits = range_bits
        self._states: list[Tensor] | None = None
        self._offset = 0
        self._frame = torch.zeros(1, num_codebooks, 1, dtype=torch.long)  # codes plus one
        self._known = num_codebooks  # of the codes of the current frame; all: the next one begins
        self._out = torch.empty(0)  # with a depth head: what is known of the current frame
        size = 1 if lm.depth else num_codebooks
        self.parts = [slice(k, k + size) for k in range(0, num_codebooks, size)]

    def next(self) -> np.ndarray:
        """Cumulative distributions of the next part's n codes `[n, card]`."""
        begins = self._known == self._frame.shape[1]
        if begins:
            self._known = 0
        if self._lm.depth:
            if begins:
                self._out, self._states, self._offset = self._lm.trunk(
                    self._frame, self._states, self._offset
                )
            odds = torch.softmax(self._lm.next_logits(self._out, self._known)[0], dim=-1)
        else:
            probabilities, self._states, self._offset = self._lm(
                self._frame, self._states, self._offset
            )
            odds = probabilities[0, :, :, 0].t()
        return build_stable_quantized_cdf(odds, self._range_bits, check=False).numpy()

    def saw(self, codes: np.ndarray) -> None:
        """What the codes `[n]` of that part turned out to be."""
        seen = torch.from_numpy(codes.astype(np.int64))
        last = self._known + len(codes)
        self._frame[0, self._known : last, 0] = 1 + seen
        if self._lm.depth and last < self._frame.shape[1]:
            self._out = self._lm.saw(self._out, self._known, seen[None])
        self._known = last


def frame_by_frame(lm: LMModel) -> LMModel:
    """`lm` for streams `[1, K, 1]` at a time; its weights are shared.

    The probabilities are those of `lm` to the last bit. The states mean something else. `lm` itself
    where its past cannot be kept: in training mode, with a context of a few frames, or where
    `rows_stand_alone` says no. Call it with the thread count that the frames will have.
    """
    encoder = lm.transformer
    weight = next(encoder.parameters())
    if (
        lm.training
        or encoder.past_context < _ROWS
        or not rows_stand_alone(lm.dim, encoder.past_context + 1, weight.dtype)
    ):
        return lm
    shared = copy.copy(lm)
    shared._modules = {**lm._modules, "transformer": FrameByFrame(encoder)}
    return shared


@lru_cache
def rows_stand_alone(dim: int, most: int, dtype: torch.dtype) -> bool:
    """Whether keys and values of a position have the same bits as the last of `_ROWS` rows and at
    any place among up to `most`; found out by trying."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(_ROWS - 1 + most, dim, generator=generator, dtype=dtype)
    packed = torch.randn(3 * dim, dim, generator=generator, dtype=dtype)
    bias = torch.randn(3 * dim, generator=generator, dtype=dtype)
    weight, bias = packed[dim:], bias[dim:]
    last = torch.cat([F.linear(x[i : i + _ROWS].clone(), weight, bias)[-1:] for i in range(most)])
    among = x[_ROWS - 1 :].clone()
    return all(
        torch.equal(F.linear(among[:rows], weight, bias), last[:rows])
        for rows in range(_ROWS, most + 1)
    )


class FrameByFrame(nn.Module):
    """Takes the place of a `StreamingTransformerEncoder` in evaluation mode, `[1, 1, C]` at a time.

    The encoder projects the keys and values of a layer's whole past at every call, half of the time
    that entropy coding takes at 24 kHz. Here they are kept, and only the newest position is
    projected. The states are two tensors a layer: its last inputs `[<= _ROWS, C]`, and the keys and
    values `[2, <= past_context + 1, C]` of all positions that the last call saw.
    """

    def __init__(self, encoder: StreamingTransformerEncoder):
        super().__init__()
        self._encoder = encoder

    def forward(
        self, x: Tensor, states: list[Tensor] | None = None, offset: int = 0
    ) -> tuple[Tensor, list[Tensor], int]:
        """Returns the output `[1, 1, C]`, the new states and the new offset.

        Raises `ValueError` for more than one position or stream.
        """
        encoder = self._encoder
        if x.shape[:2] != (1, 1):
            raise ValueError(f"one position of one stream at a time, not {list(x.shape)}")
        if states is None:  # one position of zeros, as in the encoder; nothing projected yet
            zeros = x.new_zeros(1, x.shape[2])
            states = [zeros, zeros.new_zeros(2, 0, x.shape[2])] * len(encoder.layers)
        position = torch.full((1, 1, 1), offset)
        x = (encoder.norm_in(x) + sin_embedding(position, x.shape[2], encoder.max_period))[0]
        kept = []
        for index, layer in enumerate(encoder.layers):
            assert isinstance(layer, StreamingTransformerEncoderLayer)
            recent = torch.cat([states[2 * index][1 - _ROWS :], x])
            past = states[2 * index + 1][:, -encoder.past_context :]
            keys_values = _project(layer.self_attn, recent, past)
            kept += [recent, keys_values]
            x = layer.norm1(x + _attend(layer.self_attn, x, keys_values))
            x = layer.norm2(x + layer._ff_block(x))
        return x[None], kept, offset + 1


def _project(attention: nn.MultiheadAttention, recent: Tensor, past: Tensor) -> Tensor:
    """Keys and values `[2, H + 1, C]`: those of the past `[2, H, C]` and of the last of `recent`.

    As long as there are few, all of them anew, as the encoder does.
    """
    dim = recent.shape[1]
    weight, bias = attention.in_proj_weight[dim:], attention.in_proj_bias[dim:]
    projected = F.linear(recent, weight, bias).view(-1, 2, dim).transpose(0, 1)
    if past.shape[1] < _ROWS:
        return projected.contiguous()
    return torch.cat([past, projected[:, -1:]], dim=1)


def _attend(attention: nn.MultiheadAttention, x: Tensor, keys_values: Tensor) -> Tensor:
    """The attention of one position `[1, C]`; `nn.MultiheadAttention` from the projections on."""
    dim, count = x.shape[1], keys_values.shape[1]
    query = F.linear(x, attention.in_proj_weight[:dim], attention.in_proj_bias[:dim])
    q, k, v = (
        rows.view(1, -1, attention.num_heads, attention.head_dim).transpose(1, 2)
        for rows in (query, *keys_values)
    )
    mask = x.new_zeros(1, 1, 1, count)  # everything is seen; without it the kernel is another
    seen = F.scaled_dot_product_attention(q, k, v, mask)
    return attention.out_proj(seen.transpose(1, 2).reshape(1, dim))
