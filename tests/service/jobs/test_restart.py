"""Jobs whose service is killed, stopped, or has others beside it: real processes."""

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.jobs import jobs, runner
from service.jobs.database import sqlite_url
from service.jobs.store import Store
from service.serve import serve
from service.settings import parse_flags
from tests.service.calls import refused
from tests.service.jobs.asked import (
    ASYNC,
    Document,
    asked,
    ended,
    files_in,
    folders_in,
    reached,
    result,
    seen,
)
from tests.service.jobs.postgres import is_here, postgres
from tests.service.live import live, wait_for
from tests.service.process import FORK, SERVICE, Process, started
from tests.service.sounds import wav

LEASE = 1.0
LONG = {"effort": 3, "lm": "true", "format": 1}


@contextlib.contextmanager
def replica(
    weights: Path, folder: Path, *flags: str, running: int = 5
) -> Iterator[tuple[Process, httpx.Client]]:
    """A service with a spool and jobs in `folder`."""
    (folder / "spool").mkdir(exist_ok=True)
    options = {
        "--jobs-dir": folder / "jobs",
        "--spool-dir": folder / "spool",
        "--job-lease": LEASE,
        "--max-running-jobs": running,
        "--threads": 1,
        "--shutdown-grace": 1,
    }
    given = [str(word) for option in options.items() for word in option]
    with started(FORK, weights, *given, *flags) as process, process.ready() as client:
        yield process, client


def kill(process: Process) -> None:
    process.popen.kill()
    process.popen.wait()


def states(client: httpx.Client, jobs: list[Document]) -> list[str]:
    return [seen(client, job)["state"] for job in jobs]


def at_once(client: httpx.Client, content: bytes, **params: Any) -> bytes:
    answer = client.post("/compress", content=content, params=params)
    assert answer.status_code == 200
    return answer.content


_found: dict[bytes, bytes] = {}


def long_at_once(client: httpx.Client, content: bytes) -> bytes:
    """What a job of that content and `LONG` has to make: the same in all tests, so it is asked for
    once."""
    if content not in _found:
        _found[content] = at_once(client, content, **LONG)
    return _found[content]


def test_kill_9_with_five_jobs_running(weights: Path, tmp_path: Path) -> None:
    jobs_dir = tmp_path / "jobs"
    long = [wav(12, seed=seed) for seed in range(5)]
    with replica(weights, tmp_path) as (process, client):
        done = [ended(client, asked(client, "/compress", wav(0.5, seed=n))) for n in range(2)]
        bytes_before = [result(client, job).content for job in done]
        failed = ended(client, asked(client, "/compress", b"no audio"), "failed")
        running = [asked(client, "/compress", audio, **LONG) for audio in long]
        wait_for(lambda: states(client, running) == ["running"] * 5)
        waiting = asked(client, "/roundtrip", wav(1.0))
        assert seen(client, waiting)["state"] == "queued"
        with httpx.Client() as other, contextlib.suppress(httpx.TransportError):

            def half() -> Iterator[bytes]:
                yield bytes(100_000)
                wait_for(lambda: len(folders_in(jobs_dir)) == 9)
                assert states(client, running) == ["running"] * 5
                kill(process)
                yield bytes(100_000)

            other.post(
                f"{client.base_url}/compress", content=half(), headers={"prefer": "respond-async"}
            )
        assert process.popen.poll() is not None
        assert len(folders_in(jobs_dir)) == 9  # two done, five running, one waiting, one half

    with replica(weights, tmp_path) as (_, client):
        for job, content in zip(done, bytes_before, strict=True):
            assert seen(client, job) == job
            assert result(client, job).content == content
        assert seen(client, failed) == failed
        for job, audio in zip(running, long, strict=True):
            ended(client, job)
            assert result(client, job).content == long_at_once(client, audio)
        ended(client, waiting)
        every = [*done, *running, waiting]
        wait_for(lambda: folders_in(jobs_dir) == sorted(job["id"] for job in every))
        assert len(files_in(jobs_dir)) == len(every)
        assert all("/result-" in name for name in files_in(jobs_dir))
        for job in [*every, failed]:
            assert client.delete(f"/jobs/{job['id']}").status_code == 204
        assert folders_in(jobs_dir) == []
    assert list((tmp_path / "spool").iterdir()) == []


def test_a_service_that_is_told_to_stop_puts_its_jobs_back(weights: Path, tmp_path: Path) -> None:
    with replica(weights, tmp_path, "--job-lease", "600") as (process, client):
        job = asked(client, "/compress", wav(30), **LONG)
        wait_for(lambda: seen(client, job)["progress"]["seconds"] > 0)
        process.popen.terminate()
        assert process.wait() == 0
    store = Store(sqlite_url(str(tmp_path / "jobs" / "jobs.sqlite3")))
    found = store.get(job["id"])
    store.close()
    assert found is not None
    assert (found.state, found.tries) == ("queued", 0)
    with replica(weights, tmp_path) as (_, client):
        ended(client, job)


def test_a_job_that_ends_the_service_each_time_fails(weights: Path, tmp_path: Path) -> None:
    with replica(weights, tmp_path, "--max-requests", "1") as (process, client):
        job = asked(client, "/compress", wav(60), **LONG)
        wait_for(lambda: seen(client, job)["state"] == "running")
        kill(process)
    store = Store(sqlite_url(str(tmp_path / "jobs" / "jobs.sqlite3")))
    for _ in range(2):  # two more services that die of it
        wait_for(lambda: store.take(0.1) is not None)
    store.close()
    time.sleep(0.2)
    with replica(weights, tmp_path) as (_, client):
        failed = ended(client, job, "failed")
        assert failed["problem"]["code"] == "job_interrupted"
        answer = client.get(f"/jobs/{job['id']}/result")
        assert answer.status_code == 500
        assert folders_in(tmp_path / "jobs") == []


def test_jobs_do_not_take_all_permits(weights: Path, tmp_path: Path) -> None:
    permits = ("--max-requests", "3", "--max-waiting", "0", "--max-open", "9")
    with replica(weights, tmp_path, *permits) as (_, client):
        jobs = [asked(client, "/compress", wav(60), **LONG) for _ in range(4)]
        wait_for(lambda: states(client, jobs).count("running") == 2)
        for _ in range(5):  # nobody has to wait
            assert at_once(client, wav(0.2))
        assert states(client, jobs).count("queued") >= 1
        for job in jobs:
            client.delete(f"/jobs/{job['id']}")


def test_two_replicas_with_one_postgres(weights: Path, tmp_path: Path, empty_postgres: str) -> None:
    # A lease that a busy machine does not let run out.
    database = ("--jobs-database", empty_postgres, "--job-lease", "5")
    audio = [wav(12, seed=seed) for seed in range(4)]
    longest = wav(60)
    with (
        replica(weights, tmp_path, *database, running=2) as (first, one),
        replica(weights, tmp_path, *database, running=2) as (_, two),
    ):
        jobs = [asked(one, "/compress", sound, **LONG) for sound in audio]
        wait_for(lambda: states(two, jobs) == ["running"] * 4)
        cancelled = asked(two, "/compress", longest, **LONG)
        assert one.delete(f"/jobs/{cancelled['id']}").status_code == 204
        kill(first)
        for job, sound in zip(jobs, audio, strict=True):
            ended(two, job)
            assert result(two, job).content == long_at_once(two, sound)
        wait_for(lambda: len(files_in(tmp_path / "jobs")) == 4)
        attempts = [name.rpartition("-")[2] for name in files_in(tmp_path / "jobs")]
        assert sorted(attempts) == ["1", "1", "2", "2"]  # those of the dead one again, no others
        store = Store(empty_postgres)
        assert store.states()["done"] == 4
        store.close()


@pytest.mark.skipif(not is_here(), reason="there is no PostgreSQL here")
def test_a_database_that_goes_away_and_comes_back(weights: Path, tmp_path: Path) -> None:
    with (
        postgres() as database,
        replica(weights, tmp_path, "--jobs-database", database.url) as (_, client),
    ):
        jobs = [asked(client, "/compress", wav(10, seed=seed), **LONG) for seed in range(2)]
        database.stop()
        answer = client.post("/compress", content=wav(0.1), headers=ASYNC)
        refused(answer, 503, "unavailable")
        refused(client.get(f"/jobs/{jobs[0]['id']}"), 503, "unavailable")
        assert at_once(client, wav(0.2))
        assert client.get("/health/ready").status_code == 200
        wait_for(lambda: client.get("/metrics").text.count("encodec_permits_held 0.0"))
        database.start()
        for job in jobs:
            ended(client, job)
            result(client, job)
        ended(client, asked(client, "/compress", wav(0.1)))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder with room for five MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this user may not mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_result_that_fills_the_disk_of_its_database_too(weights: Path, small_disk: Path) -> None:
    with replica(weights, small_disk) as (_, client):
        ecdc = client.post("/compress", content=wav(60), params={"bandwidth": 1.5}).content
        job = ended(client, asked(client, "/decompress", ecdc, output="f32"), "failed")
        assert job["problem"]["code"] == "insufficient_storage"
        large = client.post("/compress", content=wav(120), headers=ASYNC)
        refused(large, 507, "insufficient_storage")
        assert files_in(small_disk / "jobs") == []
        ended(client, asked(client, "/compress", wav(0.5)))


@pytest.mark.timeout(60)
def test_settings_that_cannot_be(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    wrong = [
        ("--jobs-dir", str(tmp_path / "file" / "x")),
        ("--jobs-dir", str(tmp_path), "--jobs-database", "nonsense"),
        ("--jobs-dir", str(tmp_path), "--webhook-urls", "https://*/"),
        ("--input-urls", "file:///srv/"),
        ("--input-urls", "https://host"),
        ("--output-urls", "https://host/"),
        ("--webhook-secret", "short"),
    ]
    with started(SERVICE, weights, *wrong[0]) as process:
        assert process.wait() == 2
    for flags in wrong:
        assert _status(["--port", "0", "--weights", str(weights), *flags]) == 2, flags


def _status(flags: list[str]) -> object:
    """That of a service in this process, which must not begin."""
    try:
        return serve(parse_flags(flags))
    except SystemExit as ended:
        return ended.code


@pytest.mark.skipif(not is_here(), reason="there is no PostgreSQL here")
def test_a_database_that_hangs_is_not_waited_for(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "_PATIENCE", 0.5)
    monkeypatch.setattr(runner, "_LAST", 0.5)
    options = {"jobs_dir": tmp_path, "threads": 1, "shutdown_grace": 0}
    with (
        postgres() as database,
        contextlib.ExitStack() as until_it_has_stopped,
        live(weights, jobs_database=database.url, **options) as running,
        running.client() as client,
    ):
        job = asked(client, "/compress", wav(60), **LONG)
        reached(client, job, ("running",), "running")
        with database.frozen():
            refused(client.get(job["links"]["self"]), 503, "unavailable")
        assert seen(client, job)["state"] == "running"
        until_it_has_stopped.enter_context(database.frozen())
