"""The network: encoder, residual quantiser, decoder.

Source: paper section 3; reference `model.py`.
"""

import torch
from torch import Tensor, nn

from ..config import ModelConfig
from ..errors import InvalidAudioError
from .rvq import ResidualVectorQuantizer
from .seanet import SEANetDecoder, SEANetEncoder

EncodedFrame = tuple[Tensor, Tensor | None]
"""Codes `[B, K, T]` of one segment and, for a normalising model, its scale `[B, 1]`."""

UNSET = "unset"
"""The name of a network whose weights come from no checkpoint."""


class EncodecNetwork(nn.Module):
    """A codec for waveforms `[B, channels, T]` at `sample_rate` Hz.

    `name` is the name of the model and its weights in an `.ecdc` header. It is `UNSET` while the
    weights come from no checkpoint; such a network cannot compress to a file.
    """

    def __init__(self, config: ModelConfig, name: str = UNSET):
        super().__init__()
        self.config = config
        self.name = name
        self.bandwidth: float | None = None
        self.weights: str | None = None  # the value of `ENCODEC_WEIGHTS` that loads them
        self.weights_id: str | None = None  # 8 hex digits, if loaded from a checkpoint
        # The reference's names; `ModelConfig` says what they mean.
        self.sample_rate = config.sample_rate
        self.channels = config.channels
        self.frame_rate = config.frame_rate
        self.target_bandwidths = list(config.target_bandwidths)
        self.normalize = config.normalize
        self.segment = config.segment
        self.overlap = config.overlap
        self.segment_length = config.segment_length
        self.segment_stride = config.segment_stride
        self.bits_per_codebook = config.bits_per_codebook
        self.encoder = SEANetEncoder(config)
        self.decoder = SEANetDecoder(config)
        self.quantizer = ResidualVectorQuantizer(
            config.dimension, config.num_codebooks, config.bins
        )

    def set_target_bandwidth(self, bandwidth: float) -> None:
        """Set the bandwidth (kbps) of `encode`.

        Raises `UnsupportedBandwidthError` for anything but one of `target_bandwidths`.
        """
        self.config.codebooks_for(bandwidth)
        self.bandwidth = bandwidth

    def encode(self, x: Tensor) -> list[EncodedFrame]:
        """Encode `[B, channels, T]` into one `(codes, scale)` per segment.

        Floating-point samples are converted to the model's type; that they are finite is not
        checked here, as it is in `compress`. Raises `InvalidAudioError` for
        integer samples, for another shape or for no samples.
        """
        if not x.is_floating_point():
            raise InvalidAudioError(
                f"expected floating-point samples between -1 and 1, got {x.dtype}"
            )
        if x.dim() != 3 or x.shape[1] != self.channels:
            raise InvalidAudioError(
                f"expected audio of shape [B, {self.channels}, T], got {list(x.shape)}"
            )
        if x.shape[-1] == 0:
            raise InvalidAudioError("there are no samples to encode")
        x = x.to(next(self.parameters()).dtype)
        length = self.segment_length or x.shape[-1]
        stride = self.segment_stride or x.shape[-1]
        return [
            self._encode_frame(x[:, :, offset : offset + length])
            for offset in range(0, x.shape[-1], stride)
        ]

    def _encode_frame(self, x: Tensor) -> EncodedFrame:
        x, scale = self.normalised(x)
        codes = self.quantizer.encode(self.encoder(x), self.frame_rate, self.bandwidth)
        return codes.transpose(0, 1), scale

    def normalised(self, x: Tensor, least: float = 0.0) -> tuple[Tensor, Tensor | None]:
        """The encoder's input `[B, C, T]`, and the scale `[B, 1]` by which it is divided.

        The scale of a normalising model is the root mean square of the mono mix, but not below
        `least`; other models have none.
        """
        if not self.normalize:
            return x, None
        mono = x.mean(dim=1, keepdim=True)
        scale = (1e-8 + mono.pow(2).mean(dim=2, keepdim=True).sqrt()).clamp(min=least)
        return x / scale, scale.view(-1, 1)

    def decode(self, encoded_frames: list[EncodedFrame]) -> Tensor:
        """Decode what `encode` returned into `[B, channels, T]`.

        The last frame is decoded whole, so the output may be a little longer than the input.
        Raises `InvalidAudioError` for no frames, for more than one from a model without segments,
        and for other shapes and types than codes `[B, K, T]`, codes outside the codebooks and more
        codebooks than the model has.
        """
        count = len(encoded_frames)
        if not count:
            raise InvalidAudioError("there are no frames to decode")
        if count > 1 and self.segment_stride is None:
            raise InvalidAudioError(f"{self.name} codes audio as one frame, not {count}")
        frames = [self._decode_frame(frame) for frame in encoded_frames]
        if self.segment_stride is None:
            return frames[0]
        return linear_overlap_add(frames, self.segment_stride)

    def _decode_frame(self, encoded_frame: EncodedFrame) -> Tensor:
        codes, scale = encoded_frame
        bins = self.quantizer.bins
        if codes.ndim != 3 or codes.is_floating_point():
            raise InvalidAudioError(
                f"codes are integers [B, K, T], not {codes.dtype} {list(codes.shape)}"
            )
        if not codes.numel():
            raise InvalidAudioError("there are no codes to decode")
        if codes.shape[1] > self.quantizer.n_q:
            raise InvalidAudioError(
                f"codes of {codes.shape[1]} codebooks; {self.name} has {self.quantizer.n_q}"
            )
        if codes.min() < 0 or codes.max() >= bins:
            raise InvalidAudioError(f"there are codes outside the {bins} entries of a codebook")
        out: Tensor = self.decoder(self.quantizer.decode(codes.transpose(0, 1)))
        return out if scale is None else out * scale.view(-1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Encode and decode: `[B, channels, T] -> [B, channels, T]`."""
        return self.decode(self.encode(x))[:, :, : x.shape[-1]]


def _triangle(length: int, like: Tensor) -> Tensor:
    """Weights of a segment's samples: from near 0 up to 0.5 in the middle and down again."""
    t = torch.linspace(0, 1, length + 2, device=like.device, dtype=like.dtype)[1:-1]
    return 0.5 - (t - 0.5).abs()


def linear_overlap_add(frames: list[Tensor], stride: int) -> Tensor:
    """Join segments `[..., T_i]` that start `stride` samples apart.

    Each is weighted by a triangle and the sum is divided by the sum of the weights: a segment
    alone stays as it is, two that overlap cross-fade linearly.

        \\  /\\  /        weights, S the start of the second segment, E the end of the first
         \\/  \\/         at t the second has (t - S) / (E - S)
         S E

    The result ends with the last segment. If that is shorter than the overlap, the segment before
    it is cut at the same place.
    """
    total = stride * (len(frames) - 1) + frames[-1].shape[-1]
    first = frames[0]
    weight = _triangle(first.shape[-1], first)
    weight_sum = torch.zeros(total, device=first.device, dtype=first.dtype)
    out = torch.zeros(*first.shape[:-1], total, device=first.device, dtype=first.dtype)
    for index, frame in enumerate(frames):
        start = index * stride
        end = min(start + frame.shape[-1], total)
        faded = weight[: end - start]
        out[..., start:end] += faded * frame[..., : end - start]
        weight_sum[start:end] += faded
    return out / weight_sum
