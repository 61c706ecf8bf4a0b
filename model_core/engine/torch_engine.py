"""The torch backend: the modules of `nn` themselves, one block of one stream at a time.

Every layer of the causal model looks only to the left, so a layer needs no more than the last
`context` columns of its own input from the block before (`plan`), and the LSTM its h and c.

    block 1   r r r|x x x x x x     r: reflected from the block itself, as in the whole audio
    block 2         . . . c c c|x x x x x x     c: context, the end of block 1
    last block                   . . . c c c|x x e     e: reflected to fill the last window

A block is a multiple of the hop, except the last, so strides never straddle two blocks. The
first block is at least as long as the deepest reflection (seven frames), unless it is also the
last one; then there is nothing to carry and `nn` runs it whole.
"""

import copy
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import EncodecError
from ..nn.conv import extra_padding, fold_weight_norm
from ..nn.network import EncodecNetwork
from ..threads import single_thread
from .modules import Modules, arithmetic
from .plan import Convolution, Layer, Plan, Residual, decoder_plan, encoder_plan
from .protocol import (
    DecodeItem,
    EncodedBlock,
    EncodeItem,
    EncodePrecision,
    EngineOptions,
    Precision,
    check_decode_item,
    check_encode_item,
    states_kept,
)


class TorchEngine:
    """An `Engine` for any device and precision: the reference for the others."""

    name = "torch"
    precision: Precision = "float32"
    encode_precision: EncodePrecision = "float32"
    blocks_at_once = 1
    captured: bool | None = None
    max_batch = 1

    def __init__(
        self,
        model: EncodecNetwork,
        device: torch.device | str = "cpu",
        options: EngineOptions = EngineOptions(),
    ):
        """Of the options only `shared` means something here."""
        self.config = model.config
        self._device = torch.device(device)
        self.device = str(self._device)
        self.model = copy.deepcopy(model).to(self._device).eval()
        self._shared = options.shared
        fold_weight_norm(self.model)
        self._encoder = _Streamed(self.model, self.model.encoder, encoder_plan(self.config))
        self._decoder = _Streamed(self.model, self.model.decoder, decoder_plan(self.config))
        self.dtype = next(self.model.parameters()).dtype
        self.block_samples = self.config.block_samples
        self.block_frames = self.config.frames(self.block_samples)

    def prepare(self) -> None:
        """As `Engine`: there is nothing."""

    def codebooks(self) -> np.ndarray:
        """As `Engine`."""
        return self.model.quantizer.entries()

    def encode(self, items: Sequence[EncodeItem], threads: int | None = None) -> list[EncodedBlock]:
        """As `Engine`. Raises as `check_encode_item`."""
        for item in items:
            check_encode_item(item, self.config)
        with self._threads(), arithmetic(self._device), states_kept(items):
            return [self._encode(item) for item in items]

    @torch.inference_mode()
    def _encode(self, item: EncodeItem) -> EncodedBlock:
        x = torch.from_numpy(item.samples).to(self._device, self.dtype)[None]
        x, scale = self.model.normalised(x, item.least_scale)
        latent = self._encoder(x, item)
        number = None if scale is None else float(scale)
        if item.latent:
            rows = latent[0].float().cpu().numpy()
            return EncodedBlock(np.empty((0, rows.shape[1]), np.int64), number, rows)
        codes = self.model.quantizer.encode_with(latent, item.num_codebooks, item.beam)
        return EncodedBlock(codes[:, 0].cpu().numpy(), number)

    def decode(self, items: Sequence[DecodeItem], threads: int | None = None) -> list[np.ndarray]:
        """As `Engine`. Raises as `check_decode_item`."""
        for item in items:
            check_decode_item(item, self.config)
        with self._threads(), arithmetic(self._device), states_kept(items):
            return [self._decode(item).cpu().numpy() for item in items]

    @torch.inference_mode()
    def _decode(self, item: DecodeItem) -> Tensor:
        codes = torch.from_numpy(item.block.codes).to(self._device)
        y = self._decoder(self.model.quantizer.decode(codes[:, None]), item)[0]
        return y if item.block.scale is None else y * item.block.scale

    def _threads(self) -> AbstractContextManager[None]:
        """Where several threads call, one torch thread each: sums then have one order."""
        return single_thread() if self._shared else nullcontext()


class _Streamed:
    """The encoder or decoder `half` of `model`, for one block of a stream at a time."""

    def __init__(self, model: EncodecNetwork, half: nn.Module, plan: Plan):
        self._half = half
        self._plan = plan
        self._modules = Modules(model, plan)
        self._causal = model.config.causal

    def __call__(self, x: Tensor, item: EncodeItem | DecodeItem) -> Tensor:
        """One block `[1, C, T]`, the contents of `item`, whose state is renewed.

        A segment, or a stream of one block, which may be too short to be one of several, is run
        whole. The last block of a stream may have any length.
        """
        if not self._causal or (item.last and item.state.is_new):
            whole: Tensor = self._half(x)
            return whole
        block = _Block(self._modules, item.state.slots, item.last)
        x = block.run(self._plan.before, x)
        if self._modules.lstm is not None:
            h, c = block.take(), block.take()
            x, ends = self._modules.lstm.step(x, None if h is None or c is None else (h, c))
            block.put(*ends)
        x = block.run(self._plan.after, x)
        item.state.slots = block.after
        return x


class _Block:
    """A block on its way through the layers of a causal network, and what they carry."""

    def __init__(self, modules: Modules, before: list[Tensor], last: bool):
        self._modules = modules
        self._before = iter(before)
        self._begins = not before
        self._last = last
        self.after: list[Tensor] = []

    def take(self) -> Tensor | None:
        """What the next layer carries; None in the first block."""
        return None if self._begins else next(self._before)

    def put(self, *tensors: Tensor) -> None:
        self.after += [x.clone() for x in tensors]

    def run(self, layers: Iterable[Layer], x: Tensor) -> Tensor:
        for layer in layers:
            if isinstance(layer, Residual):
                x = self.run([layer.shortcut], x) + self.run(layer.block, x)
                continue
            x = F.elu(x) if layer.elu else x
            x = self._conv_transpose(layer, x) if layer.transposed else self._conv(layer, x)
        return x

    def _conv(self, layer: Convolution, x: Tensor) -> Tensor:
        left = layer.context
        length = x.shape[-1]
        if left:
            context = self.take()
            if context is None:
                if length <= left:
                    raise EncodecError("the first block of a stream is too short to go on from")
                context = x[..., 1 : left + 1].flip(-1)
            x = torch.cat([context, x], dim=-1)
            self.put(x[..., -left:])
        if self._last:
            extra = extra_padding(length, layer.window, layer.stride, left)
            if extra:
                x = F.pad(x, (0, extra), mode="reflect")
        return self._modules.convolution(layer)(x)

    def _conv_transpose(self, layer: Convolution, x: Tensor) -> Tensor:
        previous = self.take()
        if previous is None:
            previous = torch.zeros_like(x[..., :1])
        self.put(x[..., -1:])
        y: Tensor = self._modules.convolution(layer)(torch.cat([previous, x], dim=-1))
        return y[..., layer.stride : -layer.padding]
