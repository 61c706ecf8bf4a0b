"""What every backend is made from, is given and gives back, and what it may be asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

import numpy as np

from ..config import ModelConfig
from ..errors import InvalidAudioError

if TYPE_CHECKING:
    from ..nn.network import EncodecNetwork

StateDict = dict[str, np.ndarray]
"""The tensors of a network by the reference's names, float32."""

BATCHES_AT_ONCE = 2
"""Batches on their way at once on a device, and so the threads that keep it busy."""

Precision = Literal["float32", "tf32", "bfloat16"]
"""Of decoding: float32, or what its convolutions and LSTM multiply in."""

EncodePrecision = Literal["float32", "tf32"]
"""Of encoding. In anything but float32 it chooses some codes that the reference would not."""


BEAMS = (1, 4, 8, 16)
"""By effort, how many paths through the codebooks the search of the codes keeps. One path is the
reference's search: the nearest entry of each codebook in turn."""


@dataclass(frozen=True)
class NetworkWeights:
    """A network in the two forms that backends are made from."""

    name: str
    """What `.ecdc` headers call the model with these weights."""

    config: ModelConfig

    state: StateDict | None
    """For the native backend; None for a network that computes in another precision."""

    network: Callable[[], EncodecNetwork]
    """The same as modules, which the torch and CUDA backends copy. For weights from a checkpoint
    it imports torch and builds them."""


@dataclass(frozen=True)
class EngineOptions:
    """How to run a model."""

    backend: str | None = None
    """`torch` runs anywhere; `native` (or one build of it, such as `native-avx2`) on a CPU in
    float32, where it was compiled; `cuda` on a CUDA device; `auto` is what is made for the device
    where that works, else `torch`. None is what the environment's `ENCODEC_BACKEND` says, or
    `auto`."""

    max_batch: int | None = None
    """The most streams a call takes; None leaves it to the backend. Of the CUDA backend, the rows
    of every batch, which None leaves to a measurement where calls are `shared`."""

    threads: int = 1
    """The most that the native backend uses for one call; torch takes its own setting."""

    shared: bool = False
    """Calls come from several threads at once, for streams that wait for each other: items and
    batches stay small, and each call says how many threads it may use; torch takes one."""

    precision: Precision = "float32"
    """Of decoding. The native backend has `bfloat16` where the processor multiplies it
    (AVX512-BF16), the CUDA backend has all."""

    encode_precision: EncodePrecision = "float32"


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
    effort: int = 0
    """An index of `BEAMS`. What is searched with a beam depends on `num_codebooks`: fewer are not
    the first of more."""
    latent: bool = False
    """Wanted in place of codes: see `EncodedBlock`."""
    least_scale: float = 0.0
    """Of a normalising model: the scale is not below it."""

    @property
    def beam(self) -> int:
        """Paths that the search keeps; 0 where none is made, but the latent is wanted."""
        return 0 if self.latent else BEAMS[self.effort]


@dataclass(frozen=True)
class EncodedBlock:
    """Codes int64 `[K, T]` and, for a normalising model, the scale they were taken at. In place of
    the codes (K is then 0) the latent float32 `[D, T]` that they are to be found for."""

    codes: np.ndarray
    scale: float | None = None
    latent: np.ndarray | None = None

    @property
    def frames(self) -> int:
        return self.codes.shape[1]

    @property
    def content(self) -> np.ndarray:
        """The codes, or the latent in their place."""
        return self.codes if self.latent is None else self.latent

    def after(self, frames: int) -> EncodedBlock:
        """What follows so many frames."""
        latent = None if self.latent is None else self.latent[:, frames:]
        return EncodedBlock(self.codes[:, frames:], latent=latent)


@dataclass
class DecodeItem:
    """Codes `[K, T]`, their scale, and the stream they continue."""

    block: EncodedBlock
    last: bool
    state: StreamState = field(default_factory=StreamState)


class Engine(Protocol):
    """Encodes and decodes batches of blocks of one or many streams.

    A block of the causal model is one second of a stream; of the other model, a segment, which
    needs nothing of its neighbours. A result depends on its own stream alone, and not on how that
    was cut or on what shared the batch.
    """

    config: ModelConfig
    device: str
    """`cpu` or `cuda:0`."""
    name: str
    """Which backend, and which build of it."""
    precision: Precision
    encode_precision: EncodePrecision
    max_batch: int
    """The most streams one call takes; of the CUDA backend, the rows of its batches, which blocks
    that follow one another in a stream may fill as well."""
    block_samples: int
    block_frames: int
    blocks_at_once: int
    """How many blocks of a causal stream do well in one call."""

    @property
    def captured(self) -> bool | None:
        """Whether its steps run as captured graphs; None where the backend has none."""

    def prepare(self) -> None:
        """Do now what would otherwise delay the first calls."""

    def codebooks(self) -> np.ndarray:
        """A copy of the entries that codes stand for, float32 `[K, bins, D]`."""

    def encode(self, items: Sequence[EncodeItem], threads: int | None = None) -> list[EncodedBlock]:
        """On so many threads at most, where the backend has any to choose; the result is the same.

        When it raises, no stream has moved, so that each can be tried alone.
        """

    def decode(self, items: Sequence[DecodeItem], threads: int | None = None) -> list[np.ndarray]:
        """Samples float32 `[C, frames · hop]`. Threads and errors as `encode`."""


def check_encode_item(item: EncodeItem, config: ModelConfig) -> None:
    """Raises `InvalidAudioError` for samples and `ValueError` for a number of codebooks or an
    effort that the model does not have."""
    if item.samples.ndim != 2 or item.samples.shape[0] != config.channels:
        raise InvalidAudioError(
            f"{config.name} takes samples [{config.channels}, n], not {list(item.samples.shape)}"
        )
    if not item.samples.size:
        raise InvalidAudioError("there are no samples to encode")
    _check_codebooks(item.num_codebooks, config)
    check_effort(item.effort)
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


def check_effort(effort: int) -> None:
    """Raises `ValueError` for one that there is not."""
    if not 0 <= effort < len(BEAMS):
        raise ValueError(f"effort is 0 to {len(BEAMS) - 1}, not {effort}")


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


def stretches(
    items: Sequence[Item], causal: bool, key: Callable[[Item], object]
) -> list[list[list[int]]]:
    """The numbers of the items, for each stream in stretches of one `key`: first the first stretch
    of every stream, then the second of those that have one, and so on."""
    turns: list[list[list[int]]] = []
    for numbers in by_stream(items, causal):
        stream = groupby(numbers, key=lambda number: key(items[number]))
        for turn, (_, stretch) in enumerate(stream):
            turns += [[]] if turn == len(turns) else []
            turns[turn].append(list(stretch))
    return turns
