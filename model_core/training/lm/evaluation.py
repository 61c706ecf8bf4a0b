"""What a language model saves on unseen streams, counted as the coder would."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ...ecdc import ArithmeticCoder, build_stable_quantized_cdf
from ...nn.lm import LMModel
from .codes import CodeStreams

CHUNK = 256  # frames processed at once
BATCH_CODES = 6000  # frames times codebooks of the streams in a chunk


def chosen_streams(streams: CodeStreams, frames: float) -> list[int]:
    """Streams spread over the set, about `frames` frames in total, at least one."""
    count = len(streams.lengths)
    wanted = max(1, min(count, round(frames / float(streams.lengths.mean()))))
    return [int(i) for i in np.linspace(0, count - 1, wanted).round()]


@torch.inference_mode()
def bits_per_code(
    lm: LMModel, streams: CodeStreams, indices: list[int], codebooks: int
) -> dict[str, float]:
    """Mean bits per code: for each category, as `codebook_1` and so on for each codebook, and as
    `all` for all codes.

    They are those of the arithmetic coder's integer ranges, without the rounding up to a segment's
    last byte. Without the model each code costs 10.
    """
    device = next(lm.parameters()).device
    ordered = sorted(indices, key=lambda i: -streams.lengths[i])
    size = max(1, BATCH_CODES // (CHUNK * codebooks))
    found: dict[str, list[Tensor]] = {}  # [T, K] of each stream
    for first in range(0, len(ordered), size):
        group = ordered[first : first + size]
        parts = [torch.from_numpy(streams.stream(i)[:codebooks].T.astype(np.int64)) for i in group]
        padded = pad_sequence(parts, batch_first=True).to(device)
        bits = _stream_bits(lm, padded)
        for row, index in enumerate(group):
            own = bits[row, : streams.lengths[index]].cpu()
            found.setdefault(streams.categories[index], []).append(own)
    of_all = torch.cat([own for parts in found.values() for own in parts])
    means = {name: float(torch.cat(parts).mean()) for name, parts in found.items()}
    for k, mean in enumerate(of_all.mean(dim=0).tolist(), 1):
        means[f"codebook_{k}"] = mean
    return means | {"all": float(of_all.mean())}


def _stream_bits(lm: LMModel, codes: Tensor) -> Tensor:
    """Codes `[B, T, K]` of whole streams to the bits of each `[B, T, K]`."""
    range_bits = ArithmeticCoder().total_range_bits
    inputs = torch.zeros_like(codes)
    inputs[:, 1:] = codes[:, :-1] + 1
    states, offset = None, 0
    found = []
    for start in range(0, codes.shape[1], CHUNK):
        part = slice(start, start + CHUNK)
        before, own = inputs[:, part].transpose(1, 2), codes[:, part].transpose(1, 2)
        probabilities, states, offset = lm(before, states, offset, own)
        cdf = build_stable_quantized_cdf(probabilities.permute(0, 3, 2, 1), range_bits, check=False)
        target = codes[:, part, :, None]
        above = cdf.gather(-1, target)
        below = cdf.gather(-1, (target - 1).clamp(min=0)) * (target > 0)
        found.append(range_bits - (above - below)[..., 0].double().log2())
    return torch.cat(found, dim=1)
