"""Objects show themselves in a short line, and in notebooks as tables of HTML in which everything is escaped."""

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import imagenet_tools as imt
from imagenet_tools import text as texts
from imagenet_tools.index import Index
from imagenet_tools.superclasses import cuts, exclusive_tree
from tests.evaluation import predictions

LIST = "imagenette"

OBJECTS: dict[str, Callable[[Index, Path], object]] = {
    "Selection": lambda index, _: index.select(under="dog"),
    "Selection: seed": lambda index, _: index.select(limit=4_000, seed=1234567),
    "Plan": lambda index, _: imt.plan_export(index.select(under="dog"), to="csv"),
    "Result": lambda index, path: imt.export(index.select(per_class=1), path / "x", to="csv", workers=1),
    "Dataset": lambda index, _: index.select(under="dog").dataset("train"),
    "ClassList": lambda *_: imt.classes("fall11"),
    "ClassList: coco80": lambda *_: imt.classes("coco80"),
    "ClassMap": lambda *_: imt.class_map("fall11", "ilsvrc2012"),
    "Superclasses": lambda *_: cuts.cut(imt.classes(LIST).wnids, k=3),
    "ExclusiveTree": lambda *_: exclusive_tree.exclusive_tree(imt.classes("ilsvrc2012").wnids, rule="min-depth"),
    "FoundSynset": lambda *_: imt.find("tabby")[0],
    "Outline": lambda *_: imt.tree(depth=None, classes="fall11"),
    "Differences": lambda *_: imt.diff("fall11", "ilsvrc2012"),
    "Image": lambda index, _: index["ILSVRC2012_val_00000020"],
    "Lock": lambda index, _: index.select().lock(),
    "Survey": lambda index, _: imt.detect(index.path.parent),
    "Report": lambda _, path: _report(path),
    "Evaluation": lambda _, path: _evaluation(path),
}


def _evaluation(path: Path) -> object:
    for seed in (0, 1):
        np.save(path / f"model{seed}.npy", predictions.top5(seed=seed))
    return imt.evaluate([path / "model0.npy", path / "model1.npy"])


def _report(path: Path) -> object:
    (path / "n01440764").mkdir()
    (path / "n01440764" / "n01440764_1.JPEG").write_bytes(b"\xff\xd8\xff no image")
    return imt.build_index(path, path / "x.index", workers=1)


class Cells(HTMLParser):
    """The tags of a text, and the texts of its cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.cells: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)
        self.cells.append("")

    def handle_data(self, data: str) -> None:
        self.cells[-1] += data


def html(value: object) -> str:
    text = value._repr_html_()  # type: ignore[attr-defined]
    assert isinstance(text, str)
    return re.sub(r'<img src="data:image/jpeg;base64,[^"]+" alt="[^"]*">', "", text)  # a contact sheet


@pytest.mark.parametrize("name", OBJECTS)
def test_an_object_is_a_short_line(name: str, index: Index, tmp_path: Path) -> None:
    value = OBJECTS[name](index, tmp_path)
    kind = name.partition(":")[0]
    assert repr(value).startswith(f"{kind}: ")
    assert "\n" not in repr(value) and len(repr(value)) < 300
    if hasattr(value, "_repr_html_"):
        assert len(html(value)) < 10_000
        assert Cells(html(value)).tags <= {"div", "table", "tr", "th", "td", "ul", "li"}


def test_an_index_shows_the_tables_of_info(index: Index) -> None:
    cells = Cells(html(index)).cells
    assert str(index.path) in cells
    assert cells[cells.index("ilsvrc2012") :][:4] == ["ilsvrc2012", "train", "130", "1,281,167"]


def test_a_selection_shows_its_steps(index: Index) -> None:
    chosen = index.select(under="dog", from_="train")
    cells = Cells(html(chosen)).cells
    for step in chosen.steps():
        assert step.name in cells and str(step.left) in cells
    wrong = index.select(split="val=5000/class")
    assert "it leaves no image for train" in html(wrong)


def test_a_plan_and_a_result_show_each_target(index: Index, tmp_path: Path) -> None:
    chosen = index.select(under="dog", per_class=1)
    assert html(imt.plan_export(chosen, to="csv,yolo")).count("Plan: ") == 2
    shown = html(imt.export(chosen, tmp_path / "x", to="csv", workers=1))
    assert str(tmp_path / "x") in shown and "over the number a class" in shown


def test_html_is_escaped(index: Index, tmp_path: Path) -> None:
    (tmp_path / "<b>&").mkdir()
    moved = tmp_path / "<b>&" / "x.index"
    moved.symlink_to(index.path)
    shown = html(imt.open_index(moved))
    assert "&lt;b&gt;&amp;/x.index" in shown and "<b>" not in shown
    table = texts.html_table(["<i>"], [["<script>"], ["\x1b[2J"]])
    assert Cells(table).tags == {"table", "tr", "th", "td"}
    assert Cells(table).cells[2:] == ["<i>", "", "<script>", "", "\\x1b[2J"]


def test_a_long_table_is_cut(index: Index) -> None:
    assert "and 80 more" in texts.html_table(["n"], [[n] for n in range(100)])


def test_numbers_that_identify_have_no_separators() -> None:
    head = ["n_images", "offset", "hash32", "ilsvrc_id", "fall11_index", "images", "position"]
    lines = texts.table(head, [[1234567] * len(head)]).splitlines()[2].split()
    assert lines == ["1,234,567", *["1234567"] * 4, "1,234,567", "1234567"]
    narrow = texts.table(head, [[1234567] * len(head)], width=20)
    assert re.findall(r"(\S+) +(\S+)", narrow) == list(zip(head, lines, strict=True))
    assert "1234567" in texts.html_table(["offset"], [[1234567]])


@pytest.mark.parametrize(
    ("n", "noun", "text"),
    [(0, "image", "0 images"), (1, "class", "1 class"), (2, "class", "2 classes"), (1000, "box", "1,000 boxes")],
)
def test_a_count_has_its_noun_in_the_right_number(n: int, noun: str, text: str) -> None:
    assert texts.count_of(n, noun) == text
