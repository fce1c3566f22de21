"""The environments of the peers: each of its own, made once from its pins, and what versions it has."""

from __future__ import annotations

import platform
import re
import sqlite3
import subprocess
import sys
import venv
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent.parent

# What else than pinned peers is measured: where its version is said.
_COMMANDS = {"cp": "cp", "tar": "tar", "cc": "cc"}


def environment(group: str) -> Path:
    """The python of a peer's environment, made first where it is missing; our own for none.

    CalledProcessError: it cannot be made.
    """
    if not group:
        return Path(sys.executable)
    folder = CHECKOUT / ".envs" / f"bench-{group}"
    python, ready = folder / "bin" / "python", folder / ".ready"
    state = f"{pins(group).read_text()}{sys.version}"
    if not ready.exists() or ready.read_text() != state:
        print(f"making the environment of {group} (once)", file=sys.stderr, flush=True)
        venv.create(folder, clear=True, with_pip=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--requirement", str(pins(group))]
        subprocess.run(pip, check=True)
        ready.write_text(state)
    return python


def pins(group: str) -> Path:
    """The file of a group's requirements."""
    return HERE / f"requirements-{group}.txt"


def groups() -> list[str]:
    """The groups that have pins."""
    return sorted(file.stem.removeprefix("requirements-") for file in HERE.glob("requirements-*.txt"))


def pinned(group: str) -> list[str]:
    """What a group pins, as "name version"."""
    found = re.findall(r"^([\w.-]+)==(\S+)", pins(group).read_text(), re.MULTILINE)
    return [" ".join(one) for one in found]


def versions() -> str:
    """The versions of all that takes part, ours and the peers'."""
    own = [f"{name} {version(name)}" for name in ("duckdb", "pyarrow", "numpy", "pillow", "pandas", "nltk", "click")]
    others = sorted({line for group in groups() for line in pinned(group)})
    return (
        f"imagenet-tools {version('imagenet-tools')}, Python {platform.python_version()}, {', '.join(own)}; "
        f"peers: {', '.join(others)}, SQLite {sqlite3.sqlite_version}, {', '.join(map(_first_line, _COMMANDS))}"
    )


def _first_line(command: str) -> str:
    """A command's own word on its version, without the licence."""
    said = subprocess.run([command, "--version"], capture_output=True, text=True, check=True).stdout
    return said.splitlines()[0]
