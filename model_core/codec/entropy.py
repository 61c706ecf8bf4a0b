"""Entropy coding of codes with the language model (paper section 3.3; reference `compress.py`).

The model is called once a frame. It is loaded, and torch imported, when the first frame is coded:
a file or a service that codes without one needs neither.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from ..ecdc import ArithmeticCoder, ArithmeticDecoder
from ..errors import InvalidAudioError

if TYPE_CHECKING:
    from ..nn.lm import LMModel
    from .lm_steps import Predictor


class LanguageModel:
    """A codec's language model, loaded when it is first used.

    `name` is what headers call the codec where it codes with this model.
    """

    def __init__(self, name: str, load: Callable[[], LMModel]):
        self.name = name
        self._load = load
        self._loading = threading.Lock()
        self._model: LMModel | None = None

    def model(self) -> LMModel:
        """The model, on the CPU, in eval mode. Raises what `load` raises."""
        with self._loading:
            if self._model is None:
                self._model = self._load().to("cpu").eval()
            return self._model


class LMEncoder:
    """Codes one segment's frames; state of one stream."""

    def __init__(self, load: Callable[[], LMModel], num_codebooks: int):
        """`load` is called with the first frames."""
        self._coder = ArithmeticCoder()
        self._load, self._num_codebooks = load, num_codebooks
        self._predictor: Predictor | None = None

    def encode(self, codes: np.ndarray) -> bytes:
        """Code the next frames `[K, T]`; returns the bytes that are settled.

        Raises `InvalidAudioError` where the rounding of the probabilities leaves a code no range;
        no file can then hold it (the reference writes one that nobody can read).
        """
        if self._predictor is None:
            self._predictor = _predictor(self._load, self._num_codebooks, self._coder)
        try:
            with self._predictor.running():
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

    def __init__(self, load: Callable[[], LMModel], num_codebooks: int, payload: BinaryIO):
        """`load` is called with the first frames."""
        self._decoder = ArithmeticDecoder(payload)
        self._load, self._num_codebooks = load, num_codebooks
        self._predictor: Predictor | None = None

    def decode(self, frames: int) -> np.ndarray:
        """The next `frames` frames `[K, frames]`.

        Raises `TruncatedBitstreamError` or `BitstreamError`.
        """
        if self._predictor is None:
            self._predictor = _predictor(self._load, self._num_codebooks, self._decoder)
        codes = []
        with self._predictor.running():
            for _ in range(frames):
                codes.append(self._decoder.pull_many(self._predictor.next()))
                self._predictor.saw(codes[-1])
        return np.stack(codes, axis=1)


def _predictor(
    load: Callable[[], LMModel], num_codebooks: int, coder: ArithmeticCoder | ArithmeticDecoder
) -> Predictor:
    from .lm_steps import Predictor  # imports torch

    return Predictor(load(), num_codebooks, coder.total_range_bits)
