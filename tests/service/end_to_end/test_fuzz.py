"""Generated requests: nothing that is not in the OpenAPI document ever comes back."""

from typing import Any

import hypothesis
import schemathesis
from hypothesis import HealthCheck
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.service.live import Live

_FUZZED = "^/(compress|decompress|roundtrip|codes|inspect)"


def test_answers_are_the_documented_ones(server: Live) -> None:
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    tried = []

    for result in schema.include(path_regex=_FUZZED).get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()

        @hypothesis.settings(
            max_examples=10,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        @hypothesis.given(case=operation.as_strategy())
        def send(case: schemathesis.Case[Any]) -> None:
            response = case.call(timeout=60)
            assert response.status_code < 500, response.text
            # any bytes fit the schema of a body, but few are audio
            case.validate_response(response, excluded_checks=[positive_data_acceptance])

        send()
        tried.append(operation.label)
    assert len(tried) == 8
    server.wait_until_idle()
