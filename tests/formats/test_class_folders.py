"""Class folders as people hold them: leftovers, folders below, splits of any spelling; from the parent or within."""

import os
from pathlib import Path

import pytest

import imagenet_tools
from imagenet_tools.errors import SourceError
from imagenet_tools.formats import image_folder
from imagenet_tools.units import Detection
from tests.formats.test_other_sets import TINY_WNIDS, WNIDS, packed, put, rows
from tests.parameters import short_list

FIRST, *OTHERS = WNIDS
SPLITS = tuple(enumerate(("train", "val")))


def told(path: Path) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(one.form, one.dataset, one.splits) for one in imagenet_tools.detect(path).found]


def build(path: Path, index: Path) -> dict[str, int]:
    return imagenet_tools.build_index(path, index, workers=1).problems


def only(path: Path) -> Detection:
    (found,) = imagenet_tools.detect(path).found
    return found


# ---- a class folder without images


@pytest.mark.parametrize("left", short_list([".DS_Store", f"{FIRST}.tar", "images/"], f"{FIRST}.tar"))
def test_a_class_folder_without_images_hides_no_other_and_is_named(left: str, tmp_path: Path) -> None:
    home = put(tmp_path / "a", [f"{split}/{wnid}/{wnid}_{n}.JPEG" for n, split in SPLITS for wnid in OTHERS])
    place = home / "train" / FIRST / left
    place.parent.mkdir()
    place.mkdir() if left.endswith("/") else place.write_bytes(b"\0\0\0\1Bud1")
    assert told(home) == [("image_folder", "ilsvrc2012", ("train", "val"))]
    assert f"train/ with 2 class folders, and 1 without images ({FIRST})" in only(home).evidence
    assert "998 of the 1,000 classes in train/" in only(home).missing
    assert told(home / "train") == [("image_folder", "ilsvrc2012", ("train",))]
    assert f"and 1 without images ({FIRST})" in only(home / "train").evidence
    problems = build(home, tmp_path / "x.index")
    assert [row[1] for row in rows(tmp_path / "x.index") if row[3] == "train"] == [f"{wnid}_0" for wnid in OTHERS]
    reported = imagenet_tools.open_index(tmp_path / "x.index").sql("SELECT code, file FROM problems").fetchall()
    assert (problems, reported) == (
        ({}, []) if left.endswith("/") else ({"stray_file": 1}, [("stray_file", f"train/{FIRST}/{left}")])
    )


@pytest.mark.parametrize("beside", [True, False])
def test_train_without_any_image_is_named(beside: bool, tmp_path: Path) -> None:
    home = tmp_path / "a"
    for wnid in WNIDS:
        (home / "train" / wnid).mkdir(parents=True)
    words = "train/ (3 folders called by wnids, none of them with an image)"
    if beside:
        put(home, [f"val/{FIRST}/{FIRST}_1.JPEG"])
        assert imagenet_tools.detect(home).ignored == (words,)
    else:
        with pytest.raises(SourceError, match=words.replace("(", r"\(").replace(")", r"\)")):
            build(home, tmp_path / "x.index")


# ---- folders below class folders


def _deep(home: Path) -> Path:
    files = [f"train/{wnid}/{wnid}_1.JPEG" for wnid in WNIDS]
    files += [f"train/{FIRST}/{FIRST}/{FIRST}_2.JPEG", f"train/{FIRST}/hard/night/{FIRST}_3.JPEG"]
    return put(home, [*files, f"val/{FIRST}/hard/{FIRST}_4.JPEG", f"val/{OTHERS[0]}/hard/3.jpg"])


def test_images_below_class_folders_are_read_as_from_a_tar_of_them(tmp_path: Path) -> None:
    home = _deep(tmp_path / "tree")
    columns = "image_id, wnid, split, photo IS NULL"
    assert set(build(home, tmp_path / "x.index")) == {"other_name"}
    build(packed(tmp_path / "tree.tar", home), tmp_path / "y.index")
    found = rows(tmp_path / "x.index", columns)
    assert len(found) == 7
    assert found == rows(tmp_path / "y.index", columns)
    files = sorted(file.relative_to(home).as_posix() for file in home.rglob("*.*"))
    assert [file for (file,) in rows(tmp_path / "x.index", "file")] == files
    opened = imagenet_tools.open_index(tmp_path / "x.index")
    assert (
        opened.image(f"{FIRST}_3").read()
        == (home / "train" / FIRST / "hard" / "night" / f"{FIRST}_3.JPEG").read_bytes()
    )


def test_they_are_what_torchvision_reads(tmp_path: Path) -> None:
    torchvision = pytest.importorskip("torchvision")
    home = _deep(tmp_path / "tree") / "train"
    build(home, tmp_path / "x.index")
    theirs = torchvision.datasets.ImageFolder(str(home))
    expected = sorted((os.path.relpath(path, home), theirs.classes[n]) for path, n in theirs.samples)
    assert rows(tmp_path / "x.index", "file, wnid") == expected


def test_a_change_below_a_class_folder_is_read_again(tmp_path: Path) -> None:
    home = _deep(tmp_path / "tree")
    build(home, tmp_path / "x.index")
    put(home, [f"train/{FIRST}/hard/night/{FIRST}_9.JPEG"])
    report = imagenet_tools.build_index(home, tmp_path / "x.index", workers=1)
    assert (report.units["scanned"], report.rows["images"]) == (1, 8)


def test_where_all_images_lie_deeper_and_where_one_class_is_given(tmp_path: Path) -> None:
    home = put(tmp_path / "a", [f"train/{wnid}/{wnid}/{wnid}_{n}.JPEG" for wnid in WNIDS for n in (1, 2)])
    assert told(home) == [("image_folder", "ilsvrc2012", ("train",))]
    put(home, [f"train/{FIRST}/{FIRST}_3.JPEG"])
    assert told(home / "train" / FIRST) == [("flat_folder", "ilsvrc2012", ("train",))]
    build(home / "train" / FIRST, tmp_path / "x.index")
    assert [row[1] for row in rows(tmp_path / "x.index")] == [f"{FIRST}_{n}" for n in (1, 2, 3)]


def test_links_to_folders_are_followed_once_and_a_loop_is_a_problem(tmp_path: Path) -> None:
    home = put(tmp_path / "a", [f"train/{wnid}/{wnid}_1.JPEG" for wnid in WNIDS])
    put(tmp_path / "elsewhere", [f"{FIRST}_2.JPEG"])
    (home / "train" / FIRST / "loop").symlink_to(home / "train" / FIRST)
    (home / "train" / FIRST / "more").symlink_to(tmp_path / "elsewhere")
    (home / "train" / OTHERS[0] / "self").symlink_to("self")
    (home / "train" / OTHERS[1] / "deeper").mkdir()
    (home / "train" / OTHERS[1] / "deeper" / "up").symlink_to("..")
    assert build(home, tmp_path / "x.index") == {"stray_file": 3}
    assert [row[1] for row in rows(tmp_path / "x.index")] == [
        f"{FIRST}_1", f"{FIRST}_2", *(f"{wnid}_1" for wnid in OTHERS)
    ]  # fmt: skip
    reported = imagenet_tools.open_index(tmp_path / "x.index").sql("SELECT file, reason FROM problems ORDER BY 1")
    assert reported.fetchall()[0] == (f"train/{FIRST}/loop", "a link to a folder that is read already")


def test_a_loop_without_any_image_ends(tmp_path: Path) -> None:
    (tmp_path / "a" / "train" / FIRST / "x").mkdir(parents=True)
    (tmp_path / "a" / "train" / FIRST / "x" / "up").symlink_to("..")
    assert image_folder.detect(tmp_path / "a") == []


def test_a_name_that_is_no_utf8_in_a_folder_below_is_a_problem(tmp_path: Path) -> None:
    home = put(tmp_path / "a", [f"train/{wnid}/{wnid}_1.JPEG" for wnid in WNIDS])
    folder = os.fsencode(home / "train" / FIRST) + b"/caf\xe9"
    Path(os.fsdecode(folder)).mkdir()
    for n in range(40):  # enough to be read together
        os.link(home / "train" / FIRST / f"{FIRST}_1.JPEG", folder + f"/{FIRST}_{n + 50}.JPEG".encode())
    assert build(home, tmp_path / "x.index") == {"name_not_utf8": 40}
    assert len(rows(tmp_path / "x.index")) == 3


# ---- class tars beside class folders


def test_class_tars_beside_class_folders_are_read_from_either_level(tmp_path: Path) -> None:
    home = put(tmp_path / "a", [f"{split}/{wnid}/{wnid}_{n}.JPEG" for n, split in SPLITS for wnid in OTHERS])
    for split, n in (("train", 1), ("val", 2)):
        put(tmp_path / split, [f"{FIRST}_{n}.JPEG"])
        packed(home / split / f"{FIRST}.tar", tmp_path / split)
    assert told(home) == [
        ("image_folder", "ilsvrc2012", ("train", "val")),
        ("image_tars", "ilsvrc2012", ("train",)),
        ("image_tars", "ilsvrc2012", ("val",)),
    ]
    assert told(home / "train") == [
        ("image_folder", "ilsvrc2012", ("train",)),
        ("image_tars", "ilsvrc2012", ("train",)),
    ]
    assert build(home, tmp_path / "x.index") == {}
    found = [(row[1], row[3]) for row in rows(tmp_path / "x.index") if row[1].startswith(FIRST)]
    assert found == [(f"{FIRST}_1", "train"), (f"{FIRST}_2", "val")]


def test_what_is_not_read_is_listed_at_every_depth(tmp_path: Path) -> None:
    home = put(tmp_path / "a", [f"{split}/{wnid}/{wnid}_{n}.JPEG" for n, split in SPLITS for wnid in WNIDS])
    put(home, ["train/more/3.jpg", "flat/ILSVRC2012_val_00000001.JPEG", "flat/below/4.jpg", "test/images/0.jpg"])
    for name in ("notes.txt", "train/notes.txt", "val/more.zip"):
        (home / name).write_text("ours")
    (home / "train" / "empty").mkdir()
    expected = {"notes.txt", "test/", "flat/below/", "train/more/", "train/notes.txt", "val/more.zip"}
    survey = imagenet_tools.detect(home)
    assert (len(survey.ignored), set(survey.ignored)) == (len(expected), expected)
    report = imagenet_tools.build_index(home, tmp_path / "x.index", workers=1)
    assert report.sources[0].ignored == survey.ignored


def test_class_folders_beside_the_folders_of_splits_are_read_too(tmp_path: Path) -> None:
    home = put(tmp_path / "a", [f"train/{FIRST}/{FIRST}_1.JPEG", *(f"{wnid}/{wnid}_1.JPEG" for wnid in OTHERS)])
    assert told(home) == [("image_folder", "ilsvrc2012", ("train",))]
    build(home, tmp_path / "x.index")
    assert len(rows(tmp_path / "x.index")) == 3


# ---- names of splits, and words behind wnids

SPELLINGS = {
    "train": ("Train", "TRAINING", "training"),
    "val": ("VAL", "Valid", "validation", "dev"),
    "test": ("Test", "testing"),
}


@pytest.mark.parametrize(
    "name", short_list((one for names in SPELLINGS.values() for one in names), "TRAINING", "dev", "Test")
)
def test_a_split_is_understood_however_its_folder_is_spelled(name: str, tmp_path: Path) -> None:
    [split] = [split for split, names in SPELLINGS.items() if name in names]
    of_classes = put(tmp_path / "classes", [f"{name}/{wnid}/{wnid}_1.JPEG" for wnid in WNIDS])
    forms = {
        "image_folder": of_classes,
        "image_tars": packed(tmp_path / "a.tar", of_classes),
        "flat_folder": put(tmp_path / "flat", [f"{name}/{wnid}_1.JPEG" for wnid in WNIDS]),
        "hf_imagefolder": put(tmp_path / "words", [f"{name}/word{n}/{wnid}_1.JPEG" for n, wnid in enumerate(WNIDS)]),
        "stanford_dogs": put(tmp_path / "dogs", [f"{name}/n02085620-Chihuahua/n02085620_1.jpg"]),
    }
    for form, path in forms.items():
        assert [(one.form, one.splits) for one in imagenet_tools.detect(path).found] == [(form, (split,))]
    assert [(one.form, one.splits) for one in imagenet_tools.detect(of_classes / name).found] == [
        ("image_folder", (split,))
    ]
    imagenet_tools.build_index(list(forms.values()), tmp_path / "x.index", workers=1)
    index = imagenet_tools.open_index(tmp_path / "x.index")
    places = index.sql("SELECT split FROM images UNION ALL SELECT split FROM copies").fetchall()
    assert places == [(split,)] * 13


def test_a_folder_beside_train_that_is_taken_for_train_is_said(tmp_path: Path) -> None:
    home = put(
        tmp_path / "a", [f"{part}/{wnid}/{wnid}_{n}.JPEG" for n, part in enumerate(("Train", "more")) for wnid in WNIDS]
    )
    train, more = imagenet_tools.detect(home).found
    assert not any("is taken for train" in one or "taken for train" in one for one in train.readings)
    assert any(
        "the folder more/ has the name of none, and its images are taken for train" in one for one in more.readings
    )
    build(home, tmp_path / "x.index")
    assert [row[3] for row in rows(tmp_path / "x.index")] == ["train"] * 6
    # By itself there is no train that it is beside.
    assert not any("taken for train" in one for one in only(home / "more").readings)


@pytest.mark.parametrize("lists", short_list([False, True], True))
def test_stanford_dogs_in_train_and_test_keep_these_splits(lists: bool, tmp_path: Path) -> None:
    from tests.forms.dogs import mat

    breeds = ("n02085620-Chihuahua", "n02086079-Pekinese")
    files = {split: [f"{breed}/{breed[:9]}_{n}.jpg" for breed in breeds] for n, split in enumerate(("train", "test"))}
    home = put(tmp_path / "dogs", [f"{split}/{file}" for split, names in files.items() for file in names])
    expected = {Path(file).stem: split for split, names in files.items() for file in names}
    if lists:  # which say the split, whatever the folders are called
        expected = {stem: {"train": "test", "test": "train"}[split] for stem, split in expected.items()}
        for split in ("train", "test"):
            (home / f"{split}_list.mat").write_bytes(mat([stem for stem in expected if expected[stem] == split]))
    else:
        assert told(home) == [("stanford_dogs", "stanford-dogs", (split,)) for split in ("train", "test")]
        assert told(home / "test") == [("stanford_dogs", "stanford-dogs", ("test",))]
    assert build(home, tmp_path / "x.index") == {}
    assert dict(rows(tmp_path / "x.index", "image_id, split")) == expected


@pytest.mark.parametrize("form", short_list(["folder", "tar", "train alone"], "tar"))
def test_a_wnid_and_a_word_that_is_no_breed_is_a_class_folder(form: str, tmp_path: Path) -> None:
    words = {"n01440764": "tench", "n02085620": "Chihuahua", "n01484850": "great_white_shark"}
    files = [
        f"{split}/{wnid}-{word}/{wnid}_{n}.JPEG"
        for n, split in enumerate(("train", "val"))
        for wnid, word in words.items()
    ]
    home = put(tmp_path / "a", files)
    path = {"folder": home, "tar": tmp_path / "a.tar", "train alone": home / "train"}[form]
    if form == "tar":
        packed(path, home)
    splits = ("train",) if form == "train alone" else ("train", "val")
    ((found, dataset, named),) = told(path)
    assert (found, dataset, named) == ("image_tars" if form == "tar" else "image_folder", "ilsvrc2012", splits)
    assert build(path, tmp_path / "x.index") == {}
    expected = sorted((f"{wnid}_{n}", wnid, split) for n, split in enumerate(splits) for wnid in words)
    assert rows(tmp_path / "x.index", "image_id, wnid, split") == expected


def test_the_breeds_of_stanford_dogs_are_120_without_the_dalmatian() -> None:
    from imagenet_tools.catalogue import releases

    assert len(releases._breeds()) == 120
    assert releases.are_stanford_dogs(["n02115641-dingo", "n02113978-Mexican_hairless"])
    for other in ("n02110341-dalmatian", "n01440764-tench", "n02085620"):
        assert not releases.are_stanford_dogs(["n02085620-Chihuahua", other])


# ---- an official validation image is never in a training split


@pytest.mark.parametrize("form", short_list(["folder", "tar"], "folder"))
def test_official_validation_images_among_another_sets_train_stay_validation(form: str, tmp_path: Path) -> None:
    odd = [f"train/{wnid}/{n}.jpg" for wnid in (*WNIDS, *TINY_WNIDS) for n in range(4)]
    home = put(tmp_path / "paintings", [*odd, "train/n01751748/ILSVRC2012_val_00000001.JPEG"])
    path = packed(tmp_path / "paintings.tar", home) if form == "tar" else home
    problems = build(path, tmp_path / "x.index")
    (row,) = [row for row in rows(tmp_path / "x.index") if row[1] == "ILSVRC2012_val_00000001"]
    assert (row[0], row[3]) == ("paintings", "val")
    assert problems["split_differs"] == 1


def test_21k_ps_small_classes_are_said_to_be_of_neither_split(tmp_path: Path) -> None:
    names = {"train": "n00005787", "val": "n00005787", "small_classes": "n00004475"}
    home = put(
        tmp_path / "r", [f"imagenet21k_{part}/{wnid}/{wnid}_{n}.JPEG" for n, (part, wnid) in enumerate(names.items())]
    )
    assert "imagenet21k_small_classes/ with 1 class folder, of neither split" in only(home).evidence
    build(home, tmp_path / "x.index")
    assert sorted(rows(tmp_path / "x.index", "coalesce(split, 'none')")) == [("none",), ("train",), ("val",)]
