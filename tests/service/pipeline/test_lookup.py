"""Kept results: what is answered from them, and what is not."""

import gc
import tracemalloc
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.pipeline.lookup import Claims
from tests.service.calls import compressed, refused
from tests.service.live import Live, live, wait_for
from tests.service.sounds import wav


@pytest.fixture(scope="module")
def keeping(weights: Path) -> Iterator[Live]:
    """A service that keeps results, and has one permit."""
    settings = {"result_cache_bytes": "8MiB", "max_requests": 1, "admission_timeout": 0.5}
    with live(weights, **settings) as running:
        yield running


@pytest.fixture
def client(keeping: Live) -> Iterator[httpx.Client]:
    with keeping.client() as connected:
        yield connected
        keeping.wait_until_idle()


LARGE = 3.0
"""Seconds of a WAV of more than 64 KiB."""


def digest(body: bytes) -> dict[str, str]:
    return {"content-digest": f"sha-256=:{b64encode(sha256(body).digest()).decode()}:"}


def state(answer: httpx.Response, *, of: int = 200) -> str | None:
    assert answer.status_code == of, answer.text
    return answer.headers.get("x-encodec-cache")


def same(first: httpx.Response, second: httpx.Response) -> bool:
    """Whether two answers are equal but for what says which they are."""
    left, right = (dict(answer.headers) for answer in (first, second))
    for own in ("x-request-id", "x-encodec-cache", "server-timing", "date"):
        left.pop(own, None)
        right.pop(own, None)
    return first.content == second.content and left == right


def in_file(body: bytes, name: str = "x.wav") -> dict[str, Any]:
    return {"files": {"file": (name, body)}}


def test_without_a_cache_nothing_is_kept_or_checked(server: Live) -> None:
    with server.client() as client:
        body = wav(0.3)
        headers = {"idempotency-key": "a" * 999, "content-digest": "sha-256=nonsense"}
        for _ in range(2):
            answer = client.post("/compress", content=body, headers=headers)
            assert state(answer) is None


def test_a_small_body_is_answered_from_the_cache(client: httpx.Client) -> None:
    body = wav(0.4, seed=1)
    first = client.post("/compress", content=body)
    again = client.post("/compress", content=body)
    assert (state(first), state(again)) == ("miss", "hit")
    assert same(first, again)
    for other in ({"bandwidth": 3}, {"format": 1}, {"effort": 1}, {"model": "encodec_48khz"}):
        assert state(client.post("/compress", content=body, params=other)) == "miss"
    assert state(client.post("/compress", content=wav(0.4, seed=2))) == "miss"


def test_a_kept_result_needs_no_permit(client: httpx.Client, keeping: Live) -> None:
    body, large = wav(0.4, seed=3), wav(LARGE, seed=3)
    client.post("/compress", content=body)
    client.post("/compress", content=large)
    keeping.wait_until_idle()
    with keeping.permit_held():
        assert state(client.post("/compress", content=body)) == "hit"
        assert state(client.post("/compress", content=large, headers=digest(large))) == "hit"
        refused(client.post("/compress", content=large), 504, "waited_too_long")


def test_a_large_body_is_found_by_the_digest_that_the_client_says(client: httpx.Client) -> None:
    body = wav(LARGE, seed=4)
    first = client.post("/compress", content=body)
    assert state(first) == "miss"
    assert state(client.post("/compress", content=body)) == "miss"  # nobody said what it is
    for headers in (digest(body), {"repr-digest": digest(body)["content-digest"]}):
        again = client.post("/compress", content=body, headers=headers)
        assert state(again) == "hit"
        assert same(first, again)
    both = digest(body)["content-digest"] + ", sha-512=:AAAA:"
    assert state(client.post("/compress", content=body, headers={"content-digest": both})) == "hit"
    chunked = client.post(
        "/compress", content=iter([body[:70_000], body[70_000:]]), headers=digest(body)
    )
    assert state(chunked) == "hit"


@pytest.mark.parametrize("seconds", [0.4, LARGE])
def test_a_body_that_is_not_what_its_digest_says_is_a_400(
    client: httpx.Client, seconds: float
) -> None:
    """Whether there is a result for the digest or not."""
    body, other = wav(seconds, seed=5), wav(seconds, seed=6)
    answer = client.post("/compress", content=other, headers=digest(body))
    refused(answer, 400, "digest_mismatch")
    client.post("/compress", content=body)
    answer = client.post("/compress", content=other, headers=digest(body))
    refused(answer, 400, "digest_mismatch")
    disagreeing = digest(body) | {"repr-digest": digest(other)["content-digest"]}
    refused(client.post("/compress", content=body, headers=disagreeing), 400, "digest_mismatch")


@pytest.mark.parametrize("wrong", ["sha-256=AAAA", "sha-256=:AAAA:", "sha-256=:" + "?" * 44 + ":"])
def test_a_digest_that_is_none_is_a_400(client: httpx.Client, wrong: str) -> None:
    answer = client.post("/compress", content=wav(0.3), headers={"content-digest": wrong})
    refused(answer, 400, "bad_request")


@pytest.mark.parametrize("seconds", [0.4, LARGE])
def test_a_request_with_the_same_key_is_not_worked_on_again(
    client: httpx.Client, keeping: Live, seconds: float
) -> None:
    body = wav(seconds, seed=7)
    headers = {"idempotency-key": f'"again {seconds}"'}
    first = client.post("/compress", content=body, headers=headers)
    assert state(first) == "miss"
    keeping.wait_until_idle()
    with keeping.permit_held():
        again = client.post("/compress", content=body, headers=headers)
        assert state(again) == "hit"
        assert same(first, again)


def test_a_key_that_was_used_for_another_request_is_a_422(client: httpx.Client) -> None:
    body, headers = wav(LARGE, seed=8), {"idempotency-key": "used"}
    client.post("/compress", content=body, headers=headers)
    for content, params in ((wav(LARGE, seed=9), {}), (wav(0.3), {}), (body, {"bandwidth": "3"})):
        answer = client.post("/compress", content=content, params=params, headers=headers)
        refused(answer, 422, "idempotency_mismatch")
    said = headers | digest(wav(0.3))
    refused(client.post("/compress", content=body, headers=said), 422, "idempotency_mismatch")
    other_call = client.post("/transcode", content=compressed(client, body), headers=headers)
    refused(other_call, 422, "idempotency_mismatch")
    for wrong in (b"", b"x" * 256, "ä".encode()):
        answer = client.post("/compress", content=body, headers={b"idempotency-key": wrong})
        refused(answer, 400, "bad_request")


def test_a_key_in_use_is_a_409(client: httpx.Client, keeping: Live) -> None:
    body, headers = wav(0.4, seed=10), {"idempotency-key": "in-use"}
    head = f"POST /compress HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    connection = keeping.connect(f"{head}Idempotency-Key: in-use\r\n\r\n")
    connection.sendall(body[:100])
    wait_for(lambda: keeping.open == 1)
    answer = client.post("/compress", content=body, headers=headers)
    refused(answer, 409, "idempotency_in_use")
    assert answer.headers["retry-after"] == "1"
    assert state(client.post("/compress", content=body)) == "miss"  # without the key
    connection.close()  # before the whole body
    keeping.wait_until_idle()
    assert state(client.post("/compress", content=body, headers=headers)) == "hit"


def test_requests_that_fail_are_not_kept(client: httpx.Client) -> None:
    headers = {"idempotency-key": "failing"}
    broken = b"no audio at all" * 10
    for _ in range(2):
        answer = client.post("/compress", content=broken, headers=headers)
        refused(answer, 400, "undecodable_audio")
    good = wav(0.4, seed=11)
    assert state(client.post("/compress", content=good, headers=headers)) == "miss"
    assert state(client.post("/compress", content=good, headers=headers)) == "hit"


def test_transcoding_is_kept_too(client: httpx.Client) -> None:
    file = compressed(client, wav(0.5, seed=12), bandwidth=12, format=1)
    for params in ({"bandwidth": "3"}, {"format": "0"}):
        first = client.post("/transcode", content=file, params=params)
        again = client.post("/transcode", content=file, params=params)
        assert (state(first), state(again)) == ("miss", "hit")
        assert same(first, again)
    for path in ("/decompress", "/roundtrip", "/codes"):
        assert state(client.post(path, content=file if path == "/decompress" else wav(0.3))) is None


def test_a_live_source_is_neither_kept_nor_looked_up(client: httpx.Client) -> None:
    body, headers = wav(0.4, seed=13), {"idempotency-key": "live"}
    for _ in range(2):
        answer = client.post("/compress?live=true", content=body, headers=headers)
        assert state(answer) is None
    assert state(client.post("/compress", content=body, headers=headers)) == "miss"


def test_the_file_of_a_form_is_what_counts(client: httpx.Client) -> None:
    """Its digest would be that of the whole body, whose boundary is another each time."""
    body = wav(0.4, seed=14)
    first = client.post("/compress", **in_file(body))
    again = client.post("/compress/upload", **in_file(body), headers=digest(b"of the whole body"))
    assert (state(first), state(again)) == ("miss", "hit")
    assert same(first, again)
    other_name = client.post("/compress", **in_file(body, "y.wav"))
    assert state(other_name) == "miss"
    assert 'filename="y.ecdc"' in other_name.headers["content-disposition"]
    large, key = wav(LARGE, seed=14), {"idempotency-key": "form"}
    assert state(client.post("/compress", **in_file(large), headers=key)) == "miss"
    assert state(client.post("/compress", **in_file(large), headers=key)) == "hit"


def test_the_type_of_the_body_counts(client: httpx.Client) -> None:
    """Headerless samples are other audio at another rate."""
    samples, answers = wav(0.4, seed=15)[44:], []
    for rate in (16_000, 24_000):
        headers = {"content-type": f"audio/L16; rate={rate}; channels=1"}
        answers.append(client.post("/compress", content=samples, headers=headers))
    assert [state(answer) for answer in answers] == ["miss", "miss"]
    assert answers[0].content != answers[1].content


def test_the_type_of_the_answer_is_that_of_each_request(client: httpx.Client) -> None:
    body = wav(0.4, seed=16)
    for wanted in ("application/octet-stream", "audio/x-encodec", "*/*"):
        answer = client.post("/compress", content=body, headers={"accept": wanted})
        expected = "application/octet-stream" if wanted == "*/*" else wanted
        assert answer.headers["content-type"] == expected
        assert answer.headers["vary"] == "Accept"
    assert state(answer) == "hit"


def test_metrics_count_what_is_kept(client: httpx.Client) -> None:
    def measured(name: str) -> float:
        (line,) = (x for x in client.get("/metrics").text.splitlines() if x.startswith(name))
        return float(line.rpartition(" ")[2])

    body, hits = wav(0.4, seed=17), 'encodec_results_looked_up_total{state="hit"}'
    client.post("/compress", content=body)
    client.post("/compress", content=body)
    before = measured(hits)
    client.post("/compress", content=body)
    assert measured(hits) == before + 1
    assert 1000 < measured("encodec_result_bytes") <= 8 * 2**20


def test_what_a_client_says_of_its_body_takes_no_memory(client: httpx.Client) -> None:
    body, long = wav(0.05), "x" * 60_000

    def kept(requests: range) -> int:
        """Bytes, when the results of so many requests are."""
        for number in requests:
            said = {"content-type": f"audio/wav; {number}={long}", "idempotency-key": str(number)}
            assert state(client.post("/compress", content=body, headers=said)) == "miss"
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    before = kept(range(2))
    assert kept(range(2, 8)) - before < 6 * len(long) / 2
    tracemalloc.stop()


def test_results_belong_to_a_key_of_the_service(weights: Path) -> None:
    body = wav(0.4)
    with (
        live(weights, result_cache_bytes="1MiB", api_keys="one,two") as running,
        running.client() as client,
    ):
        for key, wanted in (("one", "miss"), ("two", "miss"), ("one", "hit"), ("two", "hit")):
            headers = {"x-api-key": key, "idempotency-key": "the same"}
            answer = client.post("/compress", content=body, headers=headers)
            assert state(answer) == wanted


def test_what_a_client_says_of_its_body() -> None:
    body = b"body"
    hashed = sha256(body).digest()
    field = digest(body)["content-digest"]
    assert Claims().digest() is None
    for said in (field, f"sha-512=:AAAA:, {field}", f"{field};x=1, md5=:AAAA:"):
        assert Claims(content_digest=said).digest() == hashed
        assert Claims(repr_digest=said).digest() == hashed
    assert Claims(content_digest="sha-512=:AAAA:").digest() is None
    assert Claims(idempotency_key='"a b"').name() == Claims(idempotency_key="a b").name() == "a b"
