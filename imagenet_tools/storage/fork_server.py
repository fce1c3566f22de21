"""The fork server of this package: a process without threads that imports modules and forks the workers of a pool.

It is multiprocessing's fork server with three differences. It is separate from the server that the user's program may
have. Its workers do not import the main module, so a script needs no guarded main part. They start in the current
folder of the driver.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import popen_forkserver, reduction, spawn
from multiprocessing.context import ForkServerContext, ForkServerProcess, set_spawning_popen
from multiprocessing.forkserver import ForkServer, read_signed
from multiprocessing.util import Finalize
from typing import Any

# Environment of the server. Without the first, a file in the current folder that is named as a standard module would
# be imported in its place. Without the second, NumPy's OpenBLAS starts threads when it is imported.
_ENVIRONMENT = {"PYTHONSAFEPATH": "1", "OPENBLAS_NUM_THREADS": "1"}
# Without it, multiprocessing's resource tracker, which starts with the server, warns of leaks if the driver is killed.
_WARNINGS = "ignore:resource_tracker"

# It runs until the driver ends, so that a later pool starts at once.
_server = ForkServer()


def start(modules: Sequence[str]) -> None:
    """Start the server, unless it runs, and return while it imports these modules."""
    _server.set_forkserver_preload(list(modules))
    with _environment():
        _server.ensure_running()


@contextmanager
def _environment() -> Iterator[None]:
    warnings = ",".join(filter(None, (os.environ.get("PYTHONWARNINGS"), _WARNINGS)))
    values = _ENVIRONMENT | {"PYTHONWARNINGS": warnings}
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class _WorkerPopen(popen_forkserver.Popen):
    """A running worker."""

    _fds: list[int]

    def _launch(self, process_obj: Any) -> None:
        preparation = spawn.get_preparation_data(process_obj.name)
        for name in ("init_main_from_name", "init_main_from_path", "dir"):
            preparation.pop(name, None)
        with suppress(FileNotFoundError):
            preparation["dir"] = os.getcwd()  # noqa: PTH109 - a string, as multiprocessing has it
        pickled = io.BytesIO()
        set_spawning_popen(self)
        try:
            reduction.dump(preparation, pickled)
            reduction.dump(process_obj, pickled)
        finally:
            set_spawning_popen(None)
        self.sentinel, writer = _server.connect_to_new_process(self._fds)
        # The worker sees the end of the driver when this end of its pipe is closed.
        alive = os.dup(writer)
        self.finalizer = Finalize(self, _close_all, (alive, self.sentinel))
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(pickled.getbuffer())
        self.pid = read_signed(self.sentinel)


def _close_all(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


class _WorkerProcess(ForkServerProcess):
    """A worker to be started."""

    @staticmethod
    def _Popen(process_obj: Any) -> _WorkerPopen:  # noqa: N802 - a name of multiprocessing's
        return _WorkerPopen(process_obj)


class WorkerContext(ForkServerContext):
    """The context for ProcessPoolExecutor."""

    Process = _WorkerProcess
