"""When a build starts worker processes: by a clock that the units of the test set, as no test is a timing."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from imagenet_tools.build import build
from imagenet_tools.build.unit_work import Task
from imagenet_tools.containers.tar_ahead import TarRange, TarsAhead
from imagenet_tools.store.sources import UnitRecord
from imagenet_tools.units import Unit


@pytest.mark.parametrize(
    ("first_seconds", "unit_seconds", "n_here"),
    [
        (0.2, 0.004, 100),  # the rest takes 0.4 s: workers would take longer to start
        (0.2, 0.04, 2),  # the rest takes 4 s
        (2.0, 0.004, 1),  # a slow disk, or a large unit: nothing is known of the others
    ],
)
def test_workers_start_if_the_rest_takes_longer_than_their_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first_seconds: float, unit_seconds: float, n_here: int
) -> None:
    seconds, here = [0.0], []

    def work(task: Task) -> Task:
        seconds[0] += unit_seconds if here else first_seconds
        here.append(task)
        return task

    monkeypatch.setattr(build, "time", SimpleNamespace(monotonic=lambda: seconds[0]))
    monkeypatch.setattr(build, "work", work)
    monkeypatch.setattr(build, "in_processes", lambda work, tasks, *_, **__: (task for task in tasks))
    units = [Unit("image_folder", "train", str(tmp_path), f"n{n:08d}", "ilsvrc2012") for n in range(100)]
    tasks = [Task(unit, tmp_path, None) for unit in units]
    assert list(build._results(tasks, None, None, 2)) == tasks
    assert here == tasks[:n_here]


def test_tars_are_read_ahead_only_if_all_of_them_will_be_scanned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead: list[TarRange] = []

    class Recorder(TarsAhead):
        def __init__(self, tars: Sequence[TarRange]):
            ahead.extend(tars)
            super().__init__([])

    monkeypatch.setattr(build, "TarsAhead", Recorder)
    monkeypatch.setattr(build, "in_processes", lambda work, tasks, *_, **__: (task for task in tasks))
    parts = tmp_path / "parts"
    parts.mkdir()
    unit = Unit("image_tars", "train", str(tmp_path), "train.tar", "ilsvrc2012", offset=512, length=1 << 30)
    record = UnitRecord(unit.key, "image_tars", "train.tar", "", "", 0, 0, 0, 0, -1, "", 0)
    tasks = [Task(unit._replace(offset=number), parts, None) for number in range(10)]
    assert len(list(build._results(tasks, 2, None, 2))) == len(tasks)
    assert [tar.start for tar in ahead] == list(range(10))
    ahead.clear()
    list(build._results([*tasks, Task(unit, parts, record)], 2, None, 2))
    (parts / "first.part").touch()  # an interrupted build
    list(build._results(tasks, 2, None, 2))
    assert not ahead
