"""Box XML is told apart and read from folders and archives, with every quirk of the published files."""

import gzip
import io
import os
import shutil
import tarfile

import pyarrow as pa
import pytest

from imagenet_tools import schema
from imagenet_tools.build.unit_work import fingerprint_of
from imagenet_tools.formats import box_xml

OBJECT = (
    "<object><name>{name}</name><pose>Unspecified</pose><truncated>0</truncated><difficult>0</difficult><bndbox>"
    "<xmin>{0}</xmin><ymin>{1}</ymin><xmax>{2}</xmax><ymax>{3}</ymax></bndbox></object>"
)


def xml(filename="n01440764_96", *edges, name="n01440764", folder="n01440764", size=(500, 375)):
    """An annotation of one object in the published shape."""
    return (
        f"<annotation><folder>{folder}</folder><filename>{filename}</filename>"
        "<source><database>ILSVRC_2012</database></source>"
        f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size><segmented>0</segmented>"
        f"{OBJECT.format(*(edges or (34, 128, 430, 305)), name=name)}</annotation>"
    )


def write(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def tar_of(path, files, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return path


def read(path, root=None):
    """{table: rows as dicts} of everything that is found at a path."""
    root = root or (path if path.is_dir() else path.parent)
    tables = {"boxes": [], "problems": []}
    for found in box_xml.detect(path):
        for unit in box_xml.units(found, "a source", root):
            for table, batch in box_xml.scan(unit):
                assert batch.schema.equals(schema.arrow_schema(table))
                batch.validate(full=True)
                tables[table] += batch.to_pylist()
    return tables


def one(tmp_path, text, stem="n01440764_96", folder="n01440764"):
    """The only box of the only file."""
    (box,) = read(write(tmp_path, {f"{folder}/{stem}.xml": text}))["boxes"]
    return box


def codes(tables):
    return [row["code"] for row in tables["problems"]]


VAL = {f"val/ILSVRC2012_val_{n:08d}.xml": xml(f"ILSVRC2012_val_{n:08d}", folder="val") for n in (2, 1, 3)}
TRAIN = {
    "n01440764/n01440764_96.xml": xml(),
    "n01440764/n01440764_7.xml": xml("n01440764_7"),
    "n02119789/n02119789_5.xml": xml("n02119789_5", name="n02119789", folder="n02119789"),
}


# ---- where it lies


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize(
    "files", [TRAIN, VAL, *({top + name: text for name, text in TRAIN.items()} for top in ("Annotation/", "./"))]
)
def test_archives_are_told_by_their_members_and_read_in_their_order(tmp_path, files, mode):
    path = tar_of(tmp_path / "some name", files, mode)
    (found,) = box_xml.detect(path)
    assert (found.form, found.dataset, found.holds) == ("box_xml", "ilsvrc2012", ("boxes",))
    assert found.splits == (("val",) if files is VAL else ("train",))
    tables = read(path)
    assert [box["image_id"] for box in tables["boxes"]] == [name.split("/")[-1][:-4] for name in files]
    assert {box["file"] for box in tables["boxes"]} == {"some name"}
    assert tables["problems"] == []


@pytest.mark.parametrize(
    "place",
    [
        "",
        "train/",
        "val/",
        "Annotation/",
        "CLS-LOC/train/",
        "Annotations/CLS-LOC/train/",
        "ILSVRC/Annotations/CLS-LOC/val/",
    ],
)
def test_class_folders_are_found_wherever_releases_put_them(tmp_path, place):
    write(tmp_path, {place + name: text for name, text in TRAIN.items()})
    (found,) = box_xml.detect(tmp_path)
    assert (found.dataset, found.missing) == ("ilsvrc2012", "998 of the 1,000 classes")
    units = list(box_xml.units(found, "a source", tmp_path))
    assert [(unit.file, unit.wnid) for unit in units] == [
        (f"{place}{wnid}", wnid) for wnid in ("n01440764", "n02119789")
    ]
    files = [box["file"] for box in read(tmp_path)["boxes"]]
    assert files == [place + name for name in sorted(TRAIN, key=lambda name: (name[:9], name))]


def test_a_flat_folder_is_one_unit_in_the_order_of_names(tmp_path):
    write(tmp_path, VAL)
    (found,) = box_xml.detect(tmp_path)
    assert (found.splits, found.missing) == (("val",), "49,997 of the 50,000 validation images")
    assert [unit.file for unit in box_xml.units(found, "a source", tmp_path)] == ["val"]
    assert [box["image_id"][-1] for box in read(tmp_path)["boxes"]] == ["1", "2", "3"]


def test_one_class_folder_alone_is_read_with_its_class(tmp_path):
    write(tmp_path, {"n01440764/n01440764_96.xml": xml(name="tench")})
    tables = read(tmp_path / "n01440764")
    assert [(box["wnid"], box["file"]) for box in tables["boxes"]] == [("n01440764", "n01440764_96.xml")]


def test_train_and_val_of_one_tree_are_two_detections(tmp_path):
    write(tmp_path, VAL | {f"train/{name}": text for name, text in TRAIN.items()})
    assert [found.splits for found in box_xml.detect(tmp_path)] == [("train",), ("val",)]
    assert len(read(tmp_path)["boxes"]) == 6


def test_classes_beyond_the_thousand_are_of_the_whole_imagenet(tmp_path):
    write(tmp_path, {"Annotation/n00007846/n00007846_6247.xml": xml("n00007846_6247", name="n00007846")})
    (found,) = box_xml.detect(tmp_path)
    assert (found.dataset, found.splits) == ("imagenet21k", ())


@pytest.mark.parametrize(
    "name",
    ["Annotations/DET/val/ILSVRC2012_val_00000001.xml", "ILSVRC2013_DET_bbox_val/ILSVRC2012_val_00000001.xml"],
)
def test_the_detection_task_is_not_taken_for_localisation(tmp_path, name):
    write(tmp_path, {name: xml()})
    assert box_xml.detect((tmp_path / name).parent) == []
    assert box_xml.detect(tar_of(tmp_path / "a.tgz", {name: xml()})) == []


@pytest.mark.parametrize("files", [{"n01440764/n01440764_1.JPEG": "x"}, {"VOC/2007_000027.xml": xml()}, {"a.txt": ""}])
def test_what_is_no_box_xml_is_left_to_others(tmp_path, files):
    write(tmp_path / "tree", files)
    assert box_xml.detect(tmp_path / "tree") == []
    assert box_xml.detect(tar_of(tmp_path / "a.tar", files, "w")) == []
    (tmp_path / "b.gz").write_bytes(gzip.compress(b"not a tar"))
    assert box_xml.detect(tmp_path / "b.gz") == []


def test_the_archives_and_the_tree_of_the_sample_are_told_apart(sample):
    kinds = {path.name: [found.splits for found in box_xml.detect(path)] for path in sample.iterdir()}
    assert {name: found for name, found in kinds.items() if found} == {
        "ILSVRC2012_bbox_train_v2.tar.gz": [("train",)],
        "ILSVRC2012_bbox_val_v3.tgz": [("val",)],
    }


# ---- what a row says


def test_a_row_is_what_the_annotation_gives(tmp_path):
    box = one(tmp_path, xml())
    unit = box.pop("unit")
    assert isinstance(unit, int)
    assert box == {
        "dataset": "ilsvrc2012",
        "image_id": "n01440764_96",
        "photo": "n01440764_96",
        "wnid": "n01440764",
        "xmin": 34.0,
        "ymin": 128.0,
        "xmax": 430.0,
        "ymax": 305.0,
        "stated_width": 500,
        "stated_height": 375,
        "nxmin": None,
        "nymin": None,
        "nxmax": None,
        "nymax": None,
        "name": "n01440764",
        "pose": "Unspecified",
        "truncated": False,
        "difficult": False,
        "subcategory": None,
        "source": "a source",
        "file": "n01440764/n01440764_96.xml",
        "flags": [],
    }


def test_real_annotations_of_both_splits_are_read_as_published(real, tmp_path):
    shutil.copytree(real / "xml/clsloc", tmp_path / "CLS-LOC")
    for path in list(tmp_path.rglob("*_AS_PUBLISHED.xml")):
        path.rename(path.with_name(path.name.split(".")[0] + ".xml"))
    tables = read(tmp_path)
    boxes = [
        (box["image_id"], box["wnid"], *(box[e] for e in ("xmin", "ymin", "xmax", "ymax"))) for box in tables["boxes"]
    ]
    assert boxes == [
        ("n01440764_96", "n01440764", 34, 128, 430, 305),
        ("n02437312_10028", "n02437312", 213, 127, 316, 329),
        ("ILSVRC2012_val_00000001", "n01751748", 111, 108, 441, 193),
        ("ILSVRC2012_val_00026567", "n02256656", 163, 200, 246, 269),
        ("ILSVRC2012_val_00026567", "n02256656", 147, 43, 409, 329),
    ]
    assert {flag for box in tables["boxes"] for flag in box["flags"]} == set()
    problems = [(row["code"], row["image_id"]) for row in tables["problems"]]
    assert problems == [("xml_broken", "n02437312_10028"), ("xml_no_object", "n02814533_62180")]


def test_real_annotations_of_the_whole_imagenet_are_read(real):
    tables = read(real / "xml/bbox21k")
    assert [(box["dataset"], box["image_id"]) for box in tables["boxes"]] == [
        ("imagenet21k", "n00007846_6247"),
        ("imagenet21k", "n02802426_999"),
        ("imagenet21k", "n03820318_101"),
    ]


# ---- the quirks


def test_the_size_that_the_annotator_was_shown_is_kept(tmp_path):
    box = one(tmp_path, xml(size=(1280, 960)))
    assert (box["stated_width"], box["stated_height"], box["xmax"]) == (1280, 960, 430)


@pytest.mark.parametrize("edges", [(-5, 0, 900, 376), (430, 305, 34, 128), (7, 7, 7, 7)])
def test_odd_coordinates_are_kept_as_they_are(tmp_path, edges):
    box = one(tmp_path, xml("n01440764_96", *edges))
    assert (box["xmin"], box["ymin"], box["xmax"], box["ymax"]) == edges


def test_a_filename_of_percent_s_does_not_name_the_image(tmp_path):
    box = one(tmp_path, xml("%s"))
    assert (box["image_id"], box["flags"]) == ("n01440764_96", ["filename_differs"])


def test_a_word_as_a_name_gets_the_class_of_its_place(tmp_path):
    box = one(tmp_path, xml("n02092002_3", name="Scottish_deerhound"), "n02092002_3", "n02092002")
    assert (box["wnid"], box["name"], box["flags"]) == ("n02092002", "Scottish_deerhound", ["name_is_word"])


def test_a_word_in_a_validation_file_leaves_the_class_to_the_label(tmp_path):
    box = one(tmp_path, xml("ILSVRC2012_val_00000001", name="viper"), "ILSVRC2012_val_00000001", "val")
    assert (box["wnid"], box["flags"]) == (None, ["name_is_word"])


def test_a_name_of_another_class_is_kept_and_flagged(tmp_path):
    box = one(tmp_path, xml(name="n02119789"))
    assert (box["wnid"], box["flags"]) == ("n02119789", ["name_differs"])


def test_a_file_in_the_folder_of_another_class_keeps_the_folder_as_its_class(tmp_path):
    box = one(tmp_path, xml("n00141669_6790", name="n06470073"), "n00141669_6790", "n06470073")
    assert (box["image_id"], box["wnid"], box["flags"]) == ("n00141669_6790", "n06470073", ["folder_differs"])


@pytest.mark.parametrize("folder", ["02085620", "val", ""])
def test_an_odd_folder_element_changes_nothing(tmp_path, folder):
    box = one(tmp_path, xml(folder=folder))
    assert (box["wnid"], box["flags"]) == ("n01440764", [])


def test_flags_stand_in_their_documented_order(tmp_path):
    text = xml("%s", "x", 1, 2, 3, name="tench")
    assert one(tmp_path, text)["flags"] == ["name_is_word", "filename_differs", "unreadable"]


def test_a_file_that_breaks_off_keeps_what_is_complete_and_is_reported(tmp_path):
    write(tmp_path, {"n01440764/n01440764_96.xml": xml().removesuffix("</annotation>") + "<object>"})
    tables = read(tmp_path)
    assert len(tables["boxes"]) == 1
    (row,) = tables["problems"]
    assert (row["code"], row["file"], row["image_id"]) == ("xml_broken", "n01440764/n01440764_96.xml", "n01440764_96")


# ---- nothing lost in silence


def test_stray_files_are_counted_and_images_left_to_their_own_reader(tmp_path):
    strays = {"n01440764/notes.txt": "", "n01440764/._n01440764_96.xml": "\x00\x05", "n01440764/n01440764_96.JPEG": ""}
    path = tar_of(tmp_path / "a.tgz", TRAIN | strays)
    write(tmp_path / "tree", TRAIN | strays)
    in_folder, in_archive = read(tmp_path / "tree"), read(path)
    assert codes(in_folder) == codes(in_archive) == ["stray_file", "stray_file"]
    assert sorted(row["member"] for row in in_archive["problems"]) == sorted(list(strays)[:2])
    assert sorted(row["file"] for row in in_folder["problems"]) == sorted(list(strays)[:2])


def test_links_in_an_archive_are_strays(tmp_path):
    path = tar_of(tmp_path / "a.tar", TRAIN, "w")
    with tarfile.open(path, "a") as archive:
        link = tarfile.TarInfo("n01440764/n01440764_8.xml")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    tables = read(path)
    assert (len(tables["boxes"]), codes(tables)) == (3, ["stray_file"])


def test_pipes_dead_links_and_names_of_odd_bytes_do_not_stop_a_folder(tmp_path):
    folder = write(tmp_path, TRAIN) / "n01440764"
    os.mkfifo(folder / "n01440764_1.xml")
    (folder / "n01440764_2.xml").symlink_to("nothing")
    (folder / os.fsdecode(b"n\xff.xml")).write_text(xml("n"))
    tables = read(tmp_path)
    assert [(row["code"], row["file"][-5]) for row in tables["problems"]] == [("stray_file", "1"), ("stray_file", "2")]
    assert "n\\xff" in {box["image_id"] for box in tables["boxes"]}
    assert len(tables["boxes"]) == 4


def test_an_archive_that_is_cut_keeps_what_came_before(tmp_path):
    path = tar_of(tmp_path / "a.tgz", TRAIN)
    whole = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(whole)[:-20])
    tables = read(path)
    assert codes(tables) == ["gzip_truncated"]
    plain = tmp_path / "a.tar"
    plain.write_bytes(whole[: whole.index(b"n01440764/n01440764_7.xml") + 512 + 10])  # inside the second payload
    tables = read(plain)
    assert ([box["image_id"] for box in tables["boxes"]], codes(tables)) == (["n01440764_96"], ["tar_truncated"])


def test_a_second_annotation_of_an_image_in_an_archive_is_reported(tmp_path):
    files = TRAIN | {"again/n01440764/n01440764_96.xml": xml()}
    tables = read(tar_of(tmp_path / "a.tgz", files))
    assert (len(tables["boxes"]), codes(tables)) == (3, ["repeated_annotation"])


@pytest.mark.parametrize("form", ["folder", "archive"])
def test_bombs_are_reported_and_their_neighbours_read(tmp_path, form):
    bombs = {
        "n01440764/n01440764_1.xml": "<!DOCTYPE a [<!ENTITY a 'ha'>]>" + xml(),
        "n01440764/n01440764_2.xml": xml() + " " * (1 << 20),
        "n01440764/n01440764_3.xml": xml().replace("<object>", "<object></object>" * 1001 + "<object>"),
    }
    path = tmp_path / "tree"
    if form == "folder":
        write(path, bombs | TRAIN)
    else:
        path = tar_of(tmp_path / "a.tgz", bombs | TRAIN)
    tables = read(path)
    assert codes(tables) == ["xml_refused", "xml_too_large", "xml_too_many_objects"]
    counts = {row["image_id"]: 0 for row in tables["boxes"]}
    for row in tables["boxes"]:
        counts[row["image_id"]] += 1
    assert counts == {"n01440764_3": 1000, "n01440764_96": 1, "n01440764_7": 1, "n02119789_5": 1}


def test_rows_are_handed_on_in_batches_of_bounded_size(tmp_path, monkeypatch):
    monkeypatch.setattr("imagenet_tools.annotations.annotation_rows._BATCH", 2)
    path = tar_of(tmp_path / "a.tgz", TRAIN | {"stray.txt": ""})
    (found,) = box_xml.detect(path)
    (unit,) = box_xml.units(found, "a source", tmp_path)
    batches = list(box_xml.scan(unit))
    assert [(table, batch.num_rows) for table, batch in batches] == [("boxes", 2), ("boxes", 1), ("problems", 1)]
    assert all(isinstance(batch, pa.RecordBatch) for _, batch in batches)


def test_the_fingerprint_changes_with_a_file_and_not_with_the_place(tmp_path):
    def prints(root):
        return [fingerprint_of(unit) for found in box_xml.detect(root) for unit in box_xml.units(found, "s", root)]

    write(tmp_path / "a", TRAIN)
    before = prints(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert prints(tmp_path / "b") == before
    write(tmp_path / "a", {"n01440764/n01440764_96.xml": xml() + " "})
    after = prints(tmp_path / "a")
    assert [old == new for old, new in zip(before, after, strict=True)] == [False, True]
