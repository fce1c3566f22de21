"""A photograph is the same in every release that keeps ImageNet's stems, and in no other; and is counted once."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import imagenet_tools
from imagenet_tools.cli import group
from imagenet_tools.index import Index
from imagenet_tools.wordnet import hierarchy
from imagenet_tools.wordnet.wnid import keeps_imagenet_name, photo_of, without_label
from tests.conftest import Extracted
from tests.forms import whole
from tests.parameters import short_list

CAT, BIRD, PERSON = "n02123045", "n01531178", "n00007846"


@pytest.fixture(scope="module")
def releases(extracted: Extracted, sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Index:
    """Fall 2011, winter 2021 and ILSVRC2012 in one index: cats are in all three, persons in fall 2011 alone."""
    home = tmp_path_factory.mktemp("releases")
    by_class = {
        wnid: {path.stem: path.read_bytes() for path in sorted((extracted.train / wnid).iterdir())}
        for wnid in (CAT, BIRD)
    }
    persons = whole.images(extracted.data.values(), classes=[PERSON])
    cats = dict(list(by_class[CAT].items())[:6])
    # One of winter's cats stands in the class of birds, where fall's is a cat.
    moved = "n02123045_20202020"
    birds = by_class[BIRD] | {moved: extracted.data[next(iter(cats))]}
    paths = [
        sample / "ILSVRC2012_img_train.tar",
        whole.fall11_whole(home / "fall11_whole.tar", by_class | persons | {CAT: by_class[CAT] | {moved: b"GIF89a"}}),
        whole.winter21_folder(home / "winter21_whole", {CAT: cats, BIRD: birds}),
    ]
    imagenet_tools.build_index(paths, home / "x.index", workers=1)
    return imagenet_tools.open_index(home / "x.index")


def test_three_releases_share_their_photographs(releases: Index) -> None:
    counts = releases.sql("SELECT dataset, count(*), count(DISTINCT photo) FROM images GROUP BY ALL ORDER BY 1")
    assert counts.fetchall() == [("fall11", 25, 25), ("ilsvrc2012", 130, 130), ("winter21", 17, 17)]
    assert releases.sql("SELECT count(*), count(DISTINCT photo) FROM images").fetchall() == [(172, 135)]
    thrice = "SELECT count(*) FROM (SELECT photo FROM images GROUP BY photo HAVING count(DISTINCT dataset) = 3)"
    assert releases.sql(thrice).fetchall() == [(6 + 10,)]
    hashes = "SELECT count(*) FROM (SELECT photo FROM images GROUP BY photo HAVING count(DISTINCT hash32) <> 1)"
    assert releases.sql(hashes).fetchall() == [(0,)]


def test_each_release_s_bytes_are_its_own(releases: Index, extracted: Extracted) -> None:
    stem = next(path.stem for path in sorted((extracted.train / CAT).iterdir()))
    places = {name: releases.image(stem, dataset=name) for name in ("ilsvrc2012", "fall11", "winter21")}
    assert {image.read() for image in places.values()} == {extracted.data[stem]}
    assert len({image.place.path for image in places.values()}) == 3


def test_a_photograph_is_counted_once_in_its_class_and_above(releases: Index) -> None:
    """Against sets made row by row in Python."""
    rows = releases.sql("SELECT dataset || image_id, photo, wnid FROM images").fetchall()
    images: dict[str, set[str]] = {}
    photos: dict[str, set[str]] = {}
    for image, photo, wnid in rows:
        for above in (wnid, *hierarchy.ancestors(wnid)):
            images.setdefault(above, set()).add(image)
            photos.setdefault(above, set()).add(photo)
    counted = releases.sql(
        "SELECT wnid, n_images_inclusive, n_photos_inclusive FROM synsets WHERE n_images_inclusive > 0"
    ).fetchall()
    assert {wnid: (n, m) for wnid, n, m in counted} == {wnid: (len(images[wnid]), len(photos[wnid])) for wnid in images}
    direct = dict(releases.sql("SELECT wnid, n_photos FROM synsets WHERE n_photos > 0").fetchall())
    assert direct == {wnid: len({photo for _, photo, own in rows if own == wnid}) for wnid in {r[2] for r in rows}}
    whole_tree = releases.sql("SELECT n_images_inclusive, n_photos_inclusive FROM synsets WHERE name = 'entity.n.01'")
    assert whole_tree.fetchall() == [(172, 135)]


def test_info_says_how_many_photographs_the_images_are(releases: Index, index: Index) -> None:
    info = CliRunner().invoke(group, ["-i", str(releases.path), "info"])
    assert "172 labelled images of 135 photographs" in info.output
    facts = json.loads(CliRunner().invoke(group, ["-i", str(releases.path), "info", "--json"]).output)
    assert (facts["labelled"], facts["photos"]) == (172, 135)
    assert "photographs" not in CliRunner().invoke(group, ["-i", str(index.path), "info"]).output


def test_with_one_release_photographs_are_images(index: Index) -> None:
    query = "SELECT count(*) FROM synsets WHERE n_photos <> n_images OR n_photos_inclusive <> n_images_inclusive"
    assert index.sql(query).fetchall() == [(0,)]
    assert index.sql("SELECT n_photos_inclusive FROM synsets WHERE name = 'entity.n.01'").fetchall() == [(182,)]


@pytest.mark.parametrize(
    ("dataset", "stem"),
    [
        ("imagenet-r", "art_0"),
        ("imagenet-v2", "0a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d6e7f8a9b"),
        ("imagenet-a", "0.000116_digital clock _ digital clock_0.865662"),
        ("tiny-imagenet-200", "val_0"),
        ("miniimagenet", "n0153282900000005"),
        ("samples", "n01491361_tiger_shark"),
    ],
)
def test_other_names_join_nothing(dataset: str, stem: str) -> None:
    assert not keeps_imagenet_name(stem)
    assert photo_of(dataset, stem) == f"{dataset}/{stem}"


@pytest.mark.parametrize(
    ("dataset", "joins"),
    [
        ("tiny-imagenet-200", False), ("tinyimagenet", False), ("mini-imagenet", False), ("imagenet-c", False),
        ("imagenet-c-bar", False), ("imagenet-p", False), ("imagenet21k-p-fall11", True), ("imagenette2-160", True),
        ("stanford-dogs", True), ("imagenet12k", True), ("mine", True),
    ],
)  # fmt: skip
def test_names_that_look_like_imagenet_s_join_where_they_are_its(dataset: str, joins: bool) -> None:
    for stem in ("n01774750_18", "ILSVRC2012_val_00000293"):
        assert photo_of(dataset, stem) == (stem if joins else f"{dataset}/{stem}")


@pytest.mark.parametrize("form", short_list(["folders", "class tars", "flat tar"], "class tars"))
def test_tiny_imagenet_in_the_index_is_no_photograph_of_imagenet(
    form: str, extracted: Extracted, tmp_path: Path
) -> None:
    stems = sorted(path.stem for path in (extracted.train / CAT).iterdir())
    theirs = {CAT: dict(zip(stems, sorted(extracted.data.values()), strict=False))}  # the same names, other images
    home = tmp_path / "tiny"
    path = {"folders": whole.tree(home, theirs), "class tars": whole.fall11_whole(tmp_path / "a.tar", theirs)}.get(form)
    if path is None:
        path = tmp_path / "flat.tar"
        path.write_bytes(whole.class_tar(theirs[CAT]))
    imagenet_tools.build_index([extracted.train], tmp_path / "x.index", workers=1)
    imagenet_tools.build_index([path], tmp_path / "x.index", workers=1, dataset="tiny-imagenet-200")
    index = imagenet_tools.open_index(tmp_path / "x.index")
    assert index.sql("SELECT count(*), count(DISTINCT photo) FROM images").fetchall() == [(140, 140)]
    assert index.sql("SELECT count(DISTINCT photo) FROM images WHERE wnid = $cat", cat=CAT).fetchall() == [(20,)]
    for stem, data in theirs[CAT].items():
        assert index.image(stem, dataset="tiny-imagenet-200").read() == data
        assert index.image(stem, dataset="ilsvrc2012").read() == extracted.data[stem]


def test_the_hubs_names_are_the_photographs_of_imagenet() -> None:
    assert without_label("n01440764_10026_n01440764") == ("n01440764_10026", "n01440764")
    assert without_label("ILSVRC2012_val_00000293_n01440764") == ("ILSVRC2012_val_00000293", "n01440764")
    assert photo_of("fall11", "n01440764_10026") == photo_of("winter21", "n01440764_10026") == "n01440764_10026"
