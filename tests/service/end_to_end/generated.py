"""Requests made from the OpenAPI document, with good, damaged and arbitrary bodies."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import hypothesis
import schemathesis
from hypothesis import HealthCheck
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import CheckFunction
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

OPERATIONS = "^/(compress|decompress|transcode|roundtrip|codes|inspect)"


@st.composite
def damaged(draw: Callable[..., Any], files: list[bytes]) -> bytes:
    """A good file with some bytes changed, cut off somewhere."""
    file = bytearray(draw(st.sampled_from(files)))
    places = st.integers(0, len(file) - 1)
    for place, value in draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=4)):
        file[place] = value
    return bytes(file[: draw(places) + 1]) if draw(st.booleans()) else bytes(file)


def send_generated(
    url: str, audio: list[bytes], ecdc: list[bytes], mode: GenerationMode, examples: int, seed: int
) -> dict[str, Counter[int]]:
    """Sends so many requests to each operation of the service at `url`, with parameters that fit
    the document or, in the negative mode, do not; `audio` and `ecdc` are good files.

    Returns how often each operation gave which status. Raises where an answer is none that the
    document describes.
    """
    # Any bytes fit the schema of a body, but few are audio.
    excluded: list[CheckFunction] = [positive_data_acceptance]
    if mode is GenerationMode.POSITIVE:
        excluded.append(negative_data_rejection)
    tried: dict[str, Counter[int]] = {}
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    for result in schema.include(path_regex=OPERATIONS).get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()
        path = operation.path
        if mode is GenerationMode.NEGATIVE and path == "/inspect":
            continue  # it has no parameters, and any bytes fit the schema of its body
        good = ecdc if path.startswith(("/decompress", "/transcode", "/inspect")) else audio
        answers = tried[path] = Counter[int]()

        @hypothesis.seed(seed)
        @hypothesis.settings(
            max_examples=examples,
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
    return tried
