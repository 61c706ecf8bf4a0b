"""How much disk uploads take, as `/metrics` says it."""

import os
from pathlib import Path

from model_core.codec.work import CPU
from service.decoder.spool import spool_use
from service.inference.device_watch import device_memory
from tests.service.live import Live, live, wait_for
from tests.service.sounds import wav


def test_files_without_a_name_are_counted_once(tmp_path: Path) -> None:
    before = spool_use(tmp_path)
    assert before.used == 0
    assert 0 < before.free <= os.statvfs(tmp_path).f_blocks * os.statvfs(tmp_path).f_frsize
    path = tmp_path / "upload"
    path.write_bytes(bytes(1000))
    with path.open("rb"), path.open("rb"):
        assert spool_use(tmp_path).used == 0  # it has a name: somebody else's
        path.unlink()
        assert spool_use(tmp_path).used == 1000
    assert spool_use(tmp_path).used == 0


def measured(server: Live, name: str) -> float:
    with server.client() as client:
        lines = client.get("/metrics").text.splitlines()
    (line,) = [line for line in lines if line.startswith(f"{name} ")]
    return float(line.split()[1])


def test_an_upload_is_seen_with_its_decoder_while_it_comes(weights: Path, tmp_path: Path) -> None:
    audio = wav(20.0)
    head = f"POST /compress HTTP/1.1\r\nHost: x\r\nContent-Length: {len(audio)}\r\n\r\n"
    with live(weights, spool_dir=tmp_path) as server:
        assert measured(server, "encodec_spool_bytes") == 0
        assert measured(server, "encodec_spool_free_bytes") > 0
        assert measured(server, "encodec_decoder_children") == 0
        half = len(audio) // 2
        with server.connect(head) as connection:
            connection.sendall(audio[:half])
            wait_for(lambda: measured(server, "encodec_spool_bytes") == half)
            assert measured(server, "encodec_decoder_children") == 1
            connection.sendall(audio[half:])
            assert connection.recv(12) == b"HTTP/1.1 200"
        server.wait_until_idle()
        wait_for(lambda: measured(server, "encodec_spool_bytes") == 0)
        wait_for(lambda: measured(server, "encodec_decoder_children") == 0)


def test_a_cpu_has_no_memory_of_its_own() -> None:
    assert device_memory(CPU) == {}
