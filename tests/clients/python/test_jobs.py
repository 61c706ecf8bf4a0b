"""Jobs through the Python client, waiting and asynchronous."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from encodec_client import NoJobsError, ProblemError

from tests.clients.python.test_client import KINDS, Call
from tests.service.live import Live, live
from tests.service.sounds import wav


@pytest.fixture(scope="module")
def working(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with live(weights, jobs_dir=tmp_path_factory.mktemp("jobs"), api_keys="ключ") as running:
        yield running


@KINDS
def test_a_job(make: Call, working: Live, tmp_path: Path) -> None:
    with make(working.url, api_key="ключ") as client:
        wanted = client.compress(wav(0.7), format=1).content
        job = client.submit("compress", wav(0.7), format=1)
        assert job["state"] in ("queued", "running")
        assert client.wait(job["id"], every=0.05)["state"] == "done"
        assert client.result(job["id"]).content == wanted
        answer = client.result(job["id"], to=tmp_path / "x.ecdc")
        assert (tmp_path / "x.ecdc").read_bytes() == wanted
        assert answer.facts.duration == 0.7
        assert job["id"] in [one["id"] for one in client.jobs()]
        with pytest.raises(ProblemError, match="not_found"):
            client.job(job["id"] + "?of=another")
        client.delete_job(job["id"])
        with pytest.raises(ProblemError, match="not_found"):
            client.job(job["id"])
        failed = client.submit("decompress", b"no file")
        assert client.wait(failed["id"], every=0.05)["state"] == "failed"
        with pytest.raises(ProblemError, match="ecdc"):
            client.result(failed["id"])
        with pytest.raises(ProblemError, match="url_forbidden"):
            client.submit("roundtrip", source="https://example.org/x.wav")


@KINDS
def test_a_service_without_jobs(make: Call, server: Live) -> None:
    with make(server.url) as client, pytest.raises(NoJobsError):
        client.submit("compress", wav(0.1))
