"""Entropy coding of codes with the language model (paper section 3.3; reference `compress.py`).

The model is called once a frame, on one thread of a CPU whatever the device of the codec: the
coder needs the same probabilities to the last bit on both sides.
"""

from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from ..ecdc import ArithmeticCoder, ArithmeticDecoder, build_stable_quantized_cdf
from ..errors import InvalidAudioError
from ..nn.lm import LMModel
from ..threads import single_thread
from .lm_steps import frame_by_frame


class _Predictor:
    """Quantised distributions of the next frame, given the frames so far."""

    def __init__(self, lm: LMModel, num_codebooks: int, range_bits: int):
        self._lm = lm
        self._stepping: LMModel | None = None
        self._range_bits = range_bits
        self._states: list[Tensor] | None = None
        self._offset = 0
        self._input = torch.zeros(1, num_codebooks, 1, dtype=torch.long)

    def next(self) -> np.ndarray:
        """`[K, card]`, the cumulative distributions of the K codes of the next frame."""
        if self._stepping is None:
            self._stepping = frame_by_frame(self._lm)
        probabilities, self._states, self._offset = self._stepping(
            self._input, self._states, self._offset
        )
        return build_stable_quantized_cdf(
            probabilities[0, :, :, 0].t(), self._range_bits, check=False
        ).numpy()

    def saw(self, codes: np.ndarray) -> None:
        """The frame that came, `[K]`."""
        self._input = 1 + torch.from_numpy(codes.astype(np.int64)).view(1, -1, 1)


class LMEncoder:
    """Codes one segment's frames; state of one stream."""

    def __init__(self, lm: LMModel, num_codebooks: int):
        self._coder = ArithmeticCoder()
        self._predictor = _Predictor(lm, num_codebooks, self._coder.total_range_bits)

    @torch.inference_mode()
    def encode(self, codes: np.ndarray) -> bytes:
        """Code the next frames `[K, T]`; returns the bytes that are settled.

        Raises `InvalidAudioError` where the rounding of the probabilities leaves a code no range;
        no file can then hold it (the reference writes one that nobody can read).
        """
        try:
            with single_thread():
                for frame in codes.T:
                    self._coder.push_many(frame, self._predictor.next())
                    self._predictor.saw(frame)
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
        self._predictor = _Predictor(lm, num_codebooks, self._decoder.total_range_bits)

    @torch.inference_mode()
    def decode(self, frames: int) -> np.ndarray:
        """The next `frames` frames `[K, frames]`.

        Raises `TruncatedBitstreamError` or `BitstreamError`.
        """
        codes = []
        with single_thread():
            for _ in range(frames):
                codes.append(self._decoder.pull_many(self._predictor.next()))
                self._predictor.saw(codes[-1])
        return np.stack(codes, axis=1)
