"""Exports of this program that lie among sources are left out and named; given by themselves, they are read."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import imagenet_tools
from imagenet_tools.cli import run
from imagenet_tools.errors import SourceError
from imagenet_tools.exports.run import partial_folder
from imagenet_tools.index import Index
from tests.conftest import Extracted
from tests.parameters import short_list
from tests.shared import Shared

Export = Callable[..., Path]


@pytest.fixture(scope="session")
def export(index: Index, shared: Shared) -> Export:
    """A function that exports the dogs of the sample, once for all tests that ask the same. It must not be changed."""

    def export(to: str, name: str, **options: Any) -> Path:
        def make(root: Path) -> None:
            root.mkdir()
            words = {key: options.pop(key) for key in ("split",) if key in options}
            chosen = index.select(under="dog", **words)
            imagenet_tools.export(chosen, root / name, to=to, workers=1, **options)

        return shared(f"own-{to.replace(',', '-')}-{name}", make) / name

    return export


@pytest.fixture
def originals(extracted: Extracted, tmp_path: Path) -> Path:
    """A folder with the training images of the sample, into which a test puts exports."""
    shutil.copytree(extracted.train, tmp_path / "data" / "train")
    return tmp_path / "data"


def build(path: Path, home: Path, **options: Any) -> tuple[Index, list[str]]:
    report = imagenet_tools.build_index([path], home / "x.index", workers=1, **options)
    return imagenet_tools.open_index(home / "x.index"), [name for one in report.sources for name in one.ignored]


def lengths(index: Index) -> dict[tuple[str, str], int]:
    rows = index.sql("SELECT dataset, image_id, length FROM images UNION SELECT dataset, image_id, length FROM copies")
    return {(dataset, image_id): length for dataset, image_id, length in rows.fetchall()}


@pytest.mark.parametrize(
    "to",
    short_list(["image_folder", "webdataset", "hf_parquet", "yolo_classify", "zip", "yolo"], "webdataset"),
)
def test_an_export_below_a_source_is_left_out_and_named(
    to: str, export: Export, originals: Path, tmp_path: Path
) -> None:
    alone, _ = build(originals, tmp_path / "alone")
    shutil.copytree(export(to, "small", resize=64), originals / "small")
    index, ignored = build(originals, tmp_path / "both")
    assert lengths(index) == lengths(alone)
    assert index.sql("SELECT count(*) FROM copies").fetchall() == [(0,)]
    [named] = [one for one in ignored if one.startswith("small/")]
    assert f"an export to {to} that imagenet-tools made with --resize" in named
    assert imagenet_tools.detect(originals).ignored == tuple(ignored)


def test_exports_of_one_pass_below_a_source_are_left_out_and_named(
    export: Export, originals: Path, tmp_path: Path
) -> None:
    shutil.copytree(export("image_folder,webdataset", "two"), originals / "two")
    index, ignored = build(originals, tmp_path)
    assert {one.partition(" ")[0] for one in ignored} == {"two/image_folder/", "two/webdataset/"}
    assert index.sql("SELECT DISTINCT split_part(file, '/', 1) FROM images").fetchall() == [("train",)]


def test_an_export_where_a_reader_looks_of_itself_is_left_out_too(export: Export, tmp_path: Path) -> None:
    shutil.copytree(export("yolo", "boxed"), tmp_path / "data" / "val")
    shutil.copytree(export("image_folder", "dogs") / "train", tmp_path / "data" / "val" / "n02085620")
    found = imagenet_tools.detect(tmp_path / "data")
    assert found.found == ()
    assert [one.partition(" ")[0] for one in found.ignored] == ["val/"]


def test_an_export_among_what_one_form_reads_is_an_error_that_names_it(
    export: Export, originals: Path, tmp_path: Path
) -> None:
    shutil.copytree(export("yolo", "boxed"), originals / "val")
    shutil.copytree(export("image_folder", "dogs") / "train" / "n02085620", originals / "val" / "n02085620")
    with pytest.raises(SourceError, match=r"/val is an export to yolo .*, among what is read of .* as image_folder"):
        build(originals, tmp_path)


def test_an_export_that_is_not_finished_is_left_out_and_named(index: Index, originals: Path, tmp_path: Path) -> None:
    plan = imagenet_tools.plan_export(index.select(under="dog"), to="image_folder", resize=64)
    with pytest.raises(KeyboardInterrupt), partial_folder([plan], originals / "dogs") as half:
        shutil.copytree(originals / "train", half / "train")
        raise KeyboardInterrupt
    indexed, ignored = build(originals, tmp_path)
    assert indexed.sql("SELECT DISTINCT split_part(file, '/', 1) FROM images").fetchall() == [("train",)]
    assert [one.partition(": ")[0] for one in ignored] == [
        "dogs.partial/ (an unfinished export to image_folder that imagenet-tools made with --resize"
    ]


def test_the_command_line_names_the_export_in_each_of_its_ways(
    export: Export, originals: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(export("image_folder", "small", resize=64), originals / "small")
    name = "small/ (an export to image_folder that imagenet-tools made with --resize"
    assert run(["detect", str(originals)]) == 0
    assert f"not read: {name}" in capsys.readouterr().out
    assert run(["detect", str(originals), "--json"]) == 0
    assert name in json.loads(capsys.readouterr().out)[0]["not_read"][0]
    assert run(["build-index", str(originals), "-o", str(tmp_path / "x.index")]) in (0, 3)
    assert f"not read: {name}" in capsys.readouterr().err
    assert run(["build-index", str(originals), "-o", str(tmp_path / "y.index"), "--json"]) in (0, 3)
    assert name in json.loads(capsys.readouterr().out)["sources"][0]["ignored"][0]


# ---- given by itself


OWN: dict[str, tuple[str, dict[str, Any], str]] = {  # the target, options, and the data set that its images are
    "originals": ("image_folder", {}, "ilsvrc2012"),
    "originals in tars": ("webdataset", {}, "ilsvrc2012"),
    "resized": ("image_folder", {"resize": 64}, "small"),
    "resized in zips": ("zip", {"resize": 64}, "small"),
    "repaired": ("image_folder", {"repair": ("exif",)}, "mended"),
    "split otherwise": ("image_folder", {"split": "train=0.5,val=0.5"}, "own-split"),
}


@pytest.mark.parametrize("case", short_list(OWN, "originals in tars", "resized"))
def test_given_by_itself_it_is_of_the_data_set_that_its_images_belong_to(
    case: str, export: Export, tmp_path: Path
) -> None:
    to, options, dataset = OWN[case]
    name = "dogs" if dataset == "ilsvrc2012" else dataset
    path = export(to, name, **options)
    index, ignored = build(path, tmp_path)
    assert index.sql("SELECT DISTINCT dataset FROM images").fetchall() == [(dataset,)]
    assert not ignored  # the manifest and what lies beside it are known
    evidence = imagenet_tools.detect(path).found[0].evidence
    said = "its images are the originals" if dataset == "ilsvrc2012" else f"a data set of its own, {dataset}"
    assert evidence.startswith(f"an export to {to} that imagenet-tools made") and said in evidence


@pytest.mark.parametrize("to", short_list(["image_folder", "coco", "tfrecord"], "coco"))
def test_an_export_with_superclasses_is_read_with_them_beside_the_originals(
    to: str, index: Index, sample: Path, tmp_path: Path
) -> None:
    """Its validation images are in folders, or have records, of other classes than their official ones."""
    chosen = index.select(superclasses=["dog.n.01", "bird.n.01"])
    imagenet_tools.export(chosen, tmp_path / "pets", to=to, workers=1)
    sources = [tmp_path / "pets", sample / "ILSVRC2012_img_val.tar"]
    report = imagenet_tools.build_index(sources, tmp_path / "x.index", workers=1)
    both = imagenet_tools.open_index(tmp_path / "x.index")
    found = both.sql("SELECT DISTINCT split, wnid FROM images WHERE dataset = 'pets' ORDER BY ALL").fetchall()
    assert found == [(split, wnid) for split in ("train", "val") for wnid in ("n01503061", "n02084071")]
    assert not {"class_differs", "label_contradiction"} & report.problems.keys()
    shared = "SELECT count(*) FROM images AS own SEMI JOIN images AS other ON own.photo = other.photo"
    assert both.sql(f"{shared} AND own.dataset = 'pets' AND other.dataset = 'ilsvrc2012'").fetchall() == [(32,)]
    with pytest.raises(SourceError, match="another class than the official ground truth"):
        imagenet_tools.build_index([tmp_path / "pets"], tmp_path / "y.index", workers=1, dataset="ilsvrc2012")


@pytest.mark.parametrize(
    "chosen", [{"superclasses": "dog,bird"}, {"split": "train=0.5,val=0.5"}, {"under": "dog", "nested": "merge"}]
)
def test_an_export_by_a_lock_is_of_the_data_set_that_the_words_of_the_lock_make(
    chosen: dict[str, str], index: Index, tmp_path: Path
) -> None:
    lock = tmp_path / "x.lock.toml"
    index.select(**chosen).lock(lock)  # type: ignore[arg-type]
    imagenet_tools.export(imagenet_tools.subset(lock, index), tmp_path / "pets", to="webdataset", workers=1)
    [found] = imagenet_tools.detect(tmp_path / "pets").found
    assert found.dataset == "pets" and found.superclasses == ("split" not in chosen)


def test_a_resized_export_never_takes_the_place_of_the_originals(
    export: Export, originals: Path, tmp_path: Path
) -> None:
    """Neither given first nor by its folder of a split, nor where the folder bears the name of a release."""
    shutil.copytree(export("image_folder", "small", resize=64), tmp_path / "ilsvrc2012")
    alone, _ = build(originals, tmp_path / "alone")
    given = [tmp_path / "ilsvrc2012" / "train", originals]
    imagenet_tools.build_index(given, tmp_path / "x.index", workers=1)
    found = lengths(imagenet_tools.open_index(tmp_path / "x.index"))
    assert {key: n for key, n in found.items() if key[0] == "ilsvrc2012"} == lengths(alone)
    assert {dataset for dataset, _ in found} == {"ilsvrc2012", "ilsvrc2012-export"}


def test_with_a_name_of_a_data_set_an_export_below_is_read(export: Export, tmp_path: Path) -> None:
    shutil.copytree(export("image_folder", "small", resize=64), tmp_path / "data" / "small")
    index, ignored = build(tmp_path / "data", tmp_path, dataset="mine")
    assert index.sql("SELECT DISTINCT dataset FROM images").fetchall() == [("mine",)]
    assert not [one for one in ignored if one.startswith("small/")]


def test_a_folder_of_exports_alone_says_to_name_one(export: Export, tmp_path: Path) -> None:
    path = export("image_folder,webdataset", "two")
    with pytest.raises(SourceError, match=r"exports that imagenet-tools made \(image_folder, webdataset\): name one"):
        build(path, tmp_path)
    with pytest.raises(SourceError, match=r"\(\S+/image_folder, \S+/webdataset\): name one of them"):
        build(path.parent, tmp_path)
    held = export("csv", "rows")
    with pytest.raises(SourceError, match=r"an export to csv .* in which no images are found: index the sources"):
        build(held, tmp_path)


@pytest.mark.parametrize(
    "manifest",
    ["", "{", "[]", "{}", "7", '{"target": "zip", "recipe": [], "files": {}, "sources": []}', "[" * 100_000, "\xff"],
)
def test_a_manifest_of_anything_else_is_nobodys(manifest: str, originals: Path) -> None:
    (originals / "manifest.json").write_text(manifest, encoding="latin-1")
    (originals / "classes.json").write_text("{}")
    found = imagenet_tools.detect(originals)
    assert [one.dataset for one in found.found] == ["ilsvrc2012"]
    assert "imagenet-tools made" not in found.found[0].evidence
