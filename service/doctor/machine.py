"""The machine: its system, port, folders, limits, memory and clock."""

import ctypes
import errno
import os
import platform
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from model_core.checkpoints.registry import cache_folder
from model_core.cores import usable_cores

from ..decoder.memory import default_budget, machine_memory
from ..http.server import listen, most_connections, raise_descriptor_limit
from ..pipeline.call import check_spool
from ..settings import Settings
from .findings import Finding, fail, ok, size, warn

_LEAST_SPOOL = 256 << 20  # bytes without which nothing works well
_WEIGHTS = 1 << 30  # bytes of the published weights, with room
_PROCESS = 100  # processes and threads besides workers and decoders
_UNSYNCHRONISED = 5  # what adjtimex(2) returns: TIME_ERROR
_PIDS = Path("/sys/fs/cgroup/pids.max")


def check_system() -> Iterator[Finding]:
    """Linux, and the parts of it that decoding needs."""
    text = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    if sys.platform != "linux" or not hasattr(os, "pidfd_open"):
        yield fail("system", text, "audio is decoded on Linux 5.3 or newer alone")
        return
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError as error:
        advice = "use Linux 5.3 or newer, and a seccomp profile that knows pidfd_open"
        yield fail("system", f"{text}: pidfd_open: {error.strerror}", advice)
        return
    yield ok("system", f"{text}, {usable_cores()} usable cores of {os.cpu_count()}")


def check_port(settings: Settings) -> Iterator[Finding]:
    """Whether the service could listen."""
    address = f"{settings.host}:{settings.port}"
    try:
        listen(settings).close()
    except OSError as error:
        advice = {
            errno.EADDRINUSE: "stop what listens there (the service?), or set ENCODEC_PORT",
            errno.EACCES: "ports below 1024 need rights: set ENCODEC_PORT",
            errno.EADDRNOTAVAIL: "no interface has this address: set ENCODEC_HOST",
        }.get(error.errno or 0, "set ENCODEC_HOST and ENCODEC_PORT")
        yield fail("port", f"{address}: {error.strerror or error}", advice)
    else:
        yield ok("port", f"{address} is free")


def check_spool_folder(settings: Settings) -> Iterator[Finding]:
    """Whether uploads can be written, and how many there is room for."""
    folder = settings.spool_dir or Path(tempfile.gettempdir())
    try:
        check_spool(settings.spool_dir)
    except ValueError as error:
        advice = "make the folder, let this user write to it, or set ENCODEC_SPOOL_DIR"
        yield fail("spool", str(error), advice)
        return
    free = shutil.disk_usage(folder).free
    largest, most = settings.max_upload_bytes, settings.max_open
    text = f"{folder} has {size(free)} free"
    if free < _LEAST_SPOOL:
        yield fail("spool", text, "free some, or set ENCODEC_SPOOL_DIR to a larger disk")
    elif free < largest * most:
        text += f", room for {free // largest} uploads of {size(largest)}; {most} may be open"
        advice = "lower ENCODEC_MAX_UPLOAD_BYTES, or set ENCODEC_SPOOL_DIR to a larger disk"
        yield warn("spool", text, advice)
    else:
        yield ok("spool", f"{text}, enough for {most} uploads of {size(largest)}")
    if _file_system(folder) == "tmpfs":
        advice = "set ENCODEC_SPOOL_DIR to a folder on a disk"
        yield warn("spool", f"{folder} is memory (tmpfs): uploads take as much of it", advice)


def _file_system(folder: Path) -> str:
    """Its kind, as far as Linux says it."""
    found = ("", "")
    try:
        lines = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        point, kind = line.split()[4], line.partition(" - ")[2].partition(" ")[0]
        if folder.resolve().is_relative_to(point) and len(point) >= len(found[0]):
            found = (point, kind)
    return found[1]


def check_cache_folder(settings: Settings) -> Iterator[Finding]:
    """Whether weights can be downloaded to it, where they may be."""
    if settings.weights not in ("auto", "official"):
        return
    folder = cache_folder(settings.cache_dir)
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        advice = "let this user write to it, or set ENCODEC_CACHE_DIR"
        level = warn if settings.weights == "auto" else fail
        yield level("cache", f"{there} cannot be written: no weights can be kept there", advice)
        return
    free = shutil.disk_usage(there).free
    if free < _WEIGHTS:
        text = f"{there} has {size(free)} free; weights take up to {size(_WEIGHTS)}"
        yield warn("cache", text, "free some, or set ENCODEC_CACHE_DIR")
    else:
        yield ok("cache", f"{folder}, {size(free)} free")


def check_limits(settings: Settings) -> Iterator[Finding]:
    """Descriptors, and processes with threads."""
    raise_descriptor_limit()
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    connections = most_connections(settings.max_requests)
    text = f"{limit} descriptors, for {connections} connections"
    if connections < settings.max_open:
        advice = "raise the limit (ulimit -n, LimitNOFILE=65536), or lower ENCODEC_MAX_OPEN"
        level = fail if connections < settings.max_requests else warn
        yield level("files", f"{text}; {settings.max_open} requests may be open", advice)
    else:
        yield ok("files", text)
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    limits = [] if soft == resource.RLIM_INFINITY or os.geteuid() == 0 else [soft]
    with suppress(OSError, ValueError):  # no such file, or `max`
        limits.append(int(_PIDS.read_text()))
    needed = 2 * settings.worker_threads + settings.max_requests + _PROCESS
    if limits and min(limits) < needed:
        advice = "raise it (ulimit -u, pids_limit, TasksMax), or lower ENCODEC_MAX_REQUESTS"
        text = f"{min(limits)} processes and threads may run; {needed} may be needed"
        yield warn("processes", text, advice)
    else:
        text = str(min(limits)) if limits else "any number of"
        yield ok("processes", f"{text} processes and threads; {needed} may be needed")


def check_memory(settings: Settings) -> Iterator[Finding]:
    """Whether there is enough for all that settings allow; after the models have been loaded in
    this process, which is what they take."""
    there = machine_memory()
    models = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    decoders = settings.decoder_memory or default_budget()
    requests = settings.max_open << 20  # a spool of each is in memory up to 1 MiB
    parts = {
        "models and code": models,
        "decoders": decoders,
        "kept results": int(settings.result_cache_bytes),
        "open requests": requests,
    }
    needed = sum(parts.values())
    listed = ", ".join(f"{name} {size(count)}" for name, count in parts.items() if count)
    text = f"{size(there)} there, at most {size(needed)} needed ({listed})"
    if models + requests > there:
        yield fail("memory", text, "give the machine or container more")
    elif needed > there:
        advice = "give more, or lower ENCODEC_DECODER_MEMORY and ENCODEC_RESULT_CACHE_BYTES"
        yield warn("memory", text, advice)
    else:
        yield ok("memory", text)


def check_clock() -> Iterator[Finding]:
    """Certificates, logs, traces and several machines go by it."""
    written = Path(__file__).stat().st_mtime
    now = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    if time.time() < written - 86_400:
        text = f"it is {now}, which is before this program was installed"
        yield fail("clock", text, "set the clock: downloads will find no valid certificate")
        return
    if sys.platform == "linux" and _adjtimex() == _UNSYNCHRONISED:
        text = f"{now}; the system does not know whether that is right"
        yield warn("clock", text, "run chrony or systemd-timesyncd on the host")
    else:
        yield ok("clock", now)


def _adjtimex() -> int:
    """The state of the system's clock, which is left as it is."""
    nothing_to_change = ctypes.create_string_buffer(512)  # a `struct timex` and more
    state: int = ctypes.CDLL(None).adjtimex(nothing_to_change)
    return state
