"""Workers: how many there are, the order of their results, how they end, and that none is forked from the driver."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from multiprocessing import parent_process
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import ANY

import pytest

from imagenet_tools.cli.process import INTERRUPTED
from imagenet_tools.errors import FormatError, ImagenetToolsError
from imagenet_tools.storage import processes
from imagenet_tools.storage.processes import in_processes
from tests.parameters import short_list
from tests.waiting import PATIENCE, until

ROOT = Path(__file__).resolve().parent.parent


def run_script(folder: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script that has no guarded main part, as users write them."""
    path = folder / "script.py"
    path.write_text(script)
    command = [sys.executable, str(path), *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=PATIENCE, check=False)


# Many programs leave queries in reference cycles, which only the garbage collector ends. In a fork of the program,
# which lacks the threads of DuckDB, ending them is a crash.
OPEN_QUERIES = """
import gc
import duckdb
from imagenet_tools.storage.processes import in_processes
from tests.test_processes import collect

class Cycle:
    pass

gc.disable()
for _ in range(50):
    connection = duckdb.connect()
    connection.execute("CREATE TABLE t AS SELECT range AS a FROM range(100_000)")
    cycle = Cycle()
    cycle.itself, cycle.query = cycle, connection.cursor().execute("SELECT a FROM t")
    cycle.query.fetchmany(10)
    del connection, cycle
print(list(in_processes(collect, list(range(4)), 2)))
"""

# A collection may be due at the moment in which a process is forked.
COLLECTION_DUE = """
import os
os.register_at_fork(after_in_child=lambda: gc.isenabled() and gc.collect())
gc.set_threshold(10**9)
gc.enable()
print("""
COLLECTION_DUE = COLLECTION_DUE.join(OPEN_QUERIES.rsplit("print(", 1))


def collect(number: int) -> int:
    import gc

    gc.collect()
    return number


@pytest.mark.parametrize(
    "script", short_list([OPEN_QUERIES, COLLECTION_DUE], COLLECTION_DUE), ids=["open queries", "and a collection due"]
)
def test_a_worker_does_not_end_the_queries_that_its_driver_left_open(script: str, tmp_path: Path) -> None:
    done = run_script(tmp_path, script)
    assert done.stdout == "[0, 1, 2, 3]\n", done.stderr
    assert not done.stderr


def imported(name: str) -> tuple[bool, str]:
    return name in sys.modules, Path.cwd().name


def test_a_worker_has_the_folder_of_its_driver_and_nothing_of_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "random.py").write_text("raise SystemExit('a file of the user')")
    script = (
        "import os, sys\nfrom imagenet_tools.storage.processes import in_processes\n"
        "from tests.test_processes import imported\n"
        "os.chdir('here')\nimport duckdb\n"
        "print(list(in_processes(imported, ['duckdb'] * 2, 2)))"
    )
    monkeypatch.chdir(tmp_path)
    done = run_script(tmp_path, script)
    assert done.stdout == "[(False, 'here'), (False, 'here')]\n", done.stderr


def surroundings(_: int) -> tuple[str | None, int]:
    mask = os.umask(0o022)
    os.umask(mask)
    return os.environ.get("CHANGED"), mask


CHANGED = """
import os
from imagenet_tools.storage.processes import in_processes
from tests.test_processes import surroundings

first = list(in_processes(surroundings, range(2), 2))
os.environ["CHANGED"] = "yes"
os.umask(0o077)
print(first, list(in_processes(surroundings, range(2), 2)))
"""


def test_a_later_pool_has_the_environment_and_the_umask_of_its_driver(tmp_path: Path) -> None:
    done = run_script(tmp_path, "import os\nos.umask(0o022)\n" + CHANGED)
    assert done.stdout == "[(None, 18), (None, 18)] [('yes', 63), ('yes', 63)]\n", done.stderr


ODD_PLACES = {
    "a long temporary folder": "import os, tempfile\nlong = os.path.join(os.getcwd(), 'x' * 100)\nos.mkdir(long)\n"
    "os.environ['TMPDIR'] = long\n",
    "a folder that was removed": "import os\nos.mkdir('gone')\nos.chdir('gone')\nos.rmdir('../gone')\n",
    "a daemonic process": "",
}


@pytest.mark.parametrize("place", ODD_PLACES)
def test_workers_start_in_odd_places(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    work = "from imagenet_tools.storage.processes import in_processes\nfrom tests.test_processes import in_turn\n"
    if place == "a daemonic process":
        script = work + (
            "import multiprocessing\ndef run():\n    print(list(in_processes(in_turn, range(4), 2)), flush=True)\n"
            "process = multiprocessing.get_context('fork').Process(target=run, daemon=True)\n"
            "process.start()\nprocess.join()\n"
        )
    else:
        script = ODD_PLACES[place] + work + "print(list(in_processes(in_turn, range(4), 2)))\n"
    done = run_script(tmp_path, script)
    assert done.stdout == "[0, 1, 4, 9]\n", done.stderr


OF_THE_USER = """
import multiprocessing, os, signal
from imagenet_tools.storage.processes import in_processes
from tests.test_processes import in_turn, masked

list(in_processes(in_turn, range(4), 2))
with multiprocessing.get_context("forkserver").Pool(1) as pool:
    print(pool.map(masked, range(1)))
"""


def masked(_: int) -> tuple[str | None, bool]:
    return os.environ.get("OPENBLAS_NUM_THREADS"), bool(signal.pthread_sigmask(signal.SIG_BLOCK, ()))


def test_a_fork_server_of_the_user_is_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    done = run_script(tmp_path, "if __name__ == '__main__':" + OF_THE_USER.replace("\n", "\n    "))
    assert done.stdout == "[(None, False)]\n", done.stderr


def test_the_fork_server_hears_no_signal(tmp_path: Path) -> None:
    script = (
        "import os\nfrom pathlib import Path\nfrom imagenet_tools.storage import fork_server, processes\n"
        "processes.prepare_workers('json')\n"
        "text = Path(f'/proc/{fork_server._server._forkserver_pid}/status').read_text()\n"
        "print(hex(int(text.split('SigBlk:')[1].split()[0], 16)))\n"
    )
    done = run_script(tmp_path, script)
    assert int(done.stdout, 16) & 0x4003 == 0x4003, done.stderr  # SIGHUP, SIGINT, SIGTERM


def compute(_: int) -> tuple[int, int]:
    end = time.thread_time() + 0.01
    while time.thread_time() < end:
        pass
    return os.getpid(), threading.get_ident()


def sleep(_: int) -> tuple[int, int]:
    time.sleep(0.02)
    return os.getpid(), threading.get_ident()


def test_tasks_that_wait_have_more_threads_up_to_the_bound() -> None:
    places = set(in_processes(sleep, range(400), 2, threads=5))
    assert Counter(process for process, _ in places).most_common() == [(ANY, 5), (ANY, 5)]


def sleep_long(_: int) -> tuple[int, int]:
    time.sleep(1)
    return os.getpid(), threading.get_ident()


def test_more_threads_start_before_the_first_task_ends() -> None:
    assert len(set(in_processes(sleep_long, range(20), 2, threads=10))) == 20


@pytest.mark.parametrize("others", short_list([0, 6], 0))
def test_tasks_that_compute_bring_no_more_threads_however_busy_the_machine_is(others: int) -> None:
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(others)]
    try:
        # Something else that a process waits for, as memory, may bring more in one of them.
        assert len(set(in_processes(compute, range(60), 2, threads=16))) in range(2, 6)
    finally:
        for process in busy:
            process.kill()
            process.wait()


def test_a_number_of_workers_that_somebody_gave_stays() -> None:
    assert len(set(in_processes(sleep, range(100), 3))) == 3


def in_turn(number: int) -> int:
    time.sleep(0.03 if number % 7 == 0 else 0)
    return number * number


@pytest.mark.parametrize("workers", short_list([1, 2, 5], 2, 5))
@pytest.mark.parametrize("n", short_list([0, 1, 3, 100], 0, 100))
def test_results_have_the_order_of_the_tasks(n: int, workers: int) -> None:
    assert list(in_processes(in_turn, range(n), workers, threads=8)) == [number * number for number in range(n)]


def large(number: int) -> bytes:
    return bytes([number]) * (1 << 20)


def test_short_tasks_are_given_to_workers_in_batches() -> None:
    submitted: list[object] = []
    waited: list[int] = []

    class Counted(ThreadPoolExecutor):
        def submit(self, *args: Any, **kwargs: Any) -> Any:
            submitted.append(args)
            return super().submit(*args, **kwargs)

    with Counted(1) as one, Counted(1) as other:
        workers: list[Any] = [SimpleNamespace(pool=pool, size=1, held={}) for pool in (one, other)]
        results = list(processes._in_order(workers, abs, range(2000), 1, waited.append, None))
    assert results == list(range(2000))
    assert len(submitted) < 200
    assert waited == list(range(2000))


def test_a_task_begins_when_what_it_waits_for_is_there(tmp_path: Path) -> None:
    files = [tmp_path / str(number) for number in range(40)]
    assert all(in_processes(Path.exists, files, 2, wait_for=lambda number: files[number].touch()))


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_the_file_table_of_a_worker_is_wide_before_it_has_threads() -> None:
    (status,) = in_processes(Path.read_text, [Path("/proc/self/status")], 1)
    assert int(status.split("FDSize:")[1].split()[0]) >= 1024


def test_results_that_no_pipe_holds_arrive() -> None:
    assert list(in_processes(large, range(20), 3)) == [large(number) for number in range(20)]


def fail(number: int) -> int:
    if number in (30, 31):
        message = f"no tar {number}"
        raise FormatError(message, code="tar_damaged")
    return in_turn(number)


def test_what_a_task_raises_is_raised_in_its_turn_and_says_where() -> None:
    results: list[int] = []
    with pytest.raises(FormatError, match="no tar 30") as raised:
        results.extend(in_processes(fail, range(100), 3))
    assert results == [number * number for number in range(30)]
    assert raised.value.code == "tar_damaged"
    assert "in fail" in str(raised.value.__cause__)


def alive(process: int) -> bool:
    return Path(f"/proc/{process}").exists()


def end_at_5(task: tuple[Path, int, int]) -> int:
    """Kill the worker at task 5, as often as the task says."""
    folder, number, times = task
    (folder / f"{number}-{os.getpid()}").touch()
    if number == 5 and len(list(folder.glob("5-*"))) <= times:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.01)
    return number


@pytest.mark.parametrize("threads", short_list([1, 4], 4))
@pytest.mark.parametrize("times", [1, 2])
def test_a_worker_that_is_killed_is_replaced_and_its_tasks_are_tried_again(
    threads: int, times: int, tmp_path: Path
) -> None:
    tasks = [(tmp_path, number, times) for number in range(40)]
    assert list(in_processes(end_at_5, tasks, 2, threads=threads)) == list(range(40))
    assert len(list(tmp_path.glob("5-*"))) == times + 1


def test_a_task_that_kills_each_worker_is_lost_and_the_others_are_done(tmp_path: Path) -> None:
    tasks = [(tmp_path, number, 100) for number in range(40)]
    results = list(in_processes(end_at_5, tasks, 2, lost=lambda task: -task[1]))
    assert results == [*range(5), -5, *range(6, 40)]
    assert len(list(tmp_path.glob("5-*"))) == processes.MAX_DEATHS


def die(_: int) -> int:
    os._exit(1)


def test_workers_that_cannot_work_at_all_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "MAX_LOST", 1)
    with pytest.raises(ImagenetToolsError, match="killed 3 times at the same work"):
        list(in_processes(die, range(40), 1, lost=lambda number: -number))


def test_a_task_that_is_lost_is_an_error_and_all_workers_end(tmp_path: Path) -> None:
    with pytest.raises(ImagenetToolsError, match="killed 3 times at the same work"):
        list(in_processes(end_at_5, [(tmp_path, number, 100) for number in range(40)], 4))
    assert not any(alive(int(path.name.partition("-")[2])) for path in tmp_path.iterdir())


def kill_all_idle(task: tuple[Path, int]) -> int:
    """Kill the other worker, whatever it does, once."""
    folder, number = task
    (folder / str(os.getpid())).touch()
    others = [int(path.name) for path in folder.iterdir() if path.name != str(os.getpid())]
    if number == 10 and others:
        os.kill(others[0], signal.SIGKILL)
    time.sleep(0.005)
    return number


def test_a_worker_that_somebody_else_kills_is_replaced(tmp_path: Path) -> None:
    assert list(in_processes(kill_all_idle, [(tmp_path, number) for number in range(40)], 2)) == list(range(40))


def leave_a_mark(task: tuple[Path, int]) -> int:
    folder, number = task
    (folder / f"{number}-{os.getpid()}").touch()
    time.sleep(0.06)
    return number


def test_nothing_more_is_begun_when_no_more_is_asked_for(tmp_path: Path) -> None:
    tasks = [(tmp_path, number) for number in range(1000)]
    stopped: list[int] = []
    with closing(in_processes(leave_a_mark, tasks, 2, threads=4, stop=lambda: stopped.append(1))) as results:
        assert [next(results) for _ in range(40)] == list(range(40))
    begun = [path.name.split("-") for path in tmp_path.iterdir()]
    assert stopped == [1]
    assert len(begun) < 500
    assert not any(alive(int(process)) for _, process in begun)


def first_or_endless(task: tuple[Path, int]) -> None:
    leave_a_mark(task)
    if task[1]:
        time.sleep(10 * PATIENCE)


def test_workers_that_may_be_killed_are_not_waited_for(tmp_path: Path) -> None:
    tasks = [(tmp_path, number) for number in range(4)]
    with closing(in_processes(first_or_endless, tasks, 2, may_kill=True)) as results:
        next(results)
        assert until(lambda: len(list(tmp_path.iterdir())) == 2)
    assert not any(alive(int(path.name.partition("-")[2])) for path in tmp_path.iterdir())


# The first worker interrupts its driver as soon as it is there, when the driver is about to start the next one.
INTERRUPT = """
import multiprocessing, sys
from functools import partial
from imagenet_tools.cli.process import INTERRUPTED, hear_signals
from imagenet_tools.storage.processes import in_processes
from tests.test_processes import interrupt_driver, slow

hear_signals()
context = multiprocessing.get_context("forkserver")
try:
    list(in_processes(slow, range(1000), 20, begin=partial(interrupt_driver, context.Semaphore(1))))
except KeyboardInterrupt:
    sys.exit(INTERRUPTED)
"""


def interrupt_driver(first: object) -> None:
    driver = parent_process()
    if driver is not None and driver.pid is not None and first.acquire(block=False):  # type: ignore[attr-defined]
        os.kill(driver.pid, signal.SIGINT)


def slow(_: int) -> None:
    time.sleep(0.1)


@pytest.mark.parametrize("run", short_list(range(5), 0))
def test_ctrl_c_while_workers_start_is_not_lost(tmp_path: Path, run: int) -> None:
    done = run_script(tmp_path, INTERRUPT)
    assert done.returncode == INTERRUPTED, done.stderr
    assert done.stderr in ("", "Interrupted.\n")  # the latter where the signal met a finaliser


KILLED = """
import sys
from pathlib import Path
from imagenet_tools.storage.processes import in_processes
from tests.test_processes import leave_a_mark

list(in_processes(leave_a_mark, [(Path(sys.argv[1]), number) for number in range(100_000)], 2, threads=3))
"""


def test_workers_end_with_a_driver_that_is_killed(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}

    def workers() -> set[int]:
        return {int(path.name.partition("-")[2]) for path in tmp_path.iterdir()}

    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as driver:
        assert until(lambda: len(workers()) == 2)
        servers = Path(f"/proc/{driver.pid}/task/{driver.pid}/children").read_text().split()
        driver.kill()
        _, stderr = driver.communicate(timeout=PATIENCE)  # until all processes that inherited it have ended
    assert servers and not stderr
    assert until(lambda: not any(alive(process) for process in workers() | set(map(int, servers))))


# In C, between Python's last look at its signals and the call, as a process that the system interrupts there meets it.
SIGNAL_JUST_BEFORE_A_WAIT = """
import ctypes, itertools, operator, os, select, signal
from imagenet_tools.storage.processes import in_child

kill = ctypes.CDLL(None).kill
left = [(kill, os.getpid(), signal.SIGINT)]

def late(call):
    return lambda *arguments: list(
        itertools.starmap(operator.call, [*(left.pop() for _ in left[:]), (call, *arguments)])
    )[-1]

select.select, os.waitpid = late(select.select), late(os.waitpid)
try:
    in_child(signal.pause, memory=None, seconds=None)
except KeyboardInterrupt:
    print("interrupted", len(left))
"""


def test_a_signal_just_before_the_wait_for_a_child_is_heard(tmp_path: Path) -> None:
    done = run_script(tmp_path, SIGNAL_JUST_BEFORE_A_WAIT)
    assert (done.stdout, done.stderr) == ("interrupted 0\n", "")
