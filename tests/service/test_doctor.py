"""`encodec-serve doctor`: what it finds on this machine, and with real faults in it."""

import asyncio
import contextlib
import io
import json
import re
import resource
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ByteSize
from structlog.testing import capture_logs

from service.doctor.choices import check_settings
from service.doctor.command import main, report
from service.doctor.findings import Finding, size, worst
from service.doctor.machine import check_cache_folder, check_port, check_spool_folder
from service.jobs.database import sqlite_url
from service.jobs.files import JobFiles, new_id
from service.jobs.job import Input, Order, State
from service.jobs.store import Store
from service.settings import Settings, parse_flags, variable
from tests.service.process import SERVICE

PATIENCE = 120  # s
ROOT = Path(__file__).parents[2]


def doctor(
    weights: Path | str, *flags: str, environment: dict[str, str] | None = None
) -> tuple[int, dict[str, list[dict[str, str]]]]:
    """Its exit status, and its findings by check; in this process, which has imported all of it."""
    status, text = printed(weights, *flags, environment=environment)
    return status, findings_of(status, text)


def printed(
    weights: Path | str,
    *flags: str,
    as_json: bool = True,
    environment: dict[str, str] | None = None,
) -> tuple[int, str]:
    """Its exit status, and what it prints."""
    options = ["--port", "0", "--device", "cpu", "--weights", str(weights), *flags]
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with (
        pytest.MonkeyPatch.context() as patch,
        capture_logs(),
        contextlib.redirect_stdout(io.StringIO()) as text,
    ):
        for name, value in (environment or {}).items():
            patch.setenv(name, value)
        status = asyncio.run(report(parse_flags(options), as_json))
    resource.setrlimit(resource.RLIMIT_NOFILE, before)  # it raises it, as the service does
    return status, text.getvalue()


def doctor_process(
    weights: Path, limit: Callable[[], None] | None = None
) -> tuple[int, dict[str, list[dict[str, str]]]]:
    """The same of a process of its own, as people start it."""
    options = ["--json", "--port", "0", "--device", "cpu", "--weights", str(weights)]
    done = subprocess.run(
        [*SERVICE, "doctor", *options],
        preexec_fn=limit,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode, findings_of(done.returncode, done.stdout)


def findings_of(status: int, printed: str) -> dict[str, list[dict[str, str]]]:
    """Those of a document by check, which must fit its exit status."""
    document: dict[str, Any] = json.loads(printed)
    found: dict[str, list[dict[str, str]]] = {}
    for finding in document["findings"]:
        found.setdefault(finding["check"], []).append(finding)
    statuses = [finding["status"] for finding in document["findings"]]
    assert document["status"] == max(statuses, key=["ok", "warn", "fail"].index)
    assert (status == 1) == ("fail" in statuses)
    for finding in document["findings"]:
        assert bool(finding["advice"]) == (finding["status"] != "ok"), finding
    return found


def statuses(findings: list[dict[str, str]]) -> set[str]:
    return {finding["status"] for finding in findings}


def test_a_machine_on_which_the_service_works(weights: Path) -> None:
    status, found = doctor_process(weights)
    assert status == 0
    for check in ("system", "port", "device", "backend", "decoder", "sandbox", "pass"):
        assert statuses(found[check]) == {"ok"}, found[check]
    assert {"settings", "spool", "files", "processes", "clock", "weights", "memory"} <= set(found)
    assert [finding["found"].split(":")[0] for finding in found["pass"]] == [
        *("encodec_24khz", "encodec_48khz")
    ]
    named = " ".join(finding["found"] for finding in found["weights"])
    assert str(weights) in named
    assert "encodec_48khz has no language model" in named  # the narrow one
    assert "doctor" not in found  # no check has failed itself


def test_for_people_each_finding_is_a_line(weights: Path) -> None:
    status, text = printed(weights, as_json=False)
    assert status == 0
    lines = text.splitlines()
    assert all(line.split()[0] in ("ok", "warn", "fail") for line in lines)
    assert all(("->" in line) == (not line.startswith("ok")) for line in lines)
    assert "\x1b" not in text


def test_a_port_that_is_taken(weights: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, found = doctor(weights, "--port", str(port))
    assert status == 1
    (finding,) = found["port"]
    assert finding["status"] == "fail"
    assert str(port) in finding["found"]
    assert "ENCODEC_PORT" in finding["advice"]
    assert statuses(found["pass"]) == {"ok"}  # the rest is looked at all the same


def test_an_address_of_another_machine() -> None:
    (finding,) = check_port(Settings(host="192.0.2.1", port=0))
    assert finding.status == "fail"
    assert "ENCODEC_HOST" in finding.advice


def test_a_spool_folder_that_is_not_there(weights: Path, tmp_path: Path) -> None:
    status, found = doctor(weights, "--spool-dir", str(tmp_path / "missing"))
    assert status == 1
    assert statuses(found["spool"]) == {"fail"}
    assert "ENCODEC_SPOOL_DIR" in found["spool"][0]["advice"]


def test_a_spool_that_cannot_hold_what_is_admitted(weights: Path) -> None:
    _, found = doctor(weights, "--max-upload-bytes", "1PiB")
    assert "warn" in statuses(found["spool"])
    _, found = doctor(weights, "--max-upload-bytes", "1MiB")
    assert found["spool"][0]["status"] == "ok"


@pytest.mark.skipif(not Path("/dev/shm").is_mount(), reason="it is no file system of its own")
def test_a_spool_in_memory() -> None:
    settings = Settings(spool_dir=Path("/dev/shm"), max_upload_bytes=ByteSize(1), max_requests=1)
    (_, finding) = check_spool_folder(settings)
    assert finding.status == "warn"
    assert "tmpfs" in finding.found


@pytest.mark.parametrize("wanted", ["auto", "official"])
def test_a_cache_that_cannot_be_written(wanted: str, tmp_path: Path) -> None:
    """A file where the folder should be: the user of the tests may be root, who may write all."""
    (tmp_path / "file").write_text("")
    settings = Settings(weights=wanted, cache_dir=tmp_path / "file" / "cache")
    (finding,) = check_cache_folder(settings)
    assert finding.status == {"auto": "warn", "official": "fail"}[wanted]
    assert list(check_cache_folder(Settings(weights="bundled"))) == []


def test_weights_that_are_not_there(tmp_path: Path) -> None:
    status, found = doctor(tmp_path)
    assert status == 1
    (finding,) = found["weights"]
    assert str(tmp_path) in finding["found"]
    assert "ENCODEC_WEIGHTS" in finding["advice"]
    assert "pass" not in found
    assert statuses(found["decoder"]) == {"ok"}


def test_a_backend_that_is_not_for_the_device(weights: Path) -> None:
    status, found = doctor(weights, "--backend", "cuda")
    assert status == 1
    (finding,) = found["weights"]
    assert "backend cuda" in finding["found"]
    assert "ENCODEC_BACKEND" in finding["advice"]


def test_weights_that_are_not_intact(weights: Path, tmp_path: Path) -> None:
    for file in weights.iterdir():
        content = bytearray(file.read_bytes())
        if file.name.startswith("encodec_24khz"):
            content[-1000] ^= 1
        (tmp_path / file.name).write_bytes(content)
    status, found = doctor(tmp_path)
    assert status == 1
    (failed,) = [finding for finding in found["weights"] if finding["status"] == "fail"]
    assert "encodec_24khz" in failed["found"]


def test_a_device_that_is_not_there(weights: Path) -> None:
    status, found = doctor(weights, "--device", "cuda:63")
    assert status == 1
    assert "cuda:63" in found["service"][0]["found"]


def test_a_limit_on_descriptors_that_is_too_low(weights: Path) -> None:
    limit = (24, 24)
    status, found = doctor_process(
        weights, limit=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    )
    assert status == 1
    assert statuses(found["files"]) == {"fail"}


def test_a_backend_without_the_native_engine_is_slow_but_works(weights: Path) -> None:
    status, found = doctor(weights, "--backend", "torch", "--models", "encodec_24khz")
    assert status == 0
    assert statuses(found["backend"]) == {"warn"}
    assert "torch" in found["backend"][0]["found"]


def test_api_keys_do_not_stand_in_its_way_nor_in_its_report(weights: Path) -> None:
    status, found = doctor(weights, environment={"ENCODEC_API_KEYS": "a-secret"})
    assert status == 0
    assert statuses(found["pass"]) == {"ok"}
    assert "a-secret" not in json.dumps(found)


def test_a_wrong_file_of_keys_and_a_wrong_store_of_jobs_hide_nothing_else(
    weights: Path, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.toml"
    keys.write_text("[studio]\nsecrt = 'x'\n")
    environment = {
        "ENCODEC_API_KEYS_FILE": str(keys),
        "ENCODEC_JOBS_DIR": str(tmp_path / "jobs"),
        "ENCODEC_JOBS_DATABASE": "postgresql+psycopg://nobody@127.0.0.1:9/none",
    }
    status, found = doctor(weights, environment=environment)
    assert status == 1
    assert "secrt" in found["keys"][0]["found"]
    assert statuses(found["keys"]) == statuses(found["jobs"]) == {"fail"}
    assert statuses(found["pass"]) == {"ok"}


def test_jobs_of_a_service_are_left_to_it(weights: Path, tmp_path: Path) -> None:
    jobs = tmp_path / "jobs"
    files = JobFiles(jobs)
    store = Store(sqlite_url(str(jobs / "jobs.sqlite3")))
    order = Order("", "/compress", "", "")
    id = new_id()
    assert store.reserve(id, order, 4, 60)
    files.make(id)
    files.input(id).write_bytes(b"RIFF")
    assert store.enqueue(id, Input("", None, None, 4, ""))
    _, found = doctor(weights, environment={"ENCODEC_JOBS_DIR": str(jobs)})
    assert statuses(found["jobs"]) == statuses(found["pass"]) == {"ok"}
    job = store.get(id)
    assert job is not None
    assert job.state is State.QUEUED


@pytest.mark.parametrize(
    ("choices", "named"),
    [
        ({"max_requests": 300}, "max_open"),
        ({"max_requests": 200, "max_waiting": 100}, "max_open"),
        ({"max_live": 300}, "max_open"),
        ({"threads": 4096}, "threads"),
        ({"device": "cpu", "max_batch": 8}, "max_batch"),
        ({"jobs_database": "sqlite://"}, "jobs_dir"),
        ({"webhook_urls": "https://a/"}, "jobs_dir"),
        ({"host": "0.0.0.0"}, "API key"),
    ],
)
def test_settings_that_contradict_each_other(choices: dict[str, Any], named: str) -> None:
    (finding,) = check_settings(Settings(**choices), {})
    assert finding.status == "warn"
    assert named in finding.found
    assert finding.advice


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("ENCODEC_MAX_UPLOAD", "is it ENCODEC_MAX_UPLOAD_BYTES?"),
        ("ENCODEC_SERVICE_HOST", "enableServiceLinks"),
    ],
)
def test_variables_that_are_no_settings(name: str, advice: str) -> None:
    (finding,) = check_settings(Settings(), {name: "1", "ENCODEC_PORT": "1", "PATH": "/"})
    assert finding.status == "warn"
    assert name in finding.found
    assert advice in finding.advice


def test_variables_of_compose_the_proxy_and_the_cluster_are_known() -> None:
    named = set(cluster_names())
    for file in ("docker-compose.yml", "docker-compose.replicas.yml", "deploy/proxy/haproxy.cfg"):
        named |= set(re.findall(r"\$\{(ENCODEC_\w+)", (ROOT / file).read_text()))
    (finding,) = check_settings(Settings(), dict.fromkeys(named, "1"))
    assert finding.status == "ok", finding


def cluster_names() -> list[str]:
    pytest.importorskip("ray")
    from service.cluster import ClusterSettings

    return [variable(name) for name in ClusterSettings.model_fields]


def test_the_defaults_contradict_nothing() -> None:
    (finding,) = check_settings(Settings(), {})
    assert finding == Finding("settings", "ok", "no contradictions")


def test_traces_that_nobody_receives() -> None:
    pytest.importorskip("opentelemetry.sdk", reason="the extra otel is not installed")
    from tests.service.otlp import receiving

    with receiving() as receiver:
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint}
        (_, there) = check_settings(Settings(tracing=True), environment)
        assert there.status == "ok"
        (_, off) = check_settings(Settings(), environment)
        assert off.status == "warn"
    (_, away) = check_settings(Settings(tracing=True), environment)
    assert away.status == "warn"
    assert receiver.endpoint in away.found


def test_wrong_settings_exit_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--port", "many"])
    assert ended.value.code == 2
    assert "--port" in capsys.readouterr().err


def test_the_worst_finding_is_the_status_of_all() -> None:
    assert worst([]) == "ok"
    assert worst([Finding("a", "warn", ""), Finding("b", "ok", "")]) == "warn"
    assert worst([Finding("a", "fail", ""), Finding("b", "warn", "")]) == "fail"


def test_sizes_are_for_people() -> None:
    assert [size(n) for n in (0, 1023, 1536, 16 << 30, 1 << 50)] == [
        *("0 B", "1023 B", "1.5 KiB", "16.0 GiB", "1024.0 TiB")
    ]
