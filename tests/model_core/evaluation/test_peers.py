"""Other codecs, where they are installed: their sound comes back and their bytes are counted."""

from pathlib import Path

import numpy as np
import pytest

from model_core.evaluation.align import aligned, delay
from model_core.evaluation.errors import PeerError
from model_core.evaluation.peers import PEERS, Peer, mp3, opus, tools
from model_core.evaluation.peers.lc3 import payload_size
from model_core.evaluation.peers.ogg import packet_sizes
from model_core.evaluation.peers.rate import CLOSE, nearest
from model_core.evaluation.scores import scores

from .conftest import RATE, audio

SECONDS = 3.0
by_name = pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)


def _skip_if_missing(peer: Peer) -> None:
    reason = peer.missing()
    if reason is not None:
        pytest.skip(reason)


@by_name
def test_it_follows_the_signal_better_at_a_higher_rate(peer: Peer) -> None:
    _skip_if_missing(peer)
    x = audio(SECONDS)
    ratios, sizes = [], []
    for kbps in (16.0, 48.0):
        coded = peer.code(x, RATE, kbps)
        sizes.append(coded.payload_bytes)
        counted = coded.payload_bytes if peer.name == "lc3" else coded.file_bytes
        assert 8e-3 * counted / SECONDS == pytest.approx(kbps, rel=0.12)
        assert 0 < coded.payload_bytes <= coded.file_bytes < coded.payload_bytes + 1200
        y = aligned(x, coded.samples, RATE)
        assert y.shape == x.shape
        assert abs(delay(x, y, 2400)) == 0
        ratios.append(scores(x, y, RATE, speech=False).si_snr_db)
    assert sizes[0] < sizes[1]
    assert 2 < ratios[0] < ratios[1]


@by_name
def test_stereo_stays_stereo(peer: Peer) -> None:
    _skip_if_missing(peer)
    x = np.concatenate([audio(1.5, 1), 0.3 * audio(1.5, 2)])
    y = aligned(x, peer.code(x, RATE, 64.0).samples, RATE)
    left, right = (scores(x[c : c + 1], y[c : c + 1], RATE, False).si_snr_db for c in (0, 1))
    assert min(left, right) > 3


def test_the_long_delay_of_mp3_at_its_lowest_rate_is_undone() -> None:
    peer = mp3.MP3()
    _skip_if_missing(peer)
    x = np.concatenate([audio(SECONDS, 1), 0.3 * audio(SECONDS, 2)])
    y = aligned(x, peer.code(x, RATE, 16.0).samples, RATE)
    assert scores(x, y, RATE, speech=False).si_snr_db > 3


@pytest.mark.parametrize("peer", [p for p in PEERS if p.name != "lc3"], ids=lambda p: p.name)
def test_without_its_program_ffmpeg_encodes(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (opus, mp3):
        monkeypatch.setattr(module, "installed", lambda *_: False)
    _skip_if_missing(peer)
    x = audio(SECONDS)
    coded = peer.code(x, RATE, 32.0)
    assert 8e-3 * coded.file_bytes / SECONDS == pytest.approx(32, rel=0.12)
    assert scores(x, aligned(x, coded.samples, RATE), RATE, speech=False).si_snr_db > 3


def test_packets_of_an_ogg_file_may_span_pages() -> None:
    def page(*segments: int) -> bytes:
        return b"OggS" + bytes(22) + bytes([len(segments), *segments]) + bytes(sum(segments))

    assert packet_sizes(page(19) + page(255, 3, 255) + page(255, 0, 7)) == [19, 258, 510, 7]
    with pytest.raises(PeerError):
        packet_sizes(b"RIFF")


def test_frames_of_an_lc3_file() -> None:
    header = b"\x1c\xcc\x12\x00" + bytes(14)
    frames = b"".join(n.to_bytes(2, "little") + bytes(n) for n in (20, 30, 30))
    assert payload_size(header + frames) == 80
    with pytest.raises(PeerError):
        payload_size(header + frames[:-1])


def test_a_program_that_fails_or_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(PeerError, match="sh ended with 3: broken"):
        tools.run(["sh", "-c", "echo broken >&2; exit 3"], tmp_path)
    with pytest.raises(PeerError, match="no-such-encoder"):
        tools.run(["no-such-encoder"], tmp_path)


def test_the_setting_is_moved_until_the_file_comes_to_the_rate() -> None:
    asked: list[float] = []

    def encode(kbps: float) -> bytes:
        asked.append(kbps)
        return bytes(300 + round(0.8 * 1000 * kbps * 10 / 8))  # container, and 20 % less

    data = nearest(encode, 6.0, 10.0)
    assert len(data) == pytest.approx(6 * 1000 * 10 / 8, rel=CLOSE)
    assert asked[0] == 6.0
    assert len(nearest(lambda _: bytes(100), 6.0, 10.0)) == 100  # one that has a single size
