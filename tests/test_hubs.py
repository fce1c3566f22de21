"""The same images from the archives, from folders and from the hubs are the same: id, photo, class, split, size."""

from collections.abc import Callable
from pathlib import Path

import pytest

import imagenet_tools
from imagenet_tools.formats import (
    flat_folder,
    hf_imagefolder,
    hf_parquet,
    image_folder,
    image_tars,
    tfrecord,
    webdataset,
)
from tests.conftest import Extracted
from tests.forms import hf_imagefolder as imagefolder_form
from tests.forms import hf_parquet as parquet_form
from tests.forms import tfrecord as tfrecord_form
from tests.forms import webdataset as webdataset_form
from tests.scanned import Scanned

Facts = dict[str, tuple[object, ...]]


@pytest.fixture(scope="module")
def official(sample: Path) -> Facts:
    """What the official archives say of all 187 images."""
    found: Facts = {}
    for name in ("ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar", "ILSVRC2012_img_test_v10102019.tar"):
        found |= Scanned(image_tars, sample / name).facts()
    assert len(found) == 187
    return found


def _folders(extracted: Extracted, sample: Path, home: Path) -> list[Scanned]:
    return [Scanned(image_folder, extracted.train.parent), Scanned(flat_folder, extracted.val.parent)]


def _parquet(extracted: Extracted, sample: Path, home: Path) -> list[Scanned]:
    return [Scanned(hf_parquet, parquet_form.write(home, extracted.data, parquet_form.words(sample)))]


def _webdataset(extracted: Extracted, sample: Path, home: Path) -> list[Scanned]:
    webdataset_form.write_1k(home, extracted.data)
    tests = [webdataset_form.sample_1k(stem, data) for stem, data in extracted.data.items() if "_test_" in stem]
    webdataset_form.write_shard(home / "imagenet1k-test-0.tar", tests)
    return [Scanned(webdataset, home)]


def _classic(extracted: Extracted, sample: Path, home: Path) -> list[Scanned]:
    return [Scanned(tfrecord, tfrecord_form.write_classic(home, extracted.data, {}))]


def _tensorflow_datasets(extracted: Extracted, sample: Path, home: Path) -> list[Scanned]:
    tfrecord_form.write_tfds(home, extracted.data)
    return [Scanned(tfrecord, home)]


def _words(extracted: Extracted, sample: Path, home: Path) -> list[Scanned]:
    return [Scanned(hf_imagefolder, imagefolder_form.write_words(home, extracted.data, parquet_form.words(sample)))]


# A form, and how many of the images its publisher gives: the others have no test images.
FORMS = [
    (_folders, 187),
    (_parquet, 187),
    (_webdataset, 187),
    (_tensorflow_datasets, 187),
    (_classic, 182),
    (_words, 182),
]


@pytest.mark.parametrize(("form", "n"), FORMS)
def test_every_form_says_the_same_and_gives_the_same_bytes(
    form: Callable[[Extracted, Path, Path], list[Scanned]],
    n: int,
    official: Facts,
    extracted: Extracted,
    sample: Path,
    tmp_path: Path,
) -> None:
    facts: Facts = {}
    data: dict[str, bytes] = {}
    for scanned in form(extracted, sample, tmp_path):
        assert scanned.problems == {}
        assert {row["dataset"] for row in scanned.tables["images"]} == {"ilsvrc2012"}
        facts |= scanned.facts()
        data |= scanned.bytes()
    expected = official if n == 187 else {stem: told for stem, told in official.items() if "_test_" not in stem}
    assert len(facts) == n
    assert facts == expected
    assert data == {stem: extracted.data[stem] for stem in expected}


def test_in_one_index_they_are_187_images_with_their_copies(extracted: Extracted, sample: Path, tmp_path: Path) -> None:
    paths = [
        sample / "ILSVRC2012_img_train.tar",
        parquet_form.write(tmp_path / "parquet", extracted.data, parquet_form.words(sample)),
        webdataset_form.write_1k(tmp_path / "wds", extracted.data),
        tfrecord_form.write_tfds(tmp_path / "tfds", extracted.data),
    ]
    report = imagenet_tools.build_index(paths, tmp_path / "x.index", workers=1)
    index = imagenet_tools.open_index(tmp_path / "x.index")
    assert report.problems == {}
    assert report.rows["images"] == 187
    assert report.rows["copies"] == 130 + 187 + 182 + 187 - 187
    # What can be addressed by byte is the first place.
    assert index.sql("SELECT count(*) FROM images WHERE compression IS NOT NULL").fetchall() == [(0,)]
    assert index.image("ILSVRC2012_test_00000001").read() == extracted.data["ILSVRC2012_test_00000001"]


def test_a_resized_release_shares_the_photos_and_not_the_images(
    extracted: Extracted, sample: Path, tmp_path: Path
) -> None:
    stems = [stem for stem in extracted.data if stem.startswith("n")]
    samples = [webdataset_form.sample_22k(stem, extracted.data[stem], longest_short=60) for stem in stems]
    root = webdataset_form.write(tmp_path / "imagenet-22k-wds", "imagenet22k", {"train": samples}, shards={"train": 2})
    imagenet_tools.build_index([sample / "ILSVRC2012_img_train.tar", root], tmp_path / "x.index", workers=1)
    index = imagenet_tools.open_index(tmp_path / "x.index")
    counts = index.sql("SELECT count(*), count(DISTINCT photo), count(DISTINCT dataset) FROM images").fetchall()
    assert counts == [(260, 130, 2)]
    apart = "SELECT count(*) FROM (SELECT photo FROM images GROUP BY photo HAVING count(DISTINCT hash32) > 1)"
    assert index.sql(apart).fetchall() == [(0,)]
