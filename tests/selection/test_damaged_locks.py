"""A lock protects its images and the numbers and names of its classes: whatever is changed in it is an error."""

import datetime
import itertools
import json
import shutil
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tomli_w

import imagenet_tools
from imagenet_tools.cli import run
from imagenet_tools.errors import ExportError, SourceError, UsageError
from imagenet_tools.index import Index, by_recipe
from imagenet_tools.selection import lock
from imagenet_tools.selection.differences import differences
from tests.forms.written_index import image, write
from tests.parameters import short_list
from tests.shared import Shared

A, B, C = "n02123045", "n02085620", "n02088364"
VALUES: list[Any] = [
    *(0, -1, 1.5, True, "", "x", "../some.lock.parquet", [], [1], ["x"], [["a"]], {}, {"a": 1}, {"a": {"b": "c"}}),
    datetime.date(2020, 1, 1),
]
Change = Callable[[Path], None]


@pytest.fixture(scope="module")
def small(shared: Shared) -> Index:
    """Two training images and a validation image of three classes."""
    rows = [image(f"{wnid}_{n}", wnid) for wnid in (A, B, C) for n in (1, 2)]
    rows += [image(f"ILSVRC2012_val_{n:08d}", wnid, "val") for n, wnid in enumerate((A, B, C), 1)]
    return imagenet_tools.open_index(shared("small-locked", lambda path: write(path, rows)))


@pytest.fixture
def home(small: Index, tmp_path: Path) -> Path:
    """A folder with a recipe and its lock: some.toml, some.lock.toml, some.lock.parquet."""
    chosen = small.select(classes=f"{A},{B},{C}", order="listed")
    chosen.save(tmp_path / "some.toml")
    chosen.lock(tmp_path / "some.lock.toml")
    return tmp_path


def edited(edit: Callable[[dict[str, Any]], None]) -> Change:
    def change(home: Path) -> None:
        table = tomllib.loads((home / "some.lock.toml").read_text())
        edit(table)
        (home / "some.lock.toml").write_text(tomli_w.dumps(table))

    return change


def written(text: bytes) -> Change:
    return lambda home: (home / "some.lock.toml").write_bytes(text) and None


def ids(edit: Callable[[pa.Table], pa.Table]) -> Change:
    def change(home: Path) -> None:
        path = home / "some.lock.parquet"
        pq.write_table(edit(pq.read_table(path)), path)

    return change


def swapped(*keys: str) -> Change:
    def swap(table: dict[str, Any]) -> None:
        for key in keys:
            table[key][0], table[key][1] = table[key][1], table[key][0]

    return edited(swap)


def put(table: dict[str, Any], *keys: Any, value: Any) -> None:
    for key in keys[:-1]:
        table = table[key]
    table[keys[-1]] = value


# Changes of every kind that a command must answer with exit code 1.
CHANGES: dict[str, Change] = {
    "empty": written(b""),
    "no TOML": written(b"\x00\xff\xfe"),
    "an unknown kind": edited(lambda table: table.update(kind="key")),
    "the format before": edited(lambda table: table.update(format=1)),
    "a table for a list": edited(lambda table: table.update(classes={})),
    "classes in another order": swapped("classes", "folders", "display"),
    "another count": edited(lambda table: put(table, "counts", "train", A, value=3)),
    "no ids": lambda home: (home / "some.lock.parquet").unlink(),
    "ids cut short": lambda home: (home / "some.lock.parquet").write_bytes(b"PAR1") and None,
    "a column of numbers": ids(lambda rows: rows.set_column(4, "official_wnid", pa.array(range(len(rows))))),
}


@pytest.mark.parametrize("kind", short_list(CHANGES, "no TOML", "ids cut short"))
def test_a_changed_lock_ends_every_command_with_1(
    small: Index, home: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = home / "some.lock.toml"
    shutil.copytree(home, home / "whole")
    CHANGES[kind](home)
    before = sorted(home.rglob("*"))
    for words in (
        ["export", str(home / "out"), "--to", "csv", "--recipe", str(path)],
        ["export", str(home / "out"), "--to", "csv", "--recipe", str(path), "--dry-run"],
        ["check", str(path)],
        ["diff", str(path), str(home / "whole" / "some.lock.toml")],
        ["diff", str(home / "whole" / "some.lock.toml"), str(path), "--by", "wnid"],
        ["diff", "imagenet100-cmc", str(path)],
        ["subset", str(home / "some.toml"), "--check"],
        ["subset", str(home / "some.toml"), "--lock"],
        ["info", "--recipe", str(path)],
    ):
        assert run(["-i", str(small.path), *words]) == 1, words
        said = capsys.readouterr().err
        assert said.startswith(f"error: {path}: ") and "Expected " in said, said
        assert "lock again with `subset FILE.toml --lock`" in said
    assert sorted(home.rglob("*")) == before


def tables(table: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The values of a lock with each key taken away or of another type, and with each fact changed."""
    for key, value in table.items():
        yield {name: one for name, one in table.items() if name != key}
        free = key in ("name", "version")  # which the sum does not cover
        yield from ({**table, key: one} for one in VALUES if one != value and not (free and isinstance(one, str)))
    for key, n in itertools.product(("classes", "folders", "display"), range(3)):
        for other in (f"{table[key][n]}x", table[key][n - 1], "", 3, ["x"]):
            yield {**table, key: [*table[key][:n], other, *table[key][n + 1 :]]}
    for split, other in itertools.product(("train", "val"), (1.0, "1", True, 4, [], {})):
        yield {**table, "counts": {**table["counts"], split: {**table["counts"][split], A: other}}}
    for section, other in itertools.product(("images", "classes", "split", "export", "seed", "format", "kind"), VALUES):
        yield {**table, "recipe": {**table["recipe"], section: other}}
    options = ("resize", "names", "field", "repair", "shard_size", "side_files", "shuffle", "other")
    for option, other in itertools.product(options, (1.5, [1], {"a": 1}, datetime.date(2020, 1, 1))):
        yield {**table, "recipe": {**table["recipe"], "export": {"yolo": {option: other}}}}
    yield {**table, "more": 1}


def tomls(whole: bytes) -> Iterator[bytes]:
    """The lock changed, and cut short at many places."""
    table = tomllib.loads(whole.decode())
    same = [{**table, "recipe": {**table["recipe"], **more}} for more in ({"seed": 0}, {"seed": -1}, {"images": {}})]
    same += [{**table, "recipe": {**table["recipe"], name: {}}} for name in ("classes", "split", "export")]
    same.append({**table, "recipe": {}})  # the recipe is checked, but is no part of the sum
    yield from (tomli_w.dumps(one).encode() for one in tables(table) if repr(one) not in map(repr, same))
    yield from (whole[:end] for end in range(0, len(whole) - 2, 3))
    yield whole.replace(b"chihuahua", b"chih\xffhua")


def test_no_change_of_a_lock_is_read(home: Path) -> None:
    path = home / "some.lock.toml"
    whole = path.read_bytes()
    read, texts = [], list(tomls(whole))
    for text in texts:
        path.write_bytes(text)
        try:
            read.append((lock.read(path), text))
        except SourceError as error:
            assert "Expected " in str(error)
    assert read == []
    assert len(texts) > 500
    path.write_bytes(whole)
    assert lock.read(path).classes == (A, B, C)


@pytest.mark.parametrize(
    "edit",
    [
        *(lambda rows, name=name: rows.drop_columns([name]) for name in ("dataset", "split", "official_wnid")),
        lambda rows: rows.rename_columns(["dataset", "image", "wnid", "split", "official_wnid"]),
        lambda rows: rows.set_column(1, "image_id", pa.nulls(len(rows), pa.string())),
        lambda rows: rows.set_column(1, "image_id", pa.nulls(len(rows))),
        lambda rows: rows.set_column(1, "image_id", pa.array([["x"]] * len(rows))),
        lambda rows: rows.set_column(1, "image_id", rows["image_id"].cast(pa.binary())),
        lambda rows: rows.slice(1),
        lambda rows: rows.slice(0, 0),
        lambda rows: pa.concat_tables([rows, rows.slice(0, 1)]),
        lambda rows: rows.take(list(range(len(rows)))[::-1]),
    ],
)
def test_no_change_of_the_ids_is_read(home: Path, edit: Callable[[pa.Table], pa.Table]) -> None:
    ids(edit)(home)
    with pytest.raises(SourceError, match=r"some\.lock\.parquet"):
        lock.read(home / "some.lock.toml")


def test_ids_that_are_cut_or_no_parquet_are_not_read(home: Path) -> None:
    path = home / "some.lock.parquet"
    whole = path.read_bytes()
    for data in (b"", b"PAR1", b"dataset,image_id\n", *(whole[:n] for n in range(0, len(whole), 97)), whole[40:]):
        path.write_bytes(data)
        with pytest.raises(SourceError, match=r"some\.lock\.parquet, where it keeps its ids, cannot be read"):
            lock.read(home / "some.lock.toml")
    path.unlink()
    path.mkdir()
    with pytest.raises(SourceError, match="cannot be read"):
        lock.read(home / "some.lock.toml")


def test_a_file_called_as_a_lock_is_never_a_recipe(small: Index, tmp_path: Path) -> None:
    for name in ("lock.toml", "dogs.lock.toml"):
        (tmp_path / name).write_text("")
        with pytest.raises(SourceError, match="found kind None, format None"):
            by_recipe(small, tmp_path / name)
        with pytest.raises(UsageError, match="a file of this name is a lock"):
            small.select().save(tmp_path / "other" / name)
    renamed = tmp_path / "dogs.toml"
    renamed.write_text('format = 2\nkind = "lock"\nname = "do')
    with pytest.raises(SourceError, match="it is no whole TOML"):
        by_recipe(small, renamed)
    with pytest.raises(UsageError, match="No such file"):
        by_recipe(small, tmp_path / "none.lock.toml")


# ---- the numbers and names of classes


def test_diff_says_which_classes_of_two_locks_have_other_numbers(small: Index, home: Path) -> None:
    small.select(classes=f"{B},{A},{C}", order="listed").lock(home / "other.lock.toml")
    for by in ("id", "wnid"):
        found = differences(str(home / "some.lock.toml"), str(home / "other.lock.toml"), by=by)
        assert found.counts == {"place": 2}
        assert [(one.key.split()[0], one.a, one.b) for one in found.some] == [(A, 0, 1), (B, 1, 0)]


def test_a_recipe_that_numbers_its_classes_otherwise_than_its_lock_is_said(
    small: Index, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (home / "some.toml").read_text()
    (home / "some.toml").write_text(text.replace('"listed"', '"wnid"'))
    assert text != (home / "some.toml").read_text()
    said = "the recipe gives other classes here than the lock has, in another order, or by other names"
    assert run(["-i", str(small.path), "subset", str(home / "some.toml"), "--check"]) == 3
    assert said in capsys.readouterr().out
    assert run(["-i", str(small.path), "subset", str(home / "some.toml"), "--lock"]) == 4
    assert said in capsys.readouterr().err


def test_an_export_keeps_the_numbers_and_names_of_its_lock(index: Index, tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    chosen = index.select(under="dog", limit=20)
    wnids = chosen.wnids()
    names.write_text("".join(f"{wnid} {chr(122 - n)}-dog\n" for n, wnid in enumerate(wnids)))
    imagenet_tools.export(chosen, tmp_path / "x", to="yolo_classify", names=str(names), workers=1)
    pinned = by_recipe(index, tmp_path / "x" / "lock.toml")
    assert pinned.pinned is not None
    assert [one.display for one in pinned.pinned.named] == [f"{chr(122 - n)}-dog" for n in range(len(wnids))]
    imagenet_tools.export(pinned, tmp_path / "y", to="yolo_classify", names=str(names), workers=1)
    classes = [json.loads((tmp_path / name / "classes.json").read_text())["classes"] for name in "xy"]
    assert classes[0] == classes[1]
    # By the same words, and a file that has been changed since, the classes would get other numbers.
    names.write_text("".join(f"{wnid} {chr(97 + n)}-dog\n" for n, wnid in enumerate(wnids)))
    with pytest.raises(
        ExportError, match=r"The lock yolo_classify calls n0\d+ 'z-dog' \(folder z-dog\); here it would be"
    ):
        imagenet_tools.export(pinned, tmp_path / "z", to="yolo_classify", names=str(names), workers=1)
    # Other names that are asked for are no contradiction.
    imagenet_tools.export(pinned, tmp_path / "z", to="yolo_classify", names="wnid", workers=1)


def test_check_compares_the_classes_of_an_export_with_those_of_its_lock(index: Index, tmp_path: Path) -> None:
    imagenet_tools.export(index.select(under="dog", limit=20), tmp_path / "x", to="csv", workers=1)
    path, manifest = tmp_path / "x" / "classes.json", tmp_path / "x" / "manifest.json"
    content = json.loads(path.read_text())

    def codes() -> set[str]:
        (found,) = imagenet_tools.check(tmp_path / "x")
        return {one.code for one in found.findings}

    assert codes() == {"W301"}
    for key in ("display", "folder"):
        other = json.loads(path.read_text())
        other["classes"][0][key] += "x"
        text = json.dumps(other, indent=1, ensure_ascii=False) + "\n"
        said = json.loads(manifest.read_text())
        said["files"].pop("classes.json", None)
        (tmp_path / "x" / "manifest.json").write_text(json.dumps(said))
        path.write_text(text)
        assert "E309" in codes()
        path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
