"""Audio of any length comes back: some lengths; `lengths.py` has the long form."""

import numpy as np
import pytest

from tests.model_core.codec.lengths import check_length, check_parts, random_parts
from tests.model_core.codec.narrow import narrow_codec
from tests.peers import NAMES, signal

LENGTHS = [1, 2, 319, 320, 321, 2239, 2240, 2241, *range(3, 5000, 211)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("lm", [False, True])
def test_lengths_and_parts_come_back(name: str, version: int, lm: bool) -> None:
    codec = narrow_codec(name)
    rate = codec.config.sample_rate
    x = signal(codec.config.channels, 4 * rate, rate, seed=2).numpy()
    draw = np.random.default_rng(6)
    longer = int(draw.integers(5000, rate if lm and version == 0 else 4 * rate))
    for length in LENGTHS:
        check_length(codec, x[:, :length], version, lm)
    file = check_length(codec, x[:, :longer], version, lm)
    assert check_parts(codec, file, random_parts(draw, longer, 3)) == 3
