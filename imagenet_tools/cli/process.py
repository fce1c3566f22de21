"""The process that the command line runs in: its standard streams, and the signals that end it."""

from __future__ import annotations

import io
import os
import signal
import sys
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

INTERRUPTED = 130  # the exit code
_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # a scheduler's end is as orderly as Ctrl-C

# A signal handler has no caller to keep this for it.
_arrived: list[int] = []


def interrupted() -> bool:
    """Return True if a signal has asked this process to end."""
    return bool(_arrived)


def hear_signals() -> None:
    """Raise KeyboardInterrupt at the first signal that ends a process; end at once at the second."""
    for number in _ENDS:
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores SIGHUP, a shell's background jobs SIGINT
            signal.signal(number, _interrupt)
    sys.unraisablehook = _unraisable


def ignore_signals() -> None:
    """Ignore the signals that end a process: its work is done, and its exit code stays true."""
    for number in _ENDS:
        signal.signal(number, signal.SIG_IGN)


def _interrupt(number: int, _: FrameType | None) -> None:
    if _arrived:
        _end_at_once()
    _arrived.append(number)
    raise KeyboardInterrupt


def _end_at_once() -> None:
    """End without tidying up. Workers end with their driver, and half-made files never bear a final name."""
    with suppress(OSError):
        os.write(2, b"Interrupted.\n")
    os._exit(INTERRUPTED)


def _unraisable(error: sys.UnraisableHookArgs) -> None:
    """End where Python could not raise a KeyboardInterrupt, as in a finaliser; print no traceback of anything else."""
    if isinstance(error.exc_value, KeyboardInterrupt):
        _end_at_once()
    if os.environ.get("IMAGENET_TOOLS_DEBUG"):
        sys.__unraisablehook__(error)


def open_streams() -> None:
    """Make standard streams that do not end work which writes, whoever closed them before or closes them meanwhile."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # It is closed. open() takes the lowest free number, so no output file gets the number of a stream.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout, sys.stderr = _stream(1, "stdout", sys.stdout), _stream(2, "stderr", sys.stderr)


def _stream(descriptor: int, name: str, replaced: TextIO | None) -> io.TextIOWrapper:
    raw = Stream(descriptor, name)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=(replaced and replaced.encoding) or "utf-8",
        errors="backslashreplace",  # names of files may be no text, and terminals no Unicode
        line_buffering=raw.isatty() or descriptor == 2,
    )


class Stream(io.FileIO):
    """A standard stream. What nobody reads any more goes nowhere; a full disk is an error that names the stream.

    With `read`, that nobody reads it any more is an error too: a BrokenPipeError.
    """

    def __init__(self, descriptor: int, name: str, *, read: bool = False):
        super().__init__(descriptor, "w", closefd=False)
        self._called = name
        self._read = read

    def write(self, data: ReadableBuffer, /) -> int:
        """Write, or send what is left to nowhere."""
        try:
            return super().write(data)
        except OSError as error:
            # Of what stderr cannot take there is nowhere to tell.
            if self._read or (not isinstance(error, BrokenPipeError) and self.fileno() != 2):
                raise OSError(error.errno, error.strerror, self._called) from None
            _send_nowhere(self.fileno())
            return super().write(data)


def flush_streams() -> None:
    """Write what the streams hold; OSError where stdout cannot take it, which is then dropped."""
    sys.stderr.flush()
    try:
        sys.stdout.flush()
    except OSError:
        _send_nowhere(1)  # or the interpreter tries again as it ends, and prints a traceback
        raise


def _send_nowhere(descriptor: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
