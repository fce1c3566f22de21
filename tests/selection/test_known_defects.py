"""Known defects of ILSVRC2012 are image lists: a query counts them, and --exclude leaves them out."""

import csv
from collections.abc import Iterator

import pytest

from imagenet_tools import open_index
from imagenet_tools.catalogue import image_lists, labels
from imagenet_tools.cli import run
from imagenet_tools.errors import UsageError
from imagenet_tools.index import Index
from tests.forms.written_index import Row, image, write
from tests.parameters import short_list

COUNTS = {
    "blacklist": 1_762,
    "real-empty": 3_163,
    "real-multiple": 7_443,
    "ilsvrc2012-cmyk": 22,
    "ilsvrc2012-png": 1,
    "overlap-cub": 43,
    "overlap-caltech101": 84,
    "overlap-caltech256": 285,
}
OVERLAPS = [name for name in COUNTS if name.startswith("overlap-")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """The images of every list of defects, and others beside them."""

    def rows() -> Iterator[Row]:
        listed = {stem for name in COUNTS for stem in image_lists.get(name).images}
        for number, wnid in enumerate(labels.validation_wnids(), 1):
            stem = f"ILSVRC2012_val_{number:08d}"
            if stem in listed or number % 50 == 0:
                yield image(stem, wnid, "val")
        for stem in sorted(stem for stem in listed if stem.startswith("n")):
            yield image(stem, stem[:9])
            yield image(f"{stem}0", stem[:9])

    return open_index(write(tmp_path_factory.mktemp("defects") / "x.index", rows()))


@pytest.mark.parametrize("name", short_list(COUNTS, *[*COUNTS][::3]))
def test_a_query_counts_them_and_exclude_leaves_them_out(whole: Index, name: str) -> None:
    n = COUNTS[name]
    listed = image_lists.get(name).name
    query = f"SELECT count(*) FROM images JOIN image_lists USING (photo) WHERE list = '{listed}'"
    assert whole.sql(query).fetchall() == [(n,)]
    chosen = whole.select(exclude=name)
    assert chosen.left_out() == {"exclude": n} and not chosen.notes()
    assert sum(sum(counts.values()) for counts in whole.select(images=name).counts().values()) == n


def test_images_in_several_lists_are_left_out_once(whole: Index) -> None:
    query = "SELECT count(DISTINCT photo) FROM images JOIN image_lists USING (photo) WHERE list LIKE 'overlap-%'"
    assert whole.sql(query).fetchall() == [(403,)]
    assert whole.select(exclude=OVERLAPS).left_out() == {"exclude": 403}
    condition = "photo IN (SELECT photo FROM image_lists WHERE list LIKE 'real-%')"
    assert whole.select(where=f"NOT {condition}").left_out() == {"where": 3_163 + 7_443}


def test_the_command_line_takes_them(whole: Index, capfd: pytest.CaptureFixture[str]) -> None:
    query = "SELECT list, count(*) AS n FROM image_lists GROUP BY ALL"
    assert run(["-i", str(whole.path), "query", "--format", "csv", query]) == 0
    counts = {row["list"]: int(row["n"]) for row in csv.DictReader(capfd.readouterr().out.splitlines())}
    assert counts == {name: len(image_lists.get(name)) for name in image_lists.names()}
    assert run(["-i", str(whole.path), "info", "--exclude", "real-empty", "--exclude", "nothing-such"]) == 2
    assert "no such list or file" in capfd.readouterr().err


def test_the_names_of_lists_are_those_of_catalogue_alone(whole: Index) -> None:
    rows = whole.sql("FROM image_lists").fetchall()
    lists = [image_lists.get(name) for name in image_lists.names()]
    assert set(rows) == {(one.name, one.dataset, stem) for one in lists for stem in one.images}
    with pytest.raises(UsageError, match="--exclude overlap-v2: no such list or file"):
        whole.select(exclude="overlap-v2")
