"""How codebook use is measured."""

import torch

from model_core.training.codec.usage import code_counts, perplexity, usage


def test_counts_of_each_codebook() -> None:
    codes = torch.tensor([[[0, 0, 3]], [[1, 2, 3]]])  # [K, B, T]
    counts = code_counts(codes, 4)
    assert counts.tolist() == [[2, 0, 0, 1], [0, 1, 1, 1]]
    assert (counts + counts).tolist() == code_counts(torch.cat([codes, codes], dim=2), 4).tolist()


def test_usage_is_the_share_of_entries_that_occur() -> None:
    counts = torch.tensor([[5, 0, 0, 1], [1, 1, 1, 1], [0, 0, 0, 0]])
    assert usage(counts).tolist() == [0.5, 1.0, 0.0]


def test_perplexity_counts_equally_frequent_entries() -> None:
    counts = torch.tensor([[7, 7, 7, 7], [9, 0, 0, 0], [3, 3, 0, 0]])
    torch.testing.assert_close(perplexity(counts), torch.tensor([4.0, 1.0, 2.0]))
    uneven = perplexity(torch.tensor([[90, 10]]))
    assert 1 < uneven < 2
