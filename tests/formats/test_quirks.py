"""Every quirk of ImageNet's boxes, from the archive to the row: kept as given, repaired by rule, and flagged."""

import io
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

import imagenet_tools
from imagenet_tools.index import Index
from tests.forms.annotations import Edges, bboxes_annotations, det_xml, tar_of, xml
from tests.forms.dogs import annotation

HOUND, FROG, RECREATION, ANIMAL = "n02092002", "n01644373", "n06470073", "n00141669"
REAL = (400, 300)  # pixels of every image here


class Quirk(NamedTuple):
    """An annotation, its place, and the row that it ends as: the real size is that of the image."""

    text: str
    place: str
    edges: Edges  # as the annotation gives them, and as the row keeps them
    stated: tuple[int, int]
    fractions: tuple[float, float, float, float] | None
    wnid: str
    name: str
    flags: list[str]


def of_train(stem: str, edges: Edges, *, name: str = "", size: tuple[int, int] = REAL, filename: str = "") -> str:
    wnid = stem[:9]
    return xml(filename or stem, wnid, [(name or wnid, edges)], size=size, database="ILSVRC_2012")


def quirk(
    number: int,
    edges: Edges,
    fractions: tuple[float, float, float, float] | None,
    flags: list[str],
    *,
    wnid: str = FROG,
    name: str = "",
    size: tuple[int, int] = REAL,
    filename: str = "",
) -> Quirk:
    stem = f"{wnid}_{number}"
    text = of_train(stem, edges, name=name, size=size, filename=filename)
    return Quirk(text, f"{wnid}/{stem}.xml", edges, size, fractions, wnid, name or wnid, flags)


PLAIN = (100, 60, 300, 240)
SHARES = (0.25, 0.2, 0.75, 0.8)

ILSVRC = {
    "as it should be": quirk(1, PLAIN, SHARES, []),
    "1 the size shown was another": quirk(2, (200, 120, 600, 480), SHARES, ["size_differs"], size=(800, 600)),
    "1 the size shown was turned": quirk(
        3, (75, 80, 225, 320), SHARES, ["size_differs", "size_turned"], size=(300, 400)
    ),
    "2 out of the image": quirk(4, (-20, 60, 500, 240), (0.0, 0.2, 1.0, 0.8), ["outside"]),
    "2 min above max": quirk(5, (300, 240, 100, 60), SHARES, ["swapped_x", "swapped_y"]),
    "2 wholly outside": quirk(6, (450, 310, 500, 340), None, ["outside", "degenerate"]),
    "3 %s for a filename": quirk(7, PLAIN, SHARES, ["filename_differs"], filename="%s"),
    "4 a word for a wnid": quirk(8, PLAIN, SHARES, ["name_is_word"], wnid=HOUND, name="Scottish_deerhound"),
    "no size at all": quirk(9, PLAIN, SHARES, ["no_size"], size=(0, 0)),
}


def picture() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", REAL).save(out, "JPEG")
    return out.getvalue()


def train_tar(path: Path, places: list[str]) -> Path:
    """A tar of class tars with an image for each place of an annotation."""
    by_class: dict[str, dict[str, bytes | str]] = {}
    for place in places:
        stem = Path(place).stem
        by_class.setdefault(stem[:9], {})[f"{stem}.JPEG"] = picture()
    path.write_bytes(tar_of({f"{wnid}.tar": tar_of(files, "w") for wnid, files in by_class.items()}, "w"))
    return path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """ILSVRC2012's images and boxes of training, every quirk among them."""
    home = tmp_path_factory.mktemp("quirks")
    boxes = home / "ILSVRC2012_bbox_train_v2.tar.gz"
    boxes.write_bytes(tar_of({one.place: one.text for one in ILSVRC.values()}))
    tar = train_tar(home / "ILSVRC2012_img_train.tar", [one.place for one in ILSVRC.values()])
    imagenet_tools.build_index([tar, boxes], home / "x.index", workers=1)
    return imagenet_tools.open_index(home / "x.index")


ROW = """SELECT xmin, ymin, xmax, ymax, stated_width, stated_height, i.width, i.height, nxmin, nymin, nxmax, nymax,
                b.wnid, name, flags
         FROM boxes AS b JOIN images AS i USING (dataset, image_id) WHERE image_id = $stem"""


@pytest.mark.parametrize("kind", ILSVRC)
def test_a_quirk_is_repaired_by_rule_and_flagged(kind: str, built: Index) -> None:
    one = ILSVRC[kind]
    (row,) = built.sql(ROW, stem=Path(one.place).stem).fetchall()
    assert row[:4] == one.edges
    assert row[4:6] == one.stated
    assert row[6:8] == REAL
    assert row[8:12] == ((None,) * 4 if one.fractions is None else pytest.approx(one.fractions))
    assert (row[12], row[13], row[14]) == (one.wnid, one.name, one.flags)


def test_info_counts_them(built: Index) -> None:
    from imagenet_tools.store.summary import summarise

    counted = {row["flag"]: row["n"] for row in summarise(built).box_flags}
    assert counted == {flag: sum(flag in one.flags for one in ILSVRC.values()) for flag in counted}
    assert set(counted) == {flag for one in ILSVRC.values() for flag in one.flags}


def test_5_the_odd_elements_of_stanford_dogs_change_nothing(tmp_path: Path) -> None:
    text = annotation(f"{HOUND}_10", "Scottish_deerhound", PLAIN, REAL)
    assert "<folder>02092002</folder>" in text
    assert "<segment>" in text
    boxes = tmp_path / "ILSVRC2012_bbox_train_dogs.tar.gz"
    boxes.write_bytes(tar_of({f"{HOUND}/{HOUND}_10.xml": text}))
    tar = train_tar(tmp_path / "ILSVRC2012_img_train.tar", [f"{HOUND}/{HOUND}_10.xml"])
    imagenet_tools.build_index([tar, boxes], tmp_path / "x.index", workers=1, dataset="ilsvrc2012")
    (row,) = imagenet_tools.open_index(tmp_path / "x.index").sql(ROW, stem=f"{HOUND}_10").fetchall()
    assert row[8:12] == pytest.approx(SHARES)
    assert (row[:4], row[12:]) == (PLAIN, (HOUND, "Scottish_deerhound", ["name_is_word"]))


def test_6_the_order_of_det_and_of_vid_and_what_they_leave_out_change_nothing(tmp_path: Path) -> None:
    dog = "n02084071"
    files: dict[str, bytes | str] = {}
    for number, order in enumerate(("xmin xmax ymin ymax", "xmax xmin ymax ymin"), 1):
        stem = f"ILSVRC2013_val_{number:08d}"
        text = det_xml(stem, "ILSVRC2013_DET_val", [(dog, PLAIN)], size=REAL, subcategory=HOUND)
        edges = dict(zip(("xmin", "ymin", "xmax", "ymax"), PLAIN, strict=True))
        head, tail = text.split("<bndbox>")[0], text.split("</bndbox>")[1]
        box = "".join(f"<{edge}>{edges[edge]}</{edge}>" for edge in order.split())
        files[f"ILSVRC2013_DET_bbox_val/{stem}.xml"] = f"{head}<bndbox>{box}</bndbox>{tail}"
        (tmp_path / "ILSVRC2013_DET_val").mkdir(exist_ok=True)
        (tmp_path / "ILSVRC2013_DET_val" / f"{stem}.JPEG").write_bytes(picture())
    (tmp_path / "ILSVRC2013_DET_bbox_val.tgz").write_bytes(tar_of(files))
    imagenet_tools.build_index(tmp_path, tmp_path / "x.index", workers=1)
    index = imagenet_tools.open_index(tmp_path / "x.index")
    for number in (1, 2):
        (row,) = index.sql(ROW, stem=f"ILSVRC2013_val_{number:08d}").fetchall()
        assert (row[:4], row[12:]) == (PLAIN, (dog, dog, []))
        assert row[8:12] == pytest.approx(SHARES)
    assert index.sql("SELECT DISTINCT subcategory FROM boxes").fetchall() == [(HOUND,)]


def test_7_the_two_box_sets_of_one_photograph_stay_apart(tmp_path: Path) -> None:
    """The whole ImageNet's boxes and ILSVRC's of the same image differ: each belongs to its own release."""
    stem = f"{FROG}_1"
    tar = train_tar(tmp_path / "ILSVRC2012_img_train.tar", [f"{stem}.xml"])
    both = train_tar(tmp_path / "fall11_whole.tar", [f"{stem}.xml", f"{ANIMAL}_7.xml"])
    ours = tmp_path / "ILSVRC2012_bbox_train_v2.tar.gz"
    ours.write_bytes(tar_of({f"{FROG}/{stem}.xml": of_train(stem, PLAIN)}))
    theirs = tmp_path / "bboxes_annotations.tar.gz"
    theirs.write_bytes(bboxes_annotations({FROG: {stem: xml(stem, FROG, [(FROG, (90, 50, 310, 250))], size=REAL)}}))
    report = imagenet_tools.build_index([tar, both, ours, theirs], tmp_path / "x.index", workers=1)
    index = imagenet_tools.open_index(tmp_path / "x.index")
    rows = index.sql("SELECT dataset, photo, xmin FROM boxes ORDER BY dataset").fetchall()
    assert rows == [("fall11", stem, 90.0), ("ilsvrc2012", stem, 100.0)]
    assert report.rows.get("unused_boxes", 0) == 0
    assert report.problems == {}


def test_of_the_whole_abcd(tmp_path: Path) -> None:
    """The stem's class is another than the folder's, boxes without image, and one class a folder, from the stream."""
    stem = f"{ANIMAL}_6790"
    boxes = {
        RECREATION: {stem: xml(stem, RECREATION, [(RECREATION, PLAIN)], size=REAL)},
        ANIMAL: {
            f"{ANIMAL}_1": xml(f"{ANIMAL}_1", ANIMAL, [(ANIMAL, PLAIN)], size=REAL),
            f"{ANIMAL}_2": xml(f"{ANIMAL}_2", ANIMAL, [(RECREATION, PLAIN)], size=REAL),
        },
    }
    archive = tmp_path / "bboxes_annotations.tar.gz"
    archive.write_bytes(bboxes_annotations(boxes))
    places = [f"{stem}.xml", f"{ANIMAL}_2.xml"]  # of the third the image is gone, as many are from winter 2021
    tar = train_tar(tmp_path / "winter21_whole.tar", places)
    report = imagenet_tools.build_index([tar, archive], tmp_path / "x.index", workers=1)
    index = imagenet_tools.open_index(tmp_path / "x.index")
    rows = index.sql("SELECT image_id, wnid, name, flags, nxmin FROM boxes ORDER BY image_id").fetchall()
    assert rows == [
        (f"{ANIMAL}_2", RECREATION, RECREATION, ["name_differs"], 0.25),
        (stem, RECREATION, RECREATION, ["folder_differs"], 0.25),
    ]
    aside = index.sql("SELECT image_id, reason, nxmin FROM unused_boxes").fetchall()
    assert aside == [(f"{ANIMAL}_1", "no_image", 0.25)]
    assert index.sql("SELECT DISTINCT wnid FROM images").fetchall() == [(ANIMAL,)]
    assert sum(report.problems.values()) == 0
