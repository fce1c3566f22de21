"""Run the command line: in a new process, or in the process of the tests where that is enough."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import click
import pytest

from imagenet_tools import cli
from imagenet_tools.index import Index
from tests.in_process import never_fork
from tests.waiting import PATIENCE

COMMAND = [sys.executable, "-c", "from imagenet_tools.cli import main; main()"]
COMMANDS = tuple(cli.group.list_commands(click.Context(cli.group)))


class Ran(NamedTuple):
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str


def environment(index: Path | None = None, **values: str) -> dict[str, str]:
    """Return the environment without variables that change the command line, and with these values."""
    removed = ("IMAGENET_", "COLUMNS", "NLTK_DATA")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(removed)}
    return kept | ({"IMAGENET_INDEX": str(index)} if index else {}) | values


def process(*arguments: str, index: Path | None = None, stdin: bytes = b"", cwd: Path | None = None) -> Ran:
    """Run the command line as a process, as a shell does."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        input=stdin,
        capture_output=True,
        env=environment(index),
        cwd=cwd,
        timeout=PATIENCE,
        check=False,
    )
    return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())


Run = Callable[..., Ran]


@pytest.fixture
def run(index: Index, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    """Run the command line in this process, on the index of the sample."""
    monkeypatch.setenv("IMAGENET_INDEX", str(index.path))
    for name in ("IMAGENET_ROOTS", "COLUMNS", "NLTK_DATA"):
        monkeypatch.delenv(name, raising=False)
    never_fork(monkeypatch)

    def run(*arguments: str) -> Ran:
        capfdbinary.readouterr()
        code = cli.run(list(arguments))
        out, err = capfdbinary.readouterr()
        return Ran(code, out.decode(), err.decode())

    return run
