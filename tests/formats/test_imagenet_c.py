"""ImageNet-C: every corruption and severity an image of its own, none of them ILSVRC2012's of that name."""

import tarfile
from pathlib import Path

import pytest

import imagenet_tools
from imagenet_tools.catalogue import labels
from tests.forms import imagenet_c
from tests.forms.thousand import drawn
from tests.parameters import short_list

IMAGES = {f"ILSVRC2012_val_{n:08d}": drawn(n) for n in (1, 2, 49_999)}
PLACES = ("gaussian_noise/1", "gaussian_noise/5", "shot_noise/1")


def packed(path: Path, home: Path) -> Path:
    with tarfile.open(path, "w") as out:
        out.add(home, ".")
    return path


@pytest.mark.parametrize("form", short_list(["folder", "tar", "below noise/"], "tar"))
def test_every_corruption_and_severity_of_an_image_is_an_image(form: str, tmp_path: Path) -> None:
    home = imagenet_c.write(tmp_path / "noise", IMAGES, PLACES)
    path = {"folder": home, "tar": tmp_path / "noise.tar", "below noise/": tmp_path}[form]
    if form == "tar":
        packed(path, home)
    (found,) = imagenet_tools.detect(path).found
    assert (found.form, found.dataset, found.splits) == ("imagenet_c", "imagenet-c", ("val",))
    report = imagenet_tools.build_index(path, tmp_path / "x.index", workers=1)
    index = imagenet_tools.open_index(tmp_path / "x.index")
    rows = index.sql("SELECT image_id, wnid, split, photo FROM images").fetchall()
    ids = {f"{place.replace('/', '-')}-{stem}": (n, stem) for n, place in enumerate(PLACES) for stem in IMAGES}
    assert report.problems == {}
    assert sorted(rows) == sorted(
        (id_, labels.validation_wnid(stem), "val", f"imagenet-c/{id_}") for id_, (_, stem) in ids.items()
    )
    assert all(index.image(id_).read() == IMAGES[stem] + bytes(n) for id_, (n, stem) in ids.items())
    counts = "SELECT split_part(image_id, '-', 1) c, split_part(image_id, '-', 2) s, count(*) FROM images GROUP BY ALL"
    assert sorted(index.sql(counts).fetchall()) == sorted((*place.split("/"), 3) for place in PLACES)


def test_what_is_found_is_said_at_every_level(tmp_path: Path) -> None:
    home = imagenet_c.write(tmp_path, IMAGES, PLACES)
    for path, corruptions, folders in (
        (home, "2 corruptions of validation images, gaussian_noise, shot_noise", "3 folders"),
        (home / "gaussian_noise", "1 corruption of validation images, gaussian_noise", "2 folders"),
        (home / "shot_noise" / "1", "1 corruption of validation images, shot_noise", "1 folder"),
    ):
        (found,) = imagenet_tools.detect(path).found
        assert (
            found.evidence == f"{corruptions}, in {folders} of severities, the first with 3 class folders: ImageNet-C"
        )
        assert found.missing == "997 of the 1,000 classes"


def test_no_image_is_taken_for_the_validation_image_of_its_name(tmp_path: Path) -> None:
    val = tmp_path / "val"
    val.mkdir()
    for stem, data in IMAGES.items():
        (val / f"{stem}.JPEG").write_bytes(data)
    home = imagenet_c.write(tmp_path / "c", IMAGES, PLACES)
    imagenet_tools.build_index([val, home], tmp_path / "x.index", workers=1)
    counts = "SELECT dataset, count(*), count(DISTINCT photo) FROM images GROUP BY ALL ORDER BY ALL"
    found = imagenet_tools.open_index(tmp_path / "x.index").sql(counts).fetchall()
    assert found == [("ilsvrc2012", 3, 3), ("imagenet-c", 9, 9)]
    # Neither is a class folder of it, by itself, where nothing but the path says it.
    one = home / "shot_noise" / "1" / str(labels.validation_wnid("ILSVRC2012_val_00000001"))
    assert imagenet_tools.detect(one).found == ()
