"""The same 1,000 images as folders, tars and each hub's shards are the same rows, the same bytes, and counted once."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

import imagenet_tools
from imagenet_tools.class_lists import labels
from imagenet_tools.containers.blob import Descriptors
from imagenet_tools.containers.payload import read
from imagenet_tools.index.opened import Index
from tests.forms import hf_imagefolder, hf_parquet, tfrecord, webdataset
from tests.forms.small import hub_archive
from tests.forms.whole import add, class_tar

Data = dict[str, bytes]

# What identifies an image and draws its split, in every form alike.
ROWS = "SELECT photo, wnid, split, dataset, image_id, hash32, width, height FROM images ORDER BY ALL"


def drawn(n: int) -> bytes:
    """A small JPEG, another for each number."""
    sink = io.BytesIO()
    image = Image.new("RGB", (24 + n % 7, 20 + n % 5), (n % 256, n // 4 % 256, 90))
    image.putpixel((n % 20, n // 20 % 20), (255, 255, 255))
    image.save(sink, "JPEG", quality=70 + n % 20)
    return sink.getvalue()


@pytest.fixture(scope="module")
def data() -> Data:
    """700 training images of 100 classes, 250 validation and 50 test images."""
    wnids = labels.ilsvrc2012_sorted()
    stems = [f"{wnids[n % 100 * 10 + 3]}_{n * 37 + 5}" for n in range(700)]
    stems += [f"ILSVRC2012_val_{n * 199 + 1:08d}" for n in range(250)]
    stems += [f"ILSVRC2012_test_{n * 1999 + 1:08d}" for n in range(50)]
    made = {stem: drawn(n) for n, stem in enumerate(stems)}
    assert len(made) == len(set(made.values())) == 1000
    return made


def of(data: Data, split: str) -> Data:
    return {stem: image for stem, image in data.items() if hf_parquet.split_of(stem) == split}


def folders(home: Path, data: Data) -> list[Path]:
    for stem, image in data.items():
        split = hf_parquet.split_of(stem)
        folder = home / split / stem[:9] if split == "train" else home / split
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{stem}.JPEG").write_bytes(image)
    return [home]


def tars(home: Path, data: Data) -> list[Path]:
    classes: dict[str, Data] = {}
    for stem, image in of(data, "train").items():
        classes.setdefault(stem[:9], {})[stem] = image
    names = {"train": "ILSVRC2012_img_train", "val": "ILSVRC2012_img_val", "test": "ILSVRC2012_img_test_v10102019"}
    home.mkdir(parents=True)
    for split, name in names.items():
        with tarfile.open(home / f"{name}.tar", "w") as archive:
            if split == "train":
                for wnid, inside in classes.items():
                    add(archive, f"{wnid}.tar", class_tar(inside))
            else:
                for stem, image in of(data, split).items():
                    add(archive, f"{'test/' * (split == 'test')}{stem}.JPEG", image)
    return [home / f"{name}.tar" for name in names.values()]


def parquet(home: Path, data: Data) -> list[Path]:
    return [hf_parquet.write(home, data, None, per_shard=150)]


def before_parquet(home: Path, data: Data) -> list[Path]:
    home /= "data"
    home.mkdir(parents=True)
    (home.parent / "README.md").write_text("---")
    (home.parent / "classes.py").write_text("IMAGENET2012_CLASSES = {}")
    wnids = {stem: wnid for stem in data if (wnid := hf_parquet.wnid_of(stem))}
    train = list(of(data, "train").items())
    for number in range(2):
        hub_archive(home / f"train_images_{number}.tar.gz", dict(train[number::2]), wnids)
    for split in ("val", "test"):
        hub_archive(home / f"{split}_images.tar.gz", of(data, split), wnids)
    return [home.parent]


def wds(home: Path, data: Data) -> list[Path]:
    webdataset.write_1k(home, data)
    webdataset.write_shard(
        home / "imagenet1k-test-0.tar", [webdataset.sample_1k(*one) for one in of(data, "test").items()]
    )
    return [home]


def classic(home: Path, data: Data) -> list[Path]:
    return [tfrecord.write_classic(home, data, {})]


def tfds(home: Path, data: Data) -> list[Path]:
    return [tfrecord.write_tfds(home, data)]


def tables(home: Path, data: Data) -> list[Path]:
    order = labels.ilsvrc2012_sorted()
    for split, folder in (("train", "train"), ("val", "validation")):
        rows = [
            {"file_name": f"{stem}.JPEG", "stem": stem, "label": order.index(hf_parquet.wnid_of(stem) or "")}
            for stem in of(data, split)
        ]
        hf_imagefolder.write_table(home / folder, data, rows)
    return [home]


FORMS = [folders, tars, parquet, before_parquet, wds, classic, tfds, tables]


@pytest.fixture(scope="module")
def indexes(data: Data, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Callable[..., list[Path]]], Index]:
    """The index of a form, built once."""
    made: dict[str, Index] = {}

    def index_of(form: Callable[[Path, Data], list[Path]]) -> Index:
        if form.__name__ not in made:
            home = tmp_path_factory.mktemp(form.__name__)
            report = imagenet_tools.build_index(form(home / "source", data), home / "x.index", workers=1)
            assert report.problems == {}
            assert [one.ignored for one in report.sources] == [()] * len(report.sources)
            made[form.__name__] = imagenet_tools.open_index(home / "x.index")
        return made[form.__name__]

    return index_of


def read_back(index: Index) -> Data:
    """Every image from its place in an index, in another order than they lie in."""
    columns = 'image_id, source, file, "offset", length, member, position, compression'
    rows = index.sql(f"SELECT {columns} FROM images ORDER BY hash32").fetchall()
    with Descriptors() as files:
        return {image_id: read(index.image_place(*where), files) for image_id, *where in rows}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_rows_and_every_image_back(
    form: Callable[[Path, Data], list[Path]], indexes: Callable[..., Index], data: Data
) -> None:
    expected = indexes(tars).sql(ROWS).fetchall()
    assert len(expected) == 1000
    if form in (classic, tables):  # which have no test images
        expected = [row for row in expected if row[2] != "test"]
    found = indexes(form)
    assert found.sql(ROWS).fetchall() == expected
    assert read_back(found) == {photo: data[photo] for photo, *_ in expected}
    for photo, *_ in expected[::29]:
        assert found.image(photo).read() == data[photo]


def test_two_hubs_and_the_official_tars_in_one_index_count_each_photo_once(data: Data, tmp_path: Path) -> None:
    paths = [
        *tars(tmp_path / "official", data),
        *parquet(tmp_path / "imagenet-1k", data),
        *wds(tmp_path / "imagenet-1k-wds", data),
    ]
    train = of(data, "train")
    fall11 = [webdataset.sample_22k(stem, train[stem], longest_short=22) for stem in train if stem[:9] != "n04399382"]
    paths.append(webdataset.write(tmp_path / "imagenet-22k-wds", "imagenet22k", {"train": fall11}, shards={"train": 3}))
    report = imagenet_tools.build_index(paths, tmp_path / "x.index", workers=1)
    index = imagenet_tools.open_index(tmp_path / "x.index")
    assert report.problems == {}
    counts = "SELECT dataset, count(*), count(DISTINCT photo) FROM images GROUP BY ALL ORDER BY ALL"
    assert index.sql(counts).fetchall() == [("ilsvrc2012", 1000, 1000), ("imagenet-22k-wds", len(fall11), len(fall11))]
    assert report.rows["copies"] == 2000
    assert index.sql("SELECT count(DISTINCT photo) FROM images").fetchall() == [(1000,)]
    one = next(iter(train))
    assert index.image(one, dataset="ilsvrc2012").read() == data[one]
    below = index.sql("SELECT n_photos_inclusive, n_images_inclusive FROM synsets WHERE wnid = 'n00001740'").fetchall()
    assert below == [(950, 950 + len(fall11))]
