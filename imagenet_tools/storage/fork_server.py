"""The fork server of this package: a process without threads that imports modules and forks the workers of a pool.

It is multiprocessing's fork server with three differences. It is separate from the server that the user's program may
have, whose workers must not get this environment and signal mask. Its workers do not import the main module, so a
script needs no guarded main part. They start in the current folder of the driver, or without one if that is gone.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from multiprocessing import current_process, popen_forkserver, reduction, resource_tracker
from multiprocessing.context import ForkServerContext, ForkServerProcess, set_spawning_popen
from multiprocessing.forkserver import ForkServer, read_signed
from multiprocessing.util import Finalize, close_fds  # type: ignore[attr-defined]
from typing import Any

# Environment of the server. Without the first, a file in the current folder that is named as a standard module would
# be imported in its place. Without the second, NumPy's OpenBLAS starts threads when it is imported.
_ENVIRONMENT = {"PYTHONSAFEPATH": "1", "OPENBLAS_NUM_THREADS": "1"}
# Without it, multiprocessing's resource tracker, which starts with the server, warns of leaks if the driver is killed.
_WARNINGS = "ignore:resource_tracker"

# Bytes of the path of a temporary folder at most: the server's socket is in it, and its path may have 107 bytes.
_MAX_FOLDER_BYTES = 60

# It runs until the driver ends, so that a later pool starts at once.
_server = ForkServer()


def start(modules: Sequence[str], signals_blocked: AbstractContextManager[None]) -> None:
    """Start the server, unless it runs, and return while it imports these modules.

    It inherits a mask that blocks the signals that end a process. It never unblocks them; its workers do, once they
    have set their handlers.
    """
    _server.set_forkserver_preload(list(modules) if _current_folder() else [])  # multiprocessing asks for the folder
    with _settings():
        # It unblocks signals while it starts, so it starts before they are blocked. The server starts it otherwise.
        resource_tracker.ensure_running()
        with signals_blocked:
            _server.ensure_running()


@contextmanager
def _settings() -> Iterator[None]:
    """Set the environment that the server inherits, and a temporary folder with a short path, for its socket."""
    folder = tempfile.gettempdir()
    warnings = ",".join(filter(None, (os.environ.get("PYTHONWARNINGS"), _WARNINGS)))
    values = _ENVIRONMENT | {"PYTHONWARNINGS": warnings}
    before = {name: os.environ[name] for name in values if name in os.environ}
    os.environ.update(values)
    if len(os.fsencode(folder)) > _MAX_FOLDER_BYTES:
        tempfile.tempdir = "/tmp"
    try:
        yield
    finally:
        tempfile.tempdir = folder
        for name in values:
            del os.environ[name]
        os.environ.update(before)


def _current_folder() -> str | None:
    """Return the current folder; None if it was removed."""
    try:
        return os.getcwd()  # noqa: PTH109 - a string, as multiprocessing has it
    except FileNotFoundError:
        return None


def _preparation(name: str) -> dict[str, Any]:
    """Return what spawn.prepare() sets up in a worker: not the main module."""
    folder = _current_folder()
    preparation: dict[str, Any] = {
        "name": name,
        "authkey": current_process().authkey,
        "sys_path": [part or folder or "/" for part in sys.path],
        "sys_argv": sys.argv,
    }
    return preparation | ({"dir": folder} if folder else {})


class _WorkerPopen(popen_forkserver.Popen):
    """A running worker."""

    _fds: list[int]

    def _launch(self, process_obj: Any) -> None:
        preparation = _preparation(process_obj.name)
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
        self.finalizer = Finalize(self, close_fds, (alive, self.sentinel))
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(pickled.getbuffer())
        self.pid = read_signed(self.sentinel)


class _WorkerProcess(ForkServerProcess):
    """A worker to be started."""

    @staticmethod
    def _Popen(process_obj: Any) -> _WorkerPopen:  # noqa: N802 - a name of multiprocessing's
        return _WorkerPopen(process_obj)


class WorkerContext(ForkServerContext):
    """The context for ProcessPoolExecutor, which knows the processes of its pool."""

    def __init__(self) -> None:
        super().__init__()
        self._processes: list[_WorkerProcess] = []

    def Process(self, *arguments: Any, **keywords: Any) -> _WorkerProcess:  # type: ignore[override]  # noqa: N802
        """Return a new process of the pool, which is not started."""
        self._processes.append(_WorkerProcess(*arguments, **keywords))
        return self._processes[-1]

    def kill(self) -> None:
        """Kill all processes of the pool that were started."""
        for process in self._processes:
            if process.pid is not None:
                process.kill()
