"""Outputs appear whole or not at all, and never over something that exists."""

import errno
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import pytest

from imagenet_tools.errors import ExistsError, ExportError, ImagenetToolsError, SourceError
from imagenet_tools.storage import files, links
from imagenet_tools.storage.blob import Descriptors

DATA = random.Random(1).randbytes(200_000)
SOURCES = Descriptors()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def taken(folder: Path) -> list[Path]:
    """Everything that can bear a name."""
    (folder / "file").write_bytes(b"old")
    (folder / "folder").mkdir()
    (folder / "link").symlink_to("file")
    (folder / "dangling").symlink_to("nowhere")
    os.mkfifo(folder / "pipe")
    return sorted(folder.iterdir())


def state(folder: Path) -> list[tuple[str, int, int]]:
    return [(path.name, path.lstat().st_ino, path.lstat().st_size) for path in sorted(folder.iterdir())]


# ---- files


@pytest.mark.parametrize("fsync", [True, False])
def test_a_file_bears_its_name_only_when_it_is_whole(tmp_path: Path, fsync: bool) -> None:
    with files.whole(tmp_path / "a.json", fsync=fsync) as out:
        out.write(DATA)
        out.flush()
        (partial,) = names(tmp_path)
        assert partial.startswith(".")
        assert partial.endswith(".partial")
    assert names(tmp_path) == ["a.json"]
    assert (tmp_path / "a.json").read_bytes() == DATA


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_a_file_that_fails_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    def write(replace: bool) -> None:
        with files.whole(tmp_path / "a.json", replace=replace) as out:
            out.write(DATA)
            raise error

    with pytest.raises(error):
        write(replace=False)
    assert names(tmp_path) == []
    (tmp_path / "a.json").write_bytes(b"old")
    with pytest.raises(error):
        write(replace=True)
    assert names(tmp_path) == ["a.json"]
    assert (tmp_path / "a.json").read_bytes() == b"old"


def test_nothing_is_written_over_what_bears_the_name(tmp_path: Path) -> None:
    places = taken(tmp_path)
    before = state(tmp_path)
    for path in places:
        with pytest.raises(ExistsError, match=f"{path.name} exists"):
            files.write_whole(path, b"new")
    assert state(tmp_path) == before


def test_a_name_that_is_taken_meanwhile_is_not_written_over(tmp_path: Path) -> None:
    def write() -> None:
        with files.whole(tmp_path / "a.json") as out:
            out.write(b"new")
            (tmp_path / "a.json").write_bytes(b"meanwhile")

    with pytest.raises(ExistsError):
        write()
    assert names(tmp_path) == ["a.json"]
    assert (tmp_path / "a.json").read_bytes() == b"meanwhile"


def test_a_file_is_replaced_where_that_is_asked_for_and_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "master").write_bytes(b"master")
    (tmp_path / "link").symlink_to("master")
    (tmp_path / "old").write_bytes(b"old")
    for name in ("old", "link", "new"):
        files.write_whole(tmp_path / name, DATA, replace=True)
        assert (tmp_path / name).read_bytes() == DATA
        assert not (tmp_path / name).is_symlink()
    assert (tmp_path / "master").read_bytes() == b"master"


def test_a_file_has_the_mode_that_the_umask_leaves(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        files.write_whole(tmp_path / "a", b"")
    finally:
        os.umask(old)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    files.write_whole(tmp_path / ("n" * 255), b"")
    assert names(tmp_path) == ["n" * 255]


def test_of_many_writers_of_one_name_one_wins(tmp_path: Path) -> None:
    def write(n: int) -> bool:
        try:
            files.write_whole(tmp_path / "a", bytes([n]) * 1000, fsync=False)
        except ExistsError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(write, range(64))) == 1
    assert names(tmp_path) == ["a"]
    assert len(set((tmp_path / "a").read_bytes())) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    class Full(Descriptors):
        def copy_to(self, path: object, offset: int, length: int, out_fd: int) -> None:
            full = os.open("/dev/full", os.O_WRONLY)
            try:
                os.write(full, b"x")
            finally:
                os.close(full)

    with pytest.raises(OSError, match="No space left") as caught:
        links.write_range(tmp_path / "out", tmp_path / "in", 0, 1, sources=Full())
    assert (caught.value.filename, caught.value.filename2) == (str(tmp_path / "in"), str(tmp_path / "out"))
    assert names(tmp_path) == []


def test_a_folder_that_is_gone_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "gone" / "a.csv"
    with pytest.raises(FileNotFoundError) as raised, files.whole(path):
        pass
    assert raised.value.filename == str(path)


def test_a_range_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "source.tar").write_bytes(DATA)
    links.write_range(tmp_path / "a.JPEG", tmp_path / "source.tar", 512, 100_000, sources=SOURCES)
    assert (tmp_path / "a.JPEG").read_bytes() == DATA[512:100_512]
    with pytest.raises(SourceError, match="has changed"):
        links.write_range(tmp_path / "b.JPEG", tmp_path / "source.tar", 512, 200_000, sources=SOURCES)
    with pytest.raises(SourceError, match="no file"):
        links.write_range(tmp_path / "b.JPEG", tmp_path / "gone.tar", 0, 1, sources=SOURCES)
    with pytest.raises(ExistsError):
        links.write_range(tmp_path / "a.JPEG", tmp_path / "source.tar", 0, 1, sources=SOURCES)
    assert names(tmp_path) == ["a.JPEG", "source.tar"]


# ---- links and copies


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "images" / "n01440764_10026.JPEG"
    path.parent.mkdir()
    path.write_bytes(DATA)
    return path


@pytest.mark.parametrize("how", ["auto", "hard", "sym", "copy"])
@pytest.mark.parametrize("linked", [False, True])
def test_a_file_gets_to_its_place_in_the_way_asked_for(
    source: Path, tmp_path: Path, how: links.How, linked: bool
) -> None:
    origin = source
    if linked:
        origin = tmp_path / "link.JPEG"
        origin.symlink_to(source)
    dest = tmp_path / "dest.JPEG"
    done = links.link_or_copy(origin, dest, how=how, sources=SOURCES)
    assert dest.read_bytes() == DATA
    same = dest.stat().st_ino == source.stat().st_ino
    assert done in ({"reflink", "hard"} if how == "auto" else {how})
    assert same == (done in {"hard", "sym"})
    assert dest.is_symlink() == (done == "sym")
    assert dest.lstat().st_nlink == (2 if done == "hard" else 1)


def test_a_symbolic_link_is_absolute(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(source.parent)
    links.link_or_copy(Path(source.name), tmp_path / "dest", how="sym", sources=SOURCES)
    assert (tmp_path / "dest").readlink() == source


@pytest.mark.parametrize("how", ["auto", "hard", "sym", "reflink", "copy"])
def test_no_link_or_copy_is_made_over_something(source: Path, tmp_path: Path, how: links.How) -> None:
    (tmp_path / "taken").mkdir()
    for place in taken(tmp_path / "taken"):
        before = state(tmp_path / "taken")
        with pytest.raises(ExistsError):
            links.link_or_copy(source, place, how=how, sources=SOURCES)
        assert state(tmp_path / "taken") == before


@pytest.mark.parametrize("how", ["auto", "hard", "sym", "reflink", "copy"])
def test_a_source_that_is_gone_makes_no_file(tmp_path: Path, how: links.How) -> None:
    with pytest.raises(SourceError, match="no file"):
        links.link_or_copy(tmp_path / "gone", tmp_path / "dest", how=how, sources=SOURCES)
    assert names(tmp_path) == []


def other_file_system(tmp_path: Path) -> Path:
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK) or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system here")
    return memory / f"imagenet-tools-{os.getpid()}"


def test_between_file_systems_hard_links_are_refused_and_auto_copies(source: Path, tmp_path: Path) -> None:
    far = other_file_system(tmp_path)
    try:
        with pytest.raises(ExportError, match=r"No hard link of .* Use --link copy"):
            links.link_or_copy(source, far, how="hard", sources=SOURCES)
        with pytest.raises(ExportError, match="No reflink of"):
            links.link_or_copy(source, far, how="reflink", sources=SOURCES)
        assert not far.exists()
        assert links.link_or_copy(source, far, how="auto", sources=SOURCES) == "copy"
        assert far.read_bytes() == DATA
    finally:
        far.unlink(missing_ok=True)


# ---- folders


def test_a_folder_is_published_with_all_that_it_holds(tmp_path: Path) -> None:
    partial = tmp_path / "dogs.partial"
    (partial / "train" / "n02085620").mkdir(parents=True)
    (partial / "train" / "n02085620" / "a.JPEG").write_bytes(DATA)
    files.publish_folder(partial, tmp_path / "dogs")
    assert names(tmp_path) == ["dogs"]
    assert (tmp_path / "dogs/train/n02085620/a.JPEG").read_bytes() == DATA


@pytest.mark.parametrize(("code", "fails"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_a_folder_whose_names_the_file_system_cannot_write_is_published(
    code: int, fails: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(fd: int) -> None:
        raise OSError(code, os.strerror(code))  # as SMB answers for a folder, and a disk that fails

    (tmp_path / "x.partial").mkdir()
    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="Input/output") if fails else nullcontext():
        files.publish_folder(tmp_path / "x.partial", tmp_path / "x")
    assert names(tmp_path) == ["x"]


@pytest.mark.parametrize("without", [[], ["renameat2"], ["renameat2", "syncfs"]])
def test_a_folder_is_not_published_over_what_bears_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without: list[str]
) -> None:
    known = files.libc
    monkeypatch.setattr(files, "libc", lambda name: None if name in without else known(name))
    (tmp_path / "taken").mkdir()
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "a").write_bytes(b"a")
    places = taken(tmp_path / "taken")
    before = state(tmp_path / "taken")
    for final in places:
        with pytest.raises(ExistsError, match=f"{final.name} exists"):
            files.publish_folder(tmp_path / "new", final)
    assert state(tmp_path / "taken") == before
    files.publish_folder(tmp_path / "new", tmp_path / "taken" / "free")
    assert names(tmp_path / "taken" / "free") == ["a"]


def test_a_folder_name_that_is_taken_at_the_last_moment_is_kept(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "final").mkdir()
    with pytest.raises(ExistsError):
        files._rename_new(str(tmp_path / "new"), str(tmp_path / "final"))
    assert names(tmp_path) == ["final", "new"]


def traced(tmp_path: Path, lines: str) -> list[str]:
    """The system calls of some lines of Python, in order."""
    log = tmp_path / "strace"
    calls = "trace=openat,write,fsync,syncfs,rename,renameat,renameat2,link,linkat"
    command = ["strace", "-f", "-y", "-o", log, "-e", calls, sys.executable, "-c", lines]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("no strace here")
    return log.read_text().splitlines()


def test_bytes_are_on_the_disk_before_a_name_and_the_name_after_it(tmp_path: Path) -> None:
    lines = (
        "from pathlib import Path; from imagenet_tools.storage import files; Path('p').mkdir()\n"
        "files.write_whole('p/manifest.json', b'{}'); files.publish_folder(Path('p'), Path('final'))"
    )
    log = traced(tmp_path, lines)

    def place(*words: str) -> int:
        (found,) = [n for n, line in enumerate(log) if all(word in line for word in words)]
        return found

    order = [
        place("openat(", ".partial", "O_EXCL", "O_NOFOLLOW"),
        place("write(", ".partial", '"{}"'),
        place(" fsync(", ".partial"),
        place("renameat2(", "manifest.json"),
        place("syncfs(", "/p>"),
        place("renameat2(", '"final"'),
        place(" fsync(", f"<{tmp_path}>"),
    ]
    assert order == sorted(order)


def test_a_killed_writer_leaves_no_file_under_a_final_name(tmp_path: Path) -> None:
    lines = (
        "import os, signal; from imagenet_tools.storage import files\n"
        "with files.whole('final') as out:\n"
        "    out.write(b'half'); out.flush(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", lines], cwd=tmp_path, check=False)
    assert done.returncode == -signal.SIGKILL
    assert all(name.startswith(".") and name.endswith(".partial") for name in names(tmp_path))
    files.write_whole(tmp_path / "final", DATA)


# ---- locks


def test_a_lock_is_held_by_one_and_names_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with files.lock(path):
        with pytest.raises(ExistsError, match=rf"written by process {os.getpid()} on .*{path}"), files.lock(path):
            pass
        assert names(tmp_path) == ["lock"]
    assert names(tmp_path) == []
    with files.lock(path):
        pass


def test_a_lock_whose_holder_was_killed_is_free(tmp_path: Path) -> None:
    lines = (
        "import os, signal; from pathlib import Path; from imagenet_tools.storage import files\n"
        "with files.lock(Path('lock')): os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", lines], cwd=tmp_path, check=False)
    assert names(tmp_path) == ["lock"]
    with files.lock(tmp_path / "lock"):
        assert (tmp_path / "lock").read_text().startswith(f"process {os.getpid()} on ")
    assert names(tmp_path) == []


def test_a_lock_goes_when_its_work_fails_or_its_folder_is_removed(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), files.lock(tmp_path / "lock"):
        raise ZeroDivisionError
    assert names(tmp_path) == []
    home = tmp_path / "staging"
    home.mkdir()
    with files.lock(home / "lock"):
        (home / "lock").unlink()
        home.rmdir()
    assert names(tmp_path) == []


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "master").write_bytes(b"master")
    (tmp_path / "lock").symlink_to("master")
    with pytest.raises(OSError) as caught, files.lock(tmp_path / "lock"):
        pass
    assert caught.value.errno == errno.ELOOP
    assert (tmp_path / "master").read_bytes() == b"master"


def test_a_file_system_without_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(fd: int, operation: int) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))  # Lustre that is mounted without flock

    monkeypatch.setattr(files.fcntl, "flock", flock)
    text = rf"{tmp_path}/lock cannot be locked: .*the option flock"
    with pytest.raises(ImagenetToolsError, match=text), files.lock(tmp_path / "lock"):
        pass


def _count_up(folder: str, tries: int) -> int:
    done = 0
    counter = Path(folder, "counter")
    while done < tries:
        try:
            with files.lock(Path(folder, "lock")):
                counter.write_text(str(int(counter.read_text()) + 1))
                done += 1
        except ExistsError:
            continue
    return done


def test_processes_that_lock_do_not_meet(tmp_path: Path) -> None:
    (tmp_path / "counter").write_text("0")
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        assert pool.starmap(_count_up, [(str(tmp_path), 100)] * 3) == [100] * 3
    assert (tmp_path / "counter").read_text() == "300"


def test_threads_that_lock_do_not_meet(tmp_path: Path) -> None:
    inside, most, guard = 0, 0, threading.Lock()

    def enter(_: int) -> bool:
        nonlocal inside, most
        try:
            with files.lock(tmp_path / "lock"):
                with guard:
                    inside += 1
                    most = max(most, inside)
                with guard:
                    inside -= 1
        except ExistsError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert any(pool.map(enter, range(500)))
    assert most == 1


def test_every_refusal_is_an_error_of_the_package(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(ImagenetToolsError), files.whole(tmp_path / "a"):
        pass
