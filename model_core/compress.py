"""Whole waveforms to `.ecdc` bytes and back, with the reference's names.

Source: reference `compress.py`. Long audio needs no more memory than short: both ways go block
by block. For streams see `codec`.
"""

import io
from functools import lru_cache
from typing import BinaryIO, cast

import numpy as np
import torch
from torch import Tensor

from .checkpoints import shared_registry
from .codec import (
    Codec,
    Coding,
    Compressor,
    Decompressor,
    iterate_now,
    open_stored,
    run_now,
)
from .codec.codec_cache import CodecCache, language_model_of
from .config import CONFIGS
from .ecdc import parse_model_name, read_header
from .ecdc.header import read_up_to, version_of
from .engine import EngineOptions
from .errors import InvalidAudioError, UnknownModelError
from .model import EncodecModel

_PUSHED = 1_920_000  # samples given to the compressor at once

_CODECS = CodecCache()

MODELS = {
    "encodec_24khz": EncodecModel.encodec_model_24khz,
    "encodec_48khz": EncodecModel.encodec_model_48khz,
}


def compress_to_file(
    model: EncodecModel,
    wav: Tensor,
    fo: BinaryIO,
    use_lm: bool = True,
    effort: int = 0,
    format: int = 0,
    verify: bool = False,
) -> None:
    """Compress `wav` `[C, T]`, at the model's rate and channels, into the file object `fo`.

    The bandwidth is the model's (`set_target_bandwidth`; all codebooks by default). With `use_lm`
    the codes are entropy coded, which saves bits and takes time. `effort` 0 is the reference's; 1
    to 3 search longer for codes and correct the audio (`codec.Encoder`). `format` 0 is the
    reference's, 1 the one of `docs/format.md`, with which `use_lm` is the same on all machines.
    With `verify`, what the language model coded is decoded again before anything is written.

    Raises `InvalidAudioError` for another shape or type and for samples that are not finite,
    `ValueError` for another effort or format, `UnknownModelError` for a model without a name,
    `WeightsError` for one whose weights are no longer those that its name stands for (save them and
    load a model from there), `WeightsUnavailableError` where there is no language model,
    `VerificationError`.
    """
    if format not in (0, 1):
        raise ValueError(f"there is no format {format!r}; there are 0 and 1")
    if not isinstance(wav, Tensor):
        raise TypeError(f"the waveform must be a torch tensor, not {type(wav).__name__}")
    if wav.dim() != 2:
        raise InvalidAudioError(f"expected one waveform [C, T], got shape {list(wav.shape)}")
    if parse_model_name(model.name).name not in CONFIGS:
        raise UnknownModelError(f"a model named {model.name!r} cannot be found when decoding")
    lm = model.get_lm_model() if use_lm else None
    codec = _CODECS.of(model)
    if lm is not None:
        name = shared_registry(model.weights).find_exact(model.name).lm_header_name
        codec = codec.with_lm(language_model_of(name or model.name, lm))
    bandwidth = model.bandwidth or model.target_bandwidths[-1]
    coding = Coding(bandwidth=bandwidth, lm=use_lm, format=format, effort=effort, verify=verify)
    compressor = coding.compressor(codec)
    payload = [run_now(compressor.push(_array(part))) for part in torch.split(wav, _PUSHED, dim=-1)]
    payload.append(run_now(compressor.finish()))
    if isinstance(compressor, Compressor):
        fo.write(compressor.header.to_bytes())
    fo.write(b"".join(payload))


def _array(wav: Tensor) -> np.ndarray:
    """`wav` as numpy has it, which knows no bfloat16."""
    wav = wav.detach().cpu()
    return (wav.float() if wav.dtype == torch.bfloat16 else wav).numpy()


def compress(
    model: EncodecModel,
    wav: Tensor,
    use_lm: bool = False,
    effort: int = 0,
    format: int = 0,
    verify: bool = False,
) -> bytes:
    """As `compress_to_file`, returning the bytes."""
    fo = io.BytesIO()
    compress_to_file(model, wav, fo, use_lm=use_lm, effort=effort, format=format, verify=verify)
    return fo.getvalue()


def decompress_from_file(fo: BinaryIO, device: torch.device | str = "cpu") -> tuple[Tensor, int]:
    """Decompress an `.ecdc` file object: `(wav [C, T], sample rate in Hz)`.

    The weights are those the file was made with: the published ones, bundled, or in the cache, in
    the folder that `ENCODEC_WEIGHTS` names or in one that this process has loaded a model from
    (`repository=`). Raises `BitstreamError` for a broken file and
    `WeightsUnavailableError` for weights that are not here.
    """
    first = read_up_to(fo, 5)
    if version_of(first) == 1:
        stored = open_stored(io.BytesIO(first + fo.read()))
        codec = _codec(stored.model, stored.lm, str(device))
        blocks = list(iterate_now(stored.audio(codec)))
    else:
        header = read_header(cast(BinaryIO, _Resumed(first, fo)))
        codec = _codec(header.model, header.lm, str(device))
        blocks = list(iterate_now(Decompressor(codec, header, fo).blocks()))
    wav = torch.from_numpy(np.concatenate(blocks, axis=1)).to(device)
    return wav, codec.config.sample_rate


class _Resumed:
    """A file object whose first bytes were read already."""

    def __init__(self, first: bytes, fo: BinaryIO):
        self._first = first
        self._fo = fo

    def read(self, size: int) -> bytes:
        """The next bytes, at most `size`."""
        if not self._first:
            return self._fo.read(size)
        data, self._first = self._first[:size], self._first[size:]
        return data


def decompress(compressed: bytes, device: torch.device | str = "cpu") -> tuple[Tensor, int]:
    """As `decompress_from_file`, from bytes."""
    if compressed is None:
        raise TypeError("the compressed bytes are None")  # `BytesIO(None)` is an empty file
    return decompress_from_file(io.BytesIO(compressed), device=device)


@lru_cache(maxsize=4)
def _codec(name: str, lm: bool, device: str) -> Codec:
    """Weights are loaded once, however many files need them."""
    options = EngineOptions(threads=torch.get_num_threads())
    return Codec.load(name, device=device, options=options, exact=True, lm=lm)
