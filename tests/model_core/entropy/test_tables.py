"""The tables of integers, beside float64."""

import hashlib

import numpy as np
import torch

from model_core.entropy.fixed import activation_limit, round_shift, score_limit
from model_core.entropy.tables import GELU_SIZE, gelu_table, positions, powers


def test_powers_are_the_nearest_integers() -> None:
    exact = 2.0**28 * 2.0 ** (-np.arange(1024) / 1024)
    assert np.abs(powers() - exact).max() < 0.5 + 1e-6


def test_gelu_is_relu_less_the_table() -> None:
    h = torch.arange(GELU_SIZE, dtype=torch.float64) / 1024
    lacking = (torch.relu(h) - torch.nn.functional.gelu(h)) * 2**16
    assert np.abs(gelu_table() - lacking.numpy()).max() < 0.5 + 1e-6


def test_positions_are_those_of_the_float_model() -> None:
    dim, count = 200, 300
    speeds = 10_000.0 ** (-np.arange(dim // 2) / (dim // 2 - 1))
    phase = np.arange(count)[:, None] * speeds
    exact = np.concatenate([np.cos(phase), np.sin(phase)], axis=1) * 2**16
    assert np.abs(positions(dim, count, 16) - exact).max() < 0.5 + 1e-6


def test_the_tables_are_frozen() -> None:
    """Files depend on every number: another arithmetic needs another number in the header."""
    arrays = powers(), gelu_table(), positions(200, 1024, 12), positions(64, 1024, 14)
    digest = hashlib.sha256(b"".join(array.astype("<i8").tobytes() for array in arrays))
    assert digest.hexdigest()[:16] == "3a88795a3d4e2456"


def test_limits_leave_room_for_the_sums() -> None:
    for inner in range(8, 1040, 8):
        assert 127 * inner * activation_limit(inner) < 2**31
    for head in range(1, 33):
        assert head * score_limit(head) ** 2 < 2**31


def test_halves_are_rounded_up() -> None:
    assert [round_shift(x, 1) for x in (-3, -2, -1, 0, 1, 2, 3)] == [-1, -1, 0, 0, 1, 1, 2]
    assert round_shift(7, 0) == 7
