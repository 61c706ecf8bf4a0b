"""The network: encoder, residual quantiser, decoder.

Source: paper section 3; reference `model.py`.
"""

from torch import Tensor, nn

from ..config import ModelConfig
from ..errors import InvalidAudioError
from .overlap import linear_overlap_add
from .rvq import ResidualVectorQuantizer
from .seanet import SEANetDecoder, SEANetEncoder, SEANetShape

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
        shape: SEANetShape = {
            "channels": config.channels,
            "dimension": config.dimension,
            "n_filters": config.n_filters,
            "n_residual_layers": config.n_residual_layers,
            "ratios": config.ratios,
            "norm": config.norm,
            "causal": config.causal,
            "lstm": config.lstm,
        }
        self.encoder = SEANetEncoder(**shape)
        self.decoder = SEANetDecoder(**shape)
        self.quantizer = ResidualVectorQuantizer(
            dimension=config.dimension, n_q=config.num_codebooks, bins=config.bins
        )

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return self.config.sample_rate

    @property
    def channels(self) -> int:
        return self.config.channels

    @property
    def frame_rate(self) -> int:
        """Frames per second."""
        return self.config.frame_rate

    @property
    def target_bandwidths(self) -> list[float]:
        """kbps."""
        return list(self.config.target_bandwidths)

    @property
    def normalize(self) -> bool:
        """Whether each segment is divided by its own volume."""
        return self.config.normalize

    @property
    def segment(self) -> float | None:
        """Seconds in a segment; None if the whole audio is one segment."""
        return self.config.segment

    @property
    def overlap(self) -> float:
        """The share of a segment that the next one repeats."""
        return self.config.overlap

    @property
    def segment_length(self) -> int | None:
        """Samples in a segment."""
        return self.config.segment_length

    @property
    def segment_stride(self) -> int | None:
        """Samples from segment to segment."""
        return self.config.segment_stride

    @property
    def bits_per_codebook(self) -> int:
        return self.config.bits_per_codebook

    def set_target_bandwidth(self, bandwidth: float) -> None:
        """Set the bandwidth (kbps) of `encode`.

        Raises `UnsupportedBandwidthError` for anything but one of `target_bandwidths`.
        """
        self.config.codebooks_for(bandwidth)
        self.bandwidth = bandwidth

    def encode(self, x: Tensor) -> list[EncodedFrame]:
        """Encode `[B, channels, T]` into one `(codes, scale)` per segment.

        Floating-point samples are converted to the model's type. Raises `InvalidAudioError` for
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

    def normalised(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """The encoder's input `[B, C, T]`, and the scale `[B, 1]` by which it is divided.

        The scale of a normalising model is the root mean square of the mono mix; other models
        have none.
        """
        if not self.normalize:
            return x, None
        mono = x.mean(dim=1, keepdim=True)
        scale = 1e-8 + mono.pow(2).mean(dim=2, keepdim=True).sqrt()
        return x / scale, scale.view(-1, 1)

    def decode(self, encoded_frames: list[EncodedFrame]) -> Tensor:
        """Decode what `encode` returned into `[B, channels, T]`.

        The last frame is decoded whole, so the output may be a little longer than the input.
        Raises `InvalidAudioError` for no frames, for more than one from a model without segments,
        and for codes outside the codebooks.
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
        if not codes.numel():
            raise InvalidAudioError("there are no codes to decode")
        if codes.min() < 0 or codes.max() >= bins:
            raise InvalidAudioError(f"there are codes outside the {bins} entries of a codebook")
        out: Tensor = self.decoder(self.quantizer.decode(codes.transpose(0, 1)))
        return out if scale is None else out * scale.view(-1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Encode and decode: `[B, channels, T] -> [B, channels, T]`."""
        return self.decode(self.encode(x))[:, :, : x.shape[-1]]
