"""Run work in other processes: a pool of workers whose results keep the order of the tasks, and a bounded fork.

The workers are forked from a fork server, a process that has imported the modules and runs no threads. The driver
itself is never forked: DuckDB and Arrow run threads in it, and a fork would copy their locks without their threads.

A worker has one task, and one request to the disk, at a time. More workers than cores run while tasks wait for a slow
disk or network, so that the cores stay busy.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from contextlib import contextmanager, suppress
from resource import RLIM_INFINITY
from typing import Any, Generic, NamedTuple, NoReturn, TypeVar

from imagenet_tools.errors import ImagenetToolsError
from imagenet_tools.system import address_space, end_with_parent, limit_address_space, seconds_in_line

# The number of workers follows the last timings, once they cover enough seconds of work.
_RECENT_TIMINGS = 32
_LEAST_SECONDS = 0.25

# Shorter waits, as a share of computing, are no slow disk: page faults, or a virtual machine that had no core.
_LEAST_WAITING = 0.2

# Short tasks are given to a worker in batches of about so many seconds.
_BATCH_SECONDS = 0.05

# Workers started for each one that the ratio of waiting to computing asks for: their waits do not alternate evenly.
_WORKERS_PER_WAITING = 4

# Files that a worker may have open before its table of files grows.
_OPEN_FILES = 512

# Schedulers send SIGTERM, closed terminals SIGHUP: both end a command as cleanly as Ctrl-C.
END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")


class _Timing(NamedTuple):
    """How long a batch of tasks took."""

    n_tasks: int
    computed: float  # seconds on a core
    waited: float  # seconds in which it waited for something else than a core


class _Batch(NamedTuple, Generic[_Result]):
    """The results of the tasks that a worker got at once."""

    results: list[_Result]  # up to the first task that failed
    error: Exception | None
    where: str  # the traceback of the error, which pickling leaves out
    timing: _Timing


class _WorkerTracebackError(Exception):
    """The cause of an error that a worker met: its traceback there."""


def in_processes(
    work: Callable[[_Task], _Result],
    tasks: Sequence[_Task],
    workers: int,
    *,
    most: int = 0,
    begin: Callable[[], None] | None = None,
    stop: Callable[[], None] | None = None,
    modules: Sequence[str] = (),
    meanwhile: Callable[[_Task], bool] | None = None,
) -> Generator[_Result, None, None]:
    """Yield work(task) of each task, in the order of the tasks, computed by a pool of worker processes.

    Functions, arguments and results are pickled. The script that is being run is not imported by the workers: `work`
    and `begin` are functions of importable modules.

    Args:
        work: The function that workers call.
        tasks: Its arguments, one a call.
        workers: The number of processes while tasks compute, at least 1.
        most: The maximum number of processes while tasks wait rather than compute; 0: the same as `workers`.
        begin: A function that each worker calls once, before its first task.
        stop: A function that the driver calls when the results are abandoned, to end the tasks that are running.
        modules: Modules that the fork server imports, so that no worker has to.
        meanwhile: A function that returns True for a task that the driver may compute while the workers start. They
            take about 0.3 s; without it the driver waits.

    Raises:
        ImagenetToolsError: A worker was killed.
        Exception: The error of the first task that failed, after the results of the tasks before it.
    """
    # Imported late: these modules of the standard library cost each command of the command line 10 ms.
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import current_process

    if current_process().daemon:  # it may have no children: a worker of torch's DataLoader, for instance
        if begin is not None:
            begin()
        yield from map(work, tasks)
        return
    from imagenet_tools.storage.fork_server import WorkerContext

    prepare_workers(work.__module__, *modules)
    most = max(workers, most)
    # The fork server has the environment and the umask that the driver had when the server started.
    arguments = dict(os.environ), _umask(), begin
    pool = ProcessPoolExecutor(most, WorkerContext(), initializer=_begin_worker, initargs=arguments)
    # The first call of submit() returns once the fork server has imported its modules.
    starter = threading.Thread(target=_submit_nothing, args=(pool,))
    try:
        n_done = 0
        if meanwhile is not None:
            starter.start()
            while n_done < len(tasks) and starter.is_alive() and meanwhile(tasks[n_done]):
                yield work(tasks[n_done])
                n_done += 1
            starter.join()
        yield from _in_order(pool, work, tasks[n_done:], workers, most)
    except BrokenExecutor:
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
        if starter.is_alive():
            starter.join()
        pool.shutdown(cancel_futures=True)


def _submit_nothing(pool: Executor) -> None:
    """Start the first worker of a pool. An error is left to the calls that follow, which meet it again."""
    with suppress(Exception):
        pool.submit(os.getpid)


def prepare_workers(*modules: str) -> None:
    """Start the fork server, unless it runs, and return while it imports these modules.

    A caller that knows early that it will need workers saves the time of these imports, about 0.15 s.
    """
    from imagenet_tools.storage import fork_server

    fork_server.start(modules, _signals_blocked())


def _in_order(
    pool: Executor, work: Callable[[_Task], _Result], tasks: Sequence[_Task], workers: int, most: int
) -> Generator[_Result, None, None]:
    running: dict[Future[_Batch[_Result]], int] = {}
    done: dict[int, _Batch[_Result]] = {}
    timings: deque[_Timing] = deque(maxlen=_RECENT_TIMINGS)
    n_started = n_yielded = 0
    has_failed = False
    while n_yielded < len(tasks):
        wanted = _workers_wanted(timings, workers, most)
        # After an error no task is started: those before the failed one are running or done.
        while n_started < len(tasks) and len(running) < wanted and not has_failed:
            batch = tasks[n_started : n_started + _batch_length(timings, (len(tasks) - n_started) // wanted)]
            with signals_deferred():
                running[pool.submit(_work_on_batch, work, batch)] = n_started
            n_started += len(batch)
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            batch_done = done[running.pop(future)] = future.result()
            has_failed = has_failed or batch_done.error is not None
            timings.append(batch_done.timing)
        while n_yielded in done:
            batch_done = done.pop(n_yielded)
            yield from batch_done.results
            n_yielded += len(batch_done.results)
            if batch_done.error is not None:
                raise batch_done.error from _WorkerTracebackError(batch_done.where)


def _workers_wanted(timings: Collection[_Timing], workers: int, most: int) -> int:
    """Return how many processes keep `workers` cores busy, from the ratio of waiting to computing in recent tasks.

    Time spent in line for a core counts for neither: on a busy machine more processes do not help.
    """
    computed = sum(timing.computed for timing in timings)
    waited = sum(timing.waited for timing in timings)
    if computed + waited < _LEAST_SECONDS or waited < _LEAST_WAITING * computed:
        return workers
    extra = _WORKERS_PER_WAITING * workers * waited / max(computed, waited / most)
    return min(most, round(workers + extra))


def _batch_length(timings: Collection[_Timing], share: int) -> int:
    """Return how many of the next tasks a worker gets at once: 1, or more if recent tasks were short.

    A worker that has finished waits about 1 ms for its next tasks. It gets at most half of its share of what is left,
    so that all workers end at about the same time.
    """
    seconds = sum(timing.computed + timing.waited for timing in timings)
    if not seconds:
        return 1
    n_tasks = sum(timing.n_tasks for timing in timings)
    return max(1, min(int(_BATCH_SECONDS * n_tasks / seconds), share // 2))


def _work_on_batch(work: Callable[[_Task], _Result], tasks: Sequence[_Task]) -> _Batch[_Result]:
    """Return the results of tasks up to the first that fails, its error, and their timing. Runs in a worker."""
    # Whatever runs between these clocks, or between those below, counts as time in line rather than as waiting.
    in_line, on_core, start = seconds_in_line(), time.process_time(), time.perf_counter()
    results: list[_Result] = []
    failed: Exception | None = None
    where = ""
    try:
        results.extend(map(work, tasks))
    except Exception as error:  # noqa: BLE001 - the driver raises it
        failed, where = error, traceback.format_exc()
    seconds = time.perf_counter() - start
    computed = time.process_time() - on_core
    waited = max(0.0, seconds - computed - (seconds_in_line() - in_line))
    return _Batch(results, failed, where, _Timing(len(tasks), computed, waited))


@contextmanager
def signals_deferred() -> Iterator[None]:
    """Deliver signals that have a Python handler after the block, for code that an exception would break.

    A KeyboardInterrupt inside a pool, between the start of a process and its registration, would leave a process that
    nobody ends. One inside the import of an extension module may abort the process. Only the main thread gets signals.
    """
    arrived: list[int] = []
    handlers: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        handlers = {number: handler for number in END_SIGNALS if callable(handler := signal.getsignal(number))}
    for number in handlers:
        signal.signal(number, lambda number, _: arrived.append(number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in arrived:
            signal.raise_signal(number)


@contextmanager
def _signals_blocked() -> Iterator[None]:
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, END_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _begin_worker(environment: dict[str, str], umask: int, begin: Callable[[], None] | None) -> None:
    """Set up a worker process: Ctrl-C is for the driver, and no worker outlives the driver."""
    _set_up_process()
    _widen_file_table()
    os.umask(umask)
    os.environ.clear()
    os.environ.update(environment)
    threading.Thread(target=_end_with_driver, daemon=True).start()
    if begin is not None:
        begin()


def _widen_file_table() -> None:
    """Make room for _OPEN_FILES open files. It is free before a process has threads.

    Later, Linux waits up to 40 ms each time a table grows past 64 and 256 files: for all cores to have passed on
    (synchronize_rcu).
    """
    with suppress(OSError):
        os.close(fcntl.fcntl(0, fcntl.F_DUPFD, _OPEN_FILES - 1))


def _end_with_driver() -> None:
    """Kill this process when the driver ends. The parent-death signal would follow the fork server instead."""
    from multiprocessing import parent_process

    driver = parent_process()
    if driver is not None:
        driver.join()
        os.kill(os.getpid(), signal.SIGKILL)


def _set_up_process() -> None:
    """Leave Ctrl-C and hang-ups to the driver, and end at SIGTERM."""
    without_pandas()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, END_SIGNALS)


def without_pandas() -> None:
    """Make `import pandas` fail in this process, which must be the package's own.

    pyarrow imports pandas, where it is installed, to see whether a value is a frame: 0.4 s a process for nothing.
    """
    sys.meta_path.insert(0, _PandasBlocker())


class _PandasBlocker:
    """A finder that raises for pandas. (A None in sys.modules does not do: Cython takes it for a module.)"""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Return None, so that the next finder is asked; raise ModuleNotFoundError for pandas."""
        if name == "pandas":
            message = "pandas is not imported in this process"
            raise ModuleNotFoundError(message, name=name)


def in_child(work: Callable[[], int], *, memory: int | None, seconds: float | None) -> int:
    """Run work in a forked process with bounds, and return its exit code.

    Call it before DuckDB, or anything else that starts threads, is loaded. A fork is safe then, and unlike a worker
    of the pool it starts in a millisecond and passes `work`, a closure, without pickling. If the caller is
    interrupted, the process is killed.

    Args:
        work: The function to run; it returns an exit code and raises nothing.
        memory: The limit of its address space in bytes; None: no limit. macOS has none.
        seconds: The seconds after which SIGALRM ends the process; None: no limit.

    Returns:
        The exit code, or the negative number of the signal that ended the process.
    """
    pid, parent = 0, os.getpid()
    try:
        # A signal that arrives while Python forks is lost, or ends the new process with a traceback.
        with _signals_blocked():
            pid = os.fork()
            if not pid:
                _run_child(parent, work, memory, seconds)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except BaseException:
        if pid:
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        raise


def _run_child(parent: int, work: Callable[[], int], memory: int | None, seconds: float | None) -> NoReturn:
    code = 1
    try:
        _set_up_process()
        end_with_parent()
        if os.getppid() != parent:
            os._exit(code)  # the parent ended before this process asked to end with it
        if memory is not None:
            soft, hard = address_space()
            limit_address_space(min(limit for limit in (memory, soft, hard) if limit != RLIM_INFINITY), hard)
        signal.setitimer(signal.ITIMER_REAL, seconds or 0)
        code = work()
    finally:
        os._exit(code)
