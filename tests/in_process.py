"""Run the command line in the process of the tests, which saves the imports of a new one: 0.3 s of processor time."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from imagenet_tools import cli
from imagenet_tools.cli import demo as cli_demo
from imagenet_tools.cli import query as cli_query


def never_fork(patch: pytest.MonkeyPatch) -> None:
    """Let queries run in this process: it has threads of DuckDB, so it must not fork."""
    for module in (cli_query, cli_demo):
        patch.setattr(module, "in_child", lambda work, **_: work())
    patch.setattr(cli_query, "reported", lambda work, _: work())


def stdout_of(arguments: list[str], folder: Path, environment: Mapping[str, str]) -> tuple[str, int]:
    """Run a command in a folder, and return what it writes to standard output, and its exit code."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryFile() as written, contextlib.chdir(folder):
        never_fork(patch)
        for name in os.environ.keys() - environment.keys():
            patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        with _stdout_to(written.fileno()):
            code = cli.run(arguments)
        written.seek(0)
        return written.read().decode(), code


@contextlib.contextmanager
def _stdout_to(fd: int) -> Iterator[None]:
    """Redirect standard output to an open file."""
    sys.stdout.flush()
    before = os.dup(1)
    os.dup2(fd, 1)
    try:
        with open(1, "w", encoding="utf-8", closefd=False) as out, contextlib.redirect_stdout(out):
            yield
    finally:
        os.dup2(before, 1)
        os.close(before)
