"""The torch backend: the modules of `nn` themselves, block by block for many streams."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from ..model import EncodecModel
from ..nn.conv import fold_weight_norm
from .items import DecodeItem, EncodedBlock, EncodeItem, StreamState, states_kept
from .streaming import run_block

BLOCK_SECONDS = 1


@contextmanager
def _exact(device: torch.device) -> Iterator[None]:
    """On CUDA, float32 in full and the same algorithm each time: cuDNN's own choice is TF32."""
    if device.type != "cuda":
        yield
        return
    with torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    ):
        yield


class TorchEngine:
    """An `Engine` for any device and precision.

    Blocks of full length share a batch, which is always padded to `max_batch`, so that a result
    depends on its own stream alone; shorter ones (a stream's last) run by themselves at their
    true length.
    """

    name = "torch"
    blocks_at_once = 1

    def __init__(self, model: EncodecModel, device: torch.device | str = "cpu", max_batch: int = 1):
        self.config = model.config
        self.device = torch.device(device)
        self.max_batch = max_batch
        self.model = copy.deepcopy(model).to(self.device).eval()
        fold_weight_norm(self.model)
        self.dtype = next(self.model.parameters()).dtype
        self.block_samples = self.config.segment_length or BLOCK_SECONDS * self.config.sample_rate
        self.block_frames = self.config.frames(self.block_samples)

    @torch.inference_mode()
    def encode(self, items: Sequence[EncodeItem]) -> list[EncodedBlock]:
        """Encode one block of each of several streams.

        When it raises, the streams stand where they stood, so that each block can be tried alone.
        """
        with _exact(self.device), states_kept(items):
            return self._encode(items)

    def _encode(self, items: Sequence[EncodeItem]) -> list[EncodedBlock]:
        full = [i for i in items if i.samples.shape[-1] == self.block_samples]
        done = {id(i): r for i, r in zip(full, self._encode_full(full), strict=True)}
        for item in items:
            if id(item) not in done:
                done[id(item)] = self._encode_tail(item)
        return [done[id(i)] for i in items]

    def _encode_full(self, items: list[EncodeItem]) -> list[EncodedBlock]:
        if not items:
            return []
        x, scales = self.model.normalised(self._batch([i.samples for i in items]))
        if self.config.causal:
            latent = run_block(self.model.encoder.model, x, self._states(items), last=False)
        else:
            latent = self.model.encoder(x)
        return self._quantise(latent, scales, [i.num_codebooks for i in items])

    def _encode_tail(self, item: EncodeItem) -> EncodedBlock:
        x, scales = self.model.normalised(self._tensor(item.samples)[None])
        if item.state.is_new:
            latent = self.model.encoder(x)
        else:
            latent = run_block(self.model.encoder.model, x, [item.state], last=True)
        return self._quantise(latent, scales, [item.num_codebooks])[0]

    def _quantise(
        self, latent: Tensor, scales: Tensor | None, num_codebooks: list[int]
    ) -> list[EncodedBlock]:
        codes = self.model.quantizer.encode_with(latent, max(num_codebooks)).cpu().numpy()
        return [
            EncodedBlock(codes[:k, b], None if scales is None else float(scales[b]))
            for b, k in enumerate(num_codebooks)
        ]

    @torch.inference_mode()
    def decode(self, items: Sequence[DecodeItem]) -> list[np.ndarray]:
        """Decode one block of each of several streams: samples `[C, frames · hop]`.

        When it raises, the streams stand where they stood.
        """
        with _exact(self.device), states_kept(items):
            return [samples.numpy() for samples in self._decode(items)]

    def _decode(self, items: Sequence[DecodeItem]) -> list[Tensor]:
        full = [i for i in items if i.block.codes.shape[-1] == self.block_frames]
        done = {id(i): r for i, r in zip(full, self._decode_full(full), strict=True)}
        for item in items:
            if id(item) not in done:
                latent = self._latent(item)
                if self.config.causal and not item.state.is_new:
                    y = run_block(self.model.decoder.model, latent, [item.state], last=True)
                else:
                    y = self.model.decoder(latent)
                done[id(item)] = self._scaled(y, [item])[0]
        return [done[id(i)] for i in items]

    def _decode_full(self, items: list[DecodeItem]) -> list[Tensor]:
        if not items:
            return []
        latents = [self._latent(i) for i in items]
        padding = [torch.zeros_like(latents[0])] * (self.max_batch - len(items))
        latent = torch.cat(latents + padding)
        if self.config.causal:
            y = run_block(self.model.decoder.model, latent, self._states(items), last=False)
        else:
            y = self.model.decoder(latent)
        return self._scaled(y, items)

    def _latent(self, item: DecodeItem) -> Tensor:
        codes = torch.from_numpy(item.block.codes).to(self.device)
        return self.model.quantizer.decode(codes[:, None])

    def _scaled(self, y: Tensor, items: list[DecodeItem]) -> list[Tensor]:
        out = y.cpu()
        return [
            out[b] if item.block.scale is None else out[b] * item.block.scale
            for b, item in enumerate(items)
        ]

    def _states(self, items: Sequence[EncodeItem | DecodeItem]) -> list[StreamState]:
        """The states of the batch; padding rows get ones that are thrown away."""
        padding = [StreamState() for _ in range(self.max_batch - len(items))]
        return [item.state for item in items] + padding

    def _batch(self, arrays: list[np.ndarray]) -> Tensor:
        batch = torch.stack([self._tensor(a) for a in arrays])
        missing = self.max_batch - len(arrays)
        return nn.functional.pad(batch, (0, 0, 0, 0, 0, missing)) if missing else batch

    def _tensor(self, samples: np.ndarray) -> Tensor:
        return torch.from_numpy(samples).to(self.device, self.dtype)
