"""Archives are compared with their published sizes and sums, and an interruption never gives a wrong sum."""

import gzip
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import imagenet_tools
from imagenet_tools.catalogue import sums
from imagenet_tools.catalogue.sums import ARCHIVES, BY_NAME, SWAPPED, Checked
from imagenet_tools.cli import run
from imagenet_tools.errors import SourceError
from tests.conftest import Extracted
from tests.forms import whole

SIZE = 40 << 20  # larger than any archive that is summed here by its rounded size


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "md5.json"


def only(path: Path, cache: Path, **options: object) -> Checked:
    found = list(imagenet_tools.check(path, cache=cache, **options))  # type: ignore[arg-type]
    assert len(found) == 1
    return found[0]


def codes(one: Checked) -> list[str]:
    return [finding.code for finding in one.findings]


def test_the_published_sums_are_sums_and_each_name_stands_once() -> None:
    assert all(len(archive.md5) in (0, 32) for archive in ARCHIVES)
    assert all(set(archive.md5) <= set("0123456789abcdef") for archive in ARCHIVES)
    assert len(BY_NAME) == len(ARCHIVES)


def test_the_official_list_of_labels_is_as_published(real: Path, cache: Path, tmp_path: Path) -> None:
    path = real / "ilsvrc2012" / "ILSVRC2015_clsloc_validation_ground_truth.txt"
    assert (only(path, cache, md5=True).findings, only(path, cache).findings) == ((), ())
    shutil.copy(path, tmp_path / "truth.txt")
    found = only(tmp_path / "truth.txt", cache, md5=True)
    assert (found.findings, found.published) == ((), "ILSVRC2013_clsloc_validation_ground_truth.txt")
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    (tmp_path / path.name).write_bytes(data)
    assert codes(only(tmp_path / path.name, cache, md5=True)) == ["E102"]
    assert run(["check", str(tmp_path / path.name), "--md5", "--cache", str(cache)]) == 1
    assert run(["check", str(path), "--md5", "--cache", str(cache)]) == 0


def test_an_archive_of_another_size_is_not_read_for_its_sum(sample: Path, cache: Path) -> None:
    found = only(sample / "ILSVRC2012_img_train.tar", cache, md5=True)
    assert codes(found) == ["E101"]
    assert found.md5 == ""
    assert "expected 147,897,477,120" in found.findings[0].message
    assert not cache.exists()


def test_the_small_archives_of_the_sample_are_told_by_their_sizes(
    sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["check", str(sample), "--json"]) == 1
    found = {Path(one["path"]).name: one for one in json.loads(capsys.readouterr().out)}
    for name, expected in (
        ("ILSVRC2012_img_val.tar", "6,744,924,160"),
        ("ILSVRC2012_bbox_val_v3.tgz", "about 2,200,000"),
        ("ILSVRC2012_devkit_t12.tar.gz", "about 2,500,000"),
    ):
        (finding,) = found[name]["findings"]
        assert finding["code"] == "E101"
        assert f"found {found[name]['size']:,} bytes, expected {expected}" in finding["message"]
        assert found[name]["size"] == (sample / name).stat().st_size
    assert all(set(one) == {"path", "size", "md5", "published", "findings"} for one in found.values())


@pytest.mark.parametrize("name", ["ILSVRC2012_bbox_train_v2.tar.gz", "ILSVRC2012_img_train_t3.tar"])
def test_a_size_that_fits_the_rounded_one_is_summed_and_other_bytes_are_wrong(
    name: str, cache: Path, tmp_path: Path
) -> None:
    path = tmp_path / name
    with path.open("wb") as file:
        file.truncate(BY_NAME[name].about or 0)
    if path.stat().st_size < SIZE:
        assert codes(only(path, cache, md5=True)) == ["E102"]
    assert codes(only(path, cache)) == ["W104"]


def test_sums_that_public_lists_swap_are_told(tmp_path: Path) -> None:
    train, dogs = SWAPPED
    for name, other in ((train, dogs), (dogs, train)):
        found, findings = sums._judge(tmp_path / name, 1, BY_NAME[other].md5)
        assert found == BY_NAME[other]
        assert [finding.code for finding in findings] == ["W102"]
        assert "wrong way round" in findings[0].message


@pytest.mark.parametrize("name", ["ILSVRC2012_devkit_t12.tar", "ILSVRC2012_devkit_t12.tar.gz"])
def test_a_devkit_that_was_gunzipped_on_its_way_is_told(name: str, sample: Path, cache: Path, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.decompress((sample / "ILSVRC2012_devkit_t12.tar.gz").read_bytes()))
    found = only(path, cache, md5=True)
    assert (codes(found), found.published) == (["W103"], "ILSVRC2012_devkit_t12.tar.gz")
    assert run(["check", str(path)]) == 3  # nothing was compared
    assert run(["check", str(path), "--strict"]) == 1


def test_a_folder_is_searched_for_known_names_and_nothing_is_written_into_it(sample: Path, cache: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in sample.iterdir()}
    found = {one.path.name: codes(one) for one in imagenet_tools.check(sample, cache=cache, md5=True)}
    assert {path.name: path.stat().st_mtime_ns for path in sample.iterdir()} == before
    assert found["ILSVRC2012_bbox_val_v3.tgz"] == ["E101"]
    assert "LOC_val_solution.csv" not in found
    assert len(found) == 6


def test_what_is_not_there_or_holds_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="does not exist"):
        list(imagenet_tools.check(tmp_path / "nowhere"))
    with pytest.raises(SourceError, match="no file that is called"):
        list(imagenet_tools.check(tmp_path))


# ---- sums


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "fall11_whole.tar"
    path.write_bytes(random.Random(3).randbytes(2 * sums._BLOCK_BYTES + 1))
    return path


# Runs `check --md5` again and again, with Ctrl-C before or after another block is added. Prints the exit codes.
INTERRUPTING = """
import hashlib, signal, sys
from imagenet_tools.cli import run
from imagenet_tools.catalogue import sums

class Digest:
    def __init__(self, **options):
        self.md5, self.n = hashlib.md5(**options), 0
        self.hexdigest = self.md5.hexdigest
    def update(self, data):
        self.n += 1
        if place == (self.n, "before"):
            signal.raise_signal(signal.SIGINT)
        self.md5.update(data)
        if place == (self.n, "after"):
            signal.raise_signal(signal.SIGINT)

class Hashing:
    md5 = Digest

sums.hashlib, sums._BLOCK_BYTES = Hashing, 1 << 20
for place in [(n, when) for n in (1, 2, 3, 5, 8) for when in ("before", "after")]:
    print(run(sys.argv[1:]), file=sys.stderr)
place = None
sys.exit(run(sys.argv[1:]))
"""


def test_a_sum_is_right_however_often_and_wherever_it_was_interrupted(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "fall11_whole.tar"
    path.write_bytes(random.Random(3).randbytes((8 << 20) - 1))
    command = [sys.executable, "-c", INTERRUPTING, "check", str(path), "--md5", "--json", "--cache", str(cache)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 3, ran.stderr  # its sum is compared with no published one
    assert [line for line in ran.stderr.splitlines() if line.isdigit()] == ["130"] * 10
    last = "[" + ran.stdout.rpartition("\n[")[2]  # behind an error for each interruption
    assert json.loads(last)[0]["md5"] == hashlib.md5(path.read_bytes()).hexdigest()


class Interrupted(BaseException):
    """Ctrl-C at a chosen time."""


def test_what_was_summed_before_the_interruption_is_not_read_again(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / name for name in ("first.tar", "second.tar", "third.tar")]
    for n, path in enumerate(paths):
        path.write_bytes(random.Random(n).randbytes(2 * sums._BLOCK_BYTES + 1))
    opened: list[str] = []
    open_path = Path.open

    def recorded(path: Path, *args: Any, **options: Any) -> Any:
        opened.append(path.name)
        return open_path(path, *args, **options)

    def stop_in_the_second(stage: str, done: int, total: int) -> None:
        if "second.tar" in stage and done < total:
            raise Interrupted

    monkeypatch.setattr(Path, "open", recorded)
    with pytest.raises(Interrupted):
        list(imagenet_tools.check(paths, cache=cache, md5=True, progress=stop_in_the_second))
    assert [name for name in opened if name.endswith(".tar")] == ["first.tar", "second.tar"]
    assert list(json.loads(cache.read_text())) == [str(paths[0])]
    opened.clear()
    found = list(imagenet_tools.check(paths, cache=cache, md5=True))
    assert [name for name in opened if name.endswith(".tar")] == ["second.tar", "third.tar"]
    assert [one.md5 for one in found] == [hashlib.md5(path.read_bytes()).hexdigest() for path in paths]


def test_a_file_that_changed_is_summed_anew(large: Path, cache: Path) -> None:
    first = only(large, cache, md5=True).md5
    with large.open("r+b") as file:
        file.write(b"changed")
    assert only(large, cache, md5=True).md5 == hashlib.md5(large.read_bytes()).hexdigest() != first
    status = large.stat()
    with large.open("r+b") as file:
        file.write(b"CHANGED")
    os.utime(large, ns=(status.st_atime_ns, status.st_mtime_ns))  # neither size nor time tells
    assert only(large, cache, md5=True, fresh=True).md5 == hashlib.md5(large.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "kept", [b"{half", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"PATH": 5}', b'{"PATH": {"stamp": "STAMP"}}']
)
def test_a_cache_that_cannot_be_read_costs_work_alone(kept: bytes, large: Path, cache: Path) -> None:
    status = large.stat()
    stamp = f"{status.st_size} {status.st_mtime_ns}"
    cache.parent.mkdir()
    cache.write_bytes(kept.replace(b"PATH", str(large).encode()).replace(b"STAMP", stamp.encode()))
    assert only(large, cache, md5=True).md5 == hashlib.md5(large.read_bytes()).hexdigest()


def test_info_holds_the_whole_against_its_published_count(
    extracted: Extracted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = whole.fall11_whole(tmp_path / "fall11_whole.tar", whole.images(extracted.data.values()))
    imagenet_tools.build_index([archive], tmp_path / "x.index", workers=1)
    assert run(["-i", str(tmp_path / "x.index"), "info", "--json"]) == 0
    (split,) = json.loads(capsys.readouterr().out)["splits"]
    assert (split["dataset"], split["images"], split["published"]) == ("fall11", 20, 14_197_122)
