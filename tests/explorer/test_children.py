"""Children are killed at their limits, and the next one answers: hostile pictures, and SQL that asks for too much."""

import io
import itertools
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from imagenet_tools.containers.payload import Place
from imagenet_tools.display.pictures import ShownBox
from imagenet_tools.errors import FormatError, QueryError
from imagenet_tools.explorer import children
from imagenet_tools.explorer.children import PictureMakers, Questioners
from imagenet_tools.explorer.views import Site
from imagenet_tools.index import Index
from imagenet_tools.store import query
from tests.explorer.bombs import BOMBS
from tests.explorer.conftest import Web
from tests.explorer.hostile_images import jpeg, with_scans

pytestmark = pytest.mark.long  # a proof of the whole; the long suite has it


@pytest.fixture(scope="module")
def makers(index: Index) -> Iterator[PictureMakers]:
    makers = PictureMakers(index, 2)
    yield makers
    makers.close()


@pytest.fixture(scope="module")
def questioners(index: Index) -> Iterator[Questioners]:
    questioners = Questioners(index.path)
    yield questioners
    questioners.close()


def placed(path: Path, data: bytes) -> Place:
    path.write_bytes(data)
    return Place(path, 0, len(data), encoding="")


def test_a_picture_has_the_boxes_and_fits(makers: PictureMakers, tmp_path: Path) -> None:
    place = placed(tmp_path / "a.JPEG", jpeg((640, 320)))
    plain = makers.picture(place, [], fit=256, labels=False)
    drawn = makers.picture(place, [ShownBox(0.2, 0.2, 0.6, 0.7)], fit=256, labels=False)
    assert Image.open(io.BytesIO(plain)).size == (256, 128)
    assert plain != drawn
    assert (
        max(
            Image.open(
                io.BytesIO(makers.picture(placed(tmp_path / "b.JPEG", jpeg((4000, 100))), [], fit=None, labels=True))
            ).size
        )
        == 1600
    )


@pytest.mark.parametrize("name", ["scans", "pixels", "text", "cut", "eps", "svg", "empty"])
def test_a_hostile_image_is_refused_and_the_next_one_is_shown(makers: PictureMakers, tmp_path: Path, name: str) -> None:
    data = {
        "scans": lambda: with_scans(jpeg((2000, 2000), progressive=True), 150),
        "pixels": lambda: jpeg((13_000, 13_000), quality=1),  # 169 MP
        "text": lambda: b"<html>not found</html>",
        "cut": lambda: jpeg((640, 480))[:300],
        "eps": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
        "svg": lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        "empty": lambda: b"",
    }[name]()
    place = placed(tmp_path / name, data)
    makers.picture(placed(tmp_path / "first", jpeg((64, 64))), [], fit=256, labels=False)
    with pytest.raises(FormatError):
        makers.picture(place, [], fit=256, labels=False)
    good = makers.picture(placed(tmp_path / "good", jpeg((64, 64))), [], fit=256, labels=False)
    assert Image.open(io.BytesIO(good)).format == "JPEG"


def test_an_image_that_takes_too_long_ends_its_child(
    makers: PictureMakers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "PICTURE_SECONDS", 0.5)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)  # opening it waits for ever
    for _ in range(3):
        with pytest.raises(FormatError, match="its process was ended"):
            makers.picture(Place(fifo, 0, 100, encoding=""), [], fit=256, labels=False)
    monkeypatch.undo()
    assert makers.picture(placed(tmp_path / "good", jpeg((64, 64))), [], fit=256, labels=False)


@pytest.mark.parametrize("sql", BOMBS, ids=lambda sql: sql[:40])
def test_a_bomb_ends_and_the_next_query_is_answered(questioners: Questioners, sql: str) -> None:
    seconds = 1.5
    start = time.monotonic()
    try:
        answer = questioners.ask("sql", {"sql": sql}, seconds)
        assert len(answer["rows"]) <= 10_000
    except QueryError as error:
        assert str(error)
    assert time.monotonic() - start < seconds + 30  # on a busy machine the child may start late
    assert questioners.ask("sql", {"sql": "SELECT 1 AS one"}, 30)["rows"] == [[1]]


def test_a_hundred_bombs_in_a_row_leave_no_process(questioners: Questioners) -> None:
    n_refused = 0
    for sql in itertools.islice(itertools.cycle(BOMBS[:10]), 100):
        try:
            questioners.ask("sql", {"sql": sql}, 0.3)
        except QueryError:
            n_refused += 1
    assert n_refused >= 80  # DuckDB answers one or two of the ten within the limits
    assert questioners.ask("sql", {"sql": "SELECT 1 AS one"}, 30)["rows"] == [[1]]
    states = subprocess.run(
        ["ps", "--ppid", str(os.getpid()), "-o", "state="], capture_output=True, text=True, check=False
    )
    assert "Z" not in states.stdout.split()


def test_the_children_limit_their_own_memory(questioners: Questioners, makers: PictureMakers, tmp_path: Path) -> None:
    makers.picture(placed(tmp_path / "a.JPEG", jpeg((64, 64))), [], fit=64, labels=False)
    questioners.ask("sql", {"sql": "SELECT 1"}, 30)
    picture_maker = makers._free.get()
    makers._free.put(picture_maker)
    for child, limit in ((picture_maker, 1 << 30), (questioners._spare, 2 << 30)):
        assert child is not None
        child.start()
        limits = Path(f"/proc/{child._process.pid}/limits").read_text()
        assert re.search(rf"Max address space +{limit} +{limit} ", limits), limits


@pytest.mark.parametrize(
    "sql",
    ["FROM read_csv('/etc/passwd')", "SELECT * FROM '/etc/passwd'", "COPY images TO '/tmp/x'", "ATTACH '/tmp/x'",
     "SELECT getenv('HOME')", "SET threads = 1", "INSTALL httpfs", "SELECT 1; SELECT 2",
     "FROM read_text('/etc/passwd')",
     "PRAGMA database_list", "FROM glob('/*')", "EXPORT DATABASE '/tmp/x'", "FROM duckdb_secrets()", "", "nonsense"],
)  # fmt: skip
def test_sql_reads_the_index_and_nothing_else(index: Index, sql: str) -> None:
    with pytest.raises(QueryError), query.connect_contained(index.path) as connection:
        list(query.run(connection, sql).rows)


def test_answers_are_bounded(questioners: Questioners) -> None:
    answer = questioners.ask("sql", {"sql": "SELECT range AS n, repeat('x', 9000) AS t FROM range(100)"}, 30)
    assert {len(text.encode()) for _, text in answer["rows"]} == {4_000}
    answer = questioners.ask("sql", {"sql": "SELECT repeat('犬', 9000) AS t, repeat('é', 2000) AS u"}, 30)
    ((dogs, whole),) = answer["rows"]
    assert 3_996 <= len(dogs.encode()) <= 4_000 and dogs.endswith("犬…")
    assert whole == "é" * 2_000
    answer = questioners.ask("sql", {"sql": "SELECT range AS n FROM range(20000)"}, 30)
    assert (len(answer["rows"]), answer["cut"]) == (10_000, "Only the first 10,000 rows are shown.")
    answer = questioners.ask("sql", {"sql": "SELECT repeat('x', 3000) AS t FROM range(9000)"}, 30)
    assert len(answer["rows"]) < 2_000 and "bytes" in answer["cut"]
    values = questioners.ask(
        "sql", {"sql": "SELECT 1/0.0 AS i, 9007199254740993 AS b, [1, NULL] AS l, {'a': 1} AS s, NULL AS n"}, 30
    )
    assert values["rows"] == [["inf", "9007199254740993", "[1, null]", '{"a": 1}', None]]


def test_no_child_is_left(index: Index, tmp_path: Path) -> None:
    questioners, makers = Questioners(index.path), PictureMakers(index, 2)
    questioners.warm()
    place = placed(tmp_path / "a.JPEG", jpeg((64, 64)))
    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(lambda _: makers.picture(place, [], fit=64, labels=False), range(8)))
    mine = subprocess.run(["pgrep", "-P", str(os.getpid())], capture_output=True, text=True, check=False).stdout.split()
    assert len(mine) >= 2
    questioners.close()
    makers.close()
    left = subprocess.run(["pgrep", "-P", str(os.getpid())], capture_output=True, text=True, check=False).stdout.split()
    assert len(set(mine) - set(left)) >= 2


def test_pages_are_answered_while_pictures_are_decoded(web: Web, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server only waits for its children: the images of two of them never come, and pages do."""
    monkeypatch.setattr(children, "PICTURE_SECONDS", 2.0)
    fifo = site.index.path.parent / f"fifo-{os.getpid()}"
    os.mkfifo(fifo)
    monkeypatch.setattr(site.index, "image_place", lambda *row: Place(fifo, 0, 100, encoding=""))
    try:
        with ThreadPoolExecutor(4) as pool:
            slow = [pool.submit(web.get, f"/image/{n}/thumbnail") for n in range(4)]
            answers = [web.get("/tree/n02084071").status for _ in range(20)]
            assert not all(one.done() for one in slow)
            assert answers == [200] * 20
            assert {one.result().status for one in slow} == {422}
    finally:
        fifo.unlink()


def test_a_child_outlives_the_thread_that_started_it(index: Index, tmp_path: Path) -> None:
    makers, questioners = PictureMakers(index, 1), Questioners(index.path)
    place = placed(tmp_path / "a.JPEG", jpeg((64, 64)))
    try:
        for _ in range(3):
            for work in (
                lambda: makers.picture(place, [], fit=64, labels=False),
                lambda: questioners.ask("sql", {"sql": "SELECT 1"}, 30),
            ):
                with ThreadPoolExecutor(1) as pool:
                    pool.submit(work).result()
    finally:
        makers.close()
        questioners.close()


def test_children_end_with_the_server(index: Index, tmp_path: Path) -> None:
    code = f"""
import os, signal
from pathlib import Path
from imagenet_tools.explorer.children import Questioners
questioners = Questioners(Path({str(index.path)!r}))
questioners.warm()
print(questioners._spare._process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    child = int(done.stdout)
    for _ in range(300):
        if not Path(f"/proc/{child}").exists() or "zombie" in Path(f"/proc/{child}/status").read_text():
            return
        time.sleep(0.1)
    raise AssertionError(f"process {child} is left")
