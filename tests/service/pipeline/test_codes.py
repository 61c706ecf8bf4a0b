"""The spool of codes: written block by block, read codebook by codebook."""

from io import BytesIO

import numpy as np
import pytest

from model_core.engine import EncodedBlock
from service.pipeline.codes import CodesSpool


@pytest.mark.parametrize("count", [1, 64, 65, 200])
def test_rows_are_the_codes_of_a_codebook_over_all_blocks(count: int) -> None:
    rng = np.random.default_rng(count)
    blocks = [
        EncodedBlock(rng.integers(0, 1024, (4, frames)), scale=frames / 10)
        for frames in rng.integers(1, 9, count)
    ]
    spool = CodesSpool(BytesIO(), num_codebooks=4)
    spool.extend(blocks[: count // 2])
    spool.extend(blocks[count // 2 :])
    whole = np.concatenate([block.codes for block in blocks], axis=1)
    assert sum(spool.frames) == whole.shape[1]
    assert spool.scales == [block.scale for block in blocks]
    for codebook in (0, 3, 1):  # in any order
        row = np.concatenate(list(spool.row(codebook, range(count))))
        assert row.dtype == np.uint16
        np.testing.assert_array_equal(row, whole[codebook])
    last = np.concatenate(list(spool.row(2, range(count - 1, count))))
    np.testing.assert_array_equal(last, blocks[-1].codes[2])
