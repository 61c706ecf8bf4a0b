"""Faults of the machine: no descriptors, no disk, no processes, no memory."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest

from tests.faults.target import Target, post_head, run, wait_for
from tests.service.process import SERVICE
from tests.service.sounds import wav

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs to mount a file system")


def test_idle_connections_do_not_use_up_the_descriptors(start: Callable[..., Target]) -> None:
    service = start(command=["prlimit", "--nofile=80:80", *SERVICE])
    before = len(service.process.lines)
    with ExitStack() as stack:
        for _ in range(150):
            connection = socket.socket()
            connection.settimeout(5)
            stack.enter_context(connection)
            with suppress(OSError):
                connection.connect(("127.0.0.1", service.port))
        time.sleep(3)
        for _ in range(5):
            assert service.get("/health/live", timeout=10).status_code == 200
        service.compress_works()
    assert len(service.process.lines) - before < 400
    assert not [line for line in service.process.lines if "Traceback" in line]
    service.compress_works()


@as_root
def test_a_spool_that_becomes_read_only_is_said_and_recovers(
    start: Callable[..., Target], tmp_path: Path
) -> None:
    run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(tmp_path)])
    try:
        service = start("--spool-dir", str(tmp_path))
        service.compress_works()
        remount = ["mount", "-o", "remount,ro", str(tmp_path)]
        # Not while a decoder that is about to end still holds its upload.
        wait_for(lambda: subprocess.run(remount, check=False).returncode == 0)
        _refuses_for_want_of_a_disk(service)
        run(["mount", "-o", "remount,rw", str(tmp_path)])
        _recovers(service)
    finally:
        run(["umount", "-l", str(tmp_path)])


def test_a_spool_that_is_deleted_is_said_and_recovers(
    start: Callable[..., Target], tmp_path: Path
) -> None:
    folder = tmp_path / "spool"
    folder.mkdir()
    service = start("--spool-dir", str(folder))
    service.compress_works()
    shutil.rmtree(folder)
    _refuses_for_want_of_a_disk(service)
    folder.mkdir()
    _recovers(service)


def test_a_limit_on_the_size_of_files_is_no_crash(start: Callable[..., Target]) -> None:
    service = start(command=["prlimit", "--fsize=1000000:1000000", *SERVICE])
    with service.client() as client:
        for _ in range(3):
            answer = client.post("/compress", content=wav(60.0))
            assert answer.status_code == 507, answer.text
    service.compress_works()


def _refuses_for_want_of_a_disk(service: Target) -> None:
    with service.client() as client:
        for _ in range(5):
            answer = client.post("/compress", content=wav(1.0))
            assert answer.status_code in (503, 507), answer.text
            assert int(answer.headers["retry-after"]) > 0
        wait_for(lambda: client.get("/health/ready").status_code == 503, seconds=20)
        assert client.get("/health/live").status_code == 200
    assert not [line for line in service.process.lines if "Traceback" in line]


def _recovers(service: Target) -> None:
    wait_for(lambda: service.get("/health/ready").status_code == 200, seconds=20)
    service.compress_works()


def test_nothing_is_left_over_where_no_thread_can_be_started(
    start: Callable[..., Target], tmp_path: Path
) -> None:
    """Threads need address space for their stacks."""
    service = start("--spool-dir", str(tmp_path))
    service.compress_works()
    before = service.use().descriptors
    status = Path(f"/proc/{service.pid}/status").read_text()
    size = int(status.split("VmSize:")[1].split()[0]) * 1024 + 6_000_000  # less than a stack
    run(["prlimit", f"--as={size}:unlimited", f"--pid={service.pid}"])
    with service.client() as client:
        answers = []
        for _ in range(20):
            with suppress(httpx.TransportError):
                answers.append(client.post("/compress", content=wav(5.0)).status_code)
    run(["prlimit", "--as=unlimited:unlimited", f"--pid={service.pid}"])
    assert set(answers) <= {200, 503, 507}
    service.compress_works()
    wait_for(lambda: service.use().descriptors <= before + 2, seconds=20)


def test_a_good_file_is_not_blamed_where_decoders_have_no_address_space(
    start: Callable[..., Target],
) -> None:
    service = start()
    service.compress_works()
    (fork_server,) = service.fork_servers()
    status = Path(f"/proc/{fork_server}/status").read_text()
    size = int(status.split("VmSize:")[1].split()[0]) * 1024 + 500_000
    run(["prlimit", f"--as={size}:unlimited", f"--pid={fork_server}"])
    wait_for(service.decoders)
    for pid in service.decoders():  # the one forked ahead has no such limit yet
        with suppress(ProcessLookupError):
            os.kill(pid, 9)
    time.sleep(0.2)
    with service.client() as client:
        file = wav(5.0, 96_001)  # five megabytes of filters
        for _ in range(2):
            answer = client.post("/compress", content=file)
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
        run(["prlimit", "--as=unlimited:unlimited", f"--pid={fork_server}"])
        assert client.post("/compress", content=file).status_code == 200
        assert client.post("/compress", content=file[:3000]).status_code == 400
    service.compress_works()


def test_a_decoder_that_does_not_start_for_a_while_does_not_end_the_server(
    start: Callable[..., Target],
) -> None:
    """No process can be made for three seconds, and the fork server is killed meanwhile."""
    service = start()
    service.compress_works()
    limit = ["prlimit", f"--pid={service.pid}"]
    files = service.use().descriptors
    (fork_server,) = service.fork_servers()
    run([*limit, f"--nofile={files}:"])
    os.kill(fork_server, 9)
    time.sleep(3)
    assert service.process.popen.poll() is None
    run([*limit, "--nofile=1024:"])
    wait_for(lambda: service.get("/health/ready").status_code == 200, seconds=30)
    service.compress_works()


def test_an_upload_that_is_left_frees_its_permit(start: Callable[..., Target]) -> None:
    service = start()
    for _ in range(20):
        with service.connect(post_head("/compress", length=10**6) + wav(1.0)):
            pass
    wait_for(lambda: service.metric("encodec_permits_held") == 0, seconds=20)
    assert service.use().processes <= 4
