"""The widget answers the messages of its page, and holds a selection; the page itself is tested in tests/loaders."""

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import imagenet_tools as imt
from imagenet_tools.index import Index

DOG = "n02084071"
TOY_DOG = "n02085374"


@pytest.fixture
def browser(index: Index) -> Any:
    pytest.importorskip("anywidget")
    return index.widget()


def answered(browser: Any, want: str, synset: str) -> tuple[dict[str, Any], list[bytes]]:
    """What the widget sends when its page sends a message."""
    sent: list[tuple[dict[str, Any], list[bytes]]] = []
    browser.send = lambda content, buffers: sent.append((content, buffers))
    browser._handle_custom_msg({"want": want, "synset": synset}, [])
    [answer] = sent
    return answer


def test_the_top_is_the_lowest_synset_above_all_images(browser: Any, index: Index) -> None:
    assert browser.top == {
        "wnid": "n00003553", "synset": "whole.n.02", "name": "whole", "images": index.n_images, "parts": True
    }  # fmt: skip


def test_children_are_counted_as_sql_counts_them(browser: Any, index: Index) -> None:
    content, buffers = answered(browser, "children", DOG)
    assert (content["synset"], buffers) == (DOG, [])
    assert [(row["name"], row["parts"]) for row in content["children"]] == [
        ("German shepherd", False), ("hunting dog", True), ("toy dog", True)
    ]  # fmt: skip
    for row in content["children"]:
        query = "SELECT count(*) FROM images WHERE is_a(wnid, $wnid)"
        assert index.sql(query, wnid=row["wnid"]).fetchall() == [(row["images"],)]


def test_a_synset_with_several_hypernyms_is_below_each(browser: Any) -> None:
    parents = [wnid for wnid in ("n01317541", "n02075296") for row in answered(browser, "children", wnid)[0]["children"]
               if row["wnid"] == DOG]  # fmt: skip
    assert parents == ["n01317541", "n02075296"]


def test_images_are_small_jpegs_below_the_synset(browser: Any, index: Index) -> None:
    content, buffers = answered(browser, "images", TOY_DOG)
    below = {image.image_id for image in index.select(under=TOY_DOG)}
    assert content["total"] == len(below)
    assert len(content["tiles"]) == len(buffers) == 12
    assert {tile["caption"].rpartition(" ")[2] for tile in content["tiles"]} <= below
    assert all(max(Image.open(io.BytesIO(data)).size) <= 184 for data in buffers)


def test_an_image_that_cannot_be_read_has_a_problem_and_no_buffer(sample: Path, tmp_path: Path) -> None:
    pytest.importorskip("anywidget")
    archive = tmp_path / "ILSVRC2012_img_train.tar"
    archive.write_bytes((sample / archive.name).read_bytes())
    imt.build_index(archive, tmp_path / "x.index")
    archive.unlink()
    content, buffers = answered(imt.open_index(tmp_path / "x.index").widget(), "images", DOG)
    assert buffers == []
    assert all(archive.name in tile["problem"] for tile in content["tiles"])


def test_a_synset_without_images_and_an_unknown_one_are_errors_in_words(browser: Any) -> None:
    assert "no image" in answered(browser, "images", "n02124075")[0]["error"]
    assert "No noun synset" in answered(browser, "children", "<b>")[0]["error"]


def test_the_code_makes_the_selection(browser: Any, index: Index) -> None:
    assert repr(browser) == f"Browser: index.select(); {browser.about}"
    browser.set_state({"under": [DOG], "without": [TOY_DOG]})  # as the page does
    assert browser.code == 'index.select(under="dog.n.01", without="toy_dog.n.01")'
    browser.under = ["dog", "tabby.n.01"]
    assert browser.under == [DOG, "n02123045"]
    assert browser.code == 'index.select(under=["dog.n.01", "tabby.n.01"], without="toy_dog.n.01")'
    selection = eval(browser.code, {"index": index})
    assert selection.counts() == browser.selection.counts()
    assert f"Selection: under dog.n.01, tabby.n.01, without toy_dog.n.01; {browser.about}" == repr(selection)


def test_an_unknown_synset_is_refused(browser: Any) -> None:
    with pytest.raises(imt.errors.UnknownSynsetError):
        browser.under = ["nosuch"]
    assert browser.under == []


def test_without_anywidget_the_error_names_the_extra(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "anywidget", None)
    monkeypatch.delitem(sys.modules, "imagenet_tools.selection.widget", raising=False)
    with pytest.raises(imt.errors.UsageError, match=r"pip install 'imagenet-tools\[notebook\]'"):
        index.widget()


def test_nothing_imports_anywidget_before_it_is_asked_for(index: Index) -> None:
    code = f"""import sys, imagenet_tools as imt
imt.open_index({str(index.path)!r}).select(under="dog")._repr_html_()
assert not {{"anywidget", "ipywidgets", "traitlets"}} & set(sys.modules)"""
    subprocess.run([sys.executable, "-c", code], check=True)
