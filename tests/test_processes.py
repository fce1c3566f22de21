"""Workers: what they may find of the process that they were forked from."""

import subprocess
import sys

from tests.waiting import PATIENCE

# Queries in circles, which only the collector ends, are left by many a program; ending one in a worker, where its
# threads are not, is a crash of DuckDB's.
SCRIPT = """
import gc
import duckdb
from imagenet_tools.processes import in_processes

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
