"""What a child that somebody else has taken over can still do: in a process of its own."""

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tests.service.decoder.processes import TIMEOUT

pytestmark = [
    pytest.mark.timeout(TIMEOUT),
    pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64"), reason="other numbers"),
]

ATTEMPTS = """
import ctypes, fcntl, json, mmap, os, signal, socket, subprocess, sys, threading
from service.decoder.sandbox import confine_family
from service.decoder.system_calls import filter_system_calls

path, found = sys.argv[1], {}
ours, theirs = socket.socketpair()
libc = ctypes.CDLL(None, use_errno=True)
confine_family()
filter_system_calls()

def attempt(name, action):
    try:
        action()
    except OSError as error:
        found[name] = error.errno
    except BaseException as error:
        found[name] = repr(error)
    else:
        found[name] = 0

def thread():
    started = threading.Thread(target=lambda: None)
    started.start()
    started.join()

def raw(number, *arguments):
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "")

attempt("open", lambda: open(path))
attempt("socket", socket.socket)
attempt("pair", socket.socketpair)
attempt("fork", os.fork)
attempt("exec", lambda: os.execv(sys.executable, [sys.executable]))
attempt("kill", lambda: os.kill(os.getppid(), 0))
attempt("kill_itself", lambda: os.kill(os.getpid(), 0))
attempt("unlink", lambda: os.unlink(path))
attempt("rename", lambda: os.rename(path, path + "x"))
attempt("mkdir", lambda: os.mkdir(path + "d"))
attempt("terminal", lambda: fcntl.ioctl(0, 0x5412, b"x"))
attempt("other_limits", lambda: raw({limits}, os.getppid(), 7, None, bytes(16)))
attempt("other_thread", lambda: raw({signals}, os.getppid(), os.getppid(), 0))
attempt("io_uring", lambda: raw(425, 1, bytes(120)))
attempt("pidfd", lambda: os.pidfd_open(os.getppid()))
attempt("close_and_open", lambda: (os.close(ours.detach()), open(path)))
attempt("memory", lambda: mmap.mmap(-1, 1 << 20).close())
attempt("send", lambda: theirs.setblocking(False))
attempt("thread", thread)
attempt("itself", lambda: raw({signals}, os.getpid(), threading.get_native_id(), 0))
sys.stdout.write(json.dumps(found))
"""
HERE = {"memory", "send", "thread", "itself"}
"""What decoding needs."""
EPERM = 1


def test_a_child_makes_no_files_sockets_processes_or_signals(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("x")
    numbers = {"x86_64": ("302", "234"), "aarch64": ("261", "131")}[platform.machine()]
    script = ATTEMPTS.replace("{limits}", numbers[0]).replace("{signals}", numbers[1])
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    assert {name for name, error in found.items() if error == 0} == HERE
    assert {name: error for name, error in found.items() if error not in (0, EPERM)} == {}
    assert path.read_text() == "x"
