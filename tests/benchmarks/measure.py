"""A command measured from outside: wall and CPU seconds, and the memory of all its processes together.

Memory is resident memory as /proc tells it, ten times a second, summed over the command and all that it started; what
processes share is counted in each of them, so the sum is an upper bound. The largest process is as the kernel counts.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import NamedTuple

_EVERY = 0.1  # seconds between two looks at the memory
_LAUNCHER = Path(__file__).with_name("launched.py")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Spent(NamedTuple):
    """What a command cost and said."""

    code: int
    wall: float  # seconds
    cpu: float  # seconds of user and system, of all processes that it waited for
    together: int  # bytes, of all its processes at once
    largest: int  # bytes, of its largest process
    disk: int  # bytes read from the disk, not out of the page cache
    out: str
    complaints: tuple[tuple[float, str], ...]  # lines of stderr, and the second at which each came


def spend(
    command: Sequence[str],
    *,
    cwd: Path,
    patience: float,
    show: bool = False,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Spent:
    """Run a command to its end, or until `patience` seconds have passed; then all its processes are ended.

    `show` gives its stderr on as it comes. `environment` has variables that the command gets beside our own.
    """
    with TemporaryDirectory() as scratch:
        report, out = Path(scratch, "report"), Path(scratch, "out")
        began = time.monotonic()
        with out.open("wb") as opened:
            child = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_LAUNCHER), str(report), *command],
                stdout=opened, stderr=subprocess.PIPE, cwd=cwd, start_new_session=True, text=True, errors="replace",
                env=os.environ | dict(environment),
            )  # fmt: skip
        ended, peak = threading.Event(), [0]
        lines: list[tuple[float, str]] = []
        threads = [
            threading.Thread(target=_watch, args=(child.pid, ended, peak)),
            threading.Thread(target=_listen, args=(child, began, lines, show), daemon=True),
        ]
        timer = threading.Timer(patience, os.killpg, (child.pid, signal.SIGKILL))
        for thread in (*threads, timer):
            thread.start()
        try:
            child.wait()
        except BaseException:  # Ctrl-C, which a session of its own does not hear
            os.killpg(child.pid, signal.SIGKILL)
            raise
        finally:
            timer.cancel()
            ended.set()
        for thread in threads:
            thread.join(5)  # what it left running may hold its stderr open
        said = out.read_text(errors="replace")
        if not report.exists():
            took = time.monotonic() - began
            lines.append((took, f"not done after {took:.0f} s, and ended"))
            return Spent(-signal.SIGKILL, took, 0.0, peak[0], 0, 0, said, tuple(lines))
        cost = json.loads(report.read_text())
    return Spent(
        cost["code"], cost["wall"], cost["cpu"], max(peak[0], cost["largest"]), cost["largest"], cost["disk"], said,
        tuple(lines),
    )  # fmt: skip


def _listen(child: subprocess.Popen[str], began: float, lines: list[tuple[float, str]], show: bool) -> None:
    assert child.stderr is not None
    for line in child.stderr:
        if line.strip():
            lines.append((time.monotonic() - began, line.strip()))
            if show:
                print(f"  {line.rstrip()}", file=sys.stderr, flush=True)


def _watch(root: int, ended: threading.Event, peak: list[int]) -> None:
    while not ended.wait(_EVERY):
        peak[0] = max(peak[0], resident(root))


def resident(root: int) -> int:
    """Bytes that those of a process's session and all that they started have in memory, the process itself left out."""
    members, total = {root}, 0
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdecimal()):  # noqa: PTH208  a loop's cost
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123
                fields = file.read().rpartition(b")")[2].split()
        except OSError:  # it has ended
            continue
        if pid == root or int(fields[1]) in members or int(fields[3]) == root:
            members.add(pid)
            total += 0 if pid == root else int(fields[21]) * _PAGE
    return total
