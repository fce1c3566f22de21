"""`detect` reads headers: few bytes of archives, few files of folders, and no folder of a class but the first ones."""

import io
import os
import random
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import imagenet_tools
from tests.conftest import Extracted

MB = 1 << 20

_counts: list[Counter[str]] = []


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if not _counts or event not in ("os.scandir", "os.listdir", "open"):
        return
    path = arguments[0]
    if isinstance(path, int) and event != "open":
        path = Path(f"/proc/self/fd/{path}").readlink()
    if isinstance(path, (str, os.PathLike)):
        _counts[-1][f"{'open' if event == 'open' else 'list'} {os.fspath(path)}"] += 1


sys.addaudithook(_audit)


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """How often each path is opened and each folder listed, as Python's own audit tells it."""
    _counts.append(Counter())
    try:
        yield _counts[-1]
    finally:
        _counts.pop()


def bytes_read() -> int:
    """What this process has read so far, as Linux counts it."""
    return int(Path("/proc/self/io").read_text().split()[1])


@pytest.fixture(scope="module", autouse=True)
def imported(sample: Path) -> None:
    imagenet_tools.detect(sample)  # what is imported on the way is not counted


@pytest.mark.skipif(sys.platform != "linux", reason="counts what Linux counts")
@pytest.mark.parametrize("classes", [0, 40])
def test_of_a_tar_of_24_mb_less_than_one_is_read(classes: int, tmp_path: Path) -> None:
    noise = random.Random(1).randbytes(100_000)

    def add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))

    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for n in range(classes or 240):
            if classes:
                inner = io.BytesIO()
                with tarfile.open(fileobj=inner, mode="w") as images:
                    for number in range(240 // classes):
                        add(images, f"n{n:08d}_{number}.JPEG", noise)
                add(archive, f"n{1440764 + n:08d}.tar", inner.getvalue())
            else:
                add(archive, f"ILSVRC2012_val_{n + 1:08d}.JPEG", noise)
    assert path.stat().st_size > 24_000_000
    before = bytes_read()
    (found,) = imagenet_tools.detect(path).found
    read = bytes_read() - before
    assert found.form == "image_tars"
    assert read < MB


def test_class_folders_are_listed_and_no_image_is_opened(extracted: Extracted, tmp_path: Path) -> None:
    wnids = sorted(imagenet_tools.classes("ilsvrc2012").wnids)[:300]
    for wnid in wnids:
        (tmp_path / "train" / wnid).mkdir(parents=True)
        for number in range(3):
            (tmp_path / "train" / wnid / f"{wnid}_{number}.JPEG").touch()
    for path in (tmp_path / "train", tmp_path):
        with counted() as counts:
            (found,) = imagenet_tools.detect(path).found
        assert found.form == "image_folder"
        assert "300 class folders" in found.evidence
        assert not any(".JPEG" in name for name in counts)
        inside = {name for name in counts if name.startswith(f"list {tmp_path / 'train' / 'n'}")}
        assert max(counts[name] for name in inside) <= 4  # an empty one hides none of the others
    with counted() as counts:
        imagenet_tools.build_index([tmp_path], tmp_path / "x.index", workers=1)
    # For what detect looks into, for what tells that it changed, and for the images.
    assert max(counts[f"list {tmp_path / 'train' / wnid}"] for wnid in wnids) <= 12
