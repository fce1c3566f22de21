"""Tests of reading the headers of tars ahead of their scan."""

import os
import tarfile
import time
from collections import Counter
from pathlib import Path

import pytest

from imagenet_tools import system
from imagenet_tools.containers import tar
from imagenet_tools.containers.tar_ahead import TarRange, TarsAhead
from tests.forms import whole

Advice = list[tuple[int, int]]

WINDOW = 512 + 4096


def class_tar(path: Path, n: int = 40, size: int = 5000) -> TarRange:
    with tarfile.open(path, "w") as archive:
        for number in range(n):
            whole.add(archive, f"{path.stem}_{number}.JPEG", bytes(size))
    return TarRange(path, 0, -1, WINDOW)


def walked(*tars: TarRange) -> None:
    n_open = len(list(Path("/dev/fd").iterdir()))
    with TarsAhead(tars) as ahead:
        for number in range(len(tars)):
            ahead.wait_for(number)
    assert len(list(Path("/dev/fd").iterdir())) == n_open


@pytest.fixture
def advice(monkeypatch: pytest.MonkeyPatch) -> Advice:
    """Return a list of the (offset, bytes) that the kernel is advised of, on a system that has nothing in memory."""
    places: Advice = []
    monkeypatch.setattr(system, "advise", lambda fd, offset, n, advice: places.append((offset, n)))
    monkeypatch.setattr(system, "in_page_cache", lambda fd, offset: False)
    return places


def test_every_member_of_many_tars_is_advised_of(tmp_path: Path, advice: Advice) -> None:
    tars = [class_tar(tmp_path / f"{number}.tar", n=1 + number % 7) for number in range(100)]
    walked(*tars)
    advised = Counter(place for place, _ in advice)
    headers = Counter(member.offset - 512 for path, *_ in tars for member in tar.walk(path))
    assert headers <= advised  # which has the zeros at the end of each tar too
    assert {n for _, n in advice} == {WINDOW}


def test_parts_of_a_file_are_walked_up_to_their_ends(tmp_path: Path, advice: Advice) -> None:
    first, second = (class_tar(tmp_path / f"{number}.tar").path.read_bytes() for number in range(2))
    both = tmp_path / "both"
    both.write_bytes(first + second)
    walked(TarRange(both, 0, len(first), WINDOW), TarRange(both, len(first), len(second), WINDOW))
    places = [offset - 512 for _, offset, *_ in tar.walk(both, end=len(first))]
    assert {*places, *(len(first) + place for place in places)} <= {place for place, _ in advice}
    assert max(place for place, _ in advice) < len(first) + len(second)


def test_a_tar_in_memory_is_left_to_its_scan(tmp_path: Path, advice: Advice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "in_page_cache", lambda fd, offset: True)
    walked(class_tar(tmp_path / "large.tar", n=100))
    assert len(advice) <= 21


def test_small_members_are_left_to_the_kernel(tmp_path: Path, advice: Advice) -> None:
    walked(class_tar(tmp_path / "small.tar", n=100, size=1000))
    assert len(advice) <= 21


def test_what_is_no_tar_is_left_out(tmp_path: Path, advice: Advice) -> None:
    (tmp_path / "text").write_bytes(b"no tar" * 1000)
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    back = tmp_path / "back"
    back.write_bytes((bytes(124) + b"-7777777777" + bytes(377)) * 10)
    paths = [tmp_path / name for name in ("text", "empty", "pipe", "back", "absent", ".")]
    walked(*(TarRange(path, 0, -1, WINDOW) for path in paths), TarRange(back, 512, 4096, WINDOW))
    assert len(advice) <= 5


def test_a_file_system_that_heeds_no_advice_is_left_to_the_threads(
    tmp_path: Path, advice: Advice, monkeypatch: pytest.MonkeyPatch
) -> None:
    pread = os.pread

    def slow_pread(fd: int, n: int, offset: int) -> bytes:
        time.sleep(0.001)
        return pread(fd, n, offset)

    monkeypatch.setattr(os, "pread", slow_pread)
    walked(*(class_tar(tmp_path / f"{number}.tar", n=200) for number in range(40)))
    assert len(advice) < 100
