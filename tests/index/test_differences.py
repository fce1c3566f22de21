"""diff: two indexes, locks, recipes or lists, and nothing where they are the same."""

import json
import shutil
from pathlib import Path

import pytest

import imagenet_tools
from imagenet_tools.catalogue import image_lists, lists, releases
from imagenet_tools.cli import run
from imagenet_tools.errors import NoIndexError, UsageError
from imagenet_tools.index import Index
from imagenet_tools.selection.differences import Differences, differences
from imagenet_tools.wordnet import hierarchy
from tests.forms.thousand import drawn
from tests.forms.written_index import image, write

ROWS = [image(f"n02085620_{n}", "n02085620") for n in range(5)]


def test_images_that_are_there_alone_or_of_another_class_or_split_are_named(tmp_path: Path) -> None:
    a = write(tmp_path / "a.index", ROWS)
    changed = [image("n02085620_0", "n02086079"), image("n02085620_1", "n02085620", "val"), *ROWS[2:4]]
    b = write(tmp_path / "b.index", [*changed, image("n02086079_7", "n02086079")])
    found = differences(str(a), str(b))
    assert found.counts == {"wnid": 1, "split": 1, "only_a": 1, "only_b": 1}
    assert [(one.what, one.key) for one in found.some] == [
        ("wnid", "ilsvrc2012/n02085620_0"),
        ("split", "ilsvrc2012/n02085620_1"),
        ("only_a", "ilsvrc2012/n02085620_4"),
        ("only_b", "ilsvrc2012/n02086079_7"),
    ]
    by_class = differences(str(a), str(b), by="wnid")
    assert [(one.what, one.key, one.a, one.b) for one in by_class.some] == [
        ("n", "n02085620 chihuahua.n.03", 5, 3),
        ("only_b", "n02086079 pekinese.n.01", None, 2),
    ]
    assert differences(str(a), str(a)).counts == differences(str(a), str(a), by="wnid").counts == {}


def test_a_damaged_index_is_an_error_that_says_so(index: Index, tmp_path: Path) -> None:
    damaged = tmp_path / "cut.index"
    shutil.copytree(index.path, damaged)
    images = next((damaged / "images").glob("*train*.parquet"))
    images.write_bytes(images.read_bytes()[:100])
    for by in (None, "wnid", "bytes"):
        with pytest.raises(NoIndexError, match=f"{damaged} is damaged; its table images cannot be read: "):
            differences(str(damaged), str(index.path), by=by)


def test_locks_recipes_and_lists_are_compared(index: Index, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, per_class in (("few", 2), ("more", 4)):
        chosen = index.select(under="dog", per_class=per_class)
        chosen.save(tmp_path / f"{name}.toml")
        chosen.lock(tmp_path / f"{name}.lock.toml")
    few, more = (str(tmp_path / f"{name}.lock.toml") for name in ("few", "more"))
    assert differences(few, more).counts == {"only_b": 5 * 4}  # 5 classes, train and val, 2 more each
    assert set(differences(few, str(index.path)).counts) == {"only_b"}
    recipes = differences(few.replace(".lock", ""), more.replace(".lock", ""))
    assert [(one.key, one.a, one.b) for one in recipes.some] == [("per_class", 2, 4)]
    assert differences("n02085620,n02086079", "n02086079,n02085620,n02088364").counts == {"only_b": 1, "place": 2}
    assert differences("ilsvrc2012", "ilsvrc2012").counts == {}
    assert run(["diff", few, few]) == 0
    assert run(["diff", "--json", few, more]) == 1
    assert json.loads(capsys.readouterr().out.split("by id\n")[1])["counts"] == {"only_b": 20}
    for wrong in ((few, few.replace(".lock", ""), None), ("ilsvrc2012", few, "id"), (few, more, "bytes")):
        with pytest.raises(UsageError):
            differences(wrong[0], wrong[1], by=wrong[2])


def side(found: Differences, what: str) -> set[str]:
    return {one.key for one in found.some if one.what == what}


@pytest.mark.parametrize(
    ("a", "b", "only_a", "only_b", "in_both", "why"),
    [
        ("ilsvrc2010", "ilsvrc2012", 360, 360, 640, ["ilsvrc2010 lacks 90 classes of dogs"]),
        ("fall11", "imagenet21k-p", 10_620, 0, 11_221, ["imagenet21k-p lacks 10,620 classes with too few images"]),
        ("fall11", "imagenet21k-goog", 0, 2, 21_841, ["fall11 lacks n03931044 (picture.n.01), n09859684"]),
        (
            "imagenet12k",
            "ilsvrc2012",
            10_828,
            7,
            993,
            ["imagenet12k lacks n04399382 (teddy.n.01)", "imagenet12k lacks 6 classes with too few images"],
        ),
        ("imagenet21k-p-fall11", "imagenet21k-p-winter21", 771, 0, 10_450, ["-winter21 lacks 771 classes of persons"]),
        ("imagenette", "imagewoof", 10, 10, 0, []),
    ],
)
def test_published_lists_differ_as_published_and_it_is_said_why(
    a: str, b: str, only_a: int, only_b: int, in_both: int, why: list[str]
) -> None:
    found = differences(a, b, limit=30_000)
    assert (found.counts.get("only_a", 0), found.counts.get("only_b", 0), found.in_both) == (only_a, only_b, in_both)
    assert len(found.why) == len(why) and all(map(str.__contains__, found.why, why))
    assert side(found, "only_a") == set(lists.get(releases.list_of(a)).wnids) - set(lists.get(b).wnids)


def test_winter_2021_dropped_persons_some_of_which_are_known(tmp_path: Path) -> None:
    found = differences("fall11", "winter21", limit=3_000)
    assert (found.counts, found.in_both) == ({"only_a": 771, "maybe_a": 1_960}, 19_110)
    dropped, perhaps = side(found, "only_a"), side(found, "maybe_a")
    assert dropped == side(differences("imagenet21k-p", "imagenet21k-p-winter21", limit=800), "only_a")
    assert dropped | perhaps <= set(hierarchy.descendants("person.n.01"))
    # 19,167 classes as published: 57 of the 1,960 are kept, and 2,674 dropped.
    assert releases.winter21().n_of_these == 57 and 771 + 1_960 - 57 == 2_674
    assert not differences("winter21", "winter21").counts
    other_way = differences("winter21", "ilsvrc2012", limit=0)
    assert (other_way.counts, other_way.in_both) == ({"only_a": 18_111, "only_b": 1, "maybe_a": 1_960}, 999)


@pytest.mark.long
def test_an_index_of_winter_2021_names_all_that_it_dropped(tmp_path: Path) -> None:
    kept = sorted(releases.winter21().perhaps)[:57]
    rows = (image(f"{wnid}_1", wnid, None, dataset="winter21") for wnid in [*releases.winter21().has, *kept])
    index = write(tmp_path / "winter21.index", rows)
    found = differences("fall11", str(index), by="wnid", limit=0)
    assert (found.counts["only_a"], found.in_both) == (2_674, 19_167)
    assert found.why[0].startswith("winter21 lacks 2,674 classes of persons")


def test_photos_of_a_lock_are_those_of_its_index(tmp_path: Path) -> None:
    own = image("a", "n02085620", dataset="mine", photo="mine/a")
    tiny = image("n02085620_3", "n02085620", dataset="tiny-imagenet", photo="tiny-imagenet/n02085620_3")
    index = write(tmp_path / "x.index", [*ROWS, tiny, own])
    imagenet_tools.open_index(index).select().lock(tmp_path / "x.lock.toml")
    assert differences(str(tmp_path / "x.lock.toml"), str(index), by="photo").counts == {}
    imagenet_tools.open_index(index).select(dataset="tiny-imagenet").lock(tmp_path / "tiny.lock.toml")
    found = differences(str(tmp_path / "tiny.lock.toml"), str(index), by="photo")
    assert found.counts == {"only_b": len(ROWS) + 1}  # another photo than ilsvrc2012's of the same name


def test_releases_have_other_numbers_of_images() -> None:
    found = {one.key: (one.a, one.b) for one in differences("ilsvrc2010", "ilsvrc2012").some if one.what == "n"}
    assert found == {"train": (1_261_406, 1_281_167), "test": (150_000, 100_000)}
    found = {one.key: (one.a, one.b) for one in differences("fall11", "imagenet21k-p").some if one.what == "n"}
    assert found == {"images in all": (14_197_122, 11_797_632 + 561_052)}


def test_image_lists_are_compared_with_lists_files_and_indexes(tmp_path: Path) -> None:
    assert differences("simclr-1pct", "simclr-10pct").counts == {"only_b": 128_116 - 12_811}
    empty = set(image_lists.get("real-empty").images)
    blacklist = set(image_lists.get("blacklist").images)
    found = differences("real-empty", "blacklist", limit=9_999)
    assert (side(found, "only_a"), side(found, "only_b")) == (empty - blacklist, blacklist - empty)
    path = tmp_path / "mine.csv"
    path.write_text("image,label\n" + "".join(f"val/{stem}.JPEG,0\n" for stem in sorted(empty)))
    found = differences(str(path), "real-empty")
    assert (found.kinds, found.counts) == (("images", "images"), {})  # the heading is no image
    index = write(tmp_path / "x.index", [image(stem, "n01440764", "val") for stem in sorted(empty)[:10]])
    assert differences(str(index), "real-empty").counts == {"only_b": 3_153}
    for wrong, by in (("ilsvrc2012", None), ("blacklist", "id"), ("blacklist", "bytes")):
        with pytest.raises(UsageError, match=r"expected (--by|two)"):
            differences("real-empty", wrong, by=by)
    with pytest.raises(UsageError, match="no such file"):
        differences("nothing-such.txt", "real-empty")


def test_why_images_are_in_one_index_alone_is_said_where_it_is_known(tmp_path: Path) -> None:
    lost = image_lists.get("ilsvrc2012-cmyk").images
    others = [image(f"n02085620_{n}", "n02085620") for n in range(5)]
    a = write(tmp_path / "a.index", [*others, *(image(stem, stem[:9]) for stem in lost)])
    b = write(tmp_path / "b.index", others)
    found = differences(str(a), str(b))
    assert found.counts == {"only_a": 22}
    assert found.why == ("22 of the 22 photos only in A are on the image list ilsvrc2012-cmyk, which has 22.",)


def test_a_problem_that_an_index_reports_of_an_image_it_lacks_is_said(tmp_path: Path) -> None:
    files = {f"n02085620_{n}.JPEG": drawn(n) for n in range(4)}
    for name, unread in (("a", ()), ("b", ("n02085620_3.JPEG",))):
        folder = tmp_path / name / "train" / "n02085620"
        folder.mkdir(parents=True)
        for file, data in files.items():
            if file in unread:
                (folder / file).symlink_to("nothing")
            else:
                (folder / file).write_bytes(data)
        imagenet_tools.build_index([tmp_path / name], tmp_path / f"{name}.index", workers=1)
    found = differences(str(tmp_path / "a.index"), str(tmp_path / "b.index"))
    assert found.counts == {"only_a": 1}
    assert found.why == ("1 photo only in A: B reports the problem unreadable_file.",)


def test_bytes_are_read_where_lengths_agree(index: Index) -> None:
    assert differences(str(index.path), str(index.path), by="bytes").counts == {}


def test_images_that_are_in_one_index_alone_differ_by_bytes(tmp_path: Path) -> None:
    a = write(tmp_path / "a.index", [image("n02085620_0", "n02085620", length=5)])
    b = write(tmp_path / "b.index", [image("n02085620_1", "n02085620")])
    assert differences(str(a), str(b), by="bytes").counts == {"only_a": 1, "only_b": 1}
    c = write(tmp_path / "c.index", [image("n02085620_0", "n02085620", length=6)])
    assert differences(str(a), str(c), by="bytes").counts == {"length": 1}
