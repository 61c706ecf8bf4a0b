"""What a file is, found while it passes by. (`tests/service/api` holds the answers themselves.)"""

from pathlib import Path

import pytest

from model_core.codec.inspectors import inspector
from model_core.errors import BitstreamError, TruncatedBitstreamError

VECTORS = Path(__file__).parents[2] / "vectors"


@pytest.mark.parametrize("version", [0, 1])
def test_an_inspector_takes_a_file_in_any_pieces(version: int) -> None:
    file = (VECTORS / f"v{version}-stereo.ecdc").read_bytes()
    whole = inspector(file).inspection(True)
    size = 100 if version else whole.header_bytes
    inspected = inspector(file[:size])
    for start in range(size, len(file), 7):
        inspected.feed(file[start : start + 7])
    assert inspected.inspection(True) == whole


def test_a_header_that_is_not_there_is_refused() -> None:
    for head, error in ((b"RIFF", BitstreamError), (b"ECDC\x01", TruncatedBitstreamError)):
        with pytest.raises(error):
            inspector(head)
