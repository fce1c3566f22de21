"""The time left in the progress of long work, compared with a build on a simulated clock."""

import random
import re
from pathlib import Path

import pytest

import imagenet_tools
from imagenet_tools import progress
from imagenet_tools.build import build
from imagenet_tools.units import Unit

N = 1000  # class tars
SECONDS = 600.0  # that reading them takes


def class_tars(path: Path) -> list[Unit]:
    """Return the units of a tar of class tars, with the large classes last, and the unit of the outer tar."""
    draw = random.Random(7)
    sizes = sorted((int(draw.lognormvariate(17, 0.8)) for _ in range(N)), key=lambda size: size * draw.uniform(0.3, 1))
    unit = Unit("image_tars", "whole", str(path.parent), path.name, "fall11")
    starts = [512 + sum(sizes[:n]) for n in range(N)]
    with path.open("wb") as file:
        file.truncate(starts[-1] + sizes[-1] + 10_240)  # all holes
    inside = [unit._replace(member=f"{n}.tar", offset=starts[n], length=sizes[n]) for n in range(N)]
    return [*inside, unit._replace(member="/")]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace the clock of the progress bar; its value is in seconds."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize("resumed", [0, 400], ids=["from_nothing", "resumed"])
def test_the_time_left_is_right_within_a_fifth_after_a_minute(
    resumed: int, tmp_path: Path, clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    units = class_tars(tmp_path / "whole.tar")
    clock[0] = 1000.0
    stage, weights = build._weights(units)
    total, done = sum(weights), 0
    assert total == pytest.approx((tmp_path / "whole.tar").stat().st_size / 1024, rel=0.01)
    shown = progress.ProgressBar()
    shown(stage, 0, total)
    draw = random.Random(8)
    costs = [unit.length * draw.uniform(0.8, 1.2) for unit in units[resumed:N]]
    capsys.readouterr()
    told = []
    for n, weight in enumerate(weights):
        if resumed <= n < N:
            clock[0] += costs[n - resumed] / sum(costs) * SECONDS
        done += weight
        shown(stage, done, total)
        if found := re.search(r", (?:(\d+) min )?(\d+) s left", capsys.readouterr().err):
            told.append((clock[0] - 1000, int(found[1] or 0) * 60 + int(found[2])))
    late = [(at, left) for at, left in told if 61 < at < SECONDS - 30]
    assert len(late) > 30
    for at, left in late:
        assert left == pytest.approx(SECONDS - at, rel=0.2), at


def test_the_time_left_counts_what_comes_after(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    shown = progress.ProgressBar()
    shown("reading", 0, 100)
    clock[0] = 20
    shown.then(30)
    shown("reading", 50, 100)
    assert "50 of 100, 50 s left" in capsys.readouterr().err
    shown("merging", 0, 100)
    clock[0] = 40
    shown("merging", 50, 100)
    assert "50 of 100, 20 s left" in capsys.readouterr().err


def test_the_pace_is_of_what_has_begun_to_count(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    shown = progress.ProgressBar()
    for second, done in ((0, 0), (12, 0), (22, 50)):
        clock[0] = second
        shown("reading", done, 100)
    assert "50 of 100, 10 s left" in capsys.readouterr().err


def test_annotations_count_nothing_beside_images_and_all_where_they_are_alone(tmp_path: Path) -> None:
    (tmp_path / "boxes.tar.gz").write_bytes(bytes(5000))
    (tmp_path / "n01440764.tar").write_bytes(bytes(20_480))
    boxes = Unit("box_xml", "boxes", str(tmp_path), "boxes.tar.gz", "ilsvrc2012")
    images = Unit("image_tars", "images", str(tmp_path), "n01440764.tar", "ilsvrc2012")
    assert build._weights([boxes, images], {"box_xml"}) == ("reading (KB)", [0, 21])
    assert build._weights([boxes, boxes], {"box_xml"}) == ("reading (KB)", [3, 3])


def test_a_build_tells_how_long_merging_will_take(sample: Path, tmp_path: Path) -> None:
    class Told:
        def __init__(self) -> None:
            self.seconds: list[float] = []

        def __call__(self, stage: str, done: int, total: int) -> None:
            pass

        def then(self, seconds: float) -> None:
            self.seconds.append(seconds)

    told = Told()
    found = imagenet_tools.build_index(sample, tmp_path / "x.index", progress=told, workers=1)
    rows = (found.rows["images"] + found.rows["boxes"]) / 1e6
    # All is read when it is said last: some microseconds a row. Copies and unused boxes are rows too.
    assert rows < told.seconds[-1] < 100 * rows


def test_units_of_folders_count_one_each_for_their_bytes_are_not_known(tmp_path: Path) -> None:
    (tmp_path / "n01440764").mkdir()
    unit = Unit("image_folder", "a", str(tmp_path), "n01440764", "ilsvrc2012")
    assert build._weights([unit, unit]) == ("reading", [1, 1])
