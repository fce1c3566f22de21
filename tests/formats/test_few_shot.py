"""miniImageNet and tieredImageNet as published: lists beside images, arrays and PNGs in pickles, and their faults."""

import os
import pickle
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import imagenet_tools
from imagenet_tools import api
from imagenet_tools.build.find import find_sources, units_of
from imagenet_tools.catalogue import lists
from imagenet_tools.errors import SourceError
from tests.forms import arrays, few_shot
from tests.forms.thousand import drawn

READERS = api._readers()
TRAIN, VAL = "n01614925_1001", "n03452741_10067"  # of Vinyals's lists


def scanned(path: Path) -> tuple[dict[str, dict[str, Any]], dict[str, int]]:
    """The images at a path by id, and the number of problems of each code."""
    [source] = find_sources([path], READERS, dataset=None, known=[])
    images, codes = dict[str, dict[str, Any]](), Counter[str]()
    for unit in units_of(source, READERS):
        for table, batch in READERS[unit.form].scan(unit):
            for row in batch.to_pylist():
                if table == "problems":
                    codes[row["code"]] += 1
                else:
                    images[row["image_id"]] = row
    return images, dict(codes)


# ---- lists beside images


def test_vinyals_lists_have_imagenets_names_and_so_its_photos(tmp_path: Path) -> None:
    data = {TRAIN: drawn(1), VAL: drawn(2)}
    path = few_shot.vinyals(tmp_path / "mini", data, {"train": [TRAIN], "val": [VAL], "test": []})
    built = imagenet_tools.build_index(path, tmp_path / "x.index", workers=1)
    index = imagenet_tools.open_index(built.index)
    rows = index.sql("SELECT image_id, photo, wnid, split, dataset FROM images ORDER BY ALL").fetchall()
    assert rows == [
        (TRAIN, TRAIN, TRAIN[:9], "train", "mini-imagenet"),
        (VAL, VAL, VAL[:9], "val", "mini-imagenet"),
    ]
    assert {stem: index.image(stem).read() for stem in data} == data
    assert not built.problems


def test_ravis_names_are_no_photos_of_ilsvrc(tmp_path: Path) -> None:
    path = few_shot.ravi(
        tmp_path / "mini", {"train": {"n01532829": {"n01532829_7": drawn(1), "n01532829_1": drawn(2)}}}
    )
    images, codes = scanned(path)
    assert {name: row["photo"] for name, row in images.items()} == {
        "n0153282900000001": "mini-imagenet/n0153282900000001",
        "n0153282900000002": "mini-imagenet/n0153282900000002",
    }
    assert not codes


def test_class_folders_of_ravis_names_are_mini_imagenet_whatever_their_folder_is_called(tmp_path: Path) -> None:
    folder = tmp_path / "processed_images" / "train" / "n01532829"
    folder.mkdir(parents=True)
    (folder / "n0153282900000005.jpg").write_bytes(drawn(1))
    [found] = imagenet_tools.detect(tmp_path / "processed_images").found
    assert (found.form, found.dataset) == ("image_folder", "mini-imagenet")
    folder.rename(folder.with_name("n02085620"))  # a class that miniImageNet lacks
    [found] = imagenet_tools.detect(tmp_path / "processed_images").found
    assert found.dataset == "processed_images"


def test_images_without_a_row_and_rows_without_an_image_or_a_class_are_problems(tmp_path: Path) -> None:
    path = few_shot.ravi(tmp_path / "mini", {"train": {"n01532829": {"n01532829_7": drawn(1)}}})
    (path / "images" / "n0153282900000099.jpg").write_bytes(drawn(3))
    with (path / "train.csv").open("a") as file:
        file.write("n0153282900000600.jpg,n01532829\nn0153282900000601.jpg,house finch\n")
    images, codes = scanned(path)
    assert list(images) == ["n0153282900000001"]
    assert codes == {"not_listed": 1, "listed_absent": 1, "mini_bad_row": 1}


def test_lists_without_images_say_where_to_put_them(tmp_path: Path) -> None:
    path = few_shot.ravi(tmp_path / "mini", {"train": {"n01532829": {"n01532829_7": drawn(1)}}})
    shutil.rmtree(path / "images")
    [found] = imagenet_tools.detect(path).found
    assert not found.holds and "1 image of train" in found.evidence
    with pytest.raises(SourceError, match="beside the lists as images/"):
        imagenet_tools.build_index(path, tmp_path / "x.index")


def test_published_rows(real: Path, tmp_path: Path) -> None:
    """The first rows of Ravi's and Larochelle's csv, with an image for each."""
    home = tmp_path / "mini"
    (home / "images").mkdir(parents=True)
    (tmp_path / "x.jpg").write_bytes(drawn(1))
    for split in few_shot.MINI:
        table = Path(shutil.copy(real / "lists" / "miniImageNet" / f"{split}.head2000.csv", home / f"{split}.csv"))
        for row in table.read_text().splitlines()[1:]:
            os.link(tmp_path / "x.jpg", home / "images" / row.partition(",")[0])
    images, codes = scanned(home)
    assert len(images) == 3 * 1_999 and not codes
    for row in images.values():
        assert row["wnid"] == row["image_id"][:9] and row["wnid"] in lists.get(f"mini-imagenet/{row['split']}").wnids


# ---- arrays


@pytest.mark.parametrize("python", [2, 3])
def test_a_cache_of_python_2_and_3_has_the_same_images(python: int, tmp_path: Path) -> None:
    images, codes = scanned(few_shot.mini_cache(tmp_path, python=python))
    assert len(images) == 12 and not codes
    assert Counter((row["split"], row["wnid"]) for row in images.values()) == {
        (split, wnid): 3 for split, wnids in few_shot.MINI.items() for wnid in wnids
    }
    first = images["mini-imagenet-cache-val_0"]
    assert (first["photo"], first["width"], first["compression"]) == (
        "mini-imagenet/mini-imagenet-cache-val_0", 84, "interleaved"
    )  # fmt: skip


def change_cache(home: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    path = few_shot.mini_cache(home, python=3) / "mini-imagenet-cache-train.pkl"
    content = pickle.loads(path.read_bytes())
    change(content)
    path.write_bytes(pickle.dumps(content, 4))
    return path


def test_a_place_in_no_class_is_a_problem_and_the_image_has_none(tmp_path: Path) -> None:
    images, codes = scanned(change_cache(tmp_path, lambda content: content["class_dict"]["n01532829"].pop()))
    assert codes == {"array_label": 1} and images["mini-imagenet-cache-train_2"]["wnid"] is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda content: content.pop("class_dict"), "Found no class_dict"),
        (lambda content: content.update(image_data=np.zeros((2, 84, 80, 3), np.uint8)), r"\(2, 84, 80, 3\)"),
        (lambda content: content.update(image_data=np.zeros((2, 84, 84, 3), np.float32)), "<f4"),
        (lambda content: content.update(other=Path("x")), "Found the name"),
    ],
)
def test_a_cache_of_another_shape_is_refused_with_what_was_found(
    change: Callable[[dict[str, Any]], object], said: str, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match=said):
        scanned(change_cache(tmp_path, change))


# ---- PNGs


@pytest.mark.parametrize("python", [2, 3])
@pytest.mark.parametrize("names", [(), ("synsets.txt", "class_names.txt")])
def test_pngs_are_byte_ranges_and_names_decide_their_classes(
    python: int, names: tuple[str, ...], tmp_path: Path
) -> None:
    path = few_shot.tiered(tmp_path, python=python, names=names)
    images, codes = scanned(path)
    assert not codes and len(images) == 16
    for split in few_shot.TIERED:
        data = (path / f"{split}_images_png.pkl").read_bytes()
        for place, (n, wnid) in enumerate(few_shot.tiered_numbers(split)):
            row = images[f"{split}_images_png_{place}"]
            assert (row["wnid"], row["split"], row["width"], row["encoding"]) == (wnid, split, 84, "png")
            png = few_shot.png(arrays.drawn(n, few_shot.SIDE))
            assert data[row["offset"] :][: row["length"]] == png and row["compression"] is None


@pytest.mark.parametrize("split", few_shot.TIERED)
def test_the_name_of_every_class_decides_it_without_a_list(split: str, tmp_path: Path) -> None:
    wnids = lists.get(f"tieredimagenet/{split}").wnids
    image = np.frombuffer(few_shot.png(arrays.drawn(1, few_shot.SIDE)), np.uint8).reshape(-1, 1)
    labels = {
        "label_specific": np.arange(len(wnids), dtype=np.int32),
        "label_specific_str": [few_shot.class_name(wnid) for wnid in wnids],
    }
    (tmp_path / f"{split}_labels.pkl").write_bytes(arrays.dumps2(labels))
    (tmp_path / f"{split}_images_png.pkl").write_bytes(arrays.dumps2([image] * len(wnids)))
    images, codes = scanned(tmp_path)
    assert [row["wnid"] for row in images.values()] == list(wnids) and not codes


def test_a_pickle_of_pngs_that_is_cut_keeps_those_before_the_cut(tmp_path: Path) -> None:
    path = few_shot.tiered(tmp_path) / "train_images_png.pkl"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 7 // 10])
    images, codes = scanned(path)
    assert list(images) == [f"train_images_png_{n}" for n in range(5)] and codes == {"array_batch": 1}


def test_labels_and_names_that_do_not_fit_are_problems(tmp_path: Path) -> None:
    path = few_shot.tiered(tmp_path, names=())
    labels = pickle.loads((path / "val_labels.pkl").read_bytes(), encoding="latin1")
    labels["label_specific"][0] = 9
    labels["label_specific"] = labels["label_specific"][:3]
    labels["label_specific_str"][1] = "hound"
    (path / "val_labels.pkl").write_bytes(arrays.dumps2(labels))
    images, codes = scanned(path / "val_images_png.pkl")
    assert codes == {"array_label": 2, "no_class_name": 1, "array_batch": 1}
    classes = {name: row["wnid"] for name, row in images.items()}
    assert classes == {f"val_images_png_{n}": few_shot.TIERED["val"][0] if n == 1 else None for n in range(4)}


def test_pngs_without_their_labels_say_what_is_missing(tmp_path: Path) -> None:
    path = few_shot.tiered(tmp_path) / "val_images_png.pkl"
    path.with_name("val_labels.pkl").unlink()
    with pytest.raises(SourceError, match=r"Found no val_labels\.pkl beside val_images_png\.pkl"):
        scanned(path)


def test_tiered_images_are_counted_by_the_superclasses_of_their_list(tmp_path: Path) -> None:
    index = imagenet_tools.open_index(
        imagenet_tools.build_index(few_shot.tiered(tmp_path), tmp_path / "x.index", workers=1).index
    )
    plan = imagenet_tools.plan_export(index.select(superclasses="tieredimagenet", from_=["train"]), to="csv")
    assert str(plan) == "Plan: csv; 8 images, 3 classes, train 8"  # missile, house finch, and twice harp
