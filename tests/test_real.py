"""The real validation images, devkit and csv: what others wrote, read by this project and held to what others read."""

import csv
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

import imagenet_tools
from imagenet_tools.index import Index
from tests.parameters import short_list


def _files(real: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted((real / "ilsvrc2012_val").glob("*.JPEG"))}


def _as_folder(real: Path, home: Path) -> Path:
    return real / "ilsvrc2012_val"


def _as_flat_tar(real: Path, home: Path) -> Path:
    with tarfile.open(home / "val.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
        for stem, path in reversed(_files(real).items()):
            archive.add(path, f"{stem}.JPEG")
    return home / "val.tar"


def _as_class_tars(real: Path, home: Path) -> Path:
    wnids = {row["ImageId"]: row["PredictionString"].split()[0] for row in _csv(real)}
    by_class: dict[str, list[Path]] = {}
    for stem, path in _files(real).items():
        by_class.setdefault(wnids[stem], []).append(path)
    with tarfile.open(home / "whole.tar", "w", format=tarfile.GNU_FORMAT) as outer:
        for wnid, paths in sorted(by_class.items()):
            with tarfile.open(home / f"{wnid}.tar", "w", format=tarfile.GNU_FORMAT) as inner:
                for path in paths:
                    inner.add(path, path.name)
            outer.add(home / f"{wnid}.tar", f"{wnid}.tar")
    return home / "whole.tar"


def _csv(real: Path) -> list[dict[str, str]]:
    with (real / "ilsvrc2012" / "LOC_val_solution.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module", params=short_list([_as_folder, _as_flat_tar, _as_class_tars], _as_class_tars))
def built(request: pytest.FixtureRequest, real: Path, tmp_path_factory: pytest.TempPathFactory) -> Index:
    """The 150 images in one of three forms, with the ground truth of the devkit and the csv of Kaggle."""
    home = tmp_path_factory.mktemp("real")
    form: Callable[[Path, Path], Path] = request.param
    truth = real / "ilsvrc2012" / "ILSVRC2012_validation_ground_truth.txt"
    paths = [form(real, home), truth, real / "ilsvrc2012" / "LOC_val_solution.csv"]
    report = imagenet_tools.build_index(paths, home / "x.index")
    assert report.problems == {}
    return imagenet_tools.open_index(home / "x.index")


def test_devkit_and_csv_agree_with_the_labels_of_all_150(built: Index, real: Path) -> None:
    wnids = {row["ImageId"]: row["PredictionString"].split()[0] for row in _csv(real)}
    rows = built.sql("SELECT image_id, wnid, split FROM images").fetchall()
    assert len(rows) == 150
    assert {image_id: wnid for image_id, wnid, _ in rows} == {stem: wnids[stem] for stem in _files(real)}
    assert {split for _, _, split in rows} == {"val"}
    said = built.sql(
        """SELECT label_set, count(*), count(*) FILTER (labels.wnid = images.wnid)
           FROM labels JOIN images USING (dataset, image_id) GROUP BY label_set ORDER BY label_set"""
    )
    assert said.fetchall() == [("devkit", 150, 150), ("loc_csv", 150, 150)]


def test_the_222_boxes_of_the_csv_are_there_to_the_number(built: Index, real: Path) -> None:
    stems = _files(real)
    expected = []
    for row in _csv(real):
        words = row["PredictionString"].split()
        boxes = [words[n : n + 5] for n in range(0, len(words), 5)] if row["ImageId"] in stems else []
        expected += [(row["ImageId"], wnid, *map(float, numbers)) for wnid, *numbers in boxes]
    found = built.sql("SELECT image_id, wnid, xmin, ymin, xmax, ymax FROM boxes").fetchall()
    assert len(found) == 222
    assert sorted(found) == sorted(expected)
    (odd,) = built.sql("SELECT count(*) FROM boxes WHERE flags <> ['no_size'] OR nxmin IS NULL").fetchall()
    assert odd == (0,)


def test_sizes_and_modes_are_pillows(built: Index, real: Path) -> None:
    rows = built.sql("SELECT image_id, width, height, mode, encoding, orientation FROM images").fetchall()
    files = _files(real)
    for image_id, *found in rows:
        with Image.open(files[image_id]) as image:
            assert found == [*image.size, image.mode, "jpeg", image.getexif().get(0x0112)], image_id


def test_every_image_is_read_back_byte_for_byte(built: Index, real: Path) -> None:
    for image_id, path in _files(real).items():
        assert built.image(image_id).read() == path.read_bytes()


def test_the_class_samples_are_pillows_too(real: Path, tmp_path: Path) -> None:
    imagenet_tools.build_index([real / "class_samples"], tmp_path / "x.index", dataset="samples")
    index = imagenet_tools.open_index(tmp_path / "x.index")
    rows = index.sql("SELECT image_id, file, width, height, mode, orientation FROM images").fetchall()
    assert len(rows) == 156 + 1
    turned = {}
    for image_id, file, *found in rows:
        with Image.open(real / "class_samples" / file) as image:
            assert found == [*image.size, image.mode, image.getexif().get(0x0112)], image_id
        turned[image_id] = found[-1]
    assert turned["n02951585_can_opener"] == 6
    assert turned["n01728572_thunder_snake"] == 0


@pytest.mark.parametrize(
    ("synset", "classes"), [("dog.n.01", 118), ("bird.n.01", 59), ("mammal.n.01", 218), ("domestic_animal.n.01", 123)]
)
def test_so_many_of_the_1000_classes_lie_below(built: Index, synset: str, classes: int) -> None:
    query = "SELECT count(*) FROM synsets WHERE ilsvrc_id IS NOT NULL AND is_a(wnid, $synset)"
    assert built.sql(query, synset=synset).fetchall() == [(classes,)]


def test_the_closure_of_the_21841_has_23546_nodes(built: Index, real: Path) -> None:
    lines = (real / "lists" / "fall11_classes.csv").read_text().splitlines()[1:]
    wnids = [line.split(",")[0] for line in lines]
    assert len(wnids) == 21_841
    query = "SELECT count(DISTINCT ancestor) FROM closure WHERE descendant IN (SELECT unnest($wnids))"
    assert built.sql(query, wnids=wnids).fetchall() == [(23_546,)]
