"""Keys that share a running service: what they are promised, get, and are told."""

import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

import httpx
import pytest

from tests.service.calls import compressed, refused
from tests.service.held_service import RELEASE
from tests.service.live import NO_TLS, Live, live, wait_for
from tests.service.live_streams.client import opened, talk
from tests.service.process import HELD_SERVICE, Process, started
from tests.service.sounds import l16, wav

_IN_LINE = 12
_QUEUED = 5.0  # s that the work of those in line takes
KEYS = """
[greedy]
secret = "g"
[small]
secret = "s"
[limited]
secret = "l"
audio_seconds_per_minute = 100
concurrent = 2
[twice]
secret = "t"
audio_seconds_per_hour = 1000
[live]
secret = "w"
audio_seconds_per_hour = 5
concurrent = 2
"""


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("keys") / "keys.toml"
    file.write_text(KEYS)
    return file


@pytest.fixture(scope="module")
def shared(weights: Path, keys: Path) -> Iterator[Live]:
    """A service with few permits, for three keys."""
    with live(
        weights,
        models="encodec_24khz",
        api_keys_file=str(keys),
        max_requests=4,
        max_waiting=10,
    ) as running:
        yield running


def as_key(service: Live, secret: str) -> httpx.Client:
    client = service.client()
    client.headers["X-API-Key"] = secret
    return client


def metric(client: httpx.Client, name: str, **labels: str) -> float:
    """One sample; 0 where there is none."""
    text = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    pattern = rf"^{name}{re.escape('{' + text + '}') if text else ''} (\S+)$"
    found = re.search(pattern, client.get("/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0.0


@contextmanager
def posting(service: Live, secret: str, clients: int, body: bytes) -> Iterator[Counter[int]]:
    """So many clients post one request after another; the statuses that they get."""
    stopped = threading.Event()
    statuses: Counter[int] = Counter()

    def post() -> None:
        with as_key(service, secret) as client:
            while not stopped.is_set():
                statuses[client.post("/compress", content=body).status_code] += 1

    threads = [threading.Thread(target=post) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


def test_a_key_with_many_clients_keeps_no_other_from_its_turn(shared: Live) -> None:
    """Sixteen clients want all permits and the whole line; the other key is never refused, and its
    bytes are those of a quiet service."""
    clip = wav(1.0)
    with as_key(shared, "s") as client:
        quiet = compressed(client, clip)
        with posting(shared, "g", 16, wav(5.0)) as greedy:
            wait_for(lambda: greedy[429] and shared.app.state.admission.waiting)
            for _ in range(8):
                assert compressed(client, clip) == quiet
    assert set(greedy) <= {200, 429}
    shared.wait_until_idle()


@pytest.mark.parametrize("format", [0, 1])
def test_what_is_salvaged_is_expected_to_cost_what_it_does(shared: Live, format: int) -> None:
    with as_key(shared, "t") as client:
        file = client.post("/compress", content=wav(10.0), params={"format": format}).content
        shared.wait_until_idle()
        before = _remaining(client.get("/models"))
        wish = {"salvage": True, "rescale": True}
        answer = client.post("/decompress", content=file, params=wish)
        assert before - _remaining(answer) >= 19  # two passes, and what comes back meanwhile
    shared.wait_until_idle()


def test_a_quota_shows_in_headers_and_ends_in_a_429_of_its_own(shared: Live) -> None:
    with as_key(shared, "l") as client:
        first = client.post("/compress", content=wav(10.0))
        assert first.status_code == 200
        assert first.headers["RateLimit-Policy"] == (
            '"minute";q=100;qu="audio-seconds";w=60, "concurrent";q=2;qu="concurrent-requests"'
        )
        remaining = _remaining(first)
        assert 85 <= remaining <= 95
        shared.wait_until_idle()
        assert client.post("/roundtrip", content=wav(60.0)).status_code == 200  # in two passes
        shared.wait_until_idle()
        worked = metric(client, "encodec_key_audio_seconds_total", key="limited")
        assert worked == pytest.approx(130, rel=0.02)
        answer = client.post("/compress", content=wav(1.0))
        detail = refused(answer, 429, "quota_exceeded")["detail"]
        assert "minute" in detail
        assert _remaining(answer) == 0
        assert f"t={answer.headers['retry-after']}" in answer.headers["RateLimit"]
        assert client.get("/models").headers["RateLimit"]
        assert metric(client, "encodec_key_refused_total", key="limited", reason="minute") == 1
        with as_key(shared, "s") as other:  # which has no limits, and is not told of any
            assert "RateLimit" not in other.post("/compress", content=wav(1.0)).headers
    shared.wait_until_idle()


def test_live_streams_count_and_are_paid_for(shared: Live) -> None:
    headers = {"X-API-Key": "w"}
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(opened(shared, "compress", additional_headers=headers))
        wait_for(lambda: shared.app.state.admission.live == 2)
        third = talk(shared, "compress", additional_headers=headers)
        assert (third.problem, third.code) == ("quota_exceeded", 4429)
    wait_for(lambda: shared.app.state.admission.live == 0)
    sent = [wav(3.0)]
    for _ in range(2):
        heard = talk(shared, "compress?input=container", sent, additional_headers=headers)
        assert heard.code == 1000
    with as_key(shared, "w") as client:
        answer = client.post("/compress", content=wav(1.0))
        refused(answer, 429, "quota_exceeded")
        assert 400 < int(answer.headers["retry-after"]) <= 721  # 6 s were used of 5 an hour
        assert metric(client, "encodec_key_audio_seconds_total", key="live") == pytest.approx(6)
    shared.wait_until_idle()


def _remaining(answer: httpx.Response) -> int:
    return int(re.findall(r'"(?:minute|hour)";r=(\d+)', answer.headers["RateLimit"])[0])


def test_a_refusal_is_logged_with_its_reason_and_no_secret(weights: Path, keys: Path) -> None:
    flags = ("--models", "encodec_24khz", "--threads", "1", "--api-keys-file", str(keys))
    with started(HELD_SERVICE, weights, *flags) as process, ExitStack() as stack:
        url = f"http://127.0.0.1:{process.port()}"
        headers = {"X-API-Key": "l"}
        client = stack.enter_context(
            httpx.Client(base_url=url, headers=headers, timeout=60, verify=NO_TLS)
        )
        process.wait_for(lambda: client.get("/health/ready").status_code == 200)
        holding = threading.Thread(target=lambda: client.post("/hold"))
        holding.start()
        process.wait_for(lambda: bool(client.get("/held").json()))
        for _ in range(2):
            request = threading.Thread(target=_post, args=(url, headers))
            request.start()
            stack.callback(request.join)
        process.wait_for(lambda: metric(client, "encodec_requests_open") == 2)
        answer = client.post("/compress", content=wav(1.0))
        process.popen.send_signal(RELEASE)
        problem = refused(answer, 429, "quota_exceeded")
        assert int(answer.headers["retry-after"]) >= 1
        holding.join()
        assert _logged_refusals(process) == [("limited", problem["detail"])]


def _post(url: str, headers: dict[str, str]) -> None:
    httpx.post(f"{url}/compress", content=wav(1.0), headers=headers, timeout=60, verify=NO_TLS)


def _logged_refusals(process: Process) -> list[tuple[object, object]]:
    process.wait_for(lambda: any('"status": 429' in line for line in process.lines))
    lines = [line for line in process.logged() if line.get("status") == 429]
    assert not any('"l"' in line for line in process.lines if '"request"' in line)
    return [(line["key"], line["detail"]) for line in lines]


def test_what_is_promised_is_what_is_worked_off_meanwhile(weights: Path) -> None:
    """With one permit all in line go before a new request. In the seconds that its refusal says, as
    much is worked off as was queued, within a factor of two, on whatever machine this is."""
    headers = {"Content-Type": "audio/L16; rate=24000"}
    with live(
        weights, models="encodec_24khz", threads=1, max_requests=1, max_waiting=_IN_LINE
    ) as service:
        stopped = threading.Event()
        with service.client() as client:
            client.headers.update(headers)
            while not (speed := metric(client, "encodec_work_speed")):
                assert client.post("/compress", content=l16(10.0, 24_000, 1)).status_code == 200
            body = l16(_QUEUED * speed / _IN_LINE, 24_000, 1)

            def post() -> None:
                with service.client() as other:
                    while not stopped.is_set():
                        other.post("/compress", content=body, headers=headers)

            threads = [threading.Thread(target=post) for _ in range(_IN_LINE + 1)]
            for thread in threads:
                thread.start()
            try:
                promises = [_promise(client, service, body) for _ in range(3)]
            finally:
                stopped.set()
                for thread in threads:
                    thread.join()
        assert 0.5 < median(promises) < 2


def _promise(client: httpx.Client, service: Live, body: bytes) -> float:
    """Audio worked off in the time that a refused request was told to wait, by that queued before
    it."""
    while True:
        wait_for(lambda: service.app.state.admission.waiting == _IN_LINE)
        queued = metric(client, "encodec_queue_audio_seconds")
        done = _encoded(client)
        answer = client.post("/compress", content=body)
        if answer.status_code not in (200, 504):  # else there was room for one more, in time or not
            break
    refused(answer, 429, "busy")
    time.sleep(int(answer.headers["retry-after"]))
    return (_encoded(client) - done) / queued


def _encoded(client: httpx.Client) -> float:
    return metric(client, "encodec_audio_seconds_total", task="encode", model="encodec_24khz")
