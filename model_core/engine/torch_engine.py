"""The torch backend: the modules of `nn` themselves, one block of one stream at a time."""

import copy
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import Tensor

from ..nn.conv import fold_weight_norm
from ..nn.network import EncodecNetwork
from ..threads import single_thread
from .arithmetic import arithmetic
from .blocks import DecodeItem, EncodedBlock, EncodeItem, states_kept
from .modules import Modules
from .plan import decoder_plan, encoder_plan
from .protocol import EncodePrecision, EngineOptions, Precision
from .streaming import run_block


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
        self._encoder = encoder_plan(self.config)
        self._decoder = decoder_plan(self.config)
        self._encoder_modules = Modules(self.model, self._encoder)
        self._decoder_modules = Modules(self.model, self._decoder)
        self.dtype = next(self.model.parameters()).dtype
        self.block_samples = self.config.block_samples
        self.block_frames = self.config.frames(self.block_samples)

    def prepare(self) -> None:
        """As `Engine`: there is nothing."""

    def encode(self, items: Sequence[EncodeItem], threads: int | None = None) -> list[EncodedBlock]:
        """As `Engine`."""
        with self._threads(), arithmetic(self._device), states_kept(items):
            return [self._encode(item) for item in items]

    @torch.inference_mode()
    def _encode(self, item: EncodeItem) -> EncodedBlock:
        x = torch.from_numpy(item.samples).to(self._device, self.dtype)[None]
        x, scale = self.model.normalised(x)
        if self._is_whole(item):
            latent = self.model.encoder(x)
        else:
            latent = run_block(self._encoder, self._encoder_modules, x, item.state, item.last)
        codes = self.model.quantizer.encode_with(latent, item.num_codebooks)
        return EncodedBlock(codes[:, 0].cpu().numpy(), None if scale is None else float(scale))

    def decode(self, items: Sequence[DecodeItem], threads: int | None = None) -> list[np.ndarray]:
        """As `Engine`."""
        with self._threads(), arithmetic(self._device), states_kept(items):
            return [self._decode(item).cpu().numpy() for item in items]

    @torch.inference_mode()
    def _decode(self, item: DecodeItem) -> Tensor:
        codes = torch.from_numpy(item.block.codes).to(self._device)
        latent = self.model.quantizer.decode(codes[:, None])
        if self._is_whole(item):
            y = self.model.decoder(latent)
        else:
            y = run_block(self._decoder, self._decoder_modules, latent, item.state, item.last)
        return y[0] if item.block.scale is None else y[0] * item.block.scale

    def _threads(self) -> AbstractContextManager[None]:
        """Where several threads call, one torch thread each: sums then have one order."""
        return single_thread() if self._shared else nullcontext()

    def _is_whole(self, item: EncodeItem | DecodeItem) -> bool:
        """A segment, or a stream of one block, which may be too short to be one of several."""
        return not self.config.causal or (item.last and item.state.is_new)
