"""The `.ecdc` bitstream: bytes only, no networks. Here version 0; `v1` is version 1."""

from .arithmetic import ArithmeticCoder, ArithmeticDecoder, build_stable_quantized_cdf
from .bits import BitPacker, BitUnpacker
from .header import Header, ModelName, parse_model_name, read_exactly, read_header
from .layout import Segment, payload_bytes, read_scale, scale_to_bytes, segment_bytes, segments

__all__ = [
    "ArithmeticCoder",
    "ArithmeticDecoder",
    "BitPacker",
    "BitUnpacker",
    "Header",
    "ModelName",
    "Segment",
    "build_stable_quantized_cdf",
    "parse_model_name",
    "payload_bytes",
    "read_exactly",
    "read_header",
    "read_scale",
    "scale_to_bytes",
    "segment_bytes",
    "segments",
]
