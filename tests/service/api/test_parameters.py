"""Query parameters: wrong, unknown and repeated ones are refused, none is overlooked."""

import httpx
import pytest

from tests.service.calls import refused
from tests.service.sounds import wav

AUDIO_CALLS = ["/compress", "/roundtrip", "/codes"]


@pytest.mark.parametrize("call", AUDIO_CALLS)
def test_wrong_models_and_bandwidths_are_refused_with_what_there_is(
    client: httpx.Client, call: str
) -> None:
    audio = wav(0.2)

    def post(**params: str | float) -> httpx.Response:
        return client.post(call, content=audio, params=params)

    problem = refused(post(model="encodec_96khz"), 422, "unknown_model")
    assert "encodec_24khz, encodec_48khz" in problem["detail"]
    problem = refused(post(model="encodec_48khz", bandwidth=1.5), 422, "unsupported_bandwidth")
    assert "3, 6, 12, 24" in problem["detail"]
    problem = refused(post(bandwidth=7), 422, "unsupported_bandwidth")
    assert "1.5, 3, 6, 12, 24" in problem["detail"]
    for value in ("fast", "", "nan", "inf", "-1", "1e999"):
        problem = refused(post(bandwidth=value), 422, "bad_parameter")
        assert [error["name"] for error in problem["errors"]] == ["bandwidth"]
    for value in ("nan", "inf"):
        assert "finite number" in refused(post(bandwidth=value), 422, "bad_parameter")["detail"]


@pytest.mark.parametrize("call", ["/compress", "/roundtrip"])
def test_lm_must_be_true_or_false(client: httpx.Client, call: str) -> None:
    answer = client.post(call, content=wav(0.2), params={"lm": "perhaps"})
    refused(answer, 422, "bad_parameter")


@pytest.mark.parametrize("call", ["/compress", "/roundtrip"])
def test_a_model_without_a_language_model_refuses_lm(client: httpx.Client, call: str) -> None:
    params: dict[str, str | float] = {"model": "encodec_48khz", "lm": True}
    refused(client.post(call, content=wav(0.2), params=params), 409, "lm_unavailable")


@pytest.mark.parametrize("call", [*AUDIO_CALLS, "/compress/upload", "/decompress", "/inspect"])
def test_unknown_parameters_are_refused_by_name(client: httpx.Client, call: str) -> None:
    params: dict[str, str | int] = {"bandwith": 3, "Model": "x"}
    answer = client.post(call, files={"file": wav(0.2)}, params=params)
    problem = refused(answer, 422, "bad_parameter")
    assert [error["name"] for error in problem["errors"]] == ["Model", "bandwith"]
    assert "'bandwith'" in problem["detail"]


@pytest.mark.parametrize("call", [*AUDIO_CALLS, "/compress/upload"])
def test_repeated_parameters_are_refused_by_name(client: httpx.Client, call: str) -> None:
    answer = client.post(f"{call}?bandwidth=6&bandwidth=12", files={"file": wav(0.2)})
    problem = refused(answer, 422, "bad_parameter")
    assert [error["name"] for error in problem["errors"]] == ["bandwidth"]
