"""Work in other processes, its results in order: forked, deaf to Ctrl-C, and ended with the one that asked."""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
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
        with _not_collecting():
            found = pool.map(work, tasks, chunksize=chunk)  # this forks them all
        yield from found
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


@contextmanager
def _not_collecting() -> Iterator[None]:
    """Have nothing collected in what is forked here until _begin() has put aside what is the driver's."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def without_pandas() -> None:
    """Have pandas not imported in a process that is this package's own.

    pyarrow imports it, where it is installed, to see whether what it is given is a frame: 0.4 s a process for nothing.
    """
    sys.meta_path.insert(0, _WithoutPandas())


class _WithoutPandas:
    """Where Python asks for modules first: pandas is none. (Cython takes a None in sys.modules for a module.)"""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Nothing to say of any other module."""
        if name == "pandas":
            message = "pandas is not imported here"
            raise ModuleNotFoundError(message, name=name)


def _begin(begin: Callable[..., None] | None, given: tuple[object, ...]) -> None:
    """Ctrl-C is the driver's to hear; and no worker outlives the driver, however that ends."""
    # What the driver left to its collector, an open query perhaps, has threads that are not here: it stays.
    gc.freeze()
    gc.enable()
    without_pandas()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if begin is not None:
        begin(*given)
