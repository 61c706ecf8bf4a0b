"""The parts of a step on a device, outside the engine, to examine each alone."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch

from model_core.engine import Precision
from model_core.engine.cuda.capture import CudaRecorder, same_workspaces
from model_core.engine.cuda.network import with_bfloat16_decoder
from model_core.engine.cuda.runner import batch_of
from model_core.engine.cuda.steps import CARRIED, DecodeStep, EncodeStep, Step, Tensors, Variant
from model_core.engine.modules import Modules, Multiplication
from model_core.engine.plan import Plan, decoder_plan, encoder_plan
from model_core.nn.conv import fold_weight_norm
from model_core.nn.network import EncodecNetwork

from ..clips import sound
from ..macs import Direction
from ..plan import DEFAULT_BANDWIDTH
from .check import Check


class Parts:
    """The step of `direction` for `rows` full rows of different streams in progress, at the usual
    bandwidth. `recorder` is None on the CPU."""

    @torch.inference_mode()
    def __init__(
        self,
        check: Check,
        model: EncodecNetwork,
        direction: Direction,
        precision: Precision = "float32",
        rows: int | None = None,
    ):
        self.device = check.device
        self.rows = rows or check.rows
        model = copy.deepcopy(model).eval()
        fold_weight_norm(model)
        if precision == "bfloat16":
            model = with_bfloat16_decoder(model)
        self._multiplication: Multiplication = "tf32" if precision == "tf32" else "ieee"
        self.recorder: CudaRecorder | None = None
        if check.has_gpu:
            same_workspaces()
            self._stream = torch.cuda.Stream()
            self.begin_recordings()
        self.model = model.to(self.device)
        config = model.config
        self.config = config
        books = config.codebooks_for(DEFAULT_BANDWIDTH)
        self.variant = Variant(not config.causal, books if direction == "encode" else 0)
        self.plan: Plan
        if direction == "encode":
            self.step: Step = EncodeStep(model)
            self.plan = encoder_plan(config)
        else:
            self.step = DecodeStep(model)
            self.plan = decoder_plan(config)
        self.modules = Modules(model, self.plan)
        self.given = {name: x.to(self.device) for name, x in self._filled(books).items()}
        check.wait()

    def _filled(self, books: int) -> Tensors:
        given = batch_of(self.step.inputs, self.rows)
        config = self.config
        if "samples" in given:
            long = sound(config.channels, self.rows + config.block_samples, config.sample_rate)
            for row in range(self.rows):
                piece = long[:, row : row + config.block_samples]
                given["samples"][row] = torch.from_numpy(np.ascontiguousarray(piece))
        else:
            draw = torch.Generator().manual_seed(1)
            given["codes"].random_(0, config.bins, generator=draw)
            given["num_codebooks"].fill_(books)
        if self.step.begin is not None:
            given[CARRIED] = self.step.begin.repeat(self.rows, 1)
            given[CARRIED][:, 0] = 1
        return given

    def begin_recordings(self) -> None:
        """Recordings from here on share a new memory pool; drop all earlier ones."""
        self.recorder = CudaRecorder(self.device, self._stream, self._multiplication)

    @contextmanager
    def launching(self) -> Iterator[None]:
        """The context in which the engine launches its kernels."""
        if self.recorder is None:
            with torch.inference_mode():
                yield
        else:
            with self.recorder.launching():
                yield

    def whole(self) -> Tensors:
        """The whole step once, kernel by kernel."""
        return self.step.run(self.given, self.variant, 1)

    def functions(self) -> Iterator[tuple[str, Callable[[Tensors], Tensors]]]:
        """`first`, `again` and `last`: each takes the outputs of all before it."""
        yield "first", lambda held: self.step.first(self.given, self.variant.whole)
        yield "again", self.step.again
        yield "last", lambda held: self.step.last(held, self.variant)
