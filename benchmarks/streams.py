"""Work for the engine alone: batches of blocks of many streams, as arrays."""

import threading
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from model_core.config import ModelConfig
from model_core.engine import DecodeItem, EncodedBlock, EncodeItem, Engine, StreamState

from .clips import PIECE_SECONDS, Floats, sound
from .macs import Direction


@lru_cache
def _pieces(channels: int, size: int, rate: int) -> list[Floats]:
    return np.split(sound(channels, PIECE_SECONDS * size, rate), PIECE_SECONDS, axis=1)


class Streams:
    """`count` streams of `blocks` blocks each; several callers may run them at once."""

    def __init__(
        self, config: ModelConfig, direction: Direction, bandwidth: float, count: int, blocks: int
    ):
        self._config = config
        self._direction = direction
        self._codebooks = config.codebooks_for(bandwidth)
        self._count = count
        self._blocks = blocks
        self._sound = _pieces(config.channels, config.block_samples, config.sample_rate)
        rng = np.random.default_rng(0)
        frames = config.frames(config.block_samples)
        self._codes = rng.integers(0, config.bins, (PIECE_SECONDS, self._codebooks, frames))

    @property
    def seconds(self) -> float:
        """Seconds of audio in all of them; overlaps are counted once."""
        samples = self._config.segment_stride or self._config.block_samples
        return self._count * self._blocks * samples / self._config.sample_rate

    def run(self, engine: Engine, callers: int = 1) -> None:
        """Run all streams by `callers` threads at the same time, each with its own batches."""
        errors: list[BaseException] = []

        def work() -> None:
            try:
                self.outputs(engine)
            except BaseException as error:  # noqa: BLE001  raised again below
                errors.append(error)

        threads = [threading.Thread(target=work) for _ in range(callers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]

    def outputs(self, engine: Engine) -> list[Sequence[np.ndarray]]:
        """Codes or samples of every block of every stream."""
        states = [StreamState() for _ in range(self._count)]
        done: list[Sequence[np.ndarray]] = []
        for number in range(self._blocks):
            if self._config.segment is not None:
                states = [StreamState() for _ in states]
            if self._direction == "encode":
                items = [self._to_encode(number, n, state) for n, state in enumerate(states)]
                done.append([block.codes for block in engine.encode(items)])
            else:
                coded = [self._to_decode(number, n, state) for n, state in enumerate(states)]
                done.append(engine.decode(coded))
        return done

    def _to_encode(self, number: int, stream: int, state: StreamState) -> EncodeItem:
        samples = self._sound[(number + stream) % PIECE_SECONDS]
        return EncodeItem(samples, self._codebooks, False, state)

    def _to_decode(self, number: int, stream: int, state: StreamState) -> DecodeItem:
        codes = self._codes[(number + stream) % PIECE_SECONDS]
        scale = 0.1 if self._config.normalize else None
        return DecodeItem(EncodedBlock(codes, scale), False, state)
