"""The same 1,000 images as folders, tars and each hub's shards are the same rows, the same bytes, and counted once."""

from collections.abc import Callable
from pathlib import Path

import pytest

import imagenet_tools
from imagenet_tools.containers.payload import read
from imagenet_tools.index import Index
from imagenet_tools.storage.blob import Descriptors
from tests.forms import thousand, webdataset
from tests.forms.thousand import FORMS, Data, classic, of, parquet, tables, tars, wds
from tests.parameters import short_list

# What identifies an image and draws its split, in every form alike.
ROWS = "SELECT photo, wnid, split, dataset, image_id, hash32, width, height FROM images ORDER BY ALL"


@pytest.fixture(scope="module")
def data() -> Data:
    return thousand.data()


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


@pytest.mark.parametrize("form", short_list(FORMS, wds))
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


@pytest.mark.long
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
