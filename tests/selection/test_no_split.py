"""No split is not train: images without an official split stay out of a split that others of the selection have."""

import json
from pathlib import Path

import pytest

import imagenet_tools
from imagenet_tools.index import Index, by_recipe
from imagenet_tools.selection import lock
from tests.forms.written_index import image
from tests.selection.conftest import Written

SMALL, LARGE = "n00006484", "n00005787"
NOTE = "none of the {} images has an official split: all of them count as train"


@pytest.fixture(scope="module")
def mixed(written: Written) -> Index:
    """ImageNet-21K-P in small: two training and one validation image of a class, and a small class of neither."""
    rows = [image(f"{LARGE}_{n}", LARGE, split, dataset="p") for n, split in enumerate(("train", "train", "val"))]
    return written([*rows, *(image(f"{SMALL}_{n}", SMALL, None, dataset="p") for n in range(3))])


def test_images_without_a_split_are_left_out_and_counted_where_others_have_one(mixed: Index) -> None:
    chosen = mixed.select()
    assert chosen.counts() == {"train": {LARGE: 2}, "val": {LARGE: 1}}
    assert chosen.left_out() == {"no_split": 3}
    assert chosen.wnids() == (LARGE,)
    assert chosen.notes() == ()


def test_where_no_image_has_a_split_all_are_train_and_a_note_says_so(mixed: Index) -> None:
    for words in ({"under": SMALL}, {"where": "split IS NULL"}, {"classes": SMALL}):
        chosen = mixed.select(**words)  # type: ignore[arg-type]
        assert chosen.counts() == {"train": {SMALL: 3}}
        assert chosen.notes()[-1] == NOTE.format(3)
        assert "no_split" not in chosen.left_out()


@pytest.mark.parametrize("words", [{}, {"under": SMALL}, {"under": LARGE}, {"where": "split IS NULL"}, {"limit": 2}])
def test_a_new_split_draws_on_what_the_official_train_has(mixed: Index, words: dict[str, object]) -> None:
    def ids(split: str) -> set[tuple[str]]:
        chosen = mixed.select(split=split, **{key: value for key, value in words.items() if key != "limit"})  # type: ignore[arg-type]
        return set(chosen.run("SELECT image_id FROM made WHERE left_out IS NULL AND split = 'train'").fetchall())

    assert ids("train=1") == ids("official")


def test_images_without_a_split_are_of_no_split_that_is_asked_for(mixed: Index) -> None:
    assert mixed.select(from_="train,val").left_out() == {"from": 3}
    assert mixed.select(from_="train,val", split="train=1").counts() == {"train": {LARGE: 3}}
    # The small class counts neither among the classes with enough images nor as a class of the new split.
    assert mixed.select(min_images=1).left_out() == {"no_split": 3}
    assert mixed.select(split="val=1/class").counts() == {"train": {LARGE: 1}, "val": {LARGE: 1}}


def test_a_class_of_images_without_a_split_is_no_nested_class(written: Written) -> None:
    dog, terrier = "n02084071", "n02093056"
    index = written([image(f"{dog}_1", dog), image(f"{terrier}_1", terrier, None)])
    assert index.select(nested="error").counts() == {"train": {dog: 1}}
    assert index.select(nested="leaves").counts() == {"train": {dog: 1}}


def test_demands_of_a_target_do_not_change_the_splits(written: Written) -> None:
    rows = [image(f"{LARGE}_1", LARGE), image(f"{SMALL}_1", SMALL, None, n_boxes=1)]
    chosen = written(rows).select().demand("unboxed", "images.n_boxes > 0")
    assert chosen.counts() == {}
    assert chosen.left_out() == {"no_split": 1, "unboxed": 1}


def test_a_lock_and_a_recipe_have_the_same_images(mixed: Index, tmp_path: Path) -> None:
    mixed.select().save(tmp_path / "x.toml")
    made = by_recipe(mixed, tmp_path / "x.toml").lock(tmp_path / "x.lock.toml")
    assert made.counts == mixed.select().counts() == lock.read(tmp_path / "x.lock.toml").counts


@pytest.fixture
def tree(extracted: object, tmp_path: Path, sample: Path) -> Index:
    """An index of real files: train, val and small classes of neither split."""
    data = next((extracted.train / "n02123045").iterdir()).read_bytes()  # type: ignore[attr-defined]
    for n, part in enumerate(("train", "val", "small_classes")):
        wnid = SMALL if part == "small_classes" else LARGE
        folder = tmp_path / "imagenet21k_resized" / f"imagenet21k_{part}" / wnid
        folder.mkdir(parents=True)
        (folder / f"{wnid}_{n}.JPEG").write_bytes(data)
    imagenet_tools.build_index(tmp_path / "imagenet21k_resized", tmp_path / "x.index", workers=1)
    return imagenet_tools.open_index(tmp_path / "x.index")


def test_export_and_dataset_leave_them_out_alike(tree: Index, tmp_path: Path) -> None:
    imagenet_tools.export(tree.select(), tmp_path / "x", to="file_list", workers=1)
    assert SMALL not in (tmp_path / "x" / "train.txt").read_text()
    assert json.loads((tmp_path / "x" / "manifest.json").read_text())["left_out"] == {"no_split": 1}
    for split in ("train", "val"):
        assert tree.select().dataset(split).classes == [LARGE]
        assert tree.select().dataset(split).left_out == {"no_split": 1}
    plan = imagenet_tools.export(tree.select(under=SMALL), tmp_path / "y", to="file_list", workers=1)
    assert NOTE.format(1) in plan.hazards
    assert NOTE.format(1) in json.loads((tmp_path / "y" / "manifest.json").read_text())["hazards"]
    assert len(tree.select(under=SMALL).dataset("train")) == 1
