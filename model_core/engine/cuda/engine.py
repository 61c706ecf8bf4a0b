"""The engine with fixed shapes: every batch is the same work, whatever it contains."""

import copy
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from ...errors import InvalidAudioError
from ...nn.conv import fold_weight_norm
from ...nn.network import EncodecNetwork
from ..modules import Multiplication
from ..protocol import (
    DecodeItem,
    EncodedBlock,
    EncodeItem,
    EngineOptions,
    Item,
    Precision,
    check_decode_item,
    check_encode_item,
    states_kept,
    stretches,
)
from .batching import batches_of, continuing, longest_run
from .capture import same_workspaces
from .handover import handover
from .network import with_bfloat16_decoder
from .runner import GraphRunner, Runner, Stage
from .steps import DecodeStep, EncodeStep, Step, Variant

Result = TypeVar("Result")

ROWS = 32
"""Rows of a batch by default."""


class CudaEngine:
    """An `Engine` for CUDA devices with captured graphs; on the CPU it serves for comparison.

    A batch always has `max_batch` rows of one block each, of different streams or of the same.
    Unused rows and short blocks are computed in full, so a result depends on its stream alone.
    """

    def __init__(
        self,
        model: EncodecNetwork,
        device: torch.device | str,
        options: EngineOptions = EngineOptions(),
    ):
        """On the CPU, TF32 is float32. Raises `ValueError` for no LSTM and for less than a row."""
        if options.max_batch is not None and options.max_batch < 1:
            raise ValueError(f"a batch has a row or more, not {options.max_batch}")
        self.config = model.config
        self._device = torch.device(device)
        self.device = str(self._device)
        self.max_batch = self.blocks_at_once = options.max_batch or ROWS
        self.precision = options.precision
        self.encode_precision = options.encode_precision
        self.block_samples = self.config.block_samples
        self.block_frames = self.config.frames(self.block_samples)
        self.name = "cuda" if self._device.type == "cuda" else "cuda-on-host"
        if self._device.type == "cuda":
            same_workspaces()
        self.model = copy.deepcopy(model).eval()
        fold_weight_norm(self.model)
        decoding = self.model
        if self.precision == "bfloat16":
            decoding = with_bfloat16_decoder(self.model)
        self._searches = sorted(map(self.config.codebooks_for, self.config.target_bandwidths))
        with handover.in_a_gap():
            self.model.to(self._device)
            decoding.to(self._device)
            encode, decode = EncodeStep(self.model), DecodeStep(decoding)
        self._encoder = self._runner(encode, self.encode_precision)
        self._decoder = self._runner(decode, self.precision)

    def _runner(self, step: Step, precision: Precision) -> Runner:
        if self._device.type != "cuda":
            return Runner(step, self.max_batch)
        multiplication: Multiplication = "tf32" if precision == "tf32" else "ieee"
        return GraphRunner(step, self.max_batch, self._device, multiplication)

    @property
    def captured(self) -> bool | None:
        """See `Engine`."""
        both = self._encoder.captured, self._decoder.captured
        return None if None in both else all(both)

    def prepare(self) -> None:
        """See `Engine`: captures what calls need that take the nearest entries; the others are
        captured by the first call of their kind."""
        for whole in (False,) if self.config.causal else (True, False):
            self._decoder.prepare(Variant(whole))
            for searched in self._searches:
                self._encoder.prepare(Variant(whole, searched))

    def codebooks(self) -> np.ndarray:
        """See `Engine`."""
        with handover.in_a_gap():
            return self.model.quantizer.entries()

    def encode(self, items: Sequence[EncodeItem], threads: int | None = None) -> list[EncodedBlock]:
        """See `Engine`. Raises `InvalidAudioError` for no or too many samples, `ValueError` for a
        short block that is not the last, and what `check_encode_item` raises."""
        for item in items:
            if item.samples.ndim == 2 and not 0 < item.samples.shape[1] <= self.block_samples:
                raise InvalidAudioError(f"a block has 1 to {self.block_samples} samples")
            check_encode_item(item, self.config)
            self._check_full(item, item.samples.shape[1] == self.block_samples)
        return self._in_batches(items, self._encode, lambda item: item.beam)

    @torch.inference_mode()
    def _encode(self, items: Sequence[EncodeItem]) -> list[EncodedBlock]:
        most = max(item.num_codebooks for item in items)
        searched = min(n for n in self._searches if n >= most) if items[0].beam else 0
        lengths = [item.samples.shape[1] for item in items]
        with self._encoder.stage() as stage:
            given = {name: x.numpy() for name, x in stage.inputs.items()}
            for row, (item, length) in enumerate(zip(items, lengths, strict=True)):
                given["samples"][row, :, :length] = item.samples
                given["samples"][row, :, length:] = 0
                given["length"][row] = length
                given["num_codebooks"][row] = item.num_codebooks
                if self.config.normalize:
                    given["least_scale"][row] = item.least_scale
            whole = min(lengths) == self.block_samples
            self._run(self._encoder, stage, items, whole, searched, items[0].beam)
            return [
                _block(stage, row, item, self.config.frames(length))
                for row, (item, length) in enumerate(zip(items, lengths, strict=True))
            ]

    def decode(self, items: Sequence[DecodeItem], threads: int | None = None) -> list[np.ndarray]:
        """See `Engine`. Raises `ValueError` for a block of no or too many frames and for a short
        block that is not the last, and what `check_decode_item` raises."""
        for item in items:
            if item.block.codes.ndim != 2:
                raise ValueError(f"codes are [K, T], not {list(item.block.codes.shape)}")
            frames = item.block.codes.shape[1]
            if not 0 < frames <= self.block_frames:
                raise ValueError(f"a block has 1 to {self.block_frames} frames")
            check_decode_item(item, self.config)
            self._check_full(item, frames == self.block_frames)
        return self._in_batches(items, self._decode)

    @torch.inference_mode()
    def _decode(self, items: Sequence[DecodeItem]) -> list[np.ndarray]:
        hop = self.config.hop_length
        lengths = [item.block.codes.shape[1] for item in items]
        with self._decoder.stage() as stage:
            given = {name: x.numpy() for name, x in stage.inputs.items()}
            for row, (item, length) in enumerate(zip(items, lengths, strict=True)):
                books = len(item.block.codes)
                given["codes"][row, :books, :length] = item.block.codes
                given["codes"][row, :books, length:] = 0
                given["num_codebooks"][row] = books
                given["length"][row] = length
                given["scale"][row] = 1.0 if item.block.scale is None else item.block.scale
            self._run(self._decoder, stage, items, whole=min(lengths) == self.block_frames)
            samples = stage.outputs["samples"].numpy()
            return [samples[row, :, : length * hop].copy() for row, length in enumerate(lengths)]

    def _run(
        self,
        runner: Runner,
        stage: Stage,
        items: Sequence[Item],
        whole: bool,
        searched: int = 0,
        beam: int = 1,
    ) -> None:
        """Run the contents of `stage` and update the streams' states; `whole`: no row is short."""
        continues = continuing(items, self.config.causal)
        stage.inputs["continues"][:] = False
        stage.inputs["continues"][: len(items)] = torch.tensor(continues)
        carried: list[Tensor | None] = [
            None if goes_on or item.state.is_new else item.state.slots[0]
            for item, goes_on in zip(items, continues, strict=True)
        ]
        variant = Variant(whole and not self.config.causal, searched, beam)
        after = runner.run(stage, variant, carried, longest_run(continues))
        for item, row in zip(items, after, strict=bool(after)):
            item.state.slots = [row]

    def _check_full(self, item: EncodeItem | DecodeItem, full: bool) -> None:
        if self.config.causal and not (full or item.last):
            raise ValueError("a block that is not the last is a full one here")

    def _in_batches(
        self,
        items: Sequence[Item],
        run: Callable[[Sequence[Item]], list[Result]],
        key: Callable[[Item], int] = lambda item: 0,
    ) -> list[Result]:
        """The items of a batch have one `key`: its rows are the same work."""
        results: dict[int, Result] = {}
        with states_kept(items):
            for turn in stretches(items, self.config.causal, key):
                alike: dict[int, list[int]] = {}
                for stretch in turn:
                    alike.setdefault(key(items[stretch[0]]), []).extend(stretch)
                for numbers in alike.values():
                    some = [items[number] for number in numbers]
                    for batch in batches_of(some, self.max_batch, self.config.causal):
                        done = run([some[place] for place in batch])
                        results.update(zip((numbers[place] for place in batch), done, strict=True))
        return [results[number] for number in range(len(items))]


def _block(stage: Stage, row: int, item: EncodeItem, frames: int) -> EncodedBlock:
    """A row of the outputs."""
    scales = stage.outputs.get("scale")
    scale = None if scales is None else float(scales[row])
    if item.latent:
        latent = stage.outputs["latent"][row, :, :frames].numpy().copy()
        return EncodedBlock(np.empty((0, frames), np.int64), scale, latent)
    codes = stage.outputs["codes"].numpy()[row, : item.num_codebooks, :frames]
    return EncodedBlock(codes.astype(np.int64), scale)
