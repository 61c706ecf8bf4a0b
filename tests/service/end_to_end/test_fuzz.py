"""Generated requests: every answer is one that the OpenAPI document describes.

Each run tries others. A failure prints its seed: `FUZZ_SEED=<seed> pytest <this file>` repeats it.
"""

import os
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import CheckFunction
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from tests.service.calls import compressed
from tests.service.live import Live
from tests.service.sounds import encoded, wav

OPERATIONS = "^/(compress|decompress|roundtrip|codes|inspect)"
EXAMPLES = {GenerationMode.POSITIVE: 60, GenerationMode.NEGATIVE: 30}
"""Requests for each operation, with parameters that fit the document and with some that do not."""


@pytest.fixture(scope="module")
def seed() -> int:
    return int(os.environ.get("FUZZ_SEED") or random.randrange(2**32))


@pytest.fixture(scope="module")
def schema(server: Live) -> Any:
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json")


@pytest.fixture(scope="module")
def files(server: Live) -> dict[str, list[bytes]]:
    """Good files of audio and of codes."""
    with server.client() as client:
        kinds = [{"model": "encodec_24khz"}, {"model": "encodec_48khz"}, {"lm": "true"}]
        ecdc = [compressed(client, wav(0.2), **kind) for kind in kinds]
    audio = [wav(0.1), wav(0.2, rate=44_100, channels=2), encoded("flac", 0.1), encoded("ogg", 0.1)]
    return {"audio": audio, "ecdc": ecdc}


@st.composite
def damaged(draw: Callable[..., Any], files: list[bytes]) -> bytes:
    """A good file with some bytes changed, cut off somewhere."""
    file = bytearray(draw(st.sampled_from(files)))
    places = st.integers(0, len(file) - 1)
    for place, value in draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=4)):
        file[place] = value
    return bytes(file[: draw(places) + 1]) if draw(st.booleans()) else bytes(file)


@pytest.mark.parametrize("mode", EXAMPLES, ids=lambda mode: mode.value)
def test_every_answer_is_documented(
    server: Live, schema: Any, files: dict[str, list[bytes]], seed: int, mode: GenerationMode
) -> None:
    # Any bytes fit the schema of a body, but few are audio.
    excluded: list[CheckFunction] = [positive_data_acceptance]
    if mode is GenerationMode.POSITIVE:
        excluded.append(negative_data_rejection)
    print(f"FUZZ_SEED={seed}")  # noqa: T201  shown where the test fails
    tried: dict[str, Counter[int]] = {}
    for result in schema.include(path_regex=OPERATIONS).get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()
        path = operation.path
        if mode is GenerationMode.NEGATIVE and path == "/inspect":
            continue  # it has no parameters, and any bytes fit the schema of its body
        good = files["ecdc" if path.startswith(("/decompress", "/inspect")) else "audio"]
        answers = tried[path] = Counter[int]()

        @hypothesis.seed(seed)
        @hypothesis.settings(
            max_examples=EXAMPLES[mode],
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @hypothesis.given(
            case=operation.as_strategy(generation_mode=mode),
            file=st.sampled_from(good) | damaged(good) | st.none(),
        )
        def send(case: schemathesis.Case[Any], file: Any) -> None:
            if file is not None and case.media_type == "application/octet-stream":
                case.body = file
            elif file is not None and mode is GenerationMode.POSITIVE:
                case.body = {"file": file}
            response = case.call(timeout=60)
            answers[response.status_code] += 1  # noqa: B023  called within the loop
            case.validate_response(response, excluded_checks=excluded)

        send()
        if mode is GenerationMode.POSITIVE:
            assert answers[200] > 1, f"{path}: no good request among {answers}"
        else:
            assert answers[422] > 1, f"{path}: no wrong parameter was refused: {answers}"
    assert len(tried) == (8 if mode is GenerationMode.POSITIVE else 7)
    server.wait_until_idle()
