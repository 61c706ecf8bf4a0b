"""48 kHz audio whose last segment is shorter than the one before reaches: ours decodes it."""

import pytest
import torch

from model_core.config import ENCODEC_48KHZ
from tests.peers import Peers, reference_decodes, signal

pytestmark = pytest.mark.usefixtures("one_thread", "no_grad")
STRIDE, SEGMENT = 47_520, 48_000


@pytest.mark.parametrize("samples", [STRIDE + 161, STRIDE + 320, 2 * STRIDE + 200])
def test_overhang_is_trimmed(peers: Peers, samples: int) -> None:
    pair = peers.pair(ENCODEC_48KHZ.name, torch.float64)
    x = signal(2, samples, 48_000)[None].double()
    frames = pair.ours.encode(x)
    with pytest.raises(RuntimeError):
        pair.reference.decode(frames)
    assert not reference_decodes(ENCODEC_48KHZ.name, samples)

    out = pair.ours.decode(frames)
    segments = [pair.reference._decode_frame(frame) for frame in frames]
    last = STRIDE * (len(segments) - 1)
    assert segments[-2].shape[-1] == SEGMENT  # it reaches 480 samples past `last`
    assert out.shape == (1, 2, last + 320)
    # Where one segment stands alone, it is the result; where two overlap, each counts by the
    # height of a triangle: rising over its first half, falling over its second.
    for index, segment in enumerate(segments[:-1]):
        start = index * STRIDE
        alone = slice(start + (480 if index else 0), start + STRIDE)
        expected = segment[..., alone.start - start : STRIDE]
        torch.testing.assert_close(out[..., alone], expected, rtol=0, atol=1e-9)
    for index in range(1, len(segments)):
        width = min(480, segments[index].shape[-1])
        rising = torch.arange(1, width + 1).double()
        falling = torch.arange(480, 480 - width, -1).double()
        expected = (
            rising * segments[index][..., :width]
            + falling * segments[index - 1][..., STRIDE : STRIDE + width]
        ) / (rising + falling)
        actual = out[..., index * STRIDE : index * STRIDE + width]
        torch.testing.assert_close(actual, expected, rtol=0, atol=1e-9)
