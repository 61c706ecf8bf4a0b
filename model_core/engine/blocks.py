"""What an engine is given and gives back."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from ..config import ModelConfig
from ..errors import InvalidAudioError


@dataclass
class StreamState:
    """What one stream carries from block to block; empty before the first.

    What is in the slots is the engine's own. They are replaced, never written to.
    """

    slots: list[Any] = field(default_factory=list)

    @property
    def is_new(self) -> bool:
        return not self.slots


@dataclass
class EncodeItem:
    """Samples `[C, n]`, float32, of a block, and the stream they continue.

    `last` closes the stream. The items of one stream go one after another, in a batch too.
    """

    samples: np.ndarray
    num_codebooks: int
    last: bool
    state: StreamState = field(default_factory=StreamState)


@dataclass(frozen=True)
class EncodedBlock:
    """Codes int64 `[K, T]` and, for a normalising model, the scale they were taken at."""

    codes: np.ndarray
    scale: float | None = None


@dataclass
class DecodeItem:
    """Codes `[K, T]`, their scale, and the stream they continue."""

    block: EncodedBlock
    last: bool
    state: StreamState = field(default_factory=StreamState)


def check_encode_item(item: EncodeItem, config: ModelConfig) -> None:
    """Raises `InvalidAudioError` for samples and `ValueError` for a number of codebooks that the
    model does not have."""
    if item.samples.ndim != 2 or item.samples.shape[0] != config.channels:
        raise InvalidAudioError(
            f"{config.name} takes samples [{config.channels}, n], not {list(item.samples.shape)}"
        )
    if not item.samples.size:
        raise InvalidAudioError("there are no samples to encode")
    _check_codebooks(item.num_codebooks, config)
    if config.causal and not item.last and item.samples.shape[1] % config.hop_length:
        raise ValueError("a block that is not the last holds whole frames")


def check_decode_item(item: DecodeItem, config: ModelConfig) -> None:
    """Raises `InvalidAudioError` for no codes, `ValueError` for a number of codebooks and
    `IndexError` for codes that the model does not have."""
    codes = item.block.codes
    if not codes.size:
        raise InvalidAudioError("there are no codes to decode")
    _check_codebooks(codes.shape[0], config)
    if codes.min() < 0 or codes.max() >= config.bins:
        raise IndexError(f"codes beyond the {config.bins} of a codebook")


def _check_codebooks(number: int, config: ModelConfig) -> None:
    if not 1 <= number <= config.num_codebooks:
        raise ValueError(f"{config.name} has 1 to {config.num_codebooks} codebooks, not {number}")


Item = TypeVar("Item", EncodeItem, DecodeItem)


@contextmanager
def states_kept(items: Sequence[EncodeItem | DecodeItem]) -> Iterator[None]:
    """Put the streams' states back if the block fails."""
    before = [item.state.slots for item in items]
    try:
        yield
    except BaseException:
        for item, slots in zip(items, before, strict=True):
            item.state.slots = slots
        raise


def by_stream(items: Sequence[Item], causal: bool) -> list[list[int]]:
    """The numbers of the items of each stream, in their order; segments stand alone."""
    streams: dict[int, list[int]] = {}
    for number, item in enumerate(items):
        streams.setdefault(id(item.state) if causal else number, []).append(number)
    return list(streams.values())
