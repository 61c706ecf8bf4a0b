"""Other codecs to compare with, each in its own file; `peer` is their common interface."""

from .lc3 import LC3
from .mp3 import MP3
from .opus import Opus
from .peer import Peer, PeerCoded

PEERS: tuple[Peer, ...] = (Opus(), Opus(frame=40), MP3(), LC3())

__all__ = ["PEERS", "Peer", "PeerCoded"]
