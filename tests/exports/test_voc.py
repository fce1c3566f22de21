"""Pascal VOC exports, read by Python's own XML parser: names, pixels, lists."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import imagenet_tools
from imagenet_tools.annotations import bbox
from imagenet_tools.errors import ExportError
from imagenet_tools.index import Index
from tests.forms.annotations import xml

ROOT = Path("VOCdevkit/VOC2012")


def annotation(root: Path, stem: str) -> ET.Element:
    return ET.parse(root / ROOT / "Annotations" / f"{stem}.xml").getroot()


def boxes(root: Path, stem: str) -> list[tuple[str | None, ...]]:
    found = []
    for one in annotation(root, stem).findall("object"):
        found.append(tuple(one.findtext(f"bndbox/{edge}") for edge in ("xmin", "ymin", "xmax", "ymax")))
    return found


def test_pixels_count_from_1_and_the_last_belongs_to_the_box(odd: Index, tmp_path: Path) -> None:
    imagenet_tools.export(odd.select(), tmp_path / "x", to="voc")
    assert boxes(tmp_path / "x", "n01440764_1") == [("7", "5", "30", "20")]  # 6 to 30 and 4 to 20, counted from 0
    assert boxes(tmp_path / "x", "n02012849_1") == [("1", "1", "60", "40")]  # all of 60 by 40, twice: once
    assert len(boxes(tmp_path / "x", "n01440764_20")) == 23


def test_a_box_of_no_whole_pixel_is_a_pixel_inside_the_image() -> None:
    for left, right in ((0.0, 0.001), (0.5, 0.501), (0.999, 1.0)):
        x1, _, x2, _ = (int(edge) for edge in bbox.voc(left, 0, right, 1, width=10, height=10))
        assert 1 <= x1 == x2 <= 10


def test_names_and_sizes_are_those_of_the_files(odd: Index, tmp_path: Path) -> None:
    imagenet_tools.export(odd.select(), tmp_path / "x", to="voc")
    for path in (tmp_path / "x" / ROOT / "JPEGImages").iterdir():
        found = annotation(tmp_path / "x", path.stem)
        assert found.findtext("filename") == path.name == f"{path.stem}.jpg"
    found = annotation(tmp_path / "x", "n01440764_6")
    assert [found.findtext(f"size/{key}") for key in ("width", "height", "depth")] == ["33", "77", "1"]
    assert annotation(tmp_path / "x", "n01440764_4").findtext("size/depth") == "4"
    assert {one.findtext("name") for one in found.iter("object")} == {"tench"}
    imagenet_tools.export(odd.select(), tmp_path / "y", to="voc", names="wnid")
    assert annotation(tmp_path / "y", "n02012849_1").findtext("object/name") == "n02012849"


def test_lists_name_every_image_once_and_trainval_is_both(odd: Index, tmp_path: Path) -> None:
    imagenet_tools.export(odd.select(), tmp_path / "x", to="voc")
    sets = tmp_path / "x" / ROOT / "ImageSets" / "Main"
    lists = {path.stem: path.read_text().splitlines() for path in sets.iterdir()}
    assert set(lists) == {"train", "val", "trainval"}
    assert lists["trainval"] == lists["train"] + lists["val"]
    assert {path.stem for path in (tmp_path / "x" / ROOT / "JPEGImages").iterdir()} == set(lists["trainval"])


def test_pose_and_remarks_are_kept(tmp_path: Path, odd: Index) -> None:
    source = tmp_path / "train" / "n01440764"
    source.mkdir(parents=True)
    place = odd.image("n01440764_1").place
    (source / "n01440764_1.JPEG").write_bytes(place.path.read_bytes())
    (tmp_path / "boxes" / "n01440764").mkdir(parents=True)
    text = xml("n01440764_1", "n01440764", [("n01440764", (6, 4, 30, 20))], size=(60, 40))
    for old, new in (("Unspecified", "Left"), ("<truncated>0", "<truncated>1"), ("<difficult>0", "<difficult>1")):
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "boxes" / "n01440764" / "n01440764_1.xml").write_text(text)
    imagenet_tools.build_index([tmp_path / "train", tmp_path / "boxes"], tmp_path / "x.index", dataset="ilsvrc2012")
    imagenet_tools.export(imagenet_tools.open_index(tmp_path / "x.index").select(), tmp_path / "x", to="voc")
    [found] = annotation(tmp_path / "x", "n01440764_1").findall("object")
    assert [found.findtext(key) for key in ("pose", "truncated", "difficult")] == ["Left", "1", "1"]


def test_two_images_of_one_name_in_two_splits_are_refused(tmp_path: Path, odd: Index) -> None:
    data = odd.image("n01440764_1").place.path.read_bytes()
    for dataset, split in (("a", "train"), ("b", "val")):
        folder = tmp_path / dataset / split / "n01440764"
        folder.mkdir(parents=True)
        (folder / "n01440764_1.JPEG").write_bytes(data)
        imagenet_tools.build_index(tmp_path / dataset, tmp_path / "x.index", dataset=dataset)
    two = imagenet_tools.open_index(tmp_path / "x.index")
    with pytest.raises(ExportError, match="would both be n01440764_1"):
        imagenet_tools.plan_export(two.select(), to="voc", unboxed="background")
    assert imagenet_tools.plan_export(two.select(), to="coco", unboxed="background").images() == 2


def test_a_split_may_be_called_trainval_without_train_and_val(odd: Index, tmp_path: Path) -> None:
    chosen = odd.select(split="trainval=0.7,test=0.3", from_="train,val")
    result = imagenet_tools.export(chosen, tmp_path / "x", to="voc")
    lists = {path.stem: path.read_text().splitlines() for path in (tmp_path / "x" / ROOT / "ImageSets/Main").iterdir()}
    assert {split: len(stems) for split, stems in lists.items()} == {split: result.images(split) for split in lists}
    assert set(lists) == {"trainval", "test"} and result.check()[0].ok
    with pytest.raises(ExportError, match="A split is called trainval, as the list of train and val together"):
        imagenet_tools.plan_export(odd.select(split="trainval=0.7,val=0.3"), to="voc")
