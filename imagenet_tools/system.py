"""System calls that Linux has and other systems may lack, each with its fallback. Only this module uses them.

The package needs a POSIX system: files with descriptors, fork, flock. macOS lacks sched_getaffinity, prctl, syncfs,
sync_file_range, posix_fadvise, renameat2, FICLONE, /proc and /sys; its sendfile writes only to sockets, and it refuses
most address-space limits.
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
_SYNC_FILE_RANGE_WRITE = 2  # sync_file_range(2)
_ASSUMED_MEMORY_BYTES = 8 << 30
_UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


def cores() -> int:
    """Return the number of cores that this process may use, or of all cores if the system does not tell."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def memory() -> int:
    """Return the memory of this machine or container in bytes; 8 GiB if neither is known."""
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
    """Return the (soft, hard) limits of this process's address space in bytes; RLIM_INFINITY for no limit."""
    kind = getattr(resource, "RLIMIT_AS", None)
    return _UNLIMITED if kind is None else resource.getrlimit(kind)


def limit_address_space(soft: int, hard: int) -> bool:
    """Limit this process's address space; return False if the system has no such limit, or refuses this one."""
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


# Reads from an offset of a file into one memoryview; systems without preadv copy once more. It is called once an image,
# so it is a name of the module and not a function around os.preadv.
preadv: Callable[[int, tuple[memoryview], int], int] = getattr(os, "preadv", _preadv)


def _no_advice(fd: int, offset: int, n: int, advice: int) -> None: ...


# Tells the kernel how a file will be read; macOS has no such call. With WILLNEED the disk begins to read a range, and
# the call does not wait for it.
advise: Callable[[int, int, int, int], None] = getattr(os, "posix_fadvise", _no_advice)
WILLNEED: int = getattr(os, "POSIX_FADV_WILLNEED", 3)


def in_page_cache(fd: int, offset: int) -> bool:
    """Return True if a byte of a file is in memory, or if the system or the file system does not tell."""
    try:
        os.preadv(fd, (bytearray(1),), offset, os.RWF_NOWAIT)
    except BlockingIOError:
        return False
    except (AttributeError, OSError):
        return True
    return True


def send(out_fd: int, in_fd: int, offset: int, n: int) -> int:
    """Copy up to n bytes between files inside the kernel; raise OSError ENOSYS if the system has no such call."""
    sendfile = getattr(os, "sendfile", None)
    if sendfile is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    sent: int = sendfile(out_fd, in_fd, offset, n)
    return sent


def share_blocks(out_fd: int, in_fd: int) -> None:
    """Make a file share the blocks of another; raise OSError EOPNOTSUPP if the system or file system cannot."""
    if sys.platform != "linux":  # elsewhere the number of the ioctl has another meaning
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
    fcntl.ioctl(out_fd, _FICLONE, in_fd)


@cache
def libc(name: str) -> Callable[..., int] | None:
    """Return a function of the C library that the module os lacks, such as syncfs, or None if there is none."""
    import ctypes

    return getattr(ctypes.CDLL(None, use_errno=True), name, None)


def begin_writeback(fd: int, offset: int, n: int) -> None:
    """Make the disk begin to write a range of a file, and do not wait for it; does nothing on other systems."""
    sync_file_range = libc("sync_file_range")
    if sync_file_range is not None:
        import ctypes

        sync_file_range(fd, ctypes.c_int64(offset), ctypes.c_int64(n), _SYNC_FILE_RANGE_WRITE)


def end_with_parent() -> None:
    """Make the kernel kill this process when its parent ends; does nothing on other systems than Linux."""
    prctl = libc("prctl")
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def seconds_in_line() -> float:
    """Return the seconds that this process's threads have waited for a core that others used.

    It is 0 if the kernel does not tell. The seconds of a thread that has ended are not in it.
    """
    try:
        # Nanoseconds on a core, nanoseconds in line for one, time slices.
        lines = [path.joinpath("schedstat").read_text() for path in Path("/proc/self/task").iterdir()]
        return sum(int(line.split()[1]) for line in lines) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


def has_ended(pid: str) -> bool:
    """Return True if no process of this machine has this number; False if the system does not list processes."""
    return Path("/proc/self").exists() and not Path("/proc", pid).exists()
