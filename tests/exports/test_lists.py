"""Lists of images that stay where they are: every path leads to its image, and what no list can say is refused."""

import csv
import json
import pickle
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

import imagenet_tools
from imagenet_tools.errors import ExportError, UsageError
from imagenet_tools.index import Index
from tests.conftest import Extracted
from tests.exports.odd import CRANE, ODD, TENCH, make_odd


@pytest.mark.parametrize(("target", "name"), [("file_list", "{}.txt"), ("mmpretrain", "meta/{}.txt")])
def test_every_line_is_the_path_of_an_image_a_space_and_its_class(
    target: str, name: str, odd: Index, tmp_path: Path
) -> None:
    plan = imagenet_tools.export(odd.select(), tmp_path / "x", to=target)
    classes = json.loads((tmp_path / "x" / "classes.json").read_text())["classes"]
    data = {one.stem: one for one in ODD}
    for split in ("train", "val"):
        text = (tmp_path / "x" / name.format(split)).read_text()
        assert text.endswith("\n")
        assert f"{name.format(split)}: paths are relative to the root of the source {split}" in plan.hazards
        seen = set()
        for line in text.split("\n")[:-1]:
            assert line == line.strip()
            path, label = line.rsplit(" ", 1)
            one = data[Path(path).stem]
            assert (odd.roots[split] / path).read_bytes() == one.data
            assert classes[int(label)]["wnid"] == one.wnid
            seen.add(one.stem)
        assert seen == {one.stem for one in ODD if one.split == split}
    assert "n02012849_a b.c-d'é.JPEG 1\n" in (tmp_path / "x" / name.format("train")).read_text()


def test_a_name_that_no_line_can_hold_is_refused_and_a_table_holds_it(tmp_path: Path) -> None:
    names = ["plain", " before", "after ", "a\ttab", "a\rreturn", "two\nlines", "two\u2028lines"]
    (tmp_path / "mine" / "train" / TENCH).mkdir(parents=True)
    for name in names:
        Image.new("RGB", (40, 30)).save(tmp_path / "mine" / "train" / TENCH / f"{name}.jpg")
    imagenet_tools.build_index(tmp_path / "mine", tmp_path / "x.index", workers=1, dataset="mine")
    chosen = imagenet_tools.open_index(tmp_path / "x.index").select()
    for target, n, problem in (
        ("voc", 4, "have names that begin or end with a space, or of several lines"),
        ("zip", 3, "have a tab or a line break in their names"),
        ("file_list", 2, "are in archives, or of names with several lines"),
    ):
        with pytest.raises(ExportError, match=f"{n} images {problem}"):
            imagenet_tools.plan_export(chosen, to=target, unboxed="background")
    result = imagenet_tools.export(chosen, tmp_path / "tables", to="csv,parquet")
    assert all(checked.ok and checked.images == len(names) for checked in result.check())
    left = chosen.where(r"NOT regexp_matches(image_id, '^\s|\s$|[\t\r\n]')")
    result = imagenet_tools.export(left, tmp_path / "lists", to="voc,zip,file_list", unboxed="background")
    assert all(checked.ok and checked.images == 2 for checked in result.check())


def test_mmpretrain_has_a_name_a_line_in_the_order_of_the_labels(odd: Index, tmp_path: Path) -> None:
    imagenet_tools.export(odd.select(), tmp_path / "x", to="mmpretrain")
    classes = json.loads((tmp_path / "x" / "classes.json").read_text())["classes"]
    assert (tmp_path / "x" / "meta" / "classes.txt").read_text().splitlines() == [one["display"] for one in classes]


def test_a_split_of_several_sources_is_relative_to_the_folder_above_them(odd: Index, tmp_path: Path) -> None:
    chosen = odd.select(split="train=1", from_="train,val")
    plan = imagenet_tools.export(chosen, tmp_path / "x", to="file_list")
    assert "train.txt: paths are relative to the folder above the sources train, val" in plan.hazards
    lines = (tmp_path / "x" / "train.txt").read_text().splitlines()
    assert len(lines) == len(ODD)
    assert all((odd.roots["train"].parent / line.rsplit(" ", 1)[0]).is_file() for line in lines)


def test_images_in_archives_have_no_path_and_are_refused(index: Index, tmp_path: Path) -> None:
    for target in ("file_list", "mmpretrain"):
        with pytest.raises(ExportError, match=r"182 images are in archives.*image_folder"):
            imagenet_tools.plan_export(index.select(), to=target)


@pytest.mark.parametrize("target", ["file_list", "mmpretrain", "csv", "parquet", "timm_class_map"])
@pytest.mark.parametrize("words", [{"resize": 32}, {"repair": "png"}])
def test_what_changes_images_is_refused_where_none_is_written(target: str, words: dict[str, str], odd: Index) -> None:
    with pytest.raises(UsageError, match="changes none"):
        imagenet_tools.plan_export(odd.select(), to=target, **words)  # type: ignore[arg-type]


@pytest.mark.parametrize("target", ["csv", "parquet"])
def test_tables_name_the_bytes_of_every_image_also_in_archives(
    target: str, index: Index, extracted: Extracted, tmp_path: Path
) -> None:
    imagenet_tools.export(index.select(), tmp_path / "x", to=target)
    rows = []
    for path in sorted((tmp_path / "x").glob(f"*.{target}")):
        found = pq.read_table(path).to_pylist() if target == "parquet" else list(csv.DictReader(path.open()))
        assert {row["split"] for row in found} == {path.stem}
        rows += found
    assert len(rows) == 182
    for row in rows:
        with (index.roots[row["source"]] / row["file"]).open("rb") as file:
            file.seek(int(row["offset"]))
            assert file.read(int(row["length"])) == extracted.data[row["image_id"]]


def test_parquet_has_the_boxes_of_the_index(index: Index, tmp_path: Path) -> None:
    imagenet_tools.export(index.select(), tmp_path / "x", to="parquet")
    found = [
        (row["image_id"], box["wnid"], box["nxmin"], box["nymin"], box["nxmax"], box["nymax"])
        for path in (tmp_path / "x").glob("*.parquet")
        for row in pq.read_table(path).to_pylist()
        for box in row["boxes"]
    ]
    asked = "SELECT image_id, wnid, nxmin, nymin, nxmax, nymax FROM boxes WHERE nxmin IS NOT NULL ORDER BY ALL"
    assert sorted(found) == index.sql(asked).fetchall()


def test_a_class_map_numbers_folders_in_the_order_that_is_asked_for(index: Index, tmp_path: Path) -> None:
    chosen = index.select(classes="n02123045,n02085620,n01531178", from_="train")
    imagenet_tools.export(chosen, tmp_path / "x", to="timm_class_map")
    assert (tmp_path / "x" / "class_map.txt").read_text() == "n02123045\nn02085620\nn01531178\n"
    joined = index.select(superclasses="n02084071,n01503061", from_="train")
    imagenet_tools.export(joined, tmp_path / "y", to="timm_class_map")
    with (tmp_path / "y" / "class_map.pkl").open("rb") as file:
        found = pickle.load(file)
    assert found["n02085620"] == found["n02099601"] != found["n01531178"] == found["n01558993"]


def test_a_class_map_is_refused_where_timm_would_read_something_else(index: Index, odd: Index, tmp_path: Path) -> None:
    for words in ({"per_class": 2}, {"boxed": True}, {"where": "width > 60"}, {"split": "train=0.5,val=0.5"}):
        with pytest.raises(ExportError, match="whole classes"):
            imagenet_tools.plan_export(odd.select(**words), to="timm_class_map")  # type: ignore[arg-type]
    with pytest.raises(ExportError, match=r"52 images of val are in no folder or tar called by their wnid"):
        imagenet_tools.plan_export(index.select(), to="timm_class_map")
    assert imagenet_tools.plan_export(index.select(from_="train"), to="timm_class_map").images() == 130
    make_odd(tmp_path / "source")
    (tmp_path / "source" / "train" / CRANE).rename(tmp_path / "source" / "train" / "crane")
    imagenet_tools.build_index(tmp_path / "source" / "train" / "crane", tmp_path / "x.index", dataset="ilsvrc2012")
    loose = imagenet_tools.open_index(tmp_path / "x.index")
    assert loose.sql("SELECT count(*) FROM images").fetchall() == [(3,)]
    with pytest.raises(ExportError, match="no folder or tar called by their wnid"):
        imagenet_tools.plan_export(loose.select(split="official"), to="timm_class_map")
    assert TENCH not in {wnid for (wnid,) in loose.sql("SELECT wnid FROM images").fetchall()}
