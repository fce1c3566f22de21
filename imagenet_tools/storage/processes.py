"""Work in other processes, its results in order: forked, deaf to Ctrl-C, and ended with the one that asked.

A process that works has one task, and one request to the disk, at a time. So that a disk that is slow to answer is
asked many things at once, there may be more processes than cores: as many as keep the cores busy while others wait.
"""

from __future__ import annotations

import gc
import heapq
import os
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from resource import RLIM_INFINITY
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, NoReturn, TypeVar

from imagenet_tools.errors import ImagenetToolsError
from imagenet_tools.system import address_space, end_with_parent, limit_address_space, seconds_in_line

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

# Tasks that a process is given at once, at most, and the seconds after which it answers with those that are done.
_GIVEN = 16
_TURN = 0.05

# Answers by which it is judged how much tasks wait, the seconds of work in them that are enough to judge by, and how
# many processes there are for each that would just keep a core busy: they do not wait in turn.
_JUDGED = 32
_ENOUGH = 0.25
_SPARE = 4

# A signal that arrives while Python forks is lost, or ends the new process with a traceback.
_HELD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")


def in_processes(
    work: Callable[[_Task], _Result],
    tasks: Sequence[_Task],
    workers: int,
    *,
    most: int = 0,
    begin: Callable[..., None] | None = None,
    given: tuple[object, ...] = (),
    stop: Callable[[], None] | None = None,
) -> Generator[_Result, None, None]:
    """What `work` makes of each task, in their order; `begin` is called in each process first, with what is `given`.

    Where the tasks wait rather than compute, more processes than `workers` work on them, up to `most`.
    ImagenetToolsError: a process was killed. What is left undone when the caller stops asking is not begun, and `stop`
    is called for what is on the way.
    """
    crew = _Crew(work, begin, given)
    try:
        yield from _in_order(crew, tasks, workers, max(workers, most))
    except _KilledError:
        crew.terminate()
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
        crew.dismiss()


class _KilledError(Exception):
    """A process ended that had not been told to."""


class _Answer(NamedTuple, Generic[_Result]):
    """What became of the tasks that a process was given."""

    results: list[_Result]  # of the first of them
    error: BaseException | None  # of the one after these
    computed: float  # seconds on a core
    waited: float  # seconds in which it was neither on a core nor in line for one


def _in_order(
    crew: _Crew[_Task, _Result], tasks: Sequence[_Task], workers: int, most: int
) -> Generator[_Result, None, None]:
    left = list(range(len(tasks)))  # a heap: what a process hands back is the next to be given
    results: dict[int, _Result] = {}
    errors: dict[int, BaseException] = {}
    judged: deque[_Answer[_Result]] = deque(maxlen=_JUDGED)
    answered, at_once = 0, 1
    while answered < len(tasks):
        wanted, failed = _wanted(judged, workers, most), min(errors, default=len(tasks))
        while left and left[0] < failed and len(crew.busy) < wanted and crew.has_room():
            # Few at once towards the end, so that all end together.
            few = max(1, min(at_once, len(left) // (wanted * 4)))
            numbers = [heapq.heappop(left) for _ in range(few)]
            crew.give(numbers, [tasks[number] for number in numbers])
        for numbers, answer in crew.answers():
            done = len(answer.results)
            results.update(zip(numbers, answer.results, strict=False))
            if answer.error is not None:
                errors[numbers[done]] = answer.error
            for number in numbers[done:]:
                heapq.heappush(left, number)
            judged.append(answer._replace(results=[], error=None))
            at_once = min(2 * done, _GIVEN)
        while answered in results:
            yield results.pop(answered)
            answered += 1
        if answered in errors:
            raise errors[answered]


def _wanted(judged: Sequence[_Answer[_Result]], workers: int, most: int) -> int:
    """How many processes keep as many cores busy as there are workers, by how much tasks wait for each second's work.

    What they wait in line for a core counts for neither: on a machine that has much to do, more of them do no good.
    """
    computed, waited = sum(one.computed for one in judged), sum(one.waited for one in judged)
    if computed + waited < _ENOUGH:
        return workers
    spare = _SPARE * workers * waited / max(computed, waited / most)
    return min(most, round(workers + spare))


class _Crew(Generic[_Task, _Result]):
    """Processes, each at the other end of a pipe; they begin when there is something to give to them."""

    def __init__(self, work: Callable[[_Task], _Result], begin: Callable[..., None] | None, given: tuple[object, ...]):
        self.busy: dict[Connection[Any, Any], list[int]] = {}
        self._idle: list[Connection[Any, Any]] = []
        self._members: list[tuple[Connection[Any, Any], BaseProcess]] = []
        self._does = (work, begin, given)
        # Forked workers start at once and need no guarded main module; the work they do starts no threads, and
        # neither does this, so that more can be forked later.
        self._context = get_context("fork")

    def has_room(self) -> bool:
        """Whether there is one that has nothing to do, or room for a new one; OSError: not even for the first."""
        if not self._idle:
            try:
                self._hire()
            except OSError:
                if not self.busy:
                    raise
        return bool(self._idle)

    def give(self, numbers: list[int], tasks: list[_Task]) -> None:
        """Have one that has nothing to do work on these tasks."""
        pipe = self._idle.pop()
        self.busy[pipe] = numbers
        try:
            pipe.send(tasks)
        except OSError as error:
            raise _KilledError from error

    def answers(self) -> Generator[tuple[list[int], _Answer[_Result]], None, None]:
        """Wait until one has an answer at least; those there are, with the numbers of the tasks."""
        there = wait(list(self.busy))
        for pipe in [pipe for pipe in self.busy if pipe in there]:
            try:
                answer = pipe.recv()
            except (EOFError, OSError) as error:
                raise _KilledError from error
            self._idle.append(pipe)
            yield self.busy.pop(pipe), answer

    def terminate(self) -> None:
        """End all, whatever they do."""
        for _, process in self._members:
            process.terminate()

    def dismiss(self) -> None:
        """Tell all that there is no more to do, and wait until they have done what they are doing."""
        for pipe, _ in self._members:
            pipe.close()
        for _, process in self._members:
            process.join()

    def _hire(self) -> None:
        with _forking():
            ours, theirs = self._context.Pipe()
            # What it inherits of the others' pipes would keep these open when this process has closed them.
            inherited = (*(pipe for pipe, _ in self._members), ours)
            process = self._context.Process(target=_serve, args=(theirs, inherited, *self._does), daemon=True)
            process.start()
            theirs.close()
            self._members.append((ours, process))
            self._idle.append(ours)


@contextmanager
def _forking() -> Iterator[None]:
    """Have no signal arrive, and nothing collected in what is forked here until _begin() has put the driver's aside."""
    collects = gc.isenabled()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(
    pipe: Connection[Any, Any],
    inherited: Sequence[Connection[Any, Any]],
    work: Callable[[_Task], _Result],
    begin: Callable[..., None] | None,
    given: tuple[object, ...],
) -> None:
    """What a process does: it answers until the other end of the pipe is closed."""
    for other in inherited:
        other.close()
    _begin(begin, given)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            pipe.send(_turn(work, pipe.recv()))


def _turn(work: Callable[[_Task], _Result], tasks: Sequence[_Task]) -> _Answer[_Result]:
    """Work on tasks until all are done, or one fails, or a turn is over."""
    results: list[_Result] = []
    failure: BaseException | None = None
    # Whatever comes between these clocks, or between those at the end, counts as time in line rather than as waiting.
    line, core, began = seconds_in_line(), time.process_time(), time.perf_counter()
    for task in tasks:
        try:
            results.append(work(task))
        except Exception as error:  # noqa: BLE001 - the process that asked raises it
            error.add_note("".join(traceback.format_exception(error)))
            failure = error
            break
        if time.perf_counter() - began > _TURN:
            break
    seconds = time.perf_counter() - began
    computed = time.process_time() - core
    return _Answer(results, failure, computed, max(0.0, seconds - computed - (seconds_in_line() - line)))


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
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)
    end_with_parent()
    if begin is not None:
        begin(*given)


def in_child(work: Callable[[], int], *, memory: int | None, seconds: float | None) -> int:
    """Run work in a forked process that is bounded; gives its exit code, or less than 0: the signal that ended it.

    To be called before anything starts threads. Where the caller is interrupted, the process is killed.

    Args:
        work: What the process does; it returns an exit code and raises nothing.
        memory: Bytes of address space; None: no bound. macOS has none.
        seconds: After so many SIGALRM ends the process, whatever it does; None: no bound.
    """
    pid, parent = 0, os.getpid()
    try:
        with _forking():
            pid = os.fork()
            if not pid:
                _be_child(parent, work, memory, seconds)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except BaseException:
        if pid:
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        raise


def _be_child(parent: int, work: Callable[[], int], memory: int | None, seconds: float | None) -> NoReturn:
    code = 1
    try:
        _begin(None, ())
        if os.getppid() != parent:
            os._exit(code)  # it was killed before this process asked to end with it
        if memory is not None:
            soft, hard = address_space()
            limit_address_space(min(limit for limit in (memory, soft, hard) if limit != RLIM_INFINITY), hard)
        signal.setitimer(signal.ITIMER_REAL, seconds or 0)
        code = work()
    finally:
        os._exit(code)
