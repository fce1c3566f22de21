"""The commands show, plot and report: pictures in terminals and files, drawn by seed, of what is damaged or hostile."""

import base64
import io
import json
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import imagenet_tools as imt
from imagenet_tools.cli import plot as cli_plot
from imagenet_tools.containers import payload
from imagenet_tools.display import pictures
from imagenet_tools.display.charts import Rectangle
from imagenet_tools.errors import UsageError
from imagenet_tools.index import Index
from imagenet_tools.selection import plots
from imagenet_tools.selection.show import sheet_rows
from tests.cli.conftest import COMMAND, Run, environment
from tests.cli.test_terminal import at_terminal
from tests.conftest import Extracted
from tests.display.test_pictures import RED, YELLOW, drawn, extent_of
from tests.parameters import short_list

BEAGLE = "n02088364"
TABBY = "n02123045"
MARKUP = "<img src=x onerror=alert(1)>"


def annotation(size: tuple[int, int], box: tuple[int, int, int, int], name: str = BEAGLE) -> str:
    edges = "".join(f"<{tag}>{n}</{tag}>" for tag, n in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
    escaped = name.replace("<", "&lt;")
    return (
        f"<annotation><size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
        f"<object><name>{escaped}</name><bndbox>{edges}</bndbox></object></annotation>"
    )


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """An index of images that are turned, damaged, in CMYK, without boxes, and called by markup."""
    root = tmp_path_factory.mktemp("odd")
    images = {
        f"{BEAGLE}/{BEAGLE}_1": drawn(6, form="PNG"),
        f"{BEAGLE}/{BEAGLE}_2": drawn(form="JPEG"),
        f"{BEAGLE}/{BEAGLE}_3": drawn(form="JPEG")[:700],
        f"{BEAGLE}/{BEAGLE}_4": b"<html>not found</html>",
        f"{TABBY}/{TABBY}_5": drawn(form="JPEG", mode="CMYK"),
        f"{TABBY}/{MARKUP}": drawn(form="JPEG"),
    }
    texts = {
        f"{BEAGLE}/{BEAGLE}_1": annotation((80, 60), RED),
        f"{BEAGLE}/{BEAGLE}_2": annotation((80, 60), RED, MARKUP),
    }
    for name, data in images.items():
        path = root / "train" / f"{name}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    for name, text in texts.items():
        path = root / "boxes" / f"{name}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    imt.build_index([root / "train", root / "boxes"], root / "odd.index", dataset="odd")
    return imt.open_index(root / "odd.index")


class Page(HTMLParser):
    """A page as a browser reads it: its tags, and no attribute that runs or loads anything."""

    def __init__(self, data: bytes):
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(data.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            assert not name.startswith("on") and name not in ("href", "srcset", "action"), (tag, name)
            assert name != "src" or str(value).startswith("data:image/jpeg;base64,")

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(data: bytes) -> Page:
    page = Page(data)
    assert not {"script", "iframe", "object", "link", "form", "base"} & set(page.tags)
    assert "url(" not in data.decode() and b"Content-Security-Policy" in data
    return page


# ---- show


def test_an_image_is_shown_upright_with_its_box(odd: Index) -> None:
    picture = odd.image(f"{BEAGLE}_1").show()
    assert picture.size == (300, 400)
    left, top, right, bottom = (5 * edge for edge in RED)
    below = picture.crop((0, left, *picture.size))  # without the label
    assert extent_of(below, YELLOW) == (300 - bottom - 2, 0, 300 - top + 2, right - left + 2)  # turned clockwise


def test_an_image_without_boxes_or_label_is_shown(odd: Index, extracted: Extracted, tmp_path: Path) -> None:
    picture = np.asarray(odd.image(f"{TABBY}_5").show())
    assert not (picture == YELLOW).all(axis=2).any() and picture[5 * 35, 5 * 20, 0] > 200
    imt.build_index(extracted.test, tmp_path / "test.index")
    index = imt.open_index(tmp_path / "test.index")
    ((image_id,),) = index.sql("SELECT min(image_id) FROM images").fetchall()
    assert index.image(image_id).wnid is None and index.image(image_id).show().mode == "RGB"
    with pytest.raises(UsageError, match="Found no image in the selection"):
        index.select().show()


def test_a_sheet_has_a_row_a_class_and_depends_on_the_seed_alone(index: Index) -> None:
    rows = sheet_rows(index.select(), 12)
    assert [len(row.tiles) for row in rows] == [0, 4, 4, 4] and rows[0].heading == "3 of 13 classes"
    for row in rows[1:]:
        _, wnid, n_images = row.heading.split(", ")
        assert n_images == "4 of 14 images"
        ids = [tile.caption for tile in row.tiles]
        assert {index.image(image_id).wnid for image_id in ids} == {wnid} and len(set(ids)) == 4
    assert index.select().show(12).tobytes() == index.select().show(12).tobytes()
    other = sheet_rows(index.select(seed=1), 12)
    assert [row.heading for row in other] != [row.heading for row in rows]
    assert [len(row.tiles) for row in sheet_rows(index.select(), 30)[1:]].count(4) == 5  # and two of five
    assert sorted(len(row.tiles) for row in sheet_rows(index.select(), 60)) == [4] * 5 + [5] * 8
    few = [tile.caption for row in sheet_rows(index.select(under="beagle.n.01"), 3) for tile in row.tiles]
    many = [tile.caption for row in sheet_rows(index.select(under="beagle.n.01"), 9) for tile in row.tiles]
    assert len(many) == 9 and many[:3] == few
    (mixed,) = sheet_rows(index.select(per_class=1, from_="val"), 20)
    assert mixed.heading == "One image a class" and len(mixed.tiles) == 13
    (together,) = sheet_rows(index.select(), 13, together=True)
    names = {tile.caption.partition(",")[0] for tile in together.tiles}
    assert len(names) == 13 and {"crane n02012849", "crane n03126707"} <= names
    assert together.heading == "13 of 182 images, 13 of 13 classes"


def test_a_sheet_reads_each_shown_image_once(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[object] = []
    read = payload.read
    monkeypatch.setattr(payload, "read", lambda place, files: (reads.append(place), read(place, files))[1])
    index.select().show(8)
    assert len(reads) == len(set(reads)) == 8


def test_damaged_images_are_tiles_that_say_so(run: Run, odd: Index, tmp_path: Path) -> None:
    (beagles, tabbies) = sheet_rows(odd.select(), 8)
    problems = {tile.caption: tile.problem for tile in (*beagles.tiles, *tabbies.tiles) if tile.picture is None}
    assert set(problems) == {f"{BEAGLE}_3", f"{BEAGLE}_4"}
    assert "web page" in problems[f"{BEAGLE}_4"]
    ran = run("-i", str(odd.path), "show", "-n", "8", "-o", str(tmp_path / "x.png"))
    assert (ran.code, ran.err) == (3, "note: 2 of 6 images cannot be shown\n")


def test_a_notebook_shows_why_an_image_cannot_be_decoded(odd: Index) -> None:
    for image_id in (f"{BEAGLE}_3", f"{BEAGLE}_4"):
        assert Image.open(io.BytesIO(odd.image(image_id)._repr_jpeg_())).size == pictures.TILE


def test_show_writes_png_and_html_and_replaces_nothing(run: Run, tmp_path: Path) -> None:
    png, html = tmp_path / "a.png", tmp_path / "a.html"
    for path in (png, html):
        ran = run("show", "dog", "-n", "4", "-o", str(path))
        assert (ran.code, ran.out) == (0, f"{path}\n")
    assert Image.open(png).format == "PNG"
    assert page_of(html.read_bytes()).tags.count("img") == 4
    assert run("show", "dog", "-o", str(png)).code == 4
    assert run("show", "dog", "-o", str(tmp_path / "a.gif")).code == 2
    one = run("show", "ILSVRC2012_val_00000020", "-o", str(tmp_path / "one.html"))
    assert one.code == 0 and page_of((tmp_path / "one.html").read_bytes()).tags.count("img") == 1


def test_show_of_a_pipe_prints_the_path_of_a_new_file(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("TERM", "xterm-kitty")
    for target in ("n02088364_4651", "dog"):
        ran = run("show", target)
        assert ran.code == 0 and "\x1b" not in ran.out + ran.err
        assert Image.open(ran.out.strip()).size > (50, 50)
    shown = json.loads(run("show", "beagle", "-n", "2", "--json").out)
    assert len(shown["images"]) == 2 and Path(shown["path"]).is_file()
    monkeypatch.setattr("tempfile.tempdir", None)


def test_show_of_a_terminal_that_can_is_a_picture(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-kitty")
    monkeypatch.delenv("TMUX", raising=False)
    shown = at_terminal("show", "beagle", "-n", "8", index=index.path).err
    assert shown.startswith("\x1b_Ga=T,f=100,m=1;")
    data = io.BytesIO(base64.b64decode("".join(re.findall(r"m=[01];([^\x1b]*)", shown))))
    assert Image.open(data).width <= 80 * 8  # as wide as the terminal
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("KITTY_WINDOW_ID", raising=False)
    for name in ("TERM_PROGRAM", "LC_TERMINAL"):
        monkeypatch.delenv(name, raising=False)
    assert at_terminal("show", "beagle", index=index.path).err.strip().endswith("beagle.png")


def test_show_says_what_is_wrong(run: Run, odd: Index, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(drawn(form="JPEG")[:700])
    for arguments, code, text in (
        (("show", "no_such_image"), 2, "Nor is it a synset"),
        (("show", "ILSVRC2012_val_00000020", "--under", "dog"), 2, "Found --under beside the image"),
        (("show", "dog", "--without", "dog"), 2, "Found no image in the selection"),
        (("show", str(broken)), 1, f"{broken}: No image: found 700 bytes whose pixels cannot be decoded"),
        (("-i", str(odd.path), "show", f"{BEAGLE}_4"), 1, "web page"),
    ):
        ran = run(*arguments)
        assert ran.code == code and text in ran.err and "bug" not in ran.err
    photo = tmp_path / "photo.png"
    photo.write_bytes(drawn(6))
    assert run("show", str(photo), "-o", str(tmp_path / "x.png")).code == 0
    assert Image.open(tmp_path / "x.png").size == (300, 400)


# ---- plot


def test_the_kinds_of_plot_are_those_of_the_selection() -> None:
    assert tuple(plots.KINDS) == cli_plot._KINDS


@pytest.mark.parametrize("kind", short_list(cli_plot._KINDS, "tree", "boxes"))
def test_each_kind_is_drawn_of_a_selection_an_odd_index_and_nothing(
    run: Run, odd: Index, index: Index, kind: str, tmp_path: Path
) -> None:
    svg = run("plot", kind, "--under", "dog").out
    assert svg.startswith("<svg") and svg == index.select(under="dog").plot(kind).svg()
    assert run("plot", kind, "--under", "dog", "-o", str(tmp_path / "x.png")).out == f"{tmp_path / 'x.png'}\n"
    assert Image.open(tmp_path / "x.png").format == "PNG"
    for selection in (odd.select(), index.select(under="dog", without="dog")):
        assert "<svg" in selection.plot(kind).svg()


def test_a_tree_counts_what_it_is_asked_for(index: Index, run: Run) -> None:
    dogs = index.select(under="dog")
    ((images, n_bytes, boxes),) = index.sql(
        "SELECT count(*), sum(length)::BIGINT, sum(n_boxes)::BIGINT FROM images WHERE is_a(wnid, 'dog.n.01')"
    ).fetchall()
    notes = [shape.note for shape in dogs.plot("tree").shapes if isinstance(shape, Rectangle)]
    assert "dog > working dog > German shepherd: 14" in notes  # as its siblings are below hunting dog and toy dog
    assert dogs.plot("tree").title == "Classes below dog, by images"
    for by, total in (("images", images), ("length", n_bytes), ("boxes", boxes)):
        assert dogs.plot("tree", by=by).about.startswith(f"{total:,} {by} of 5 classes")
    assert run("plot", "tree", "--by", "image_id").code == 2
    assert run("plot", "sizes", "--by", "length").code == 2
    with pytest.raises(UsageError, match="expected one of tree, classes"):
        dogs.plot("pie")


def test_aspect_is_that_of_the_image_as_shown(odd: Index) -> None:
    assert "from 0.75 to 1.33" in odd.select().plot("aspect").about  # one of 80 x 60 is turned


# ---- report


def test_a_report_of_an_index_has_its_counts_and_twenty_images(run: Run, index: Index, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    ran = run("report", str(index.path), "-o", str(path))
    assert (ran.code, ran.out, ran.err) == (0, f"{path}\n", "")
    page = page_of(path.read_bytes())
    assert page.tags.count("img") == 20 and page.tags.count("svg") == 6
    for text in (
        "182",
        "1,281,167",
        "xml_no_object",
        "German shepherd",
        "ILSVRC2012_img_train.tar",
        "20 of 182 images",
        "134 of 135 boxes",
    ):
        assert text in page.text
    assert run("report", "-o", str(tmp_path / "again.html")).code == 0  # the default index
    assert (tmp_path / "again.html").read_bytes() == path.read_bytes()
    assert str(tmp_path.parent) not in page.text  # no path of this machine
    assert run("report", "-o", str(path)).code == 4
    assert run("report", str(tmp_path), "-o", str(tmp_path / "x.html")).code == 2


def test_a_report_of_hostile_names_runs_nothing(run: Run, odd: Index, tmp_path: Path) -> None:
    assert run("report", str(odd.path), "-o", str(tmp_path / "x.html")).code == 0
    page = page_of((tmp_path / "x.html").read_bytes())
    assert MARKUP in page.text and "cannot be shown" in page.text
    assert run("-i", str(odd.path), "show", "-o", str(tmp_path / "y.html")).code == 3
    assert MARKUP in page_of((tmp_path / "y.html").read_bytes()).text


@pytest.mark.parametrize("target", short_list(["image_folder", "yolo", "webdataset", "hf_parquet", "csv"], "yolo"))
def test_a_report_of_an_export_has_what_it_holds(run: Run, index: Index, tmp_path: Path, target: str) -> None:
    imt.export(index.select(under="dog"), tmp_path / "dogs", to=target, workers=1)
    ran = run("report", str(tmp_path / "dogs"), "-o", str(tmp_path / "x.html"))
    assert (ran.code, ran.err) == (0, "")
    page = page_of((tmp_path / "x.html").read_bytes())
    assert page.tags.count("img") == (0 if target == "csv" else 20)
    assert target == "csv" or re.search(r"20 of \d+ images, 5 of 5 classes", page.text)
    assert page.text.count("Chihuahua, n02085620_") == (0 if target == "csv" else page.text.count("n02085620_"))
    assert "Chihuahua" in page.text and "Classes below dog, by images" in page.text


def test_a_report_of_a_hostile_export_runs_nothing(run: Run, index: Index, tmp_path: Path) -> None:
    export = tmp_path / MARKUP.replace("/", "")
    imt.export(index.select(under="dog"), export, to="image_folder", workers=1)
    for name in ("classes.json", "manifest.json"):
        content = json.loads((export / name).read_text())
        for row in content.get("classes", []) if name == "classes.json" else []:
            row["display"] = MARKUP
            row["splits"] = {f"{MARKUP}{split}": counts for split, counts in row["splits"].items()}
        if name == "manifest.json":
            content |= {"hazards": [MARKUP], "left_out": {MARKUP: 3}, "cut": [MARKUP], "undecodable": {MARKUP: MARKUP}}
        (export / name).write_text(json.dumps(content))
    assert run("report", str(export), "-o", str(tmp_path / "x.html")).code == 0
    assert MARKUP in page_of((tmp_path / "x.html").read_bytes()).text
    image = next((export / "train").glob("*/*"))
    image.write_bytes(b"<html>")
    assert run("report", str(export), "-o", str(tmp_path / "y.html")).code == 0
    (export / "manifest.json").write_text('{"target": "../x"}')
    ran = run("report", str(export), "-o", str(tmp_path / "z.html"))
    assert ran.code == 1 and "Expected an export" in ran.err and not (tmp_path / "z.html").exists()


def test_the_core_alone_shows_plots_and_reports(index: Index, tmp_path: Path) -> None:
    """No library beside the dependencies is imported, and pandas is not either."""
    script = (
        "import sys\nfrom imagenet_tools import cli\n"
        "for words in (['show', 'dog', '-o', 'a.png'], ['plot', 'tree', '-o', 'b.png'], ['report', '-o', 'c.html']):\n"
        "    assert cli.run(words) == 0\n"
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [*COMMAND[:2], script], capture_output=True, text=True, env=environment(index.path), cwd=tmp_path, check=True
    )
    assert not {"matplotlib", "pandas", "nltk", "jinja2"} & set(done.stdout.split())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png", "c.html"]


@pytest.mark.long
def test_a_static_copy_says_how_many_images_it_cannot_show(run: Run, tmp_path: Path) -> None:
    ran = run("explore", "--export", str(tmp_path / "site"), "--under", "beagle.n.01")
    assert (ran.code, ran.out) == (3, f"{tmp_path / 'site'}\n")
    assert "note: 1 image cannot be shown" in ran.err
