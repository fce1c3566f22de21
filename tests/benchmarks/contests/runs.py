"""Runs, briefly: ours, a peer's, a limit's, and what each leaves below the scratch folder."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.contest import Run

Environment = tuple[tuple[str, str], ...]


def made(scratch: Path) -> Path:
    """Where a run writes."""
    return scratch / "made"


def index(scratch: Path) -> Path:
    """Where a run of ours builds an index."""
    return scratch / "built.index"


def ours(
    scratch: Path,
    name: str,
    *arguments: object,
    cold: tuple[Path, ...] = (),
    environment: Environment = (),
    rounds: int = 0,
) -> Run:
    """A work of tests.benchmarks.ours."""
    return Run(
        "tests.benchmarks.ours",
        name,
        tuple(map(str, arguments)),
        made=(made(scratch), index(scratch)),
        cold=cold,
        rounds=rounds,
        environment=environment,
    )


def peer(scratch: Path, name: str, *arguments: object, group: str = "", rounds: int = 0) -> Run:
    """A work of a module of tests.benchmarks.peers: "module.function"."""
    module, _, function = name.partition(".")
    words = tuple(map(str, arguments))
    return Run(f"tests.benchmarks.peers.{module}", function, words, group, made=(made(scratch),), rounds=rounds)


def limit(
    scratch: Path,
    program: Path,
    name: str,
    *arguments: object,
    cold: tuple[Path, ...] = (),
    environment: Environment = (),
) -> Run:
    """A work of limits.c."""
    return Run(
        str(program), name, tuple(map(str, arguments)), made=(made(scratch),), cold=cold, environment=environment
    )
