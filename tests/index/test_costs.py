"""What reading costs, by counting and not by time: system calls and bytes an image, of a tar and of class folders."""

import io
import os
import random
import re
import shutil
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

from tests.parameters import short_list

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="counts what Linux counts")

WNID = "n01440764"
FEW, MANY = 100, 1100  # images: what differs between them is what an image costs
SIZE = 20_000  # bytes of an image

SCRIPT = """
import sys
from pathlib import Path
import imagenet_tools
imagenet_tools.build_index([sys.argv[1]], sys.argv[2], workers=1)
print(Path("/proc/self/io").read_text())
"""


class Cost(NamedTuple):
    """What building an index from one more image takes."""

    reads: float  # system calls that read
    read: float  # bytes, those of parts and of the index's own files too
    calls: dict[str, float]  # system calls on files and their bytes, by name; empty without strace


def images(folder: Path) -> list[Path]:
    """MANY files: a JPEG, filled up to SIZE with noise behind its end."""
    drawn = io.BytesIO()
    Image.new("RGB", (64, 48), (200, 30, 40)).save(drawn, "JPEG")
    data = drawn.getvalue()
    folder.mkdir(parents=True)
    noise = random.Random(1)
    paths = []
    for n in range(MANY):
        path = folder / f"{WNID}_{n}.JPEG"
        path.write_bytes(data + noise.randbytes(SIZE - len(data)))
        paths.append(path)
    return paths


def counts(path: Path, folder: Path) -> Counter[str]:
    """What Linux counted while an index was built."""
    index, log = folder / "x.index", folder / "calls"
    shutil.rmtree(index, ignore_errors=True)
    command = [sys.executable, "-c", SCRIPT, str(path), str(index)]
    traced = ["strace", "-f", "-qq", "-e", "trace=%file,%desc", "-o", str(log)] if shutil.which("strace") else []
    done = subprocess.run([*traced, *command], capture_output=True, text=True, check=True)
    found = Counter({name: int(n) for name, n in re.findall(r"(rchar|syscr): (\d+)", done.stdout)})
    if traced:
        found.update(
            re.findall(r"^\d+ +(?:<\.\.\. )?(\w+)(?=\(| resumed)(?!.*unfinished)", log.read_text(), re.MULTILINE)
        )
    return found


def cost(few: Path, many: Path, folder: Path) -> Cost:
    before, after = counts(few, folder), counts(many, folder)
    each = {name: (after[name] - before[name]) / (MANY - FEW) for name in after}
    return Cost(each.pop("syscr"), each.pop("rchar"), each)


@pytest.mark.parametrize("form", short_list([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT], tarfile.PAX_FORMAT))
def test_of_a_tar_of_class_tars_an_image_costs_a_read_of_each_header(tmp_path: Path, form: int) -> None:
    reads = {tarfile.GNU_FORMAT: 1, tarfile.PAX_FORMAT: 2}[form]
    paths = images(tmp_path / "images")
    made = []
    for n in (FEW, MANY):
        inner = io.BytesIO()
        with tarfile.open(fileobj=inner, mode="w", format=form) as archive:
            for path in paths[:n]:
                archive.add(path, path.name)
        folder = tmp_path / f"{n}"
        folder.mkdir()
        (folder / f"{WNID}.tar").write_bytes(inner.getvalue())
        made.append(folder / "whole.tar")
        with tarfile.open(made[-1], "w") as archive:
            archive.add(folder / f"{WNID}.tar", f"{WNID}.tar")
    found = cost(*made, tmp_path)
    assert found.reads < reads + 0.1
    assert found.read < reads * (512 + 4096) + 512
    assert sum(found.calls.values()) < reads + 0.1


def test_of_class_folders_an_image_is_opened_once_and_read_once(tmp_path: Path) -> None:
    paths = images(tmp_path / f"{MANY}" / WNID)
    few = tmp_path / f"{FEW}" / WNID
    few.mkdir(parents=True)
    for path in paths[:FEW]:
        os.link(path, few / path.name)
    found = cost(few.parent, paths[0].parent.parent, tmp_path)
    assert found.reads < 1.1
    assert found.read < 4096 + 512
    assert found.calls.get("openat", 1) < 1.05
    assert sum(found.calls.values()) < 6.1  # stat for what tells that it changed, open, fadvise, lseek, read, close
