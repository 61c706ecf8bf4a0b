"""The native backend as an `Engine`."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ...config import ModelConfig
from ..plan import weight_shapes
from ..protocol import (
    DecodeItem,
    EncodedBlock,
    EncodeItem,
    EncodePrecision,
    EngineOptions,
    NetworkWeights,
    StateDict,
    StreamState,
    by_stream,
    check_decode_item,
    check_encode_item,
    states_kept,
    stretches,
)
from .library import NativeLibrary, Piece, Spec
from .sums import cascade_sum, without_weight_norm

# Blocks of one stream in one call, for each thread that shares it: enough that no thread waits long
# for another; few where other streams wait.
_BLOCKS_A_THREAD = 16
_BLOCKS_SHARED = 3

# The LSTM's width is a multiple of this: the lanes of the widest vectors.
_LSTM_UNITS = 16

# Streams that share one pass over the LSTM's weights, for each thread.
_STREAMS_A_THREAD = 6


class NativeEngine:
    """An `Engine` on the CPU. On one kind of processor, results have the same bits whatever else is
    in the batch, however a stream is cut into blocks, and on any number of threads.

    It computes in float32. Decoding may be in bfloat16: weights and what goes from layer to layer
    are rounded to that, sums and the LSTM's state are not.

    Streams and segments may have any length. The first block of a stream that continues must have
    seven frames, from which the padding before it is made.

    With several threads, each takes some items of a batch; of a single item, each takes a block,
    and follows the block before it through the network.
    """

    device = "cpu"
    encode_precision: EncodePrecision = "float32"
    captured: bool | None = None

    def __init__(
        self,
        weights: NetworkWeights,
        library: NativeLibrary,
        options: EngineOptions = EngineOptions(),
    ):
        """Raises `ValueError` for `weights` without a state (see `supports`), and `EncodecError`
        for a precision that the library does not have."""
        if weights.state is None:
            raise ValueError("the native engine computes in float32")
        self.config = weights.config
        self.name = f"native-{library.build}"
        self.threads = options.threads
        self.precision = options.precision
        streaming = 1 if options.shared else self.threads
        self.max_batch = options.max_batch or _STREAMS_A_THREAD * streaming
        self.block_samples = self.config.block_samples
        self.block_frames = self.config.frames(self.block_samples)
        several = _BLOCKS_SHARED if options.shared else _BLOCKS_A_THREAD * self.threads
        self.blocks_at_once = several if self.threads > 1 else 1
        self._root = library.root
        self._native = library.model(
            Spec(self.config, self.precision), flat_weights(self.config, weights.state)
        )

    @staticmethod
    def supports(weights: NetworkWeights, device: str) -> bool:
        """Whether the C++ code has this network: the paper's, of any width, in float32."""
        config = weights.config
        return (
            device == "cpu"
            and weights.state is not None
            and config.n_residual_layers == 1
            and config.n_filters % 2 == 0
            and config.n_filters * 2 ** len(config.ratios) % _LSTM_UNITS == 0
            and 2 <= len(config.ratios) <= 8
            and min(config.ratios) > 1
        )

    def prepare(self) -> None:
        """As `Engine`: there is nothing."""

    def codebooks(self) -> np.ndarray:
        """As `Engine`."""
        entries = np.empty(
            (self.config.num_codebooks, self.config.bins, self.config.dimension), np.float32
        )
        self._native.copy_entries(entries)
        return entries

    def encode(self, items: Sequence[EncodeItem], threads: int | None = None) -> list[EncodedBlock]:
        """As `Engine`. Raises as `check_encode_item`."""
        for item in items:
            check_encode_item(item, self.config)
        results: dict[int, EncodedBlock] = {}
        with states_kept(items):
            for turn in stretches(items, self.config.causal, _search):
                pieces: list[Piece] = []
                for numbers in turn:
                    stream = [items[number] for number in numbers]
                    piece, blocks = self._encoded(stream)
                    pieces.append(piece)
                    results.update(zip(numbers, blocks, strict=True))
                self._native.encode(pieces, threads or self.threads)
        return [results[number] for number in range(len(items))]

    def _encoded(self, stream: list[EncodeItem]) -> tuple[Piece, list[EncodedBlock]]:
        """The work of items that follow one another, and where its results will be."""
        samples, scale = _contiguous([item.samples for item in stream], np.float32), None
        if self.config.normalize:
            samples, scale = _normalised(samples, stream[0].least_scale, self._root)
        frames, beam = self.config.frames(samples.shape[1]), stream[0].beam
        latent = None if beam else np.empty((frames, self.config.dimension), np.float32)
        books = max(item.num_codebooks for item in stream) if beam else 0
        codes = np.empty((books, frames), np.int64)
        first, state = self._state(stream[0].state, self._native.encoder_state)
        piece = Piece(samples, codes, state, first, stream[-1].last, beam=beam, latent=latent)
        sizes = [self.config.frames(item.samples.shape[1]) for item in stream]
        parts = zip(stream, _cut(codes, sizes), strict=True)
        blocks = [EncodedBlock(part[: item.num_codebooks], scale) for item, part in parts]
        if latent is not None:
            whole = zip(blocks, _cut(latent.T, sizes), strict=True)
            blocks = [replace(block, latent=part) for block, part in whole]
        return piece, blocks

    def decode(self, items: Sequence[DecodeItem], threads: int | None = None) -> list[np.ndarray]:
        """As `Engine`. Raises as `check_decode_item`."""
        for item in items:
            check_decode_item(item, self.config)
        results: dict[int, np.ndarray] = {}
        pieces: list[Piece] = []
        with states_kept(items):
            for numbers in by_stream(items, self.config.causal):
                stream = [items[number] for number in numbers]
                codes = _contiguous([item.block.codes for item in stream], np.int64)
                hop, scale = self.config.hop_length, stream[0].block.scale
                samples = np.empty((self.config.channels, codes.shape[1] * hop), np.float32)
                first, state = self._state(stream[0].state, self._native.decoder_state)
                scale = 1.0 if scale is None else scale
                pieces.append(Piece(samples, codes, state, first, stream[-1].last, scale))
                sizes = [item.block.codes.shape[1] * hop for item in stream]
                results.update(zip(numbers, _cut(samples, sizes), strict=True))
            self._native.decode(pieces, threads or self.threads)
        return [results[number] for number in range(len(items))]

    def _state(self, state: StreamState, size: int) -> tuple[bool, np.ndarray | None]:
        """Whether the stream begins, and the state that the work will write to."""
        if not self.config.causal:
            return True, None
        first = state.is_new
        renewed = np.zeros(size, np.float32) if first else state.slots[0].copy()
        state.slots = [renewed]
        return first, renewed


def flat_weights(config: ModelConfig, state: StateDict) -> np.ndarray:
    """Encoder, decoder and the codebooks' entries, float32 `[n]`, as `NativeLibrary.model` takes
    them. Raises `KeyError` for a tensor that `state` lacks; weight norm may be folded or not."""
    state = without_weight_norm(state)
    return np.concatenate([state[n].ravel() for n in weight_shapes(config)], dtype=np.float32)


def _search(item: EncodeItem) -> tuple[int, int]:
    """What items have in common that are searched together. Greedy, fewer codebooks are the first
    of more; with a beam they are not."""
    return item.beam, item.num_codebooks if item.beam > 1 else 0


def _normalised(
    samples: np.ndarray, least: float, root: Callable[[float], float]
) -> tuple[np.ndarray, float]:
    """`EncodecNetwork.normalised` of one segment `[C, n]`, with the same bits: the scale stands
    in the file."""
    mono = samples.sum(axis=0) / np.float32(len(samples))
    power = cascade_sum(mono * mono) / np.float32(len(mono))
    scale = max(np.float32(1e-8) + np.float32(root(float(power))), np.float32(least))
    return samples / scale, float(scale)


def _contiguous(arrays: Sequence[np.ndarray], dtype: type[np.generic]) -> np.ndarray:
    """One after another and contiguous, as C++ reads them."""
    whole = arrays[0] if len(arrays) == 1 else np.concatenate(arrays, axis=1)
    return np.ascontiguousarray(whole, dtype)


def _cut(whole: np.ndarray, sizes: Sequence[int]) -> list[np.ndarray]:
    """`[R, sum of sizes]` into `[R, size]` each."""
    return np.split(whole, np.cumsum(sizes)[:-1], axis=1)
