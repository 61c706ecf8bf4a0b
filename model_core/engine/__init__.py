"""Runs the networks of `nn` on blocks of fixed shape, with the state of each stream apart.

What it computes is what `nn` computes on the whole audio; the tests hold it to that.
"""

from .engine import DecodeItem, EncodedBlock, EncodeItem, Engine
from .overlap import OverlapAdd
from .streaming import StreamState

__all__ = ["DecodeItem", "EncodeItem", "EncodedBlock", "Engine", "OverlapAdd", "StreamState"]
