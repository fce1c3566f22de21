"""Exports that cannot go well: nothing half appears, what is finished is kept, and the message says what to do."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import imagenet_tools
from imagenet_tools.errors import ExistsError, ExportError
from imagenet_tools.exports.run import partial_folder
from imagenet_tools.index import Index
from imagenet_tools.storage import files
from imagenet_tools.storage.files import lock
from tests.exports.odd import make_odd, sources
from tests.exports.test_contract import content
from tests.network_disk import keep_open_files
from tests.parameters import short_list
from tests.waiting import PATIENCE, until

COMMAND = [sys.executable, "-c", "from imagenet_tools.cli import main; main()"]


def interrupt() -> None:
    raise KeyboardInterrupt


def test_a_place_inside_a_source_or_the_index_is_refused(tmp_path: Path) -> None:
    make_odd(tmp_path / "source")
    imagenet_tools.build_index(sources(tmp_path / "source"), tmp_path / "x.index", dataset="ilsvrc2012", workers=1)
    index = imagenet_tools.open_index(tmp_path / "x.index")
    (tmp_path / "link").symlink_to(tmp_path / "source" / "train")
    for place in ("source/train/export", "source/train/n01440764/x", "x.index/export", "link/export"):
        with pytest.raises(ExportError, match="is indexed, or the index"):
            imagenet_tools.export(index.select(), tmp_path / place, to="image_folder")
    imagenet_tools.export(index.select(), tmp_path / "missing" / "parents" / "x", to="image_folder")
    assert (tmp_path / "missing" / "parents" / "x" / "manifest.json").is_file()


def test_a_partial_folder_that_is_not_ours_is_left_alone(odd: Index, tmp_path: Path) -> None:
    (tmp_path / "a.partial").mkdir()
    (tmp_path / "a.partial" / "mine").write_text("mine")
    (tmp_path / "b.partial").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "c.partial").write_text("mine")
    for name in "abc":
        with pytest.raises(ExistsError):
            imagenet_tools.export(odd.select(), tmp_path / name, to="image_folder")
    assert (tmp_path / "a.partial" / "mine").read_text() == (tmp_path / "c.partial").read_text() == "mine"
    assert not (tmp_path / "elsewhere").exists()


def test_an_export_to_a_network_disk_is_published(odd: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_open_files(monkeypatch)
    imagenet_tools.export(odd.select(), tmp_path / "x", to="image_folder", workers=1)
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert not (tmp_path / "x" / ".work").exists()


def test_an_export_that_is_about_to_be_published_is_not_written_into(odd: Index, tmp_path: Path) -> None:
    work = tmp_path / "x.partial" / ".work"  # its folder .work is removed when nobody holds its lock
    work.mkdir(parents=True)
    (tmp_path / "x.partial" / "train").mkdir()
    with pytest.raises(ExistsError, match="is not half of an export"):
        imagenet_tools.export(odd.select(), tmp_path / "x", to="image_folder", workers=1)


def test_two_exports_to_one_place_do_not_mix(odd: Index, tmp_path: Path) -> None:
    work = tmp_path / "x.partial" / ".work"
    work.mkdir(parents=True)
    with lock(work / "lock"), pytest.raises(ExistsError, match="is being written by"):
        imagenet_tools.export(odd.select(), tmp_path / "x", to="image_folder")


def test_half_an_export_is_not_gone_on_with_when_a_list_that_it_names_has_changed(odd: Index, tmp_path: Path) -> None:
    listed, excluded = tmp_path / "mine.txt", tmp_path / "other" / "mine.txt"
    excluded.parent.mkdir()
    excluded.write_text("n02012849_1\n")
    for stem in ("n01440764_1", "n01440764_2", "n01440764_1"):  # as many images of the same class each time
        listed.write_text(f"{stem}\n")
        chosen = odd.select(images=str(listed), exclude=str(excluded))
        plan = imagenet_tools.plan_export(chosen, to="image_folder")
        if stem == "n01440764_2":
            with pytest.raises(ExistsError, match="half of another export"), partial_folder([plan], tmp_path / "x"):
                pass
        else:
            with pytest.raises(KeyboardInterrupt), partial_folder([plan], tmp_path / "x"):
                raise KeyboardInterrupt


@pytest.mark.parametrize("step", ["_flush", "_rename_new", "fsync_folder"])
def test_a_complete_export_that_is_interrupted_before_it_has_its_name_is_not_lost(
    step: str, odd: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = getattr(files, step)

    def interrupt_at(*paths: object) -> None:
        if str(paths[-1]) in map(str, (tmp_path, tmp_path / "x", tmp_path / "x.partial")):
            raise KeyboardInterrupt
        done(*paths)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(files, step, interrupt_at)
        imagenet_tools.export(odd.select(), tmp_path / "x", to="csv")
    if step != "fsync_folder":  # then it has its name
        imagenet_tools.export(odd.select(), tmp_path / "x", to="csv")
    assert {path.name for path in tmp_path.iterdir()} <= {"x", "x.partial.work"}
    (tmp_path / "x").rename(tmp_path / "first")
    imagenet_tools.export(odd.select(), tmp_path / "x", to="csv")
    assert content(tmp_path / "first") == content(tmp_path / "x")
    assert {path.name for path in tmp_path.iterdir()} == {"first", "x"}


def test_a_merge_of_shards_that_is_interrupted_at_its_end_goes_on(
    odd: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imagenet_tools.export_shard(odd.select(), tmp_path / "x", "0/1", to="csv")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(files, "_flush", lambda path: (path / ".work").rename(files._aside(path)) and interrupt())
        imagenet_tools.merge(tmp_path / "x")
    imagenet_tools.merge(tmp_path / "x")
    imagenet_tools.export(odd.select(), tmp_path / "y", to="csv")
    assert content(tmp_path / "x") == content(tmp_path / "y")


def test_an_export_that_gets_its_name_is_left_alone_by_another(odd: Index, tmp_path: Path) -> None:
    (tmp_path / "x.partial").mkdir()
    (tmp_path / "x.partial.work").mkdir()
    with lock(tmp_path / "x.partial.work" / "lock"), pytest.raises(ExistsError, match="is being written by"):
        imagenet_tools.export(odd.select(), tmp_path / "x", to="csv")


@pytest.mark.parametrize("workers", short_list([1, 2], 2))
def test_a_full_disk_leaves_nothing_half_and_the_export_goes_on_when_there_is_room(
    workers: int, odd: Index, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=100k", "none", str(disk)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk is not allowed here")
    try:
        words = ["export", str(disk / "x"), "--to", "yolo", "--link", "copy", "--workers", str(workers)]
        ran = subprocess.run([*COMMAND, "-i", str(odd.path), *words], check=False, capture_output=True, text=True)
        assert ran.returncode == 1
        assert "No space left on device" in ran.stderr and "make room, and run the same command again" in ran.stderr
        assert "Traceback" not in ran.stderr
        assert not (disk / "x").exists()
        subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
        ran = subprocess.run([*COMMAND, "-i", str(odd.path), *words], check=False, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        imagenet_tools.export(odd.select(), tmp_path / "whole", to="yolo")
        assert content(disk / "x") == content(tmp_path / "whole")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def children_of(process: str) -> list[str]:
    return Path(f"/proc/{process}/task/{process}/children").read_text().split()


def test_ctrl_c_gives_130_and_no_worker_stays(odd: Index, tmp_path: Path) -> None:
    sent = tmp_path / "sent"  # no worker goes on before the signal was sent, however late that is
    script = (
        "from imagenet_tools.exports import pieces\npieces._PIECE = 300_000\n"
        "from imagenet_tools.cli import main; main()"
    )
    # Python imports it when it starts, in the fork server of the workers too.
    (tmp_path / "sitecustomize.py").write_text(
        "import time; from pathlib import Path; from imagenet_tools.exports import job\n"
        "put = job.FilePerImage.add\n"
        "def add(self, row, picture):\n    put(self, row, picture)\n"
        f"    while not Path({str(sent)!r}).exists():\n        time.sleep(0.02)\n    time.sleep(0.2)\n"
        "job.FilePerImage.add = add\n"
    )
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    words = ["-i", str(odd.path), "export", str(tmp_path / "x"), "--to", "image_folder", "--workers", "2"]
    command = [sys.executable, "-c", script, *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as ran:
        assert until(lambda: any((tmp_path / "x.partial").rglob("*.JPEG")))
        children = children_of(str(ran.pid))
        workers = [worker for child in children for worker in children_of(child)]
        ran.send_signal(signal.SIGINT)
        sent.touch()
        _, said = ran.communicate(timeout=PATIENCE)
    assert ran.returncode == 130
    assert "run the same command again to go on" in said and "Traceback" not in said
    assert workers and until(lambda: not any(Path(f"/proc/{child}").exists() for child in [*children, *workers]))
    assert not (tmp_path / "x").exists()
    imagenet_tools.export(odd.select(), tmp_path / "x", to="image_folder")
    (found,) = imagenet_tools.check(tmp_path / "x", index=odd, read_data=True)
    assert [one.code for one in found.findings] == ["E310"]  # an image that is cut as it is


def test_a_source_that_is_gone_is_named_and_nothing_appears(tmp_path: Path) -> None:
    make_odd(tmp_path / "source")
    imagenet_tools.build_index(sources(tmp_path / "source"), tmp_path / "x.index", dataset="ilsvrc2012", workers=1)
    (tmp_path / "source" / "train").rename(tmp_path / "moved")
    words = ["-i", str(tmp_path / "x.index"), "export", str(tmp_path / "x"), "--to", "image_folder"]
    ran = subprocess.run([*COMMAND, *words, "--dry-run"], check=False, capture_output=True, text=True)
    assert ran.returncode == 0 and "1 source is not there: give --root NAME=PATH" in ran.stderr
    ran = subprocess.run([*COMMAND, *words], check=False, capture_output=True, text=True)
    assert ran.returncode == 1 and "--root NAME=PATH" in ran.stderr and "Traceback" not in ran.stderr
    assert not (tmp_path / "x").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may take another's rights")
def test_a_place_that_may_not_be_written_is_said(odd: Index, tmp_path: Path) -> None:
    ran = subprocess.run(
        [*COMMAND, "-i", str(odd.path), "export", "/proc/x", "--to", "image_folder"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert ran.returncode == 1 and "/proc/x.partial" in ran.stderr and "Traceback" not in ran.stderr
