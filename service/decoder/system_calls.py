"""Which system calls a decoding child may make: a filter of seccomp (Linux's `seccomp_filter`).

All others fail with EPERM: a child opens nothing, makes no socket and no process, runs no program,
changes no file by its name, and signals nobody. Numbers are those of `asm/unistd.h`.
"""

import ctypes
import os
import platform
import struct
from dataclasses import dataclass

_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2
_ALLOW, _ERRNO = 0x7FFF_0000, 0x0005_0000
_EPERM, _ENOSYS = 1, 38
_REFUSED = _ERRNO | _EPERM
_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06  # BPF: ld, jeq, jset, ret
_NUMBER, _ARCHITECTURE, _FIRST, _SECOND = 0, 4, 16, 24  # places in `struct seccomp_data`
_CLONE_THREAD = 0x0001_0000
_FIONBIO = 0x5421
"""The `ioctl` by which sockets are made to block or not; others type into a terminal."""


@dataclass(frozen=True)
class _Machine:
    architecture: int
    """`AUDIT_ARCH_…`."""
    allowed: tuple[int, ...]
    clone: int
    ioctl: int
    prlimit64: int
    tgkill: int


_CLONE3 = 435
# read write close lseek recvmsg recvfrom sendmsg sendto readv writev pread64 shutdown fcntl;
# futex mmap munmap mprotect mremap brk madvise; fstat newfstatat statx getsockopt setsockopt
# getsockname getpeername poll ppoll select pselect6; rt_sigaction rt_sigprocmask rt_sigreturn
# sigaltstack restart_syscall exit exit_group; clock_gettime clock_nanosleep nanosleep gettimeofday
# times getrusage getrandom getpid getppid gettid sched_yield sched_getaffinity getcpu getrlimit
# setrlimit set_robust_list set_tid_address rseq membarrier sysinfo uname
_MACHINES = {
    "x86_64": _Machine(
        0xC000_003E,
        (
            *(0, 1, 3, 8, 47, 45, 46, 44, 19, 20, 17, 48, 72),
            *(202, 9, 11, 10, 25, 12, 28),
            *(5, 262, 332, 55, 54, 51, 52, 7, 271, 23, 270),
            *(13, 14, 15, 131, 219, 60, 231),
            *(228, 230, 35, 96, 100, 98, 318, 39, 110, 186, 24, 204, 309, 97, 160),
            *(273, 218, 334, 324, 99, 63),
        ),
        clone=56,
        ioctl=16,
        prlimit64=302,
        tgkill=234,
    ),
    "aarch64": _Machine(
        0xC000_00B7,
        (
            *(63, 64, 57, 62, 212, 207, 211, 206, 65, 66, 67, 210, 25),
            *(98, 222, 215, 226, 216, 214, 233),
            *(80, 79, 291, 209, 208, 204, 205, 73, 72),
            *(134, 135, 139, 132, 128, 93, 94),
            *(113, 115, 101, 169, 153, 165, 278, 172, 173, 178, 124, 123, 168, 163, 164),
            *(99, 96, 293, 283, 179, 160),
        ),
        clone=220,
        ioctl=29,
        prlimit64=261,
        tgkill=131,
    ),
}


def _begin(machine: _Machine) -> bytes:
    """The filter, but for what depends on the process."""
    steps = [_step(_LOAD, _ARCHITECTURE), *_unless(_EQUAL, machine.architecture, _REFUSED)]
    steps.append(_step(_LOAD, _NUMBER))
    for number in machine.allowed:
        steps += _where(_EQUAL, number, _ALLOW)
    steps += _where(_EQUAL, _CLONE3, _ERRNO | _ENOSYS)  # its flags cannot be seen: then `clone`
    steps += _only(machine.clone, _FIRST, _ANY_BIT, _CLONE_THREAD)
    steps += _only(machine.ioctl, _SECOND, _EQUAL, _FIONBIO)
    steps += _only(machine.prlimit64, _FIRST, _EQUAL, 0)  # its own
    return b"".join(steps)


def _only(number: int, place: int, test: int, value: int) -> list[bytes]:
    """A system call that is allowed with some arguments."""
    allowed = [_step(_LOAD, place), *_where(test, value, _ALLOW), _step(_RETURN, _REFUSED)]
    return [_step(_EQUAL, number, 0, len(allowed)), *allowed]


def _where(test: int, value: int, result: int) -> list[bytes]:
    return [_step(test, value, 0, 1), _step(_RETURN, result)]


def _unless(test: int, value: int, result: int) -> list[bytes]:
    return [_step(test, value, 1, 0), _step(_RETURN, result)]


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """A `struct sock_filter`."""
    return struct.pack("HBBI", code, if_true, if_false, value)


_MACHINE = _MACHINES.get(platform.machine())
_BEGIN = b"" if _MACHINE is None else _begin(_MACHINE)
_LIBC = ctypes.CDLL(None, use_errno=True)


def filter_system_calls() -> None:
    """Forbids this process, which has no new privileges, and its threads all that is not listed
    here, irrevocably. Does nothing on other processors. Raises `OSError` where the system has no
    such filters."""
    if _MACHINE is None:
        return
    end = [*_only(_MACHINE.tgkill, _FIRST, _EQUAL, os.getpid()), _step(_RETURN, _REFUSED)]
    program = _BEGIN + b"".join(end)
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, header)


def prctl(option: int, value: int, pointer: bytes | None = None) -> None:
    """prctl(2). Raises `OSError`."""
    if _LIBC.prctl(option, ctypes.c_ulong(value), pointer, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
