"""The command line on a terminal, in a pipe, and interrupted."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from imagenet_tools.index import Index
from imagenet_tools.text import table
from imagenet_tools.wordnet import wordnet
from tests.cli.conftest import COMMAND, Ran, Run, environment, process
from tests.conftest import Extracted
from tests.parameters import short_list
from tests.waiting import PATIENCE
from tests.waiting import until as wait_until

# ---- a terminal


def at_terminal(
    *arguments: str,
    index: Path | None = None,
    columns: int = 80,
    stdout: int | None = None,
    until: Callable[[str], bool] | None = None,
) -> Ran:
    """Run as the foreground job of a terminal with some columns; `err` is what the terminal shows.

    stdout may go elsewhere. When `until` is true of the output, Ctrl-C is typed.
    """
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def take_terminal() -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    child = subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=slave,
        stdout=slave if stdout is None else stdout,
        stderr=slave,
        env=environment(index),
        preexec_fn=take_terminal,  # noqa: PLW1509 (no threads here)
    )
    os.close(slave)
    shown, typed, end = b"", False, time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if select.select([master], [], [], 0.05)[0]:
            try:
                data = os.read(master, 65_536)
            except OSError:  # the last process has closed the terminal
                break
            if not data:
                break
            shown += data
        if until is not None and not typed and until(shown.decode(errors="replace")):
            os.write(master, b"\x03")
            typed = True
    os.close(master)
    return Ran(child.wait(PATIENCE), "", shown.decode(errors="replace"))


def screen(shown: str) -> list[str]:
    """Return the lines that a terminal shows in the end: a carriage return overwrites a line."""
    lines = shown.replace("\r\n", "\n").split("\n")
    return [line.rsplit("\r", 1)[-1].replace("\x1b[K", "") for line in lines]


def test_a_bar_fits_its_terminal_though_results_go_elsewhere_and_is_gone_at_the_end(
    sample: Path, tmp_path: Path
) -> None:
    arguments = ["build-index", "--json", str(sample / "ILSVRC2012_img_train.tar"), "-o", str(tmp_path / "a.index")]
    with (tmp_path / "out.json").open("wb") as out:
        ran = at_terminal(*arguments, columns=40, stdout=out.fileno())
    assert ran.code == 0
    assert json.loads((tmp_path / "out.json").read_text())["rows"]["images"] == 130
    drawn = [piece.partition("\x1b[K")[0] for piece in ran.err.split("\r") if "\x1b[K" in piece]
    assert any(re.match(r"reading \(KB\) [\d,]+ of [\d,]+.* \[#*\.*\]$", piece) for piece in drawn)
    assert any(piece.startswith("merging ...") for piece in drawn)
    assert max(map(len, drawn)) < 40
    assert screen(ran.err) == [""]


def test_a_table_fits_a_terminal_and_no_number_is_cut(index: Index) -> None:
    text = "SELECT image_id, file, 1281167 AS n FROM images ORDER BY image_id LIMIT 3"
    lines = [line for line in screen(at_terminal("query", text, index=index.path, columns=44).err) if line]
    assert len(lines) == 5 and max(map(len, lines)) <= 44
    assert all(line.endswith("1,281,167") for line in lines[2:]) and "..." in lines[2]


def test_a_table_too_wide_for_its_terminal_becomes_blocks(index: Index) -> None:
    text = "SELECT image_id, width, height, length, split, mode, hash32 FROM images ORDER BY image_id LIMIT 2"
    lines = screen(at_terminal("query", text, index=index.path, columns=40).err)
    assert lines[0].split() == ["image_id", "ILSVRC2012_val_00000020"]
    names = ["image_id", "width", "height", "length", "split", "mode", "hash32"]
    assert [line.partition(" ")[0] for line in lines[:16]] == [*names, "", *names, ""]


def test_a_terminal_shows_the_first_rows_and_says_so(index: Index) -> None:
    lines = screen(at_terminal("query", "FROM range(1000)", index=index.path).err)
    assert lines[201].strip() == "199"
    assert lines[202].startswith("Only the first 200 rows are shown")


def test_binary_is_not_written_to_a_terminal(index: Index) -> None:
    ran = at_terminal("query", "SELECT 1", "--format", "parquet", index=index.path)
    assert ran.code == 2 and "binary: name a file with -o" in ran.err


@pytest.mark.parametrize("width", [1, 20, 33, 60, 200])
def test_no_line_of_cut_text_is_wider_than_the_terminal(width: int) -> None:
    rows = [("ILSVRC2012_val_00000020", 1_281_167, "x" * 300), ("n01440764_1", None, "tench, Tinca tinca")]
    shown = table(("image_id", "n", "text"), rows, width=width, cut=True)
    if shown.startswith("image_id  ILSVRC2012_val_00000020"):
        assert "x" * 300 in shown
    else:
        assert max(map(len, shown.splitlines())) <= width
    assert "1,281,167" in shown


@pytest.mark.parametrize("width", [1, 20, 33, 60, 200])
def test_wrapped_text_fits_the_terminal_and_is_whole(width: int) -> None:
    rows = [("under", 1_281_167, "not below the synsets asked for " * 3), ("n01440764_1", None, "z" * 300), ("", 0, "")]
    shown = table(("step", "n", "why"), rows, width=width)
    assert max(map(len, shown.splitlines())) <= max(width, 18)  # the least of a block: a name and 12 letters
    assert shown.count("z") == 300 and "..." not in shown and "1,281,167" in shown
    for word in rows[0][2].split():
        assert shown.count(word) >= rows[0][2].count(word)


def test_a_name_is_not_broken_where_other_text_can_be() -> None:
    rows = [("ilsvrc2012-val-blacklist", "validation images that the localisation score leaves out since 2013")]
    lines = table(("name", "what"), rows, width=50).splitlines()
    assert lines[2] == "ilsvrc2012-val-blacklist  validation images that" and len(lines) == 5
    assert table(("name", "what"), rows, width=36).startswith("name  ilsvrc2012-val-blacklist\nwhat  ")


def test_a_dry_run_fits_a_narrow_terminal_and_says_every_reason(index: Index) -> None:
    ran = at_terminal("export", "x", "--to", "yolo", "--under", "dog.n.01", "--dry-run", index=index.path, columns=60)
    lines = [line for line in screen(ran.err) if not line.startswith(("x: would hold", "It would take", "note: "))]
    assert max(map(len, lines)) <= 60
    whys = " ".join(line[28:].strip() for line in lines)
    assert "has no boxes, and a detector must not learn it as background" in whys


# ---- a pipe


@pytest.mark.parametrize(
    "arguments",
    short_list(
        [
            ["find", "dog", "-n", "5000"],
            ["tree", "entity.n.01", "--depth", "5", "--all"],
            ["query", "FROM closure", "--format", "csv"],
            ["query", "FROM closure", "--format", "arrow"],
            ["query", "--schema"],
            ["--help"],
        ],
        ["find", "dog", "-n", "5000"],
        ["query", "FROM closure", "--format", "csv"],
    ),
)
def test_a_reader_may_have_had_enough(index: Index, arguments: list[str]) -> None:
    """`head -1` closes the pipe early: no message, and no error."""
    child = subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(index.path)
    )
    assert child.stdout is not None and child.stderr is not None
    assert child.stdout.read(1)
    child.stdout.close()
    err = child.stderr.read().decode()
    assert child.wait(PATIENCE) == 0
    assert "Error" not in err and "Traceback" not in err and "Exception" not in err


def test_a_full_disk_is_an_error_in_words(index: Index) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*COMMAND, "query", "FROM closure", "--format", "csv"],
            stdout=full,
            stderr=subprocess.PIPE,
            env=environment(index.path),
            timeout=PATIENCE,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.decode().splitlines()[0] == "error: stdout: No space left on device"


@pytest.mark.parametrize("encoding", short_list(["ascii", "latin-1"], "ascii"))
def test_a_terminal_without_unicode_gets_its_tree(encoding: str) -> None:
    child = [*COMMAND, "tree", "dog", "--depth", "1"]
    values = environment(PYTHONIOENCODING=encoding)
    done = subprocess.run(child, capture_output=True, env=values, timeout=PATIENCE, check=True, cwd="/")
    assert b"toy_dog.n.01 n02085374" in done.stdout


def test_a_name_that_is_no_text_is_shown(run: Run, tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.index")
    done = subprocess.run(
        [*COMMAND, "-i", path, "info"], capture_output=True, env=environment(), timeout=PATIENCE, check=False
    )
    assert done.returncode == 1 and rb"caf\udce9.index" in done.stderr and b"Traceback" not in done.stderr


# ---- Ctrl-C


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory, extracted: Extracted) -> Path:
    """Make 400 class folders: enough units to interrupt a build."""
    root = tmp_path_factory.mktemp("many") / "train"
    data = min(extracted.data.values(), key=len)
    for wnid in wordnet.wnids()[1000:1400]:
        (root / wnid).mkdir(parents=True)
        for n in range(4):
            (root / wnid / f"{wnid}_{n}.JPEG").write_bytes(data)
    return root


def test_ctrl_c_in_a_build_is_130_and_the_same_command_goes_on(many: Path, tmp_path: Path) -> None:
    arguments = ["build-index", str(many), "-o", str(tmp_path / "a.index"), "--workers", "2"]
    begun = at_terminal(*arguments, until=lambda shown: re.search(r"reading [1-9]\d* of 400", shown) is not None)
    assert begun.code == 130
    assert "Interrupted. What is finished is kept" in begun.err and "Traceback" not in begun.err
    assert not (tmp_path / "a.index").exists()
    ended = process(*arguments, "--json")
    assert ended.code == 0, ended.err
    report = json.loads(ended.out)
    assert report["rows"]["images"] == 1600
    assert report["units"]["resumed"] > 0 and report["units"]["resumed"] + report["units"]["scanned"] == 400
    assert [path.name for path in tmp_path.iterdir()] == ["a.index"]
    # Elsewhere than at a terminal no bar is drawn, but lines.
    lines = [line for line in ended.err.splitlines() if line.startswith("reading ")]
    assert (lines[0], lines[-1]) == ("reading 0 of 400", "reading 400 of 400")
    assert len(lines) < 10
    assert "\r" not in ended.err and "\x1b" not in ended.err


def runs(process: str) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_a_build_that_was_ended(many: Path, tmp_path: Path, end: signal.Signals) -> None:
    arguments = ["build-index", str(many), "-o", str(tmp_path / "a.index"), "--workers", "2"]
    child = subprocess.Popen([*COMMAND, *arguments], stderr=subprocess.PIPE, env=environment(), start_new_session=True)
    assert child.stderr is not None
    assert child.stderr.readline().startswith(b"reading 0 of")
    children = Path(f"/proc/{child.pid}/task/{child.pid}/children")
    assert wait_until(lambda: len(children.read_text().split()) == 2)
    workers = children.read_text().split()
    child.send_signal(end)
    assert child.wait(PATIENCE) == (130 if end == signal.SIGTERM else -signal.SIGKILL)
    assert b"Traceback" not in child.stderr.read()  # which ends when the last of them has closed it
    # A process closes its files before it ends.
    assert wait_until(lambda: not any(runs(worker) for worker in workers))


ENDLESS = "SELECT sum(a.range * b.range) FROM range(10_000_000_000) AS a, range(100) AS b"


@pytest.mark.parametrize("form", short_list(["csv", "parquet"], "parquet"))
def test_ctrl_c_in_a_query_is_130_at_once_and_leaves_no_file(index: Index, tmp_path: Path, form: str) -> None:
    child = subprocess.Popen(
        [*COMMAND, "query", ENDLESS, "-o", str(tmp_path / f"a.{form}")],
        stderr=subprocess.PIPE,
        env=environment(index.path),
        start_new_session=True,
    )
    assert wait_until(lambda: any(tmp_path.iterdir()) or child.poll() is not None)
    time.sleep(0.5)  # the query runs by then, most often; where it has not begun yet, the same holds
    os.killpg(child.pid, signal.SIGINT)
    _, err = child.communicate(timeout=PATIENCE)
    assert child.returncode == 130
    assert err.decode().strip() == "Interrupted."
    assert list(tmp_path.iterdir()) == []


def test_a_sum_that_is_interrupted_leaves_nothing_and_is_right_when_it_is_made_again(tmp_path: Path) -> None:
    size = 1 << 29
    with (tmp_path / "fall11_whole.tar").open("wb") as file:
        file.truncate(size)  # a hole: half a gigabyte that no disk has to hold
    arguments = ("check", str(tmp_path / "fall11_whole.tar"), "--md5", "--cache", str(tmp_path / "md5.json"))
    stopped = at_terminal(*arguments, until=lambda shown: re.search(r"\(MB\) [1-9]", shown) is not None)
    assert stopped.code == 130
    assert "run the same command again to go on" in stopped.err
    assert not (tmp_path / "md5.json").exists()
    done = process(*arguments, "--json")
    assert done.code == 3  # its sum is compared with no published one
    (found,) = json.loads(done.out)
    assert found["md5"] == "aa559b4e3523a6c931f08f4df52d58f2"  # of half a gigabyte of zeros, by md5sum


@pytest.mark.parametrize("columns", short_list([40, 80, 200], 80))
def test_info_fits_the_terminal_and_loses_no_number(columns: int, index: Index) -> None:
    shown = at_terminal("info", index=index.path, columns=columns)
    assert shown.code == 0
    published = ("1,281,167", "50,000", "544,546", "615,299", "80,477", "523,966", "593,173")
    assert all(number in shown.err for number in published)
    if columns >= 80:
        lines = [line for line in shown.err.splitlines() if str(index.path.parent) not in line]
        assert max(map(len, lines)) <= columns


def test_info_says_whole_what_it_says_to_a_program(run: Run) -> None:
    text, found = run("info").out, json.loads(run("info", "--json").out)
    for row in (*found["splits"], *found["boxes"]):
        for value in (value for value in row.values() if isinstance(value, int)):
            assert f"{value:,}" in text or str(value) in text
    assert "ILSVRC's paper counts 593,173 boxes of 523,966 images" in text
    assert [(row["split"], row["published"]) for row in found["splits"]] == [("train", 1_281_167), ("val", 50_000)]
    boxes = {row["split"]: (row["annotations_published"], row["boxes_published"]) for row in found["boxes"]}
    assert boxes == {"train": (544_546, 615_299), "val": (50_000, 80_477)}
