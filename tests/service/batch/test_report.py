"""What is said of an item."""

import pytest

from service.batch.report import Outcome


@pytest.mark.parametrize(
    "reason", ["/x.wav: No such file or directory", "No such file or directory"]
)
def test_an_item_is_named_once(reason: str) -> None:
    assert Outcome("/x.wav", "failed", reason).line == "/x.wav: No such file or directory"
