"""diff: two indexes, locks, recipes or lists, and nothing where they are the same."""

import json
from pathlib import Path

import pytest

from imagenet_tools.cli import run
from imagenet_tools.errors import UsageError
from imagenet_tools.index import Index
from imagenet_tools.selection.differences import differences
from tests.forms.written_index import image, write

ROWS = [image(f"n02085620_{n}", "n02085620") for n in range(5)]


def test_images_that_are_there_alone_or_of_another_class_or_split_are_named(tmp_path: Path) -> None:
    a = write(tmp_path / "a.index", ROWS)
    changed = [image("n02085620_0", "n02086079"), image("n02085620_1", "n02085620", "val"), *ROWS[2:4]]
    b = write(tmp_path / "b.index", [*changed, image("n02086079_7", "n02086079")])
    found = differences(str(a), str(b))
    assert found.counts == {"wnid": 1, "split": 1, "only_a": 1, "only_b": 1}
    assert [(one.what, one.key) for one in found.some] == [
        ("wnid", "ilsvrc2012/n02085620_0"),
        ("split", "ilsvrc2012/n02085620_1"),
        ("only_a", "ilsvrc2012/n02085620_4"),
        ("only_b", "ilsvrc2012/n02086079_7"),
    ]
    by_class = differences(str(a), str(b), by="wnid")
    assert [(one.what, one.key, one.a, one.b) for one in by_class.some] == [
        ("n", "n02085620 chihuahua.n.03", 5, 3),
        ("only_b", "n02086079 pekinese.n.01", None, 2),
    ]
    assert differences(str(a), str(a)).counts == differences(str(a), str(a), by="wnid").counts == {}


def test_locks_recipes_and_lists_are_compared(index: Index, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, per_class in (("few", 2), ("more", 4)):
        chosen = index.select(under="dog", per_class=per_class)
        chosen.save(tmp_path / f"{name}.toml")
        chosen.lock(tmp_path / f"{name}.lock.toml")
    few, more = (str(tmp_path / f"{name}.lock.toml") for name in ("few", "more"))
    assert differences(few, more).counts == {"only_b": 5 * 4}  # 5 classes, train and val, 2 more each
    assert set(differences(few, str(index.path)).counts) == {"only_b"}
    recipes = differences(few.replace(".lock", ""), more.replace(".lock", ""))
    assert [(one.key, one.a, one.b) for one in recipes.some] == [("per_class", 2, 4)]
    assert differences("n02085620,n02086079", "n02086079,n02085620,n02088364").counts == {"only_b": 1, "place": 2}
    assert differences("ilsvrc2012", "ilsvrc2012").counts == {}
    assert run(["diff", few, few]) == 0
    assert run(["diff", "--json", few, more]) == 1
    assert json.loads(capsys.readouterr().out.split("by id\n")[1])["counts"] == {"only_b": 20}
    for wrong in ((few, few.replace(".lock", ""), None), ("ilsvrc2012", few, "id"), (few, more, "bytes")):
        with pytest.raises(UsageError):
            differences(wrong[0], wrong[1], by=wrong[2])


def test_bytes_are_read_where_lengths_agree(index: Index) -> None:
    assert differences(str(index.path), str(index.path), by="bytes").counts == {}


def test_images_that_are_in_one_index_alone_differ_by_bytes(tmp_path: Path) -> None:
    a = write(tmp_path / "a.index", [image("n02085620_0", "n02085620", length=5)])
    b = write(tmp_path / "b.index", [image("n02085620_1", "n02085620")])
    assert differences(str(a), str(b), by="bytes").counts == {"only_a": 1, "only_b": 1}
    c = write(tmp_path / "c.index", [image("n02085620_0", "n02085620", length=6)])
    assert differences(str(a), str(c), by="bytes").counts == {"length": 1}
