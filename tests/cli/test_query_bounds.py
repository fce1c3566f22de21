"""The command query ends with a sentence when it exceeds its memory or time, and leaves nothing behind."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from imagenet_tools.index import Index
from tests.cli.conftest import COMMAND, Ran, Run, environment
from tests.waiting import PATIENCE, until

# What a query that nothing bounds does to a machine: hours, or all of its memory.
BOMBS = {
    "cross join": "SELECT sum(a.range * b.range) FROM range(10_000_000_000) AS a, range(1000) AS b",
    "recursion": "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT max(n) FROM r",
    "repeat": "SELECT length(repeat('x', 2_000_000_000)), length(rpad('x', 2_000_000_000, 'y'))",
    "unnest": "SELECT 1 FROM (SELECT unnest(range(1000000000)))",
    "levenshtein": "SELECT levenshtein(repeat('a', 400_000), repeat('b', 400_000))",
    "list_sort": "SELECT list_sort(range(300_000_000))",
    "printf": "SELECT printf('%2000000000d', 1)",
    "array_agg": "SELECT array_agg(a.range || b.range) FROM range(1_000_000) AS a, range(1_000_000) AS b",
    "regex": "SELECT max(regexp_matches(repeat('a', 1_000_000) || a.range, '(a*)*b{100}c')) FROM range(1_000_000) AS a",
    "conditions": "FROM range(100_000_000) WHERE " + " OR ".join(f"range % {n} = {n + 1}" for n in range(1, 20_000)),
    "parentheses": "SELECT " + "(" * 5000 + "1" + ")" * 5000,
    "columns": "SELECT " + ", ".join(f"{n} AS c{n}" for n in range(200_000)),
}
QUICK = ("printf", "parentheses")  # and the others of test_each_bound_names_itself_and_the_flag_that_raises_it
_ENDED = "needs more memory than the 1.9 GiB|after the 2 s of --timeout|ended by SIG|Max expression depth"


def bounded(sql: str, index: Index, *options: str) -> Ran:
    command = [*COMMAND, "query", "-f", "-", *options]
    done = subprocess.run(
        command, input=sql.encode(), capture_output=True, env=environment(index.path), timeout=PATIENCE, check=False
    )
    return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.mark.parametrize(
    "bomb", [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.long]) for name in BOMBS]
)
def test_a_bomb_ends_within_its_bounds(bomb: str, index: Index, tmp_path: Path) -> None:
    out = tmp_path / "a.csv"
    ran = bounded(BOMBS[bomb], index, "--memory", "2GB", "--timeout", "2", "-o", str(out))
    assert ran.code == 1
    assert re.search(_ENDED, ran.err) and "Traceback" not in ran.err
    assert list(tmp_path.iterdir()) == []


def test_each_bound_names_itself_and_the_flag_that_raises_it(index: Index) -> None:
    late = bounded(BOMBS["cross join"], index, "--timeout", "0.5", "--json")
    assert late.code == 1 and "after the 0.5 s of --timeout. Ask for less, or raise --timeout" in late.err
    assert '"type": "QueryError"' in late.out
    large = bounded(BOMBS["unnest"], index, "--memory", "2GiB")
    assert large.code == 1 and "more memory than the 2.0 GiB" in large.err and "raise --memory" in large.err


def test_a_process_that_dies_for_want_of_memory_is_an_error_in_words(index: Index) -> None:
    # The kernel kills whom it chooses, and a library may abort where an allocation fails.
    script = (
        "import os, sys\nfrom imagenet_tools.store import query\n"
        "query.run = lambda *_, **__: os.abort()\n"
        "from imagenet_tools.cli import main\nmain()"
    )
    command = [sys.executable, "-c", script, "query", "SELECT 1"]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment(index.path), timeout=PATIENCE, check=False
    )
    assert done.returncode == 1
    assert "ended by SIGABRT, as happens where memory is short" in done.stderr and "raise --memory" in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--memory", "10MB"], "--memory 10MB: expected 1GiB or more"),
        (["--memory", "much"], "--memory much: expected a size such as"),
        (["--timeout", "0"], "0.0 is not in the range x>0"),
        (["--timeout", "soon"], "'soon' is not a valid float"),
    ],
)
def test_a_bound_that_is_none_is_a_usage_error(options: list[str], words: str, run: Run) -> None:
    ran = run("query", "SELECT 1", *options)
    assert ran.code == 2 and words in ran.err


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_of_a_query_outlives_its_command(end: signal.Signals, index: Index) -> None:
    command = [*COMMAND, "query", BOMBS["cross join"]]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, env=environment(index.path), start_new_session=True)
    children = Path(f"/proc/{child.pid}/task/{child.pid}/children")
    assert until(lambda: len(children.read_text().split()) == 1)
    (worker,) = children.read_text().split()
    child.send_signal(end)
    _, said = child.communicate(timeout=PATIENCE)  # its end comes when the last process has closed the pipe
    assert child.returncode == (-end if end == signal.SIGKILL else 130)
    assert said == (b"" if end == signal.SIGKILL else b"Interrupted.\n")
    assert until(lambda: not Path("/proc", worker).exists())


def test_a_reader_that_has_enough_ends_a_query(index: Index) -> None:
    command = [*COMMAND, "query", "FROM range(100_000_000_000)", "--format", "csv"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(index.path))
    assert child.stdout is not None and child.stderr is not None
    assert child.stdout.readline() == b"range\n"
    child.stdout.close()
    assert child.wait(PATIENCE) == 0
    assert child.stderr.read() == b""


def test_a_query_may_be_limited_from_outside_too(index: Index) -> None:
    """A `ulimit -v` of the shell that is lower than --memory is respected."""
    command = [
        "sh",
        "-c",
        'ulimit -v 2097152; exec "$@"',
        "sh",
        *COMMAND,
        "query",
        BOMBS["unnest"],
        "--memory",
        "900GB",
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment(index.path), timeout=PATIENCE, check=False
    )
    assert done.returncode == 1 and "needs more memory than the 2.0 GiB" in done.stderr, done.stderr
