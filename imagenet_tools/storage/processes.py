"""Run work in other processes: a pool of workers whose results keep the order of the tasks, and a bounded fork.

The workers are forked from a fork server, a process that has imported the modules and runs no threads. The driver
itself is never forked: DuckDB and Arrow run threads in it, and a fork would copy their locks without their threads.

A worker has one task at a time while tasks compute. While they wait for a slow disk or network, it works on several in
threads: the waits release the interpreter's lock, and a thread takes far less time and memory than a process.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from functools import cache
from resource import RLIM_INFINITY
from typing import Any, NamedTuple, NoReturn, TypeVar

from imagenet_tools.errors import ImagenetToolsError
from imagenet_tools.system import address_space, end_with_parent, limit_address_space, seconds_in_line

# A worker with one task looks at its clocks this often. If it was idle for more than this share, it takes all the tasks
# that it may: with several threads nobody knows how long a core was wanted.
_LOOK_SECONDS = 0.1
_IDLE_SHARE = 0.5

# A worker gets short tasks in batches of about this many seconds. Recent batches tell how long a task takes.
_BATCH_SECONDS = 0.05
_RECENT_BATCHES = 32

# A task at which this many workers were killed is lost. If more tasks are lost than that, it is not their fault.
MAX_DEATHS = 3
MAX_LOST = 10

# Files that a worker may have open before its table of files grows.
_OPEN_FILES = 1024

# The longest that a signal waits for a call that does not end at it.
_SIGNAL_SECONDS = 0.5

# Schedulers send SIGTERM, closed terminals SIGHUP: both end a command as cleanly as Ctrl-C.
END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")


class _Outcome(NamedTuple):
    """The results of a batch of tasks, up to the first that failed, and its error with the worker's traceback."""

    number: int  # of the batch's first task
    n_tasks: int
    seconds: float
    results: list[Any]
    error: Exception | None
    traceback: str


class _Worker:
    """A pool of one worker process, started again when the process is killed, and the batches that it holds.

    A pool for each process: the driver decides how many tasks each one holds, and knows which ones it was killed at.
    """

    def __init__(self, arguments: tuple[Any, ...]):
        self._arguments = arguments
        self.start()

    def start(self) -> None:
        """Begin with a new process; it starts with the first call of submit()."""
        # Imported late: these modules of the standard library cost each command of the command line 10 ms.
        from concurrent.futures import ProcessPoolExecutor

        from imagenet_tools.storage.fork_server import WorkerContext

        context = WorkerContext()
        self.pool = ProcessPoolExecutor(1, context, initializer=_begin_worker, initargs=self._arguments)
        self.kill = context.kill
        self.size = 1  # batches that it may hold
        self.held: dict[int, int] = {}  # the number of the first task of each batch, and its tasks


class _WorkerTracebackError(Exception):
    """The cause of an error in a worker: the traceback there."""


def in_processes(
    work: Callable[[_Task], _Result],
    tasks: Sequence[_Task],
    workers: int,
    *,
    threads: int = 1,
    begin: Callable[[], None] | None = None,
    stop: Callable[[], None] | None = None,
    may_kill: bool = False,
    modules: Sequence[str] = (),
    meanwhile: Callable[[_Task], bool] | None = None,
    wait_for: Callable[[int], None] = lambda number: None,
    lost: Callable[[_Task], _Result] | None = None,
) -> Generator[_Result, None, None]:
    """Yield work(task) of each task, in the order of the tasks, computed by a pool of worker processes.

    Functions, arguments and results are pickled. The script that is being run is not imported by the workers: `work`
    and `begin` are functions of importable modules.

    If a worker is killed, another takes its place, and each task that it had is tried again alone. A task that was
    tried MAX_DEATHS times so is lost.

    Args:
        work: The function that workers call.
        tasks: Its arguments, one a call.
        workers: The number of processes, at least 1.
        threads: The maximum number of tasks that each process works on at once while tasks wait rather than compute.
            If it is more than 1, `work` must be safe to call from several threads.
        begin: A function that each worker calls once, before its first task.
        stop: A function that the driver calls when the results are abandoned, to end the tasks that are running.
        may_kill: Kill the workers when the results are abandoned. Otherwise the tasks that are running are waited for.
        modules: Modules that the fork server imports, so that no worker has to.
        meanwhile: A function that returns True for a task that the driver may compute while the workers start. They
            take about 0.3 s; without it the driver waits.
        wait_for: A function that returns once a worker may begin a task, which it is given by its number.
        lost: A function that returns the result of a lost task. Without it, a lost task is an error.

    Raises:
        ImagenetToolsError: A task is lost, and there is no `lost`.
        Exception: The error of the first task that failed, after the results of the tasks before it.
    """
    from multiprocessing import current_process

    if current_process().daemon:  # it may have no children: a worker of torch's DataLoader, for instance
        if begin is not None:
            begin()
        yield from map(work, tasks)
        return
    prepare_workers(work.__module__, *modules)
    # The fork server has the environment and the umask that the driver had when the server started.
    pool = [_Worker((dict(os.environ), _umask(), begin)) for _ in range(workers)]
    # The first call of submit() returns once the fork server has imported its modules.
    starter = threading.Thread(target=_submit_nothing, args=(pool[0].pool,))
    try:
        n_done = 0
        if meanwhile is not None:
            starter.start()
            while n_done < len(tasks) and starter.is_alive() and meanwhile(tasks[n_done]):
                yield work(tasks[n_done])
                n_done += 1
            starter.join()
        yield from _in_order(pool, work, tasks[n_done:], threads, lambda n: wait_for(n_done + n), lost)
    except BaseException:
        if stop is not None:
            stop()
        if starter.is_alive():
            starter.join()
        for worker in pool if may_kill else ():
            worker.kill()
        raise
    finally:
        for worker in pool:
            worker.pool.shutdown(cancel_futures=True)


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
    workers: Sequence[_Worker],
    work: Callable[[_Task], _Result],
    tasks: Sequence[_Task],
    threads: int,
    wait_for: Callable[[int], None],
    lost: Callable[[_Task], _Result] | None,
) -> Generator[_Result, None, None]:
    turns: dict[Future[tuple[int, list[_Outcome]]], _Worker] = {}
    outcomes: dict[int, _Outcome] = {}
    recent: deque[_Outcome] = deque(maxlen=_RECENT_BATCHES)
    retries = Retries()
    n_started = n_yielded = 0
    has_failed = False
    free = list(workers)
    while n_yielded < len(tasks):
        for worker in free:
            batches: list[tuple[int, Sequence[_Task]]] = []
            if retries.waiting and not worker.held:
                number = retries.waiting.popleft()
                batches.append((number, tasks[number : number + 1]))
                worker.held[number] = 1
            # After an error no task is started: those before the failed one are running or done.
            fresh = not retries.waiting and not has_failed and retries.deaths.keys().isdisjoint(worker.held)
            while fresh and len(worker.held) < worker.size and n_started < len(tasks):
                length = _batch_length(recent, (len(tasks) - n_started) // len(workers))
                for number in range(n_started, n_started + length):
                    wait_for(number)
                batches.append((n_started, tasks[n_started : n_started + length]))
                worker.held[n_started] = len(batches[-1][1])
                n_started += length
            if worker.held:
                with signals_deferred():
                    turns[_submit_turn(worker, work, batches, threads)] = worker
        free = []
        for future in wait(turns, return_when=FIRST_COMPLETED).done:
            free.append(worker := turns.pop(future))
            try:
                worker.size, finished = future.result()
            except BrokenExecutor:
                numbers = [n for first, length in worker.held.items() for n in range(first, first + length)]
                finished = [_outcome(n, lost or refuse, [tasks[n]]) for n in retries.after_death(numbers)]
                worker.start()
            for outcome in finished:
                worker.held.pop(outcome.number, None)
            outcomes |= {outcome.number: outcome for outcome in finished}
            recent.extend(finished)
            has_failed = has_failed or any(outcome.error for outcome in finished)
        while n_yielded in outcomes:
            outcome = outcomes.pop(n_yielded)
            yield from outcome.results
            n_yielded += outcome.n_tasks
            if outcome.error is not None:
                raise outcome.error from _WorkerTracebackError(outcome.traceback)


class Retries:
    """The tasks whose worker was killed, to be tried again alone: nobody knows which of several killed it.

    Attributes:
        waiting: Numbers of the tasks that are to be tried again.
        deaths: How many workers were killed at each task.
    """

    def __init__(self) -> None:
        self.waiting: deque[int] = deque()
        self.deaths: Counter[int] = Counter()
        self._n_lost = 0

    def after_death(self, numbers: Sequence[int]) -> list[int]:
        """Let the tasks of a worker that was killed wait, and return those that are lost.

        Raises:
            ImagenetToolsError: More than MAX_LOST tasks are lost.
        """
        self.deaths.update(numbers)
        lost = [number for number in numbers if self.deaths[number] >= MAX_DEATHS]
        self._n_lost += len(lost)
        if self._n_lost > MAX_LOST:
            refuse(self)
        self.waiting.extend(number for number in numbers if number not in lost)
        return lost


def refuse(_: object) -> NoReturn:
    """Raise the error for a lost task."""
    message = (
        f"A worker process was killed {MAX_DEATHS} times at the same work (out of memory, perhaps). What is finished "
        "is kept: run the same command again to go on, with fewer --workers if it happens again."
    )
    raise ImagenetToolsError(message)


def _submit_turn(
    worker: _Worker, work: Callable[[_Task], _Result], batches: Sequence[tuple[int, Sequence[_Task]]], threads: int
) -> Future[tuple[int, list[_Outcome]]]:
    try:
        return worker.pool.submit(_turn, work, batches, threads)
    except BrokenExecutor as error:  # killed between two turns
        broken: Future[tuple[int, list[_Outcome]]] = Future()
        broken.set_exception(error)
        return broken


def _batch_length(recent: Collection[_Outcome], share: int) -> int:
    """Return how many of the next tasks a worker gets at once: 1, or more if recent tasks were short.

    A worker that has finished waits about 1 ms for its next tasks. It gets at most half of its share of what is left,
    so that all workers end at about the same time.
    """
    seconds = sum(outcome.seconds for outcome in recent)
    if not seconds:
        return 1
    n_tasks = sum(outcome.n_tasks for outcome in recent)
    return max(1, min(int(_BATCH_SECONDS * n_tasks / seconds), share // 2))


def _turn(
    work: Callable[[_Task], _Result], batches: Sequence[tuple[int, Sequence[_Task]]], threads: int
) -> tuple[int, list[_Outcome]]:
    """Take batches; return how many this worker is to hold, and what is finished, once that grows or some are finished.

    Runs in a worker.
    """
    if threads == 1:
        return 1, [_outcome(number, work, tasks) for number, tasks in batches]
    return _threads(threads).turn(work, batches)


def _outcome(number: int, work: Callable[[_Task], _Result], tasks: Sequence[_Task]) -> _Outcome:
    start = time.perf_counter()
    results: list[_Result] = []
    failed: Exception | None = None
    where = ""
    try:
        results.extend(map(work, tasks))
    except Exception as error:  # noqa: BLE001 - raised again by the driver
        failed, where = error, "\n" + traceback.format_exc()
    return _Outcome(number, len(tasks), time.perf_counter() - start, results, failed, where)


class _Threads:
    """The threads of a worker: one while tasks compute, more while they wait."""

    def __init__(self, most: int):
        self._most, self._size = most, 1
        self._pool = ThreadPoolExecutor(most)  # a thread starts with the task that needs it
        self._running: set[Future[_Outcome]] = set()
        # Since the last look: seconds of turns, of these on a core, and in line for a core at its begin.
        self._seconds = self._computed = 0.0
        self._in_line = seconds_in_line()

    def turn(
        self, work: Callable[[_Task], _Result], batches: Sequence[tuple[int, Sequence[_Task]]]
    ) -> tuple[int, list[_Outcome]]:
        """See _turn()."""
        self._running |= {self._pool.submit(_outcome, number, work, tasks) for number, tasks in batches}
        while True:
            on_core, start = time.process_time(), time.perf_counter()
            done, self._running = wait(self._running, _LOOK_SECONDS, FIRST_COMPLETED)
            self._seconds += time.perf_counter() - start
            self._computed += time.process_time() - on_core
            if self._grows() or done:
                return self._size, [future.result() for future in done]

    def _grows(self) -> bool:
        """Look at the clocks if it is time to, and return True if this worker is to hold more batches."""
        if self._seconds < _LOOK_SECONDS or self._size == self._most:
            return False
        # Time in line for a core is not idle: on a busy machine more threads do not help.
        in_line = seconds_in_line()
        idle = self._seconds - self._computed - max(in_line - self._in_line, 0.0)
        if idle > _IDLE_SHARE * self._seconds:
            self._size = self._most
        self._seconds, self._computed, self._in_line = 0.0, 0.0, in_line
        return self._size == self._most


@cache
def _threads(most: int) -> _Threads:
    """Return the threads of this worker process."""
    return _Threads(most)


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
    ended, held = os.pipe()  # the end that the child holds closes with it
    try:
        # A signal that arrives while Python forks is lost, or ends the new process with a traceback.
        with _signals_blocked():
            pid = os.fork()
            if not pid:
                _run_child(parent, work, memory, seconds)
        os.close(held)
        # Python acts on a signal between two calls. One that arrives just before a call would wait for its end.
        while not select.select([ended], [], [], _SIGNAL_SECONDS)[0]:
            pass
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except BaseException:
        if pid:
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        raise
    finally:
        os.close(ended)


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
