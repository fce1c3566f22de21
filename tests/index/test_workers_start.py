"""When a build starts worker processes: by a clock that the units of the test set, as no test is a timing."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from imagenet_tools.build import build
from imagenet_tools.build.unit_work import Task
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
