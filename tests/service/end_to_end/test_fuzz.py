"""Generated requests: every answer is one that the OpenAPI document describes.

Each run tries others. A failure prints its seed: `FUZZ_SEED=<seed> pytest <this file>` repeats it.
"""

import os
import random

import pytest
from schemathesis import GenerationMode

from tests.service.calls import compressed
from tests.service.end_to_end.generated import send_generated
from tests.service.live import Live
from tests.service.sounds import encoded, wav

EXAMPLES = {GenerationMode.POSITIVE: 60, GenerationMode.NEGATIVE: 30}
"""Requests for each operation, with parameters that fit the document and with some that do not."""


@pytest.fixture(scope="module")
def seed() -> int:
    return int(os.environ.get("FUZZ_SEED") or random.randrange(2**32))


@pytest.fixture(scope="module")
def ecdc(server: Live) -> list[bytes]:
    with server.client() as client:
        kinds = [{"model": "encodec_24khz"}, {"model": "encodec_48khz"}, {"lm": "true"}]
        return [compressed(client, wav(0.2), **kind) for kind in kinds]


@pytest.mark.parametrize("mode", EXAMPLES, ids=lambda mode: mode.value)
def test_every_answer_is_documented(
    server: Live, ecdc: list[bytes], seed: int, mode: GenerationMode
) -> None:
    print(f"FUZZ_SEED={seed}")  # noqa: T201  shown where the test fails
    audio = [wav(0.1), wav(0.2, rate=44_100, channels=2), encoded("flac", 0.1), encoded("ogg", 0.1)]
    tried = send_generated(server.url, audio, ecdc, mode, EXAMPLES[mode], seed)
    for path, answers in tried.items():
        if mode is GenerationMode.POSITIVE:
            assert answers[200] > 1, f"{path}: no good request among {answers}"
        else:
            assert answers[422] > 1, f"{path}: no wrong parameter was refused: {answers}"
    assert len(tried) == (10 if mode is GenerationMode.POSITIVE else 9)
    server.wait_until_idle()
