"""The native backend as an `Engine`."""

from collections.abc import Sequence

import numpy as np
import torch

from ...model import EncodecModel
from ..items import DecodeItem, EncodedBlock, EncodeItem, StreamState, states_kept
from ..protocol import Precision
from ..torch_engine import TorchEngine
from .library import Job, NativeLibrary, Spec
from .weights import flat_weights

# Streams shorter than this reflect zeros at their edges; the modules of `nn` do that.
_FEWEST_FRAMES = 8

_BLOCKS_A_THREAD = 16

# The LSTM's width is a multiple of this: the lanes of the widest vectors.
_LSTM_UNITS = 16

# Streams that go through the LSTM in step; its weights are read once for all of them.
_STREAMS_A_THREAD = 6


class NativeEngine:
    """An `Engine` on the CPU, with results that are the same bits for any company, any cut of a
    stream into blocks and any number of threads (on one kind of processor).

    It computes in float32. Decoding may be in bfloat16: weights and what goes from layer to layer
    are rounded to that, sums and the LSTM's state are not. Streams of a few frames, which torch
    decodes, are in float32 even so.

    With several threads, each takes some items of a batch; of a single item, each takes a block,
    and follows the block before it through the network.
    """

    def __init__(
        self,
        model: EncodecModel,
        library: NativeLibrary,
        max_batch: int | None = None,
        threads: int = 1,
        precision: Precision = "float32",
    ):
        """`model` must be one that `supports` says yes to. `precision` is for decoding; raises
        `EncodecError` where the library does not have it."""
        self._short = TorchEngine(model)
        self.model = self._short.model
        self.config = model.config
        self.device = torch.device("cpu")
        self.name = f"native-{library.build}"
        self.max_batch = max_batch or _STREAMS_A_THREAD * threads
        self.threads = threads
        self.precision = precision
        self.block_samples = self._short.block_samples
        self.block_frames = self._short.block_frames
        self.blocks_at_once = _BLOCKS_A_THREAD * threads if threads > 1 else 1
        self._native = library.model(
            Spec.of(self.config, self.block_frames, precision), flat_weights(self.model)
        )

    @staticmethod
    def supports(model: EncodecModel, device: torch.device) -> bool:
        """Whether the C++ knows this network: the paper's, of any width, in float32."""
        config = model.config
        dtypes = {parameter.dtype for parameter in model.parameters()}
        return (
            device.type == "cpu"
            and dtypes == {torch.float32}
            and config.n_residual_layers == 1
            and config.n_filters % 2 == 0
            and config.n_filters * 2 ** len(config.ratios) % _LSTM_UNITS == 0
            and 2 <= len(config.ratios) <= 8
            and min(config.ratios) > 1
        )

    def encode(self, items: Sequence[EncodeItem]) -> list[EncodedBlock]:
        """As `Engine`."""
        with states_kept(items):
            results: dict[int, EncodedBlock] = {}
            jobs: list[Job] = []
            kept: list[np.ndarray | None] = []
            for number, item in enumerate(items):
                samples = np.ascontiguousarray(item.samples, np.float32)
                frames = self.config.frames(samples.shape[1])
                if self._is_short(frames, item):
                    results[number] = self._short.encode([item])[0]
                    continue
                scale = None
                if self.config.normalize:
                    samples, scale = self._normalised(samples)
                first, state = self._state(item.state, self._native.encoder_state)
                codes = np.empty((item.num_codebooks, frames), np.int64)
                jobs.append(Job.of(samples, codes, state, first, item.last))
                kept += [samples, state]
                results[number] = EncodedBlock(codes, scale)
            if jobs:
                self._native.encode(jobs, self.threads)
            return [results[number] for number in range(len(items))]

    def decode(self, items: Sequence[DecodeItem]) -> list[np.ndarray]:
        """As `Engine`. Raises `IndexError` for codes that no codebook has."""
        with states_kept(items):
            results: dict[int, np.ndarray] = {}
            jobs: list[Job] = []
            kept: list[np.ndarray | None] = []
            for number, item in enumerate(items):
                codes = np.ascontiguousarray(item.block.codes, np.int64)
                if self._is_short(codes.shape[1], item):
                    results[number] = self._short.decode([item])[0]
                    continue
                if codes.min() < 0 or codes.max() >= self.config.bins:
                    raise IndexError(f"codes beyond the {self.config.bins} of a codebook")
                first, state = self._state(item.state, self._native.decoder_state)
                samples = np.empty(
                    (self.config.channels, codes.shape[1] * self.config.hop_length), np.float32
                )
                scale = 1.0 if item.block.scale is None else item.block.scale
                jobs.append(Job.of(samples, codes, state, first, item.last, scale))
                kept += [codes, state]
                results[number] = samples
            if jobs:
                self._native.decode(jobs, self.threads)
            return [results[number] for number in range(len(items))]

    def _is_short(self, frames: int, item: EncodeItem | DecodeItem) -> bool:
        """Segments and whole streams of a few frames; a longer stream's last block may be."""
        alone = item.last if self.config.causal else True
        return frames < _FEWEST_FRAMES and alone and item.state.is_new

    def _state(self, state: StreamState, size: int) -> tuple[bool, np.ndarray | None]:
        """Whether the stream begins, and the state that the work will write to."""
        if not self.config.causal:
            return True, None
        first = state.is_new
        renewed = np.zeros(size, np.float32) if first else state.slots[0].copy()
        state.slots = [renewed]
        return first, renewed

    @torch.inference_mode()
    def _normalised(self, samples: np.ndarray) -> tuple[np.ndarray, float]:
        x, scales = self.model.normalised(torch.from_numpy(samples)[None])
        if scales is None:
            raise ValueError("the model does not normalise")
        return x[0].contiguous().numpy(), float(scales[0])
