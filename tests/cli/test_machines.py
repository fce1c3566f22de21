"""The options --shard and --ray, and the command merge."""

from concurrent.futures import BrokenExecutor, Executor, Future
from pathlib import Path
from typing import Any

import pytest

from imagenet_tools.cli import EXISTS, FAILED, PROBLEMS, USAGE
from imagenet_tools.storage import executors
from tests.cli.conftest import Run


def test_shards_are_worked_on_and_merged(sample: Path, tmp_path: Path, run: Run) -> None:
    val = str(sample / "ILSVRC2012_img_val.tar")
    index, dest = str(tmp_path / "x.index"), str(tmp_path / "x")
    for n in range(2):
        done = run("build-index", val, "-o", index, "--shard", f"{n}/2")
        assert f"{index}, shard {n}/2: " in done.out
        assert f"imagenet-tools merge {index}" in done.err
    assert "52 images" in run("merge", index).out
    for n in range(2):
        done = run("export", dest, "-i", index, "--to", "csv", "--shard", f"{n}/2", "--json")
        assert f'"shard": "{n}/2"' in done.out
    assert "holds 52 images" in run("merge", dest).out
    again = run("merge", dest)
    assert again.code == FAILED
    assert again.err.startswith("error: ")
    assert run("export", dest, "-i", index, "--to", "csv", "--shard", "2/2").code == USAGE
    assert run("export", dest, "-i", index, "--to", "csv", "--shard", "0/2").code == EXISTS


def test_a_unit_that_kills_every_process_ends_with_exit_code_3(
    sample: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killing(Executor):
        def submit(self, *_: Any) -> Future[Any]:  # type: ignore[override]
            future: Future[Any] = Future()
            future.set_exception(BrokenExecutor())
            return future

    monkeypatch.setattr(executors, "RayExecutor", lambda _: Killing())
    val, index = str(sample / "ILSVRC2012_img_val.tar"), str(tmp_path / "x.index")
    done = run("build-index", val, "-o", index, "--ray", "auto")
    assert done.code == PROBLEMS
    assert "1 unit_killed" in done.err


def test_a_missing_ray_is_told(sample: Path, tmp_path: Path, run: Run) -> None:
    done = run("build-index", str(sample), "-o", str(tmp_path / "x"), "--ray", "auto")
    assert done.code == USAGE
    assert "pip install 'imagenet-tools[ray]'" in done.err
