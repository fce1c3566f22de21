"""No traceback after Ctrl-C at any moment, broken pipes, closed streams, full disks and bugs."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from imagenet_tools import cli
from imagenet_tools.index import Index
from tests.cli.conftest import COMMAND, Run, environment
from tests.conftest import OFFICIAL
from tests.parameters import short_list
from tests.waiting import PATIENCE

# ---- Ctrl-C

# Send SIGINT when Python looks for the nth module, or at the nth call of a Python function.
AT_MODULE = """
import os, signal, sys
class Finder:
    left = int(sys.argv.pop(1))
    def find_spec(self, name, path=None, target=None):
        Finder.left -= 1
        if Finder.left == 0:
            os.kill(os.getpid(), signal.SIGINT)
from imagenet_tools.__main__ import main
sys.meta_path.insert(0, Finder())
main()
"""
# One process imports the package, and forks for each tested call. Half of the forks get SIGINT twice.
AT_CALL = """
import os, signal, sys
from imagenet_tools import __main__, cli
from imagenet_tools.cli import process
import imagenet_tools.cli.export, imagenet_tools.cli.find, imagenet_tools.cli.info, imagenet_tools.cli.query

def run(numbers):
    out, into = os.pipe()
    pid = os.fork()
    if not pid:
        os.dup2(into, 1), os.dup2(into, 2), os.close(out), os.close(into)
        calls = [0]
        def count(frame, event, given):
            # Python hears no signal between __enter__, which takes a lock, and the block that gives it back, nor
            # between that block and __exit__. An error raised here would keep __exit__ from running at all.
            if event.startswith("c_") and given.__name__ == "__enter__":
                return
            if event == "c_call" and given.__name__ == "__exit__":
                return
            calls[0] += 1
            if calls[0] in numbers:
                os.kill(os.getpid(), signal.SIGINT)
        hear = process.hear_signals
        process.hear_signals = lambda: (hear(), sys.setprofile(count))
        sys.argv[1:] = sys.argv[2:]
        try:
            __main__.main()
        finally:
            sys.setprofile(None)
            if not numbers:
                os.write(2, b"CALLS %d" % calls[0])
    os.close(into)
    said = b"".join(iter(lambda: os.read(out, 65536), b""))
    os.close(out)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said

code, said = run(())
assert code == 0, said
calls, many = int(said.rpartition(b"CALLS ")[2]), int(sys.argv[1])
for step in range(many):
    n = 1 + calls * step // many
    code, said = run((n, n + 40) if step % 2 else (n,))
    assert code == 130 and said.count(b"Interrupted.") == 1, (n, code, said)
    assert b"Traceback" not in said and b"Exception ignored" not in said, (n, said)
print("done")
"""


@pytest.mark.parametrize("n", short_list([1, 2, 5, 20, 60], 20))
def test_ctrl_c_among_the_imports_is_130(n: int) -> None:
    command = [sys.executable, "-c", AT_MODULE, str(n), "find", "tabby"]
    done = subprocess.run(command, capture_output=True, env=environment(), timeout=PATIENCE, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"Interrupted.\n")


@pytest.mark.parametrize(
    "arguments",
    short_list(
        [
            ["find", "tabby"],
            ["info"],
            ["export", "nowhere", "--to", "yolo", "--under", "dog", "--dry-run"],
            ["query", "SELECT 1"],
        ],
        ["query", "SELECT 1"],
    ),
    ids=lambda arguments: arguments[0],
)
def test_ctrl_c_at_any_call_is_130(arguments: list[str], index: Index, tmp_path: Path) -> None:
    command = [sys.executable, "-c", AT_CALL, "12", *arguments]
    environ = environment(index.path)
    done = subprocess.run(
        command, capture_output=True, text=True, env=environ, cwd=tmp_path, timeout=PATIENCE, check=False
    )
    assert done.stdout == "done\n", done.stdout + done.stderr


def test_an_interrupt_that_became_another_error_is_130(index: Index) -> None:
    script = (
        "import os, signal\nfrom imagenet_tools.cli import main, printing\n"
        "def fail(*_):\n"
        "    try:\n        os.kill(os.getpid(), signal.SIGINT)\n"
        "    except KeyboardInterrupt:\n        raise RuntimeError('Query interrupted')\n"
        "printing.print_json = fail\nmain()"
    )
    command = [sys.executable, "-c", script, "find", "tabby", "--json"]
    done = subprocess.run(command, capture_output=True, env=environment(), timeout=PATIENCE, check=False)
    assert done.returncode == 130 and b"Traceback" not in done.stderr


# ---- streams


def build(tmp_path: Path, sample: Path) -> list[str]:
    return ["build-index", *(str(sample / name) for name in OFFICIAL), "-o", str(tmp_path / "a.index")]


@pytest.mark.parametrize("stream", short_list(["stdout", "stderr"], "stderr"))
def test_a_broken_pipe_does_not_end_a_build(stream: str, sample: Path, tmp_path: Path) -> None:
    out, into = os.pipe()
    os.close(out)
    done = subprocess.run(
        [*COMMAND, *build(tmp_path, sample)],
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: into},  # type: ignore[call-overload]
        env=environment(),
        timeout=PATIENCE,
        check=False,
    )
    os.close(into)
    assert done.returncode == 3  # the sample has a problem
    assert (tmp_path / "a.index" / "manifest.json").is_file()
    assert b"Traceback" not in (done.stdout or b"") + (done.stderr or b"")


def test_a_broken_pipe_on_stderr_hides_no_error(index: Index) -> None:
    out, into = os.pipe()
    os.close(out)
    command = [*COMMAND, "query", "SELECT nothing"]
    done = subprocess.run(command, stderr=into, env=environment(index.path), timeout=PATIENCE, check=False)
    os.close(into)
    assert done.returncode == 1


@pytest.mark.parametrize("closed", short_list(["<&-", ">&-", "2>&-", "<&- >&- 2>&-"], "<&- >&- 2>&-"))
def test_closed_streams_end_nothing_and_no_file_takes_their_place(closed: str, index: Index, tmp_path: Path) -> None:
    for arguments in (["query", "-"], ["query", "SELECT 7 AS a", "-o", str(tmp_path / "a.csv")]):
        shell = ["sh", "-c", f'exec "$@" {closed}', "sh", *COMMAND, *arguments]
        done = subprocess.run(
            shell, input=b"SELECT 1", capture_output=True, env=environment(index.path), timeout=PATIENCE, check=False
        )
        assert b"Traceback" not in done.stderr
        assert done.returncode == (2 if "<" in closed and arguments == ["query", "-"] else 0)
    assert (tmp_path / "a.csv").read_text() == "a\n7\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize("arguments", [["find", "tabby"], ["query", "SELECT 1"]])
def test_a_full_disk_on_stdout_is_an_error_that_names_it(arguments: list[str], index: Index) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*COMMAND, *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            env=environment(index.path),
            timeout=PATIENCE,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == b"error: stdout: No space left on device\n"


# ---- what is said


def test_with_json_an_error_is_json_on_stdout(run: Run, tmp_path: Path) -> None:
    for arguments, kind, code in (
        (["find", "--json", "--nothing"], "UsageError", 2),
        (["--json", "info", "-i", str(tmp_path)], "NoIndexError", 1),
        (["query", "SELECT x", "--json"], "QueryError", 1),
        (["query", "SELECT 1", "-o", str(tmp_path), "--format", "csv", "--json"], "ExistsError", 4),
    ):
        ran = run(*arguments)
        said = json.loads(ran.out)["error"]
        assert (ran.code, said["exit_code"], said["type"]) == (code, code, kind)
        assert said["message"] and said["message"].splitlines()[0] in ran.err
    assert run("find", "--nothing", "--", "--json").out == ""


def test_a_fault_of_the_program_is_one_line_that_asks_for_a_report(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from imagenet_tools.catalogue import terms

    def fail(*_: object, **__: object) -> None:
        {}["missing"]

    monkeypatch.setattr(terms, "find", fail)
    ran = run("find", "tabby")
    assert ran.code == 1 and ran.out == ""
    assert ran.err.startswith("error: This is a bug of imagenet-tools: KeyError at api.py:")
    assert ran.err.count("\n") == 1 and "Please report it" in ran.err
    monkeypatch.setenv("IMAGENET_TOOLS_DEBUG", "1")
    assert "Traceback" in run("find", "tabby").err


def test_an_archive_s_early_end_is_not_taken_for_ctrl_c(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from imagenet_tools.catalogue import terms

    def fail(*_: object, **__: object) -> None:
        raise EOFError

    monkeypatch.setattr(terms, "find", fail)
    assert run("find", "tabby").code == cli.FAILED
    assert signal.getsignal(signal.SIGINT) is not None
