"""CIFAR's batches and the downsampled ImageNets as published: classes, splits, faults, and whom they are taken for."""

import io
import json
import pickle
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

import imagenet_tools
from imagenet_tools import api
from imagenet_tools.build.find import find_sources, units_of
from imagenet_tools.catalogue import lists
from imagenet_tools.containers import payload
from imagenet_tools.containers.payload import Place
from imagenet_tools.exports.check import check_export
from imagenet_tools.index import Index
from imagenet_tools.storage.blob import Descriptors
from tests.forms import arrays
from tests.forms.annotations import write_files

READERS = api._readers()


class Scanned(NamedTuple):
    """What the readers find at a path."""

    images: list[dict[str, Any]]
    problems: list[dict[str, Any]]

    @property
    def codes(self) -> dict[str, int]:
        return dict(Counter(row["code"] for row in self.problems))

    def pixels(self, image_id: str, home: Path) -> arrays.Pixels:
        [row] = [row for row in self.images if row["image_id"] == image_id]
        place = Place(home / row["file"], row["offset"], row["length"], compression=row["compression"])
        with Descriptors() as files, Image.open(io.BytesIO(payload.read(place, files))) as image:
            return np.asarray(image)


def scanned(path: Path) -> Scanned:
    [source] = find_sources([path], READERS, dataset=None, known=[])
    tables: dict[str, list[dict[str, Any]]] = {"images": [], "problems": []}
    for unit in units_of(source, READERS):
        for table, batch in READERS[unit.form].scan(unit):
            tables.setdefault(table, []).extend(batch.to_pylist())
    return Scanned(tables["images"], tables["problems"])


def indexed(path: Path, tmp_path: Path) -> Index:
    return imagenet_tools.open_index(imagenet_tools.build_index(path, tmp_path / "x.index", workers=1).index)


def test_cifar100_has_the_synsets_of_its_fine_labels_and_the_coarse_ones_follow(tmp_path: Path) -> None:
    index = indexed(arrays.cifar100(tmp_path / "home"), tmp_path)
    fine = lists.get("cifar100").categories
    rows = index.sql("SELECT image_id, wnid, split, dataset, photo, member FROM images").fetchall()
    assert len(rows) == 240 and not index.sql("FROM problems").fetchall()
    for image_id, wnid, split, dataset, photo, member in rows:
        n = int(image_id.partition("_")[2]) + (500 if split == "test" else 0)
        assert wnid == fine[n % 100].synsets[0] and dataset == "cifar100"
        assert photo == f"cifar100/{image_id}" and member == f"word_s_{n:06d}.png"
    plan = imagenet_tools.plan_export(index.select(superclasses="cifar100-coarse", from_=["train", "test"]), to="csv")
    assert len(plan.classes) == 20 and plan.images() == 240


def test_a_coarse_label_that_is_not_that_of_the_fine_one_is_a_problem(tmp_path: Path) -> None:
    home = arrays.cifar100(tmp_path / "home")
    batch = pickle.loads((home / "test").read_bytes(), encoding="latin1")
    batch["coarse_labels"][7] += 1
    batch["fine_labels"][9] = 100
    (home / "test").write_bytes(arrays.dumps2(batch))
    found = scanned(home)
    assert found.codes == {"coarse_differs": 1, "array_label": 1}
    assert [row["image_id"] for row in found.images if row["wnid"] is None] == ["test_9"]


def test_a_batch_by_itself_is_read_with_the_names_beside_it(tmp_path: Path) -> None:
    home = arrays.cifar10(tmp_path / "home")
    assert {(row["split"], row["dataset"]) for row in scanned(home / "test_batch").images} == {("test", "cifar10")}
    (home / "batches.meta").unlink()
    assert imagenet_tools.detect(home).found == ()


def test_missing_batches_are_named(tmp_path: Path) -> None:
    home = arrays.cifar10(tmp_path / "home")
    (home / "data_batch_3").unlink()
    (home / "test_batch").unlink()
    [found] = imagenet_tools.detect(tmp_path / "home").found
    assert found.missing == "1 of the 5 batches of train; the test images"
    assert found.splits == ("train",)


def test_batches_of_python_3_are_read_too(tmp_path: Path) -> None:
    home = arrays.cifar10(tmp_path / "home")
    for protocol, name in ((4, "data_batch_1"), (5, "data_batch_2"), (3, "batches.meta")):
        value = pickle.loads((home / name).read_bytes(), encoding="latin1")
        (home / name).write_bytes(pickle.dumps(value, protocol))
    found = scanned(home)
    assert np.array_equal(found.pixels("data_batch_2_1", home), arrays.drawn(9))
    assert len(found.images) == 48 and not found.problems


def test_the_images_before_a_cut_are_kept(tmp_path: Path) -> None:
    home = arrays.cifar10(tmp_path / "home")
    data = (home / "data_batch_2").read_bytes()
    start = data.index(arrays.rows([arrays.drawn(8)]).tobytes())
    (home / "data_batch_2").write_bytes(data[: start + 3 * 3072 + 100])
    found = scanned(home)
    assert found.codes == {"array_batch": 1}
    counts = Counter(row["file"] for row in found.images)
    assert counts["data_batch_2"] == 3 and counts["data_batch_1"] == 8


class Runs:
    """An object whose pickle makes a folder where it is loaded."""

    def __init__(self, place: Path):
        self.place = place

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (self.place,)


def test_a_hostile_batch_is_a_problem_and_is_not_run(tmp_path: Path) -> None:
    home = arrays.cifar10(tmp_path / "home")
    place = tmp_path / "run"
    (home / "data_batch_4").write_bytes(pickle.dumps({"labels": [1], "data": Runs(place)}, 2))
    found = scanned(home)
    assert found.codes == {"pickle_refused": 1} and len(found.images) == 40
    assert not place.exists()
    (home / "batches.meta").write_bytes(pickle.dumps({"label_names": Runs(place)}, 2))
    assert imagenet_tools.detect(home).found == () and not place.exists()


@pytest.mark.parametrize("side", [8, 16, 64])
@pytest.mark.parametrize("write", [arrays.downsampled_npz, arrays.downsampled_pickles])
def test_every_size_is_a_data_set_of_its_own(side: int, write: Any, tmp_path: Path) -> None:
    home = write(tmp_path / "home", side)
    found = scanned(home)
    assert Counter(row["split"] for row in found.images) == {"train": 60, "val": 6}
    for row in found.images:
        assert (row["dataset"], row["width"], row["height"]) == (f"imagenet{side}", side, side)
        assert row["photo"] == f"imagenet{side}/{row['image_id']}"
    for n in (0, 59):
        assert np.array_equal(found.pixels(f"train_data_batch_{n // 6 + 1}_{n % 6}", home), arrays.drawn(n, side))


def test_labels_from_0_are_no_ids_of_ilsvrc(tmp_path: Path) -> None:
    home = arrays.downsampled_npz(tmp_path / "home", labels={n: label - 1 for n, label in arrays.LABELS.items()})
    [told] = imagenet_tools.detect(home).found
    assert told.holds == () and "labels from 0 on, expected ILSVRC's ids" in told.advice
    # A batch that is replaced after it was detected is a problem.
    whole = arrays.downsampled_npz(tmp_path / "whole")
    (whole / "train_data_batch_4.npz").write_bytes((home / "train_data_batch_1.npz").read_bytes())
    found = scanned(whole)
    assert found.codes == {"labels_from_0": 1}


def compressed(home: Path) -> Path:
    for path in home.iterdir():
        with np.load(path) as loaded:
            np.savez_compressed(path, **loaded)
    return home


def test_images_of_a_compressed_npz_are_read_by_seek_points(tmp_path: Path) -> None:
    home = compressed(arrays.downsampled_npz(tmp_path / "home", 64))
    [found] = imagenet_tools.detect(home).found
    assert found.dataset == "imagenet64" and "np.savez(NEW, **np.load(OLD))" in found.advice
    index = indexed(home, tmp_path)
    rows = index.sql('SELECT image_id, wnid, "offset", compression FROM images').fetchall()
    order = lists.get("ilsvrc2012-id").wnids
    assert len(rows) == 66 and not index.sql("FROM problems").fetchall()
    for image_id, wnid, offset, compression in rows:
        batch, _, n = image_id.rpartition("_")
        number = int(n) + 6 * (10 if batch == "val_data" else int(batch.rpartition("_")[2]) - 1)
        assert (wnid, offset, compression) == (order[arrays.LABELS[number] - 1], None, "npz")
        with Image.open(io.BytesIO(index.image(image_id).read())) as image:
            assert np.array_equal(np.asarray(image), arrays.drawn(number, 64))
    images = [np.asarray(image) for image, _ in index.select().dataset("train")]
    assert len(images) == 60 and images[0].shape == (64, 64, 3)


@pytest.mark.long
def test_images_of_a_long_compressed_npz_are_read_in_any_order(tmp_path: Path) -> None:
    """18 MB of values: five seek points."""
    home, n = tmp_path / "home", 6000
    home.mkdir()
    data = np.random.default_rng(1).integers(0, 40, (n, 3072), np.uint8)
    np.savez_compressed(home / "train_data_batch_1.npz", data=data, labels=np.arange(n) % 1000 + 1)
    index = indexed(home, tmp_path)
    for k in [0, n - 1, *np.random.default_rng(2).permutation(n)[:60].tolist(), *range(3000, 3030)]:
        with Image.open(io.BytesIO(index.image(f"train_data_batch_1_{k}").read())) as image:
            assert np.array_equal(np.asarray(image).transpose(2, 0, 1).ravel(), data[k])


def test_a_compressed_npz_that_is_damaged_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "train_data_batch_3.npz"
    values = np.random.default_rng(1).integers(0, 4, (50, 3072), np.uint8)
    np.savez_compressed(path, data=values, labels=np.arange(1, 51))
    assert scanned(path).codes == {}
    data = bytearray(path.read_bytes())
    data[20_000:20_100] = b"\xff" * 100
    path.write_bytes(data)
    assert scanned(path).codes == {"array_batch": 1}


@pytest.mark.parametrize(
    "other",
    [
        {"data": np.zeros((4, 3072), np.float32), "labels": np.arange(1, 5)},
        {"data": np.zeros((4, 3000), np.uint8), "labels": np.arange(1, 5)},
        {"data": np.zeros((4, 3 * 28 * 28), np.uint8), "labels": np.arange(1, 5)},
        {"data": np.zeros((4, 32, 32, 3), np.uint8), "labels": np.arange(1, 5)},
        {"data": np.zeros((4, 3072), np.uint8), "labels": np.arange(1, 4)},
        {"data": np.asfortranarray(np.zeros((4, 3072), np.uint8)), "labels": np.arange(1, 5)},
        {"data": np.zeros((4, 3072), np.uint8)},
        {"X": np.zeros((4, 3072), np.uint8), "labels": np.arange(1, 5)},
        {"data": np.zeros((4, 3072), np.uint8), "labels": np.array(["a", "b", "c", "d"])},
    ],
)
def test_other_arrays_of_these_names_are_not_taken(other: dict[str, Any], tmp_path: Path) -> None:
    np.savez(tmp_path / "val_data.npz", **other)
    assert imagenet_tools.detect(tmp_path).found == ()
    pickles = write_files(tmp_path / "pickles", {"val_data": pickle.dumps(other, 3)})
    assert imagenet_tools.detect(pickles).found == ()


def test_an_archive_of_one_split_says_what_is_missing(tmp_path: Path) -> None:
    home = arrays.downsampled_npz(tmp_path / "home")
    (home / "train_data_batch_10.npz").unlink()
    (home / "val_data.npz").rename(home / "keep")
    (home / "keep").unlink()
    [found] = imagenet_tools.detect(home).found
    assert found.missing == "1 of the 10 batches of train" and found.splits == ("train",)


def test_images_of_arrays_are_exported_as_pngs_and_train(tmp_path: Path) -> None:
    index = indexed(arrays.cifar10(tmp_path / "home"), tmp_path)
    targets = ("image_folder", "webdataset", "hf_parquet", "zip")
    imagenet_tools.export(index.select(from_=["train", "test"]), tmp_path / "x", to=",".join(targets), workers=1)
    for target in targets:
        found = check_export(tmp_path / "x" / target, index=index, read_data=True)
        assert found.ok and found.compared == found.decoded == 48, found.findings
    files = [path for path in (tmp_path / "x/image_folder").rglob("*") if path.name.startswith("data_batch")]
    assert {path.suffix for path in files} == {".png"}
    with Image.open(tmp_path / "x/image_folder/test/n02121808/test_batch_3.png") as image:
        assert np.array_equal(np.asarray(image), arrays.drawn(43))
    assert json.loads((tmp_path / "x/image_folder/manifest.json").read_text())["images"] == 48
    dataset = index.select().dataset("train")
    first = next(n for n, (path, _) in enumerate(dataset.samples) if path.endswith("word_s_000011.png"))
    image, _ = dataset[first]
    assert np.array_equal(np.asarray(image), arrays.drawn(11))
    assert np.array_equal(np.asarray(dataset.__getitems__([first])[0][0]), arrays.drawn(11))
