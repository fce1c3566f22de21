"""Exports: what is chosen is there to the byte, what is not is counted, and nothing half or twice appears."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import imagenet_tools
from imagenet_tools import system
from imagenet_tools.errors import ExistsError, ExportError, QueryError, SourceError, UsageError
from imagenet_tools.exports import estimate, job, pieces, run
from imagenet_tools.index import Index
from tests.conftest import Extracted
from tests.parameters import short_list
from tests.shared import Shared


@pytest.fixture(scope="session")
def folders(extracted: Extracted, sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Index:
    """The same images as files of their own, with the boxes."""
    path = tmp_path_factory.mktemp("folders") / "x.index"
    boxes = [sample / "ILSVRC2012_bbox_train_v2.tar.gz", sample / "ILSVRC2012_bbox_val_v3.tgz"]
    imagenet_tools.build_index([extracted.train.parent, extracted.val, *boxes], path, workers=1)
    return imagenet_tools.open_index(path)


def content(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def manifest(root: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((root / "manifest.json").read_text())
    return found


@pytest.mark.parametrize("target", ["image_folder", "yolo_classify"])
def test_class_folders_hold_the_images_untouched(
    target: str, index: Index, extracted: Extracted, tmp_path: Path
) -> None:
    imagenet_tools.export(index.select(under="dog"), tmp_path / "dogs", to=target)
    rows = index.sql("SELECT image_id, split, wnid FROM images WHERE is_a(wnid, 'dog.n.01')").fetchall()
    expected = {f"{split}/{wnid}/{image_id}.JPEG": extracted.data[image_id] for image_id, split, wnid in rows}
    there = {
        path.relative_to(tmp_path / "dogs").as_posix(): path.read_bytes() for path in (tmp_path / "dogs").glob("*/*/*")
    }
    assert there == expected
    assert len(there) == 70


def test_yolo_labels_are_the_boxes_of_the_index(index: Index, tmp_path: Path) -> None:
    imagenet_tools.export(index.select(), tmp_path / "yolo", to="yolo")
    lines = (tmp_path / "yolo" / "data.yaml").read_text().splitlines()
    classes = json.loads((tmp_path / "yolo" / "classes.json").read_text())["classes"]
    names = [f"  {one['index']}: {json.dumps(one['display'])}" for one in classes]
    assert lines[1:] == ["train: images/train", "val: images/val", "names:", *names]
    rows = index.sql(
        """SELECT image_id, boxes.wnid, nxmin, nymin, nxmax, nymax FROM boxes JOIN images USING (dataset, image_id)
           WHERE nxmin IS NOT NULL AND orientation IS NULL"""
    ).fetchall()
    found = []
    for path in (tmp_path / "yolo" / "labels").rglob("*.txt"):
        for line in path.read_text().splitlines():
            number, *words = line.split(" ")
            assert len(words) == 4
            x, y, w, h = map(float, words)
            wnid = classes[int(number)]["wnid"]
            found.append((path.stem, wnid, x - w / 2, y - h / 2, x + w / 2, y + h / 2))
    turned = {image for (image,) in index.sql("SELECT image_id FROM images WHERE orientation IS NOT NULL").fetchall()}
    plain = sorted(box for box in found if box[0] not in turned)
    assert len(plain) == len(rows)
    for ours, theirs in zip(plain, sorted(rows), strict=True):
        assert ours[:2] == theirs[:2]
        assert ours[2:] == pytest.approx(theirs[2:], abs=1e-7)


@pytest.fixture(scope="session")
def dogs(index: Index, shared: Shared) -> Path:
    """The dogs of the official archives as class folders."""

    def make(root: Path) -> None:
        imagenet_tools.export(index.select(under="dog"), root, to="image_folder")

    return shared("dogs", make)


@pytest.mark.parametrize("link", short_list(["hard", "sym", "copy", "auto"], "hard", "sym"))
def test_links_give_the_same_export_and_never_a_link_to_a_jpeg_without_its_end(
    link: str, folders: Index, dogs: Path, tmp_path: Path
) -> None:
    imagenet_tools.export(folders.select(under="dog"), tmp_path / "linked", to="image_folder", link=link)  # type: ignore[arg-type]
    images = {name: digest for name, digest in content(tmp_path / "linked").items() if name.endswith("JPEG")}
    assert images == {name: digest for name, digest in content(dogs).items() if name.endswith("JPEG")}
    for name in images:
        path = tmp_path / "linked" / name
        ends = path.read_bytes().endswith(b"\xff\xd9")
        assert path.is_symlink() == (link == "sym" and ends)
        if link == "hard":
            assert (path.stat().st_nlink > 1) == ends
        if not ends:
            assert path.stat().st_nlink == 1


@pytest.mark.long
@pytest.mark.parametrize("target", ["image_folder", "yolo", "yolo_classify"])
def test_the_number_of_workers_changes_no_byte(target: str, index: Index, tmp_path: Path) -> None:
    chosen = index.select(under="dog", per_class={"train": 4, "val": 2}, seed=3)
    for n in (1, 2, 7):
        imagenet_tools.export(chosen, tmp_path / str(n), to=target, workers=n)
    assert content(tmp_path / "1") == content(tmp_path / "2") == content(tmp_path / "7")


def test_workers_take_what_is_left_of_a_small_export_that_takes_long(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[int] = []

    def pool(work: Callable[[int], int], pieces: list[int], _: int, *, begin: Callable[[], None], **__: object) -> Any:
        begin()
        given.extend(pieces)
        yield from map(work, pieces)

    monkeypatch.setattr(run, "in_processes", pool)
    monkeypatch.setattr(system, "cores", lambda: 2)
    dogs = index.select(under="dog", split="train=0.7,val=0.3")
    imagenet_tools.export(dogs, tmp_path / "quick", to="image_folder")
    assert not given
    monkeypatch.setattr(run, "_ALONE_SECONDS", 0.0)
    imagenet_tools.export(dogs, tmp_path / "slow", to="image_folder")
    assert given == [0, 1]  # a piece for each split
    assert content(tmp_path / "slow") == content(tmp_path / "quick")


def test_every_image_of_the_index_is_in_the_export_or_counted_as_left_out(index: Index, tmp_path: Path) -> None:
    chosen = index.select(
        under="dog", without="toy_dog", where="width >= 90", per_class={"train": 3, "val": 2}, limit=12
    )
    imagenet_tools.export(chosen, tmp_path / "yolo", to="yolo")
    found = manifest(tmp_path / "yolo")
    left_out = found["left_out"]
    assert isinstance(left_out, dict)
    assert found["images"] == len(list((tmp_path / "yolo" / "images").rglob("*.JPEG"))) == 12
    assert 12 + sum(left_out.values()) == 182


def test_the_manifest_names_no_machine_and_no_time(dogs: Path, sample: Path) -> None:
    text = (dogs / "manifest.json").read_text() + (dogs / "classes.json").read_text()
    for private in (str(sample), str(dogs.parent), os.uname().nodename):
        assert private not in text


def test_classes_keep_their_place_where_a_split_lacks_one(index: Index, tmp_path: Path) -> None:
    chosen = index.select(
        classes=["n02085620", "n02086079", "n02088364"], where="split = 'train' OR wnid <> 'n02086079'"
    )
    plan = imagenet_tools.export(chosen, tmp_path / "x", to="image_folder")
    for split in ("train", "val"):
        assert sorted(path.name for path in (tmp_path / "x" / split).iterdir()) == [
            "n02085620",
            "n02086079",
            "n02088364",
        ]
    assert any("have no image in val" in hazard for hazard in plan.hazards)


def test_the_two_cranes_have_two_names(index: Index, tmp_path: Path) -> None:
    imagenet_tools.export(index.select(classes="n03126707,n02012849"), tmp_path / "x", to="image_folder", names="lemma")
    names = sorted(path.name for path in (tmp_path / "x" / "train").iterdir())
    classes = json.loads((tmp_path / "x" / "classes.json").read_text())["classes"]
    assert names == ["crane_(lifting_device)", "crane_(wading_bird)"]
    assert [(one["index"], one["folder"], one["wnid"]) for one in classes] == [
        (0, "crane_(lifting_device)", "n03126707"),
        (1, "crane_(wading_bird)", "n02012849"),
    ]


def test_nothing_is_written_over_something(index: Index, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("file", "folder", "link"):
        with pytest.raises(ExistsError, match="exists"):
            imagenet_tools.export(index.select(under="dog"), tmp_path / name, to="image_folder")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder", "link"]


def test_an_interrupted_export_goes_on_and_ends_in_the_same_bytes(index: Index, tmp_path: Path) -> None:
    def stop(stage: str, done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    chosen = index.select(under="dog")
    imagenet_tools.export(chosen, tmp_path / "whole", to="yolo")
    with pytest.raises(KeyboardInterrupt):
        imagenet_tools.export(chosen, tmp_path / "x", to="yolo", progress=stop)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["whole", "x.partial"]
    half = next((tmp_path / "x.partial" / "images").rglob("*.JPEG"))
    half.write_bytes(half.read_bytes()[:-5])
    with pytest.raises(ExistsError, match="half of another export"):
        imagenet_tools.export(chosen.limit(20), tmp_path / "x", to="yolo")
    imagenet_tools.export(chosen, tmp_path / "x", to="yolo")
    assert content(tmp_path / "x") == content(tmp_path / "whole")
    assert not (tmp_path / "x.partial").exists()


def test_a_plan_writes_nothing(index: Index, tmp_path: Path) -> None:
    plan = imagenet_tools.plan_export(index.select(under="dog"), to="yolo")
    assert (plan.images(), len(plan.classes)) == (45, 5)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_too_small_is_said_where_nothing_can_be_linked(index: Index, tmp_path: Path) -> None:
    plans = imagenet_tools.plan_export(index.select(), to="image_folder").together
    cost = estimate.costs(plans, tmp_path / "x") | {"free_bytes": 1}
    for links, n in (({}, 1), ({"hard": False, "reflink": False}, 1), ({"hard": True, "reflink": False}, 0)):
        notes = estimate.notes_on(plans, cost | {"links": links})
        assert sum("are more than the 1 bytes that are free" in note for note in notes) == n


def test_a_source_that_has_shrunk_is_an_error_and_no_export(sample: Path, tmp_path: Path) -> None:
    data = (sample / "ILSVRC2012_img_val.tar").read_bytes()
    (tmp_path / "val.tar").write_bytes(data)
    imagenet_tools.build_index([tmp_path / "val.tar"], tmp_path / "x.index")
    (tmp_path / "val.tar").write_bytes(data[:9_000])
    with pytest.raises(SourceError):
        imagenet_tools.export(
            imagenet_tools.open_index(tmp_path / "x.index").select(), tmp_path / "x", to="image_folder"
        )
    assert not (tmp_path / "x").exists()


def test_what_cannot_be_meant_is_said_early(index: Index) -> None:
    with pytest.raises(
        ExportError,
        match=r"Nothing is chosen: .*182 by where \(the condition does not hold\)\. Loosen the selection\.$",
    ):
        imagenet_tools.plan_export(index.select(where="width < 0"), to="yolo")
    with pytest.raises(QueryError, match=r"--where widht > 3.*widht"):
        imagenet_tools.plan_export(index.select(where="widht > 3"), to="yolo")
    with pytest.raises(QueryError, match="--where true"):
        imagenet_tools.plan_export(index.select(where="true); DELETE FROM closure; --"), to="yolo")
    with pytest.raises(UsageError, match=r"is no target: expected one of .*image_folder.*, yolo, yolo_classify"):
        imagenet_tools.plan_export(index.select(), to="yolov99")
    with pytest.raises(UsageError, match="--link soft: expected one of"):
        imagenet_tools.plan_export(index.select(), to="yolo", link="soft")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="crane"):
        index.select(under="crane")
    with pytest.raises(UsageError, match="more than once"):
        index.select(classes=["n02085620", "chihuahua"])
    with pytest.raises(ExportError, match="no val split"):
        imagenet_tools.plan_export(index.select(from_="train"), to="yolo")
    for wrong in ("train=2", "val=0/class", "train=0.9,train=0.1", "train=x", "=0.5", "train=0.9,val=0.2"):
        with pytest.raises(UsageError, match="--split"):
            index.select(split=wrong)


def test_samples_nest_and_a_count_is_exact(index: Index) -> None:
    def ids(**words: object) -> set[tuple[str, str]]:
        rows = index.select(**words).run("SELECT split, image_id FROM made WHERE left_out IS NULL")  # type: ignore[arg-type]
        return set(rows.fetchall())

    assert ids(per_class=2) < ids(per_class=5) < ids(per_class=9)
    assert ids(seed=1, per_class=2) != ids(seed=2, per_class=2)
    counts = index.select(split="val=3/class").counts()
    assert set(counts["val"].values()) == {3}
    assert set(counts["train"].values()) == {7}
    halves = ids(split="train=0.5,val=0.5")
    assert len({image for _, image in halves}) == len(halves) == 130


def test_adding_images_moves_none_to_the_other_side(sample: Path, index: Index, tmp_path: Path) -> None:
    def sides(opened: Index) -> dict[str, str]:
        rows = opened.select(split="train=0.6,val=0.4").run("SELECT image_id, split FROM made WHERE left_out IS NULL")
        return dict(rows.fetchall())

    before = sides(index)
    small = tmp_path / "n02123045"
    small.mkdir()
    wanted = [image for image in before if image.startswith("n02123045")][:4]
    for image in wanted:
        (small / f"{image}.JPEG").write_bytes(index.image(image).read())
    imagenet_tools.build_index([tmp_path], tmp_path / "x.index")
    assert sides(imagenet_tools.open_index(tmp_path / "x.index")) == {image: before[image] for image in wanted}


def test_a_selection_pickles(index: Index) -> None:
    import pickle

    chosen = index.select(under="dog", per_class=3)
    assert pickle.loads(pickle.dumps(chosen)).counts() == chosen.counts()


def test_an_index_opened_by_a_relative_path_is_read_from_any_folder(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(index.path.parent)
    opened = imagenet_tools.open_index(index.path.name)
    monkeypatch.chdir(tmp_path)
    imagenet_tools.export(opened.select(under="dog"), tmp_path / "dogs", to="image_folder", workers=1)
    assert (tmp_path / "dogs" / "manifest.json").is_file()
    assert opened.path == index.path.absolute()


def test_the_disk_begins_to_write_a_shard_before_it_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[tuple[int, int]] = []
    monkeypatch.setattr(system, "begin_writeback", lambda _, offset, n: begun.append((offset, n)))
    monkeypatch.setattr(job, "_WRITEBACK_BYTES", 300_000)
    out = job.OutFile(tmp_path / "shard")
    for _ in range(10):
        out.write(bytes(100_000))
    out.close()
    assert begun == [(0, 300_000), (300_000, 300_000), (600_000, 300_000)]


def test_pieces_have_about_the_same_share_of_new_images_too(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "_PIECE", 20 * 200_000)  # 20 images of 256 x 256 pixels, whatever they are made of
    monkeypatch.setattr(pieces, "_FILE_COST_BYTES", 0)
    cut = pieces.cut(imagenet_tools.plan_export(index.select(from_="train"), to="edm").together, tmp_path)
    assert [piece.images for piece in cut.pieces] == [[n] for n in (17, 16, 16, 16, 17, 16, 16, 16)]


def test_a_split_that_is_cut_has_an_even_number_of_pieces(index: Index) -> None:
    sizes = range(20_000, 200_000, 20_000)
    plans = [imagenet_tools.plan_export(index.select(), to="webdataset", shard_size=size) for size in sizes]
    counts = [n for plan in plans for n in pieces.count(plan.together).values()]
    assert max(counts) > 2 and {n % 2 for n in counts if n > 1} == {0}
