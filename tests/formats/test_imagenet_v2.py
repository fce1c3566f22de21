"""ImageNetV2: class indices in the order of the wnids, three data sets, test and never train, photos of its own."""

import tarfile
from pathlib import Path

import pytest

import imagenet_tools
from imagenet_tools.catalogue import labels
from imagenet_tools.errors import SourceError
from tests.forms import imagenet_v2
from tests.forms.thousand import drawn
from tests.parameters import short_list

IMAGES = {n: [drawn(2 * n), drawn(2 * n + 1)] for n in (0, 1, 2, 10, 999)}
EXPECTED = {imagenet_v2.name(data): (n, data) for n, some in IMAGES.items() for data in some}
FORMS = ("folder", "tar", "tar.gz", "a plain tar called tar.gz")


def source(form: str, home: Path, folder: str = next(iter(imagenet_v2.SETS))) -> Path:
    path = imagenet_v2.write(home, IMAGES, folder)
    if form == "folder":
        return path
    archive = home / f"{folder.removesuffix('-format-val')}.{form.rpartition(' ')[2]}"
    with tarfile.open(archive, "w:gz" if form == "tar.gz" else "w") as out:
        out.add(path, folder)
    return archive


@pytest.mark.parametrize("form", short_list(FORMS, *[*FORMS][::2]))
def test_every_image_has_the_class_of_its_index_and_its_bytes(form: str, tmp_path: Path) -> None:
    report = imagenet_tools.build_index(source(form, tmp_path), tmp_path / "x.index", workers=1)
    index = imagenet_tools.open_index(tmp_path / "x.index")
    rows = index.sql("SELECT image_id, wnid, dataset, split, photo FROM images").fetchall()
    dataset = "imagenetv2-matched-frequency"
    wnids = labels.ilsvrc2012_sorted()
    assert report.problems == {}
    assert sorted(rows) == sorted(
        (name, wnids[n], dataset, "test", f"{dataset}/{name}") for name, (n, _) in EXPECTED.items()
    )
    assert all(index.image(name).read() == data for name, (_, data) in EXPECTED.items())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("folder", imagenet_v2.SETS)
def test_each_of_the_three_is_a_data_set_with_what_was_found(form: str, folder: str, tmp_path: Path) -> None:
    (found,) = imagenet_tools.detect(source(form, tmp_path, folder)).found
    assert (found.form, found.dataset, found.splits) == ("imagenet_v2", imagenet_v2.SETS[folder], ("test",))
    assert found.evidence.endswith(
        "called by indices of ILSVRC2012's sorted classes, from 0: ImageNetV2, as its name says"
    )
    assert found.missing == ("995 of the 1,000 classes" if form == "folder" else "")
    assert ("gunzip it once" in found.advice) == (form == "tar.gz")


def test_the_three_are_read_together_and_one_below_a_folder_called_imagenetv2(tmp_path: Path) -> None:
    for folder in imagenet_v2.SETS:
        imagenet_v2.write(tmp_path / "all", IMAGES, folder)
    imagenet_tools.build_index(tmp_path / "all", tmp_path / "x.index", workers=1)
    counts = "SELECT dataset, count(*), count(DISTINCT photo) FROM images GROUP BY ALL ORDER BY ALL"
    found = imagenet_tools.open_index(tmp_path / "x.index").sql(counts).fetchall()
    assert found == [(dataset, 10, 10) for dataset in sorted(imagenet_v2.SETS.values())]
    (below,) = imagenet_tools.detect(imagenet_v2.write(tmp_path / "imagenetv2", IMAGES, "top-images")).found
    assert below.dataset == "imagenetv2-top-images"


@pytest.mark.parametrize("folder", ["pictures", "imagenetv2/digits"])
def test_numbers_of_a_folder_that_is_not_called_so_mean_nothing(folder: str, tmp_path: Path) -> None:
    path = imagenet_v2.write(tmp_path, IMAGES, folder)
    with pytest.raises(SourceError, match="called by numbers"):
        imagenet_tools.build_index(path, tmp_path / "x.index", workers=1)


def test_a_folder_that_is_no_index_gives_no_class(tmp_path: Path) -> None:
    home = tmp_path / "imagenetv2-top-images-format-val"
    imagenet_v2.write(tmp_path, IMAGES, home.name)
    for name in ("1000", "007"):
        (home / name).mkdir()
        (home / name / f"{name}.jpeg").write_bytes(drawn(5000))
    assert imagenet_tools.detect(home).ignored == ("007/", "1000/")
    with tarfile.open(tmp_path / "a.tar", "w") as out:
        for path in sorted(home.rglob("*.jpeg"), key=lambda path: len(path.stem) < 9):
            out.add(path, path.relative_to(tmp_path))
    report = imagenet_tools.build_index(tmp_path / "a.tar", tmp_path / "x.index", workers=1)
    assert report.problems["no_class_index"] == 2
