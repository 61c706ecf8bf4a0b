"""What the fork server and its children may use. Linux only, as the isolation of decoding is.

What a child inherits is set once, in the fork server (`confine_family`); the rest costs every child
a few system calls (`confine`).
"""

import contextlib
import mmap
import os
import resource
import signal
from pathlib import Path

from .system_calls import filter_system_calls, prctl

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38

_MOST_MEMORY = 1 << 30  # bytes above what the fork server has
_FIRST_MEMORY = 64 << 20  # of that before anything has been read
_MEMORY_SHARE = 4  # bytes of memory for a byte of the upload: indexes of long files grow with them
_FIRST_CPU = 15  # s of CPU before the first second of audio
_CPU_SHARE = 0.1  # s of CPU per second of audio after that: ordinary files take 0.002 to 0.01
_MOST_CPU = 24 * 3600  # s

_base = 0  # bytes of memory that the fork server had when it confined itself


def die_with(parent: int) -> None:
    """This process is killed when its parent (of that pid) ends. Raises `OSError`."""
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def confine_family() -> None:
    """Bounds this process and all that it forks, irrevocably: no new privileges, no core dump, no
    file written, and memory; where the machine has none left, they are the first to be killed."""
    global _base
    _base = _data_bytes()
    Path("/proc/self/oom_score_adj").write_text("1000")
    prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_DATA, _base + _MOST_MEMORY)


def confine(most_files: int) -> None:
    """Bounds this process: its CPU time and memory, and irrevocably: no debugger, no descriptor
    above those below `most_files`, and no system call that decoding does not need
    (`filter_system_calls`, where the system has such filters)."""
    prctl(_PR_SET_DUMPABLE, 0)
    _limit(resource.RLIMIT_NOFILE, most_files)
    allow_cpu(0)
    allow_memory(0)
    with contextlib.suppress(OSError):
        filter_system_calls()


def allow_cpu(audio_seconds: float) -> None:
    """Raises the CPU limit in proportion to the audio made so far."""
    seconds = min(_FIRST_CPU + int(audio_seconds * _CPU_SHARE), _MOST_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, _MOST_CPU))


def allow_memory(upload_bytes: int) -> None:
    """Raises the memory limit in proportion to the bytes of the upload received so far."""
    memory = min(_FIRST_MEMORY + _MEMORY_SHARE * upload_bytes, _MOST_MEMORY)
    resource.setrlimit(resource.RLIMIT_DATA, (_base + memory, _base + _MOST_MEMORY))


def memory_is_short() -> bool:
    """Whether the system refuses this process as much memory as its own limit leaves at the start
    (by a limit of the address space, say): a failure may then be no fault of the upload."""
    limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
    if limit == resource.RLIM_INFINITY:
        return False
    try:  # read-only, it counts as address space and not as data
        mmap.mmap(-1, limit - _base, mmap.MAP_PRIVATE, mmap.PROT_READ).close()
    except OSError:
        return True
    return False


def _limit(kind: int, value: int) -> None:
    resource.setrlimit(kind, (value, value))


def _data_bytes() -> int:
    """Private memory mapped now (what RLIMIT_DATA counts)."""
    for line in Path("/proc/self/status").read_text(errors="replace").splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return 0
