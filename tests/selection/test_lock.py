"""Recipes and locks: the same subset of the same images in every form, byte for byte, and what is missing is named."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import imagenet_tools
from imagenet_tools.cli import run
from imagenet_tools.errors import SourceError, UnknownSynsetError, UsageError
from imagenet_tools.index import Index, by_recipe, pin
from imagenet_tools.selection import lock, recipe
from tests.forms import thousand
from tests.forms.thousand import Data, folders, parquet, tars, wds

Form = Callable[[Path, Data], list[Path]]

RECIPE = """format = 1
name = "some"
seed = 3
[images]
from = ["train", "val"]
where = "least(width, height) >= 21"
exclude = ["defects", "simclr-1pct"]
[classes]
under = ["n00001930 physical_entity.n.01"]
without = ["n02085374 toy_dog.n.01"]
min_images = 2
[split]
by = "val=1/class"
per_class = { train = 5 }
[export.yolo]
names = "lemma"
"""


@pytest.fixture(scope="module")
def data() -> Data:
    return thousand.data()


@pytest.fixture(scope="module")
def built(data: Data, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Index]:
    """The index of a form of some images."""
    made: dict[tuple[str, int], Index] = {}

    def index_of(form: Form, *, workers: int = 1) -> Index:
        if (form.__name__, workers) not in made:
            home = tmp_path_factory.mktemp(form.__name__)
            imagenet_tools.build_index(form(home / "source", data), home / "x.index", workers=workers)
            made[form.__name__, workers] = imagenet_tools.open_index(home / "x.index")
        return made[form.__name__, workers]

    return index_of


def locked(index: Index, home: Path) -> dict[str, bytes]:
    """The files that locking the recipe makes."""
    home.mkdir(parents=True)
    (home / "some.toml").write_text(RECIPE)
    by_recipe(index, home / "some.toml").lock(home / "some.lock.toml")
    return {path.name: path.read_bytes() for path in sorted(home.iterdir()) if path.name != "some.toml"}


@pytest.mark.long
def test_the_same_recipe_gives_the_same_lock_of_every_form(built: Callable[..., Index], tmp_path: Path) -> None:
    files = {form.__name__: locked(built(form), tmp_path / form.__name__) for form in (folders, tars, parquet, wds)}
    assert set(files["folders"]) == {"some.lock.toml", "some.lock.parquet"}
    assert files["folders"] == files["tars"] == files["parquet"] == files["wds"]
    assert lock.read(tmp_path / "tars" / "some.lock.toml").n_images > 400


@pytest.mark.long
def test_the_same_lock_with_any_number_of_workers(built: Callable[..., Index], tmp_path: Path) -> None:
    files = [locked(built(tars, workers=workers), tmp_path / str(workers)) for workers in (1, 2, 7)]
    assert files[0] == files[1] == files[2]


def test_the_sum_is_of_the_sorted_lines_as_anyone_makes_it(built: Callable[..., Index], tmp_path: Path) -> None:
    locked(built(tars), tmp_path / "x")
    made = lock.read(tmp_path / "x" / "some.lock.toml")
    rows = pq.read_table(tmp_path / "x" / "some.lock.parquet").to_pylist()
    lines = sorted(f"{row['dataset']}/{row['image_id']}\t{row['wnid']}\t{row['split']}\n" for row in rows)
    lines += [f"class\t{one.wnid}\t{one.name}\t{one.folder}\t{one.display}\n" for one in made.named]
    lines += [f"count\t{split}\t{wnid}\t{n}\n" for split, one in made.counts.items() for wnid, n in one.items()]
    assert made.sha256 == hashlib.sha256("".join(lines).encode()).hexdigest()
    lines = lines[: len(rows)]
    assert made.n_images == len(rows) == len(lines)
    counted: dict[str, dict[str, int]] = {}
    for row in rows:
        split = counted.setdefault(row["split"], {})
        split[row["wnid"]] = split.get(row["wnid"], 0) + 1
    assert made.counts == counted
    assert set(counted["val"].values()) == {1}


def test_ten_images_taken_away_are_named(
    built: Callable[..., Index], data: Data, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    locked(built(tars), home)
    rows = pq.read_table(home / "some.lock.parquet").to_pylist()
    gone = sorted(row["image_id"] for row in rows)[::30][:10]
    assert len(gone) == 10
    less = {stem: image for stem, image in data.items() if stem not in gone}
    imagenet_tools.build_index(folders(tmp_path / "less", less), tmp_path / "less.index", workers=1)
    index = imagenet_tools.open_index(tmp_path / "less.index")
    assert lock.missing(pin(index, home / "some.lock.toml")) == [f"ilsvrc2012/{stem}" for stem in gone]
    for words in (["subset", str(home / "some.toml"), "--check"], ["check", str(home / "some.lock.toml")]):
        capsys.readouterr()
        assert run(["-i", str(index.path), *words]) == 3
        said = capsys.readouterr().out
        assert all(f"  ilsvrc2012/{stem}\n" in said for stem in gone)
        assert f"10 of {len(rows)} images are not in the index" in said
        assert run(["-i", str(built(wds).path), *words]) == 0
        assert f"all {len(rows)} images are here" in capsys.readouterr().out
        assert run(["-i", str(index.path), "--json", *words]) == 3
        found = json.loads(capsys.readouterr().out)
        found = found["check"] if words[0] == "subset" else found[0]
        assert found["missing"] == [f"ilsvrc2012/{stem}" for stem in gone]
    with pytest.raises(SourceError, match="10 images of the lock are not in the index"):
        by_recipe(index, home / "some.lock.toml")


@pytest.mark.long
def test_a_lock_exports_the_same_from_any_form(built: Callable[..., Index], tmp_path: Path) -> None:
    home = tmp_path / "home"
    locked(built(parquet), home)
    trees = []
    for form in (tars, folders):
        pinned = by_recipe(built(form), home / "some.lock.toml")
        dest = tmp_path / form.__name__
        imagenet_tools.export(pinned, dest, to="image_folder")
        trees.append({path.relative_to(dest): path.read_bytes() for path in dest.rglob("*.JPEG")})
    assert trees[0] == trees[1]
    rows = pq.read_table(home / "some.lock.parquet").to_pylist()
    assert {str(path) for path in trees[0]} == {f"{row['split']}/{row['wnid']}/{row['image_id']}.JPEG" for row in rows}
    with pytest.raises(UsageError, match="The lock some pins its images"):
        pinned.limit(3)


def test_a_lock_gives_each_image_once_however_many_at_a_time(
    built: Callable[..., Index], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = built(tars).select(under="physical_entity.n.01")
    chosen.lock(tmp_path / "some.lock.toml")
    pinned = by_recipe(built(tars), tmp_path / "some.lock.toml")
    monkeypatch.setattr("imagenet_tools.selection.selection._BATCH", 40)
    ids = [image for batch in pinned.batches() for image in batch.column("image_id").to_pylist()]
    rows = pinned.run("SELECT image_id FROM made WHERE left_out IS NULL").fetchall()
    assert len(ids) == len(rows) == sum(sum(found.values()) for found in chosen.counts().values()) > 100
    assert sorted(ids) == sorted(image for (image,) in rows)
    assert len(set(ids)) == len(ids)


def test_a_lock_that_was_changed_is_refused(built: Callable[..., Index], tmp_path: Path) -> None:
    home = tmp_path / "home"
    locked(built(tars), home)
    table = pq.read_table(home / "some.lock.parquet")
    pq.write_table(table.slice(1), home / "some.lock.parquet")
    with pytest.raises(SourceError, match=r"this file or some.lock.parquet was changed"):
        lock.read(home / "some.lock.toml")
    (home / "some.lock.parquet").unlink()
    with pytest.raises(SourceError, match=r"some.lock.parquet, where it keeps its ids, cannot be read"):
        lock.read(home / "some.lock.toml")
    with pytest.raises(SourceError, match=r"found kind None, format 1. .*Expected a lock of format 2"):
        lock.read(home / "some.toml")


# ---- recipes


def test_a_recipe_that_is_saved_makes_the_same_selection(index: Index, tmp_path: Path) -> None:
    ids, groups, preds = (tmp_path / name for name in ("ids.txt", "groups.csv", "preds.csv"))
    ids.write_text("n02085620_1\n")
    groups.write_text("photo,group\nn02085620_1,1\n")
    preds.write_text("photo,score\nn02085620_1,0.5\n")
    chosen = index.select(
        dataset="ilsvrc2012", from_="train,val", under="dog", also_under="domestic_animal.n.01", without="toy_dog",
        classes="imagenet100-cmc", class_where="max_depth > $deep", nested="leaves", superclasses="breeds-living17",
        images=["simclr-1pct", str(ids)], where=["preds.score > 0", "width > 3"], parameter={"deep": 3, "x": "y"},
        with_={"preds": preds}, exclude=["defects", str(ids)], boxed=True, min_images=1, max_images=7,
        split="classes:train=2,val=1,below=3", groups=groups, per_class={"train": 3}, limit=9, order="listed", seed=4,
    )  # fmt: skip
    path = chosen.save(tmp_path / "x.toml")
    assert by_recipe(index, path).choice == chosen.choice
    assert str(tmp_path) not in path.read_text()
    assert recipe.text(by_recipe(index, path), name="x", near=tmp_path) == path.read_text()
    moved = tmp_path / "moved"
    moved.mkdir()
    for file in (ids, groups, preds, path):
        file.rename(moved / file.name)
    assert by_recipe(index, moved / "x.toml").choice.groups == str(moved / "groups.csv")
    with pytest.raises(FileExistsError):
        chosen.save(moved / "x.toml")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            '[classes]\nunder = ["n02084071 cat.n.01"]',
            r"under: n02084071 is dog.n.01, not cat.n.01. Correct one of them",
        ),
        ('[classes]\nundre = ["dog"]', "'undre' is no key here. Expected"),
        ("[images]\nboxed = 1", "boxed: found 1; expected"),
        ('[split]\nby = "fraction"', "--split fraction"),
        ('[split]\nper_class = "many"', "found 'many'; expected"),
        ("[imgaes]\nboxed = true", "'imgaes' is no key"),
        ("images = 3", r"found images = 3; expected a table, \[images\]"),
        ('[export.yolo]\nnmaes = "wnid"', "'nmaes' is no key here"),
        ("[images", "Expected TOML"),
    ],
)
def test_a_recipe_that_cannot_be_meant_says_where(index: Index, tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "x.toml"
    path.write_text(f"format = 1\n{line}\n")
    with pytest.raises(UsageError, match=said):
        by_recipe(index, path)
    path.write_text("format = 2\n")
    with pytest.raises(UsageError, match="expected a recipe of format 1"):
        by_recipe(index, path)
    with pytest.raises(UsageError, match="No such file"):
        by_recipe(index, tmp_path / "none.toml")
    path.write_text('format = 1\n[classes]\nunder = "n99999999"\n')
    with pytest.raises(UnknownSynsetError):
        by_recipe(index, path)


def test_a_lock_of_another_suffix_is_refused_before_anything_is_written(index: Index, tmp_path: Path) -> None:
    for name in ("x.parquet", "x.lock"):  # the first is the name of its ids
        with pytest.raises(UsageError, match=r"expected a name such as dogs\.lock\.toml"):
            index.select(limit=3).lock(tmp_path / name)
    assert not list(tmp_path.iterdir())
