"""The standard streams of the command line, and the signals that end it."""

from __future__ import annotations

import io
import os
import signal
import sys
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, TextIO

from imagenet_tools.storage.processes import END_SIGNALS

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

INTERRUPTED = 130  # exit code

# The signals that have arrived. Module state, because a signal handler has no other place to keep them.
_arrived: list[int] = []


def interrupted() -> bool:
    """Return True if a signal has asked this process to end."""
    return bool(_arrived)


def hear_signals() -> None:
    """Raise KeyboardInterrupt at the first signal that ends a process; end at once at the second."""
    for number in END_SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores SIGHUP, a shell's background jobs SIGINT
            signal.signal(number, _interrupt)
    sys.unraisablehook = _unraisable


def ignore_signals() -> None:
    """Ignore the signals that end a process: the work is done, and the exit code must say so."""
    for number in END_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _interrupt(number: int, _: FrameType | None) -> None:
    if _arrived:
        _end_at_once()
    _arrived.append(number)
    raise KeyboardInterrupt


def _end_at_once() -> None:
    """End without cleaning up. Workers end with their parent, and unfinished files have temporary names."""
    with suppress(OSError):
        os.write(2, b"Interrupted.\n")
    os._exit(INTERRUPTED)


def _unraisable(error: sys.UnraisableHookArgs) -> None:
    """End if Python could not raise a KeyboardInterrupt, as in a finaliser; hide the traceback of other errors."""
    if isinstance(error.exc_value, KeyboardInterrupt):
        _end_at_once()
    if os.environ.get("IMAGENET_TOOLS_DEBUG"):
        sys.__unraisablehook__(error)


def open_streams() -> None:
    """Replace the standard streams so that closed or broken ones never stop a command that writes files."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # The descriptor is closed. open() takes the lowest free number, so no output file can get 0, 1 or 2.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout, sys.stderr = _stream(1, sys.stdout), _stream(2, sys.stderr)


def _stream(descriptor: int, replaced: TextIO | None) -> io.TextIOWrapper:
    raw = Stream(descriptor)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=(replaced and replaced.encoding) or "utf-8",
        errors="backslashreplace",  # file names may be invalid Unicode, and terminals may not support Unicode
        line_buffering=raw.isatty() or descriptor == 2,
    )


class Stream(io.FileIO):
    """A standard stream. After a broken pipe, output is discarded; a full disk is an error that names stdout.

    With `raise_broken_pipe`, a broken pipe raises BrokenPipeError.
    """

    def __init__(self, descriptor: int, *, raise_broken_pipe: bool = False):
        super().__init__(descriptor, "w", closefd=False)
        self._raise_broken_pipe = raise_broken_pipe

    def write(self, data: ReadableBuffer, /) -> int:
        """Write data, or discard it and all that follows."""
        try:
            return super().write(data)
        except OSError as error:
            # An error of stderr cannot be reported anywhere.
            if self._raise_broken_pipe or (not isinstance(error, BrokenPipeError) and self.fileno() != 2):
                raise OSError(error.errno, error.strerror, "stdout") from None
            _discard(self.fileno())
            return super().write(data)


def flush_streams() -> None:
    """Write what the streams hold; raise OSError if stdout fails, and discard its data."""
    sys.stderr.flush()
    try:
        sys.stdout.flush()
    except OSError:
        _discard(1)  # otherwise the interpreter flushes again at exit, and prints a traceback
        raise


def _discard(descriptor: int) -> None:
    """Redirect a descriptor to /dev/null."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)
