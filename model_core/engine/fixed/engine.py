"""The engine of fixed shapes: every batch is the same work, whoever is in it."""

import copy
import itertools
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from ...errors import InvalidAudioError
from ...model import EncodecModel
from ...nn.conv import fold_weight_norm
from ..arithmetic import Multiplication
from ..items import (
    DecodeItem,
    EncodedBlock,
    EncodeItem,
    Item,
    by_stream,
    check_decode_item,
    check_encode_item,
    states_kept,
)
from ..protocol import EngineOptions
from .graph import GraphRunner, handing_over, same_workspaces
from .precision import with_bfloat16_decoder
from .runner import HostRunner, Runner
from .steps import Step, Variant, decode_step, encode_step

Result = TypeVar("Result")

_SEGMENTS = 8


class FixedEngine:
    """An `Engine` for CUDA devices, as captured graphs; on the CPU it is for comparison.

    A batch always has `max_batch` rows of one block each, of which some may be unused, and blocks
    that end early are computed to the end. So a result depends on its own stream alone.
    """

    blocks_at_once = 1

    def __init__(
        self,
        model: EncodecModel,
        device: torch.device | str,
        options: EngineOptions = EngineOptions(),
    ):
        """TF32 means something on a CUDA device alone. Without a `max_batch` it is for one stream
        at a time, or a few segments of it."""
        self.config = model.config
        self.device = torch.device(device)
        self.max_batch = options.max_batch or (1 if self.config.causal else _SEGMENTS)
        self.precision = options.precision
        self.encode_precision = options.encode_precision
        self.block_samples = self.config.block_samples
        self.block_frames = self.config.frames(self.block_samples)
        self.name = "cuda" if self.device.type == "cuda" else "fixed"
        if self.device.type == "cuda":
            same_workspaces()
        self.model = copy.deepcopy(model).eval()
        fold_weight_norm(self.model)
        decoding = self.model
        if self.precision == "bfloat16":
            decoding = with_bfloat16_decoder(self.model)
        with handing_over:
            self.model.to(self.device)
            decoding.to(self.device)
        self._searches = sorted(map(self.config.codebooks_for, self.config.target_bandwidths))
        self._encoder = self._runner(
            encode_step(self.model, self.block_samples),
            "tf32" if self.encode_precision == "tf32" else "ieee",
        )
        self._decoder = self._runner(
            decode_step(decoding, self.block_frames),
            "tf32" if self.precision == "tf32" else "ieee",
        )

    @property
    def captured(self) -> bool | None:
        """As `Engine`."""
        return None

    def _runner(self, step: Step, multiplication: Multiplication) -> Runner:
        if self.device.type != "cuda":
            return HostRunner(step, self.max_batch)
        return GraphRunner(step, self.max_batch, self.device, multiplication)

    def prepare(self) -> None:
        """As `Engine`: capture what any call may need."""
        for whole in (False,) if self.config.causal else (True, False):
            self._decoder.prepare(Variant(whole))
            for searched in self._searches:
                self._encoder.prepare(Variant(whole, searched))

    def encode(self, items: Sequence[EncodeItem], threads: int | None = None) -> list[EncodedBlock]:
        """As `Engine`. Raises `InvalidAudioError` for no or too many samples, and as
        `check_encode_item`."""
        for item in items:
            if not 0 < item.samples.shape[1] <= self.block_samples:
                raise InvalidAudioError(f"a block has 1 to {self.block_samples} samples")
            check_encode_item(item, self.config)
        with states_kept(items):
            return self._in_groups(
                items, lambda item: item.samples.shape[1] == self.block_samples, self._encode
            )

    @torch.inference_mode()
    def _encode(self, items: Sequence[EncodeItem], whole: bool) -> list[EncodedBlock]:
        most = max(item.num_codebooks for item in items)
        searched = min(n for n in self._searches if n >= most)
        blocks = []
        with self._encoder.stage() as stage:
            samples, lengths = stage.inputs["samples"].numpy(), stage.inputs["length"].numpy()
            for row, item in enumerate(items):
                length = item.samples.shape[1]
                samples[row, :, :length] = item.samples
                samples[row, :, length:] = 0
                lengths[row] = length
            after = self._encoder.run(stage, Variant(whole, searched), _rows(items))
            codes, scales = stage.outputs["codes"].numpy(), stage.outputs.get("scale")
            for row, item in enumerate(items):
                frames = self.config.frames(item.samples.shape[1])
                scale = None if scales is None else float(scales[row])
                chosen = codes[row, : item.num_codebooks, :frames].astype(np.int64)
                blocks.append(EncodedBlock(chosen, scale))
        _renew(items, after)
        return blocks

    def decode(self, items: Sequence[DecodeItem], threads: int | None = None) -> list[np.ndarray]:
        """As `Engine`. Raises `ValueError` for blocks of no or too many frames, and as
        `check_decode_item`."""
        for item in items:
            if not 0 < item.block.codes.shape[1] <= self.block_frames:
                raise ValueError(f"a block has 1 to {self.block_frames} frames")
            check_decode_item(item, self.config)
        with states_kept(items):
            return self._in_groups(
                items, lambda item: item.block.codes.shape[1] == self.block_frames, self._decode
            )

    @torch.inference_mode()
    def _decode(self, items: Sequence[DecodeItem], whole: bool) -> list[np.ndarray]:
        with self._decoder.stage() as stage:
            given = {name: x.numpy() for name, x in stage.inputs.items()}
            for row, item in enumerate(items):
                books, frames = item.block.codes.shape
                given["codes"][row, :books, :frames] = item.block.codes
                given["num_codebooks"][row] = books
                given["length"][row] = frames
                given["scale"][row] = 1.0 if item.block.scale is None else item.block.scale
            after = self._decoder.run(stage, Variant(whole), _rows(items))
            samples = stage.outputs["samples"].numpy()
            audio = [
                samples[row, :, : item.block.codes.shape[1] * self.config.hop_length].copy()
                for row, item in enumerate(items)
            ]
        _renew(items, after)
        return audio

    def _in_groups(
        self,
        items: Sequence[Item],
        whole: Callable[[Item], bool],
        run: Callable[[Sequence[Item], bool], list[Result]],
    ) -> list[Result]:
        """Whole segments in one batch, shorter ones in another, whose step minds their lengths.

        The blocks of causal streams go together, whatever their length: the first of each, then
        the second.
        """
        if self.config.causal:
            streams = by_stream(items, causal=True)
            batches = [
                (False, [number for number in numbers if number is not None])
                for numbers in itertools.zip_longest(*streams)
            ]
        else:
            full = [n for n, item in enumerate(items) if whole(item)]
            short = [n for n, item in enumerate(items) if not whole(item)]
            batches = [
                (kind, numbers) for kind, numbers in ((True, full), (False, short)) if numbers
            ]
        results: dict[int, Result] = {}
        for kind, numbers in batches:
            done = run([items[number] for number in numbers], kind)
            results.update(zip(numbers, done, strict=True))
        return [results[number] for number in range(len(items))]


def _rows(items: Sequence[EncodeItem | DecodeItem]) -> list[Tensor | None]:
    return [None if item.state.is_new else item.state.slots[0] for item in items]


def _renew(items: Sequence[EncodeItem | DecodeItem], after: Sequence[Tensor]) -> None:
    for item, row in zip(items, after, strict=bool(after)):
        item.state.slots = [row]
