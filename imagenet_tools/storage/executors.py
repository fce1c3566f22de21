"""Run work on an executor, one of the caller's or a Ray cluster, and do again what is killed there.

The results of the work are files. A task that runs a second time finds what the first run has finished.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import closing, contextmanager
from typing import Any, TypeVar

from imagenet_tools import system
from imagenet_tools.errors import ImagenetToolsError, UsageError
from imagenet_tools.storage.processes import MAX_DEATHS, Retries, in_processes, refuse

# If no task ends in this time, unfinished tasks are submitted again: a node may be gone without a word.
STALL_SECONDS = 300.0

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")


def in_executor(
    work: Callable[[_Task], _Result],
    tasks: Sequence[_Task],
    executor: Executor,
    *,
    lost: Callable[[_Task], _Result] | None = None,
    repeatable: bool = False,
) -> Generator[_Result, None, None]:
    """Yield work(task) of each task, in the order of the tasks, computed by an executor.

    A task whose worker is killed is submitted again; after MAX_DEATHS workers it is lost. If the executor is broken,
    as a ProcessPoolExecutor is when one of its workers is killed, worker processes of this machine do the rest.

    Args:
        work: A function of an importable module.
        tasks: Its arguments, one a call.
        executor: It is left open.
        lost: A function that returns the result of a lost task. Without it, a lost task is an error.
        repeatable: Two runs of a task at the same time do no harm. If no task ends in STALL_SECONDS, all unfinished
            ones are submitted again; otherwise only those that can be cancelled.

    Raises:
        ImagenetToolsError: A task is lost, and there is no `lost`; or no task ended in MAX_DEATHS times STALL_SECONDS.
        Exception: The error of the first task that failed, after the results of the tasks before it.
    """
    running: dict[Future[_Result], int] = {}
    ended: queue.SimpleQueue[Future[_Result]] = queue.SimpleQueue()
    ends: dict[int, Future[_Result]] = {}
    retries = Retries()
    retries.waiting.extend(range(len(tasks)))
    n_yielded = n_stalls = 0
    try:
        while n_yielded < len(tasks):
            while retries.waiting:
                future = executor.submit(work, tasks[retries.waiting[0]])
                running[future] = retries.waiting.popleft()
                future.add_done_callback(ended.put)
            try:
                future = ended.get(timeout=STALL_SECONDS)
            except queue.Empty:
                n_stalls += 1
                _refuse_stall(n_stalls)
                for future in [future for future in running if future.cancel() or repeatable]:
                    retries.waiting.append(running.pop(future))
                continue
            if future not in running:  # its task was submitted again
                continue
            n_stalls, number = 0, running.pop(future)
            if isinstance(future.exception(), BrokenExecutor):
                ends |= {n: _ended(lost or refuse, tasks[n]) for n in retries.after_death([number])}
            else:
                ends[number] = future
            while n_yielded in ends:
                yield ends.pop(n_yielded).result()
                n_yielded += 1
    except BrokenExecutor:
        pass
    finally:
        for future in running:
            future.cancel()
    rest = [n for n in range(n_yielded, len(tasks)) if n not in ends]
    with closing(in_processes(work, [tasks[n] for n in rest], system.cores(), lost=lost)) as results:
        for n in range(n_yielded, len(tasks)):
            yield ends[n].result() if n in ends else next(results)


def _ended(work: Callable[[_Task], _Result], task: _Task) -> Future[_Result]:
    """Return a future with the result or the error of a call."""
    future: Future[_Result] = Future()
    try:
        future.set_result(work(task))
    except Exception as error:  # noqa: BLE001 - raised again in its turn
        future.set_exception(error)
    return future


def _refuse_stall(n_stalls: int) -> None:
    if n_stalls == MAX_DEATHS:
        raise ImagenetToolsError(
            f"No unit of work ended in {MAX_DEATHS * STALL_SECONDS:.0f} s, though it was submitted {MAX_DEATHS} times. "
            "What is finished is kept: see whether the nodes of the cluster and its disk answer, and run the same "
            "command again to go on."
        )


# ---- Ray


class RayExecutor(Executor):
    """A Ray cluster as an executor. All its nodes need this package, and the same paths to sources and outputs.

    Args:
        address: The address of the cluster: "auto" for the one of this machine, host:port, or ray://host:port.

    Raises:
        UsageError: Ray is not installed, or there is no cluster at the address.
    """

    def __init__(self, address: str):
        try:
            import ray
        except ModuleNotFoundError as error:
            message = "A Ray cluster needs Ray. Install it: pip install 'imagenet-tools[ray]'."
            raise UsageError(message) from error
        try:
            ray.init(address=address, log_to_driver=False, ignore_reinit_error=True, logging_level="ERROR")
        except (ConnectionError, ValueError, RuntimeError, OSError) as error:
            message = f"{address}: found no Ray cluster ({error}); expected the address that `ray start` printed."
            raise UsageError(message) from error
        self._ray = ray
        # The driver tries tasks again itself, so that one which kills its worker does not kill all of them.
        self._call = ray.remote(max_retries=0)(_call)

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **keywords: Any) -> Future[Any]:
        """Submit a call. If its worker or node is killed, its future raises BrokenExecutor."""
        reference = self._call.remote(function, arguments, keywords)
        future = _RayFuture(self._ray, reference)
        reference.future().add_done_callback(future.end)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the cluster."""
        self._ray.shutdown()


def _call(function: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    return function(*arguments, **keywords)


class _RayFuture(Future[Any]):
    """The future of a task of Ray; cancel() kills the worker that runs it."""

    def __init__(self, ray: Any, reference: Any):
        super().__init__()
        self._ray, self._reference = ray, reference

    def cancel(self) -> bool:
        """Cancel the task, also while it runs."""
        if super().cancel():
            self._ray.cancel(self._reference, force=True)
        return self.cancelled()

    def end(self, inner: Future[Any]) -> None:
        """Take the result or the error of the task."""
        error = inner.exception()
        if not self.set_running_or_notify_cancel():
            return
        if error is None:
            self.set_result(inner.result())
        elif isinstance(error, self._ray.exceptions.RayTaskError):  # the task raised it
            self.set_exception(error.as_instanceof_cause())
        elif isinstance(error, self._ray.exceptions.RayError):
            self.set_exception(BrokenExecutor(str(error)))
        else:
            self.set_exception(error)


@contextmanager
def ray_cluster(address: str | None) -> Iterator[Executor | None]:
    """Connect to a Ray cluster until the block ends, if there is an address."""
    if address is None:
        yield None
        return
    with RayExecutor(address) as executor:
        yield executor
