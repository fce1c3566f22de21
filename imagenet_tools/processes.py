"""Work in other processes, its results in order: forked, deaf to Ctrl-C, and ended with the one that asked."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_all_start_methods, get_context
from typing import TypeVar

from imagenet_tools.errors import ImagenetToolsError

_PR_SET_PDEATHSIG = 1  # prctl(2)

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")


def in_processes(
    work: Callable[[_Task], _Result],
    tasks: Sequence[_Task],
    workers: int,
    *,
    chunk: int = 1,
    begin: Callable[..., None] | None = None,
    given: tuple[object, ...] = (),
    stop: Callable[[], None] | None = None,
) -> Generator[_Result, None, None]:
    """What `work` makes of each task, in their order; `begin` is called in each process first, with what is `given`.

    ImagenetToolsError: a process was killed. What is left undone when the caller stops asking is not begun, and `stop`
    is called for what is on the way.
    """
    # Forked workers start at once and need no guarded main module; the work they do starts no threads.
    method = "fork" if "fork" in get_all_start_methods() else "spawn"
    pool = ProcessPoolExecutor(workers, get_context(method), _begin, (begin, given))
    try:
        yield from pool.map(work, tasks, chunksize=chunk)
    except BrokenProcessPool:
        message = (
            "A worker process was killed (out of memory, perhaps). What is finished is kept: run the same command "
            "again to go on, with fewer --workers if it happens again."
        )
        raise ImagenetToolsError(message) from None
    except BaseException:
        if stop is not None:
            stop()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(begin: Callable[..., None] | None, given: tuple[object, ...]) -> None:
    """Ctrl-C is the driver's to hear; and no worker outlives the driver, however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if begin is not None:
        begin(*given)
