"""Workers: what they may find of the process that they were forked from, how many there are, and how they end."""

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from imagenet_tools.errors import FormatError, ImagenetToolsError
from imagenet_tools.storage.processes import in_processes
from tests.waiting import PATIENCE, until

# Queries in circles, which only the collector ends, are left by many a program; ending one in a worker, where its
# threads are not, is a crash of DuckDB's.
SCRIPT = """
import gc
import duckdb
from imagenet_tools.storage.processes import in_processes

class Circle:
    pass

def work(number):
    gc.collect()
    return number

gc.disable()
for _ in range(50):
    connection = duckdb.connect()
    connection.execute("CREATE TABLE t AS SELECT range AS a FROM range(100_000)")
    circle = Circle()
    circle.itself, circle.query = circle, connection.cursor().execute("SELECT a FROM t")
    circle.query.fetchmany(10)
    del connection, circle
print(list(in_processes(work, list(range(4)), 2)))
"""

# A collection may be due the moment that a worker is forked, before it has run a line of ours.
DUE = """
import os
os.register_at_fork(after_in_child=lambda: gc.isenabled() and gc.collect())
gc.set_threshold(10**9)
gc.enable()
print("""
DUE = DUE.join(SCRIPT.rsplit("print(", 1))


def test_a_worker_does_not_end_the_queries_that_its_driver_left_open() -> None:
    for script in (SCRIPT, DUE):
        command = [sys.executable, "-c", script]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.stdout == "[0, 1, 2, 3]\n", done.stderr


def compute(_: int) -> int:
    end = time.process_time() + 0.01
    while time.process_time() < end:
        pass
    return os.getpid()


def sleep(_: int) -> int:
    time.sleep(0.02)
    return os.getpid()


def test_tasks_that_wait_have_more_processes_up_to_the_bound() -> None:
    assert len(set(in_processes(sleep, range(400), 2, most=9))) == 9


@pytest.mark.parametrize("others", [0, 6])
def test_tasks_that_compute_bring_no_more_processes_however_busy_the_machine_is(others: int) -> None:
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(others)]
    try:
        # Something else that a process waits for, as memory, may bring one.
        assert len(set(in_processes(compute, range(60), 2, most=9))) in {2, 3}
    finally:
        for one in busy:
            one.kill()
            one.wait()


def test_a_number_of_workers_that_somebody_gave_stays() -> None:
    assert len(set(in_processes(sleep, range(100), 3))) == 3


def in_turn(number: int) -> int:
    time.sleep(0.03 if number % 7 == 0 else 0)
    return number * number


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("n", [0, 1, 3, 100])
def test_results_have_the_order_of_the_tasks(n: int, workers: int) -> None:
    assert list(in_processes(in_turn, range(n), workers, most=8)) == [number * number for number in range(n)]


def large(number: int) -> bytes:
    return bytes([number]) * (1 << 20)


def test_results_that_no_pipe_holds_arrive() -> None:
    assert list(in_processes(large, range(20), 3)) == [large(number) for number in range(20)]


def fail(number: int) -> int:
    if number == 30:
        message = "no tar"
        raise FormatError(message, code="tar_damaged")
    return in_turn(number)


def test_what_a_task_raises_is_raised_in_its_turn_and_says_where() -> None:
    told: list[int] = []
    with pytest.raises(FormatError, match="no tar") as raised:
        told.extend(in_processes(fail, range(100), 3))
    assert told == [number * number for number in range(30)]
    assert raised.value.code == "tar_damaged"
    assert "in fail" in raised.value.__notes__[0]


def alive(process: int) -> bool:
    return Path(f"/proc/{process}").exists()


def test_a_worker_that_is_killed_is_reported_and_the_others_end(tmp_path: Path) -> None:
    def work(number: int) -> int:
        (tmp_path / str(os.getpid())).touch()
        if number == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(PATIENCE if number == 6 else 0.01)
        return number

    with pytest.raises(ImagenetToolsError, match="worker process was killed"):
        list(in_processes(work, range(40), 4))
    assert not any(alive(int(path.name)) for path in tmp_path.iterdir())


def test_nothing_more_is_begun_when_no_more_is_asked_for(tmp_path: Path) -> None:
    def work(number: int) -> int:
        (tmp_path / f"{number}-{os.getpid()}").touch()
        time.sleep(0.06)
        return number

    stopped: list[int] = []
    with closing(in_processes(work, range(1000), 2, most=8, stop=lambda: stopped.append(1))) as results:
        assert [next(results) for _ in range(40)] == list(range(40))
    begun = [path.name.split("-") for path in tmp_path.iterdir()]
    assert stopped == [1]
    assert len(begun) < 500
    assert not any(alive(int(process)) for _, process in begun)


# The first worker interrupts its driver as soon as it is there, when the driver is about to fork the next one.
INTERRUPTED = """
import multiprocessing, os, signal, sys, time
from imagenet_tools.cli.process import INTERRUPTED, hear_signals
from imagenet_tools.storage.processes import in_processes

hear_signals()

def begin(first):
    if first.acquire(block=False):
        os.kill(os.getppid(), signal.SIGINT)

def work(number):
    time.sleep(0.1)

try:
    list(in_processes(work, range(1000), 20, begin=begin, given=(multiprocessing.Semaphore(1),)))
except KeyboardInterrupt:
    sys.exit(INTERRUPTED)
"""


def test_ctrl_c_while_workers_are_forked_is_not_lost() -> None:
    for _ in range(5):
        done = subprocess.run(
            [sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 130
        assert done.stderr in ("", "Interrupted.\n")  # the latter where the signal met a finaliser


def test_workers_end_with_a_driver_that_is_killed(tmp_path: Path) -> None:
    script = (
        "import os, sys, time\nfrom pathlib import Path\nfrom imagenet_tools.storage.processes import in_processes\n"
        "def work(number):\n    (Path(sys.argv[1]) / str(os.getpid())).touch()\n    time.sleep(0.05)\n"
        "list(in_processes(work, range(100_000), 2, most=6))"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)]) as driver:
        assert until(lambda: len(list(tmp_path.iterdir())) == 6)
        driver.kill()
    assert until(lambda: not any(alive(int(path.name)) for path in tmp_path.iterdir()))
