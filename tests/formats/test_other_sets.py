"""Sets of ILSVRC2012's classes that are not ILSVRC2012: told by their images' names, never its photos, never train."""

import io
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

import imagenet_tools
from imagenet_tools.catalogue import lists
from imagenet_tools.cli import group
from imagenet_tools.errors import SourceError
from tests.parameters import short_list

WNIDS = ("n01440764", "n01443537", "n01484850")
TINY_WNIDS = ("n01443537", "n01629819", "n01641577")
VAL = {1: 65, 2: 970, 3: 230, 4: 809, 5: 516}  # indices of the official classes, from 0, sorted


def drawn(side: int = 32) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (side, side), (200, 90, 10)).save(out, "JPEG")
    return out.getvalue()


def put(home: Path, files: Iterable[str], data: bytes | None = None) -> Path:
    data = drawn() if data is None else data
    for file in files:
        (home / file).parent.mkdir(parents=True, exist_ok=True)
        (home / file).write_bytes(data)
    return home


def packed(path: Path, home: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for file in sorted(home.rglob("*")):
            archive.add(file, file.relative_to(home).as_posix(), recursive=False)
    return path


def rows(index: Path, columns: str = "dataset, image_id, photo, split") -> list[tuple[str, ...]]:
    return imagenet_tools.open_index(index).sql(f"SELECT {columns} FROM images ORDER BY ALL").fetchall()


@pytest.mark.parametrize(
    ("folder", "name", "dataset"),
    [
        ("imagenet-r", "art_0.jpg", "imagenet-r"),
        ("ImageNet_A", "0.000116_digital clock _ digital clock_0.865662.jpg", "imagenet-a"),
        ("imagenet-o", "n01443537_art.jpg", "imagenet-o"),
        ("sketch", "sketch_1.JPEG", "imagenet-sketch"),
        ("imagenetv2-matched-frequency-format-val", "0.jpeg", "imagenetv2-matched-frequency"),
        ("imagenetv2-threshold0.7-format-val", "da39a3ee5e6b4b0d3255.jpeg", "imagenetv2-threshold-0.7"),
        ("My Paintings", "3.jpg", "my-paintings"),
        ("ILSVRC2012", "3.jpg", "other-ilsvrc2012"),
        ("fall11", "3.jpg", "other-fall11"),
    ],
)  # fmt: skip
def test_class_folders_of_names_that_ilsvrc_never_gives_are_another_set(
    folder: str, name: str, dataset: str, tmp_path: Path
) -> None:
    home = put(tmp_path / folder, [f"{wnid}/{name}" for wnid in WNIDS])
    (found,) = imagenet_tools.detect(home).found
    assert (found.form, found.dataset, found.splits) == ("image_folder", dataset, ())
    assert "names that ILSVRC2012 never gives" in found.evidence
    assert name in found.evidence
    assert "--dataset NAME" in found.evidence and not found.readings


PUBLISHED = {  # name of an image of each, as published, and the list of its classes
    "imagenet-a": ("0.000116_digital clock _ digital clock_0.865662.jpg", "imagenet-a"),
    "imagenet-o": ("0.jpg", "imagenet-o"),
    "imagenet-r": ("art_0.jpg", "imagenet-r"),
    "imagenet-sketch": ("sketch_0.JPEG", "ilsvrc2012"),
}


@pytest.mark.parametrize("form", short_list(["folder", "unnamed folder", "tar"], "unnamed folder"))
@pytest.mark.parametrize("dataset", short_list(PUBLISHED, "imagenet-a", "imagenet-r"))
def test_published_test_sets_are_known_by_their_classes_and_names(dataset: str, form: str, tmp_path: Path) -> None:
    name, classes = PUBLISHED[dataset]
    wnids = lists.get(classes).wnids
    top = {"imagenet-sketch": "sketch"}.get(dataset, dataset) if form != "unnamed folder" else "pictures"
    home = put(tmp_path / "all" / top, [*(f"{wnid}/{name}" for wnid in wnids)])
    (home / "README.txt").write_text("of its publisher")
    path = packed(tmp_path / "a.tar", home.parent) if form == "tar" else home
    survey = imagenet_tools.detect(path)
    assert [(one.dataset, one.missing, survey.ignored) for one in survey.found] == [(dataset, "", ())]
    report = imagenet_tools.build_index(path, tmp_path / "x.index", workers=1)
    assert report.problems == {}
    found = rows(tmp_path / "x.index", "min(dataset), count(*), count(DISTINCT wnid), count(DISTINCT photo)")
    assert found == [(dataset, *(len(wnids),) * 3)]


def test_one_class_less_is_another_set_and_lacks_it_under_its_name(tmp_path: Path) -> None:
    files = [f"{wnid}/art_0.jpg" for wnid in lists.get("imagenet-r").wnids[1:]]
    for folder, dataset, missing in (("mine", "mine", ""), ("imagenet-r", "imagenet-r", "1 of the 200 classes")):
        (found,) = imagenet_tools.detect(put(tmp_path / folder, files)).found
        assert (found.dataset, found.missing) == (dataset, missing)


def test_photos_of_other_classes_in_imagenet_o_are_not_those_of_ilsvrc(tmp_path: Path) -> None:
    home = put(tmp_path / "imagenet-o", [f"{wnid}/n07697100_{n}.JPEG" for n, wnid in enumerate(WNIDS)])
    (found,) = imagenet_tools.detect(home).found
    assert found.dataset == "imagenet-o"


@pytest.mark.parametrize(
    "form", short_list(["folders", "a tar of them", "class tars", "a tar of class tars"], "a tar of class tars")
)
def test_their_images_share_no_photo_are_not_train_and_all_kept(form: str, tmp_path: Path) -> None:
    official = put(tmp_path / "ilsvrc", [f"train/{wnid}/{wnid}_10.JPEG" for wnid in WNIDS])
    home = put(tmp_path / "r" / "imagenet-r", [f"{wnid}/{name}.jpg" for wnid in WNIDS for name in ("art_0", "3")])
    if form == "a tar of them":
        home = packed(tmp_path / "r.tar", home.parent)
    elif "class tars" in form:
        tars = tmp_path / "tars" / "imagenet-r"
        tars.mkdir(parents=True)
        for wnid in WNIDS:
            packed(tars / f"{wnid}.tar", home / wnid)
        home = tars if form == "class tars" else packed(tmp_path / "imagenet-r.tar", tars)
    report = imagenet_tools.build_index([official, home], tmp_path / "x.index", workers=1)
    assert (report.problems, report.rows.get("copies", 0)) == ({}, 0)
    expected = [
        ("imagenet-r", f"{wnid}/{name}", f"imagenet-r/{wnid}/{name}", None) for wnid in WNIDS for name in ("3", "art_0")
    ]
    found = [(dataset, id_[-len(ours[1]) :], photo.replace(id_, ours[1]), split) for (dataset, id_, photo, split), ours
             in zip(rows(tmp_path / "x.index")[3:], expected, strict=True)]  # fmt: skip
    assert found == expected
    assert [row[0] for row in rows(tmp_path / "x.index")[:3]] == ["ilsvrc2012"] * 3


def test_build_index_says_on_stderr_what_it_took_them_for(tmp_path: Path) -> None:
    home = put(tmp_path / "imagenet-r", [f"{wnid}/art_0.jpg" for wnid in WNIDS])
    done = CliRunner().invoke(group, ["build-index", str(home), "-o", str(tmp_path / "x.index")])
    assert "it may be" not in done.stderr  # the data set is already called after its folder
    assert "names that ILSVRC2012 never gives" in done.stdout


def test_dataset_overrides_what_names_say(tmp_path: Path) -> None:
    home = put(tmp_path / "imagenet-r", [f"{wnid}/art_0.jpg" for wnid in WNIDS])
    imagenet_tools.build_index(home, tmp_path / "x.index", dataset="mine", workers=1)
    assert {row[0] for row in rows(tmp_path / "x.index")} == {"mine"}


def test_a_test_set_beside_ilsvrcs_train_is_a_set_of_its_own_from_either_level(tmp_path: Path) -> None:
    files = [f"train/{wnid}/{wnid}_10.JPEG" for wnid in WNIDS] + [
        f"test/{wnid}/{n}.jpeg" for wnid in WNIDS for n in (0, 1)
    ]
    home = put(tmp_path / "data", files)
    told = [(one.dataset, one.splits) for one in imagenet_tools.detect(home).found]
    assert told == [("ilsvrc2012", ("train",)), ("data", ("test",))]
    alone = [one for split in ("train", "test") for one in imagenet_tools.detect(home / split).found]
    assert [(one.dataset, one.splits) for one in alone] == told
    report = imagenet_tools.build_index(home, tmp_path / "x.index", workers=1)
    assert report.units["scanned"] == 6
    assert [(row[0], row[3]) for row in rows(tmp_path / "x.index")] == [("data", "test")] * 6 + [
        ("ilsvrc2012", "train")
    ] * 3


def test_a_few_odd_names_among_official_ones_are_problems_and_no_photos_of_the_release(tmp_path: Path) -> None:
    official = [f"train/{wnid}/{wnid}_{n}.JPEG" for wnid in WNIDS for n in (1, 2)]
    home = put(tmp_path / "ilsvrc", [*official, f"train/{WNIDS[0]}/art_0.jpg"])
    report = imagenet_tools.build_index(home, tmp_path / "x.index", workers=1)
    assert report.problems == {"other_name": 1}
    odd = [row for row in rows(tmp_path / "x.index") if row[1] == "art_0"]
    assert odd == [("ilsvrc2012", "art_0", "ilsvrc2012/art_0", "train")]


@pytest.mark.parametrize("told", short_list(["name", "wnids.txt", "boxes", "size"], "wnids.txt", "size"))
def test_tiny_imagenet_renumbers_and_is_no_ilsvrc(told: str, tmp_path: Path) -> None:
    home = tmp_path / ("TinyImageNet" if told == "name" else "data")
    files = [f"train/{wnid}/{wnid}_{n}.JPEG" for wnid in TINY_WNIDS for n in (0, 499)]
    put(home, files, drawn(64 if told == "size" else 32))
    if told == "wnids.txt":
        (home / "wnids.txt").write_text("\n".join(TINY_WNIDS))
    elif told == "boxes":
        (home / "train" / TINY_WNIDS[0] / f"{TINY_WNIDS[0]}_boxes.txt").write_text("a.JPEG\t0\t0\t1\t1\n")
    (found,) = imagenet_tools.detect(home).found
    assert (found.dataset, found.splits) == ("tiny-imagenet-200", ("train",))
    assert [one.dataset for one in imagenet_tools.detect(home / "train").found] == ["tiny-imagenet-200"]
    imagenet_tools.build_index(home, tmp_path / "x.index", workers=1)
    assert {row[2] for row in rows(tmp_path / "x.index")} == {f"tiny-imagenet-200/{Path(file).stem}" for file in files}


@pytest.mark.parametrize(("side", "number"), [(32, 10), (64, 500)])
def test_small_numbers_or_small_images_alone_are_not_tiny_imagenet(side: int, number: int, tmp_path: Path) -> None:
    home = put(tmp_path / "data", [f"{wnid}/{wnid}_{number}.JPEG" for wnid in TINY_WNIDS], drawn(side))
    assert [one.dataset for one in imagenet_tools.detect(home).found] == ["ilsvrc2012"]


@pytest.mark.parametrize("dataset", [None, "tiny-imagenet-200"])
def test_tiny_imagenet_as_released_is_refused_in_an_archive(dataset: str | None, tmp_path: Path) -> None:
    home = put(tmp_path / "unpacked", [f"train/{wnid}/images/{wnid}_{n}.JPEG" for wnid in TINY_WNIDS for n in (0, 1)])
    (home / "wnids.txt").write_text("\n".join(TINY_WNIDS))
    packed(tmp_path / "all" / "a.tar", home)
    with pytest.raises(SourceError, match=r"Tiny-ImageNet as it is released, which is read from a folder.*unpack it"):
        imagenet_tools.build_index(tmp_path / "all" / "a.tar", tmp_path / "x.index", dataset=dataset, workers=1)
    # Beside something else it costs that nothing.
    put(tmp_path / "all" / "ilsvrc", [f"train/{wnid}/{wnid}_10.JPEG" for wnid in WNIDS])
    imagenet_tools.build_index(tmp_path / "all", tmp_path / "other.index", workers=1)
    assert {row[0] for row in rows(tmp_path / "other.index")} == {"ilsvrc2012"}


def test_folders_called_by_numbers_are_refused_as_such_with_what_to_do(tmp_path: Path) -> None:
    home = put(tmp_path / "pictures", [f"{n}/{n:040x}.jpeg" for n in range(12)])
    for dataset in (None, "imagenetv2"):
        with pytest.raises(SourceError, match=r"called by numbers \(0, 1, 2 \.\.\.\).*classes show ilsvrc2012"):
            imagenet_tools.build_index(home, tmp_path / "x.index", dataset=dataset, workers=1)
    (home.parent / "set").mkdir()
    home.rename(home.parent / "set" / "val")
    assert "called by numbers" in imagenet_tools.detect(home.parent / "set").unrecognised


def _numbers(wrong: int) -> Iterable[str]:
    return (f"val/{index + (wrong > n)}/ILSVRC2012_val_{n:08d}.JPEG" for n, index in VAL.items())


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (lambda: _numbers(0), "class numbers in sorted order of ilsvrc2012, from 0: 5 of 5 names agree"),
        (lambda: _numbers(9), "class numbers in sorted order of ilsvrc2012, from 1: 5 of 5 names agree"),
        (lambda: _numbers(2), "class numbers in sorted order of ilsvrc2012, from 0: 4 of 5 names agree"),
    ],
)
def test_folders_called_by_numbers_with_official_names_say_how_they_count(
    files: Callable[[], Iterable[str]], said: str, tmp_path: Path
) -> None:
    (found,) = imagenet_tools.detect(put(tmp_path / "numbered", files())).found
    assert (found.form, found.dataset, found.splits) == ("hf_imagefolder", "ilsvrc2012", ("val",))
    assert "5 class folders called by numbers in val/" in found.evidence
    assert found.evidence.endswith(said)
