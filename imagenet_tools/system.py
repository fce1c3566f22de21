"""Calls that Linux has and other systems may lack, each with its fallback: the one module that asks for them.

The package needs a POSIX system: files with descriptors, fork, flock. macOS lacks sched_getaffinity, prctl, syncfs,
renameat2, FICLONE, /proc and /sys; its sendfile writes to sockets alone, and it refuses most address-space limits.
"""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import signal
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

_FICLONE = 0x40049409  # ioctl(2): one file shares the blocks of another until either is changed
_PR_SET_PDEATHSIG = 1  # prctl(2)
_ASSUMED_MEMORY_BYTES = 8 << 30
_UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


def cores() -> int:
    """Return how many cores this process may use; where the system does not say, how many there are."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def memory() -> int:
    """Return the memory of this machine, or of the container this runs in, in bytes; 8 GiB where neither is known."""
    try:
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        machine = _ASSUMED_MEMORY_BYTES
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return machine
    return min(machine, int(limit)) if limit.isdecimal() else machine


def address_space() -> tuple[int, int]:
    """Return the (soft, hard) limit of this process's address space in bytes; RLIM_INFINITY where there is none."""
    kind = getattr(resource, "RLIMIT_AS", None)
    return _UNLIMITED if kind is None else resource.getrlimit(kind)


def limit_address_space(soft: int, hard: int) -> bool:
    """Limit this process's address space; return False where the system has no such limit, or refuses this one."""
    kind = getattr(resource, "RLIMIT_AS", None)
    if kind is None:
        return False
    try:
        resource.setrlimit(kind, (soft, hard))
    except (OSError, ValueError):
        return False
    return True


def _preadv(fd: int, rooms: tuple[memoryview], offset: int) -> int:
    data = os.pread(fd, len(rooms[0]), offset)
    rooms[0][: len(data)] = data
    return len(data)


# Fills one memoryview from a place in a file; by a copy more where the system has no preadv. A name of the module, and
# not a function around it, as it is called once an image.
preadv: Callable[[int, tuple[memoryview], int], int] = getattr(os, "preadv", _preadv)


def send(out_fd: int, in_fd: int, offset: int, n: int) -> int:
    """Have the kernel copy up to n bytes between files; OSError ENOSYS where it has no such call."""
    sendfile = getattr(os, "sendfile", None)
    if sendfile is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    sent: int = sendfile(out_fd, in_fd, offset, n)
    return sent


def share_blocks(out_fd: int, in_fd: int) -> None:
    """Make a file share the blocks of another; OSError EOPNOTSUPP where the system or the file system cannot."""
    if sys.platform != "linux":  # the number of the ioctl means something else there
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
    fcntl.ioctl(out_fd, _FICLONE, in_fd)


@cache
def libc(name: str) -> Callable[..., int] | None:
    """Return a function of the C library that Python's os does not offer, or None where there is none.

    Such as syncfs and renameat2, for which `files` has another way.
    """
    import ctypes

    return getattr(ctypes.CDLL(None, use_errno=True), name, None)


def end_with_parent() -> None:
    """Have this process killed when its parent ends. Elsewhere than on Linux it ends when it reads its pipe again."""
    prctl = libc("prctl")
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def seconds_in_line() -> float:
    """Return the seconds that this process has waited for a core that others used; 0 where the kernel does not say."""
    try:
        # Nanoseconds on a core, nanoseconds in line for one, turns.
        return int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


def has_ended(pid: str) -> bool:
    """Return True if no process of this machine has this number; False where the system does not list them."""
    return Path("/proc/self").exists() and not Path("/proc", pid).exists()
