"""No mutant is taken for what was written; `fuzz.py` says what a reader may make of one."""

import contextlib

import pytest

from model_core.errors import BitstreamError
from tests.model_core.ecdc.v1.files import STEREO, Example, parsed, small
from tests.model_core.ecdc.v1.fuzz import FILES, READERS, run


def test_two_thousand_mutants() -> None:
    found = run(2000, seed=0)
    assert sum(found.values()) > 5000
    assert found["read_forwards: refused"] > 1000
    assert found["read_damaged: whole"] > 100
    assert found["forged, verify: refused"] > 100
    assert found["forged, verify: read"] > 10


SMALL = [*FILES[:2], FILES[3], small(STEREO, samples=400, chunk=1)]


@pytest.mark.parametrize("file", SMALL, ids=["mono", "named", "coded", "stereo"])
def test_every_changed_byte_is_found(file: Example) -> None:
    """Each byte with each bit flipped, set to 0 and to 0xFF; other readers see one of these."""
    for place, byte in enumerate(file.data):
        values = {byte ^ 1 << bit for bit in range(8)} | {0, 0xFF}
        for value in values - {byte}:
            with pytest.raises(BitstreamError):
                parsed(file.data[:place] + bytes([value]) + file.data[place + 1 :])[0].end()
        data = file.data[:place] + bytes([byte ^ 0x55]) + file.data[place + 1 :]
        for reader in READERS[1:]:
            with contextlib.suppress(BitstreamError):
                reader(file, data, 0)
