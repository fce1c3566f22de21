"""The options of an export: orders and shards, small boxes, fields, names, sizes; and what is refused at once."""

import itertools
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import imagenet_tools
from imagenet_tools.catalogue import lists
from imagenet_tools.errors import UsageError
from imagenet_tools.exports import blocks, pieces
from imagenet_tools.exports.options import make_options, parse_size
from imagenet_tools.exports.pieces import Pieces
from imagenet_tools.exports.plan import Plan
from imagenet_tools.formats import image_folder
from imagenet_tools.index import Index, pin
from tests.parameters import short_list


def cut(plan: Plan, folder: Path) -> tuple[list[list[str]], Pieces]:
    """The image ids of each piece of a plan, in order."""
    folder.mkdir()
    made = pieces.cut(plan.together, folder)
    return [[one for columns in made.columns(n) for one in columns["image_id"]] for n in range(len(made.pieces))], made


@pytest.fixture
def sharded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A target that sees shards and the order of images, whichever of them are there."""
    writes = replace(image_folder.WRITES, shard_bytes=10_000, ordered=True)
    monkeypatch.setattr(image_folder, "WRITES", writes)


@pytest.mark.usefixtures("sharded")
def test_shards_are_about_equal_hold_one_split_each_and_every_image_once(index: Index, tmp_path: Path) -> None:
    plan = imagenet_tools.plan_export(index.select(), to="image_folder", shard_size="20KB")
    found, made = cut(plan, tmp_path / "a")
    lengths = dict(index.sql("SELECT image_id, length FROM images").fetchall())
    assert pieces.count(plan.together) == Counter(piece.split for piece in made.pieces)
    assert sorted(image for piece in found for image in piece) == sorted(
        image for (image,) in index.sql("SELECT image_id FROM images WHERE wnid IS NOT NULL").fetchall()
    )
    sizes = [sum(lengths[image] for image in piece) for piece in found]
    assert max(sizes) < 20_000 + max(lengths.values())
    assert min(sizes) > 20_000 / 2
    assert [sum(piece.images) for piece in made.pieces] == [len(piece) for piece in found]
    splits = dict(index.sql("SELECT image_id, split FROM images").fetchall())
    for piece, ids in zip(made.pieces, found, strict=True):
        assert {splits[image] for image in ids} == {piece.split}


@pytest.mark.usefixtures("sharded")
@pytest.mark.parametrize("shuffle", short_list(["none", "block", "full"], "block"))
def test_an_order_depends_on_the_seed_and_on_nothing_else(shuffle: str, index: Index, tmp_path: Path) -> None:
    def order(name: str, seed: int) -> list[str]:
        plan = imagenet_tools.plan_export(index.select(seed=seed), to="image_folder", shuffle=shuffle)
        return [image for piece in cut(plan, tmp_path / name)[0] for image in piece]

    first = order("a", 0)
    assert order("b", 0) == first
    assert (order("c", 1) == first) == (shuffle == "none")


@pytest.mark.usefixtures("sharded")
def test_blocks_are_read_in_one_pass_and_mix_classes(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 10_000)
    monkeypatch.setattr(blocks, "WINDOW_BYTES", 60_000)
    plan = imagenet_tools.plan_export(index.select(from_="train"), to="image_folder", shuffle="block")
    order = [image for piece in cut(plan, tmp_path / "a")[0] for image in piece]
    rows = index.sql('SELECT image_id, "offset", length, wnid FROM images WHERE split = \'train\' ORDER BY "offset"')
    block, where, before = {}, {}, 0
    for image, _, length, wnid in rows.fetchall():
        block[image], where[image] = before // 10_000, wnid
        before += length
    # A block's images lie within one stretch of the order, as long as a window: it is read once.
    spread = {n: [place for place, image in enumerate(order) if block[image] == n] for n in set(block.values())}
    per_window = len(order) * 60_000 / before
    assert all(places[-1] - places[0] <= 2.5 * per_window for places in spread.values())
    by_class = [where[image] for image in sorted(order)]
    assert _changes(by_class) == 12
    assert _changes([where[image] for image in order]) > 80  # of 129 that a perfect shuffle nearly has


def _changes(values: list[str]) -> int:
    return sum(one != other for one, other in itertools.pairwise(values))


def test_a_quality_of_no_image_is_said(index: Index) -> None:
    said = "--quality changes nothing: without --resize and --repair, images keep their bytes"
    assert said in imagenet_tools.plan_export(index.select(), to="csv", quality=80).hazards
    assert said not in imagenet_tools.plan_export(index.select(), to="csv").hazards
    assert said not in imagenet_tools.plan_export(index.select(), to="zip", quality=80, resize=64).hazards


def test_a_shuffle_that_nobody_would_see_is_said(index: Index) -> None:
    plan = imagenet_tools.plan_export(index.select(), to="image_folder", shuffle="full")
    assert "--shuffle changes nothing: image_folder has no order of images" in plan.hazards


@pytest.mark.usefixtures("sharded")
def test_a_full_shuffle_says_what_it_costs(index: Index) -> None:
    plan = imagenet_tools.plan_export(index.select(), to="image_folder", shuffle="full")
    assert any("reads 182 images in random order" in hazard for hazard in plan.hazards)


def test_shards_of_a_few_classes_each_are_said(index: Index) -> None:
    def told(**options: Any) -> list[str]:
        plan = imagenet_tools.plan_export(index.select(), to="webdataset", **options)
        return [hazard for hazard in plan.hazards if "class after class" in hazard]

    said = told(shard_size=30_000)
    assert said
    assert all("--shuffle block mixes them" in one for one in said)
    assert told() == []  # one shard
    assert told(shard_size=30_000, shuffle="block") == []


def test_small_boxes_are_left_out_by_pixels_of_the_exported_image(odd: Index, tmp_path: Path) -> None:
    def boxes(**options: Any) -> tuple[int, dict[str, int]]:
        plan = imagenet_tools.plan_export(odd.select(), to="yolo", **options)
        return plan.boxes(), plan.boxes_left_out

    every, lost = boxes()
    assert "small_box" not in lost
    fewer, lost = boxes(min_box=10)  # the 23 boxes are 12 x 9 pixels
    assert every - fewer == 23
    # The image with none but small boxes is left out itself, and so are its boxes.
    assert lost == {"same_twice": 1}
    # At three quarters of the size a box of 10 x 30 pixels is one of 7.5 x 22.5.
    assert boxes(min_box=10, resize=30)[0] < fewer


def test_a_box_that_reaches_out_is_clipped_dropped_or_an_error(odd: Index, tmp_path: Path) -> None:
    clipped = imagenet_tools.plan_export(odd.select(), to="yolo")
    dropped = imagenet_tools.plan_export(odd.select(), to="yolo", bad_boxes="drop")
    assert clipped.boxes() - dropped.boxes() == 1
    assert dropped.boxes_left_out["outside"] == 1
    with pytest.raises(imagenet_tools.errors.ExportError, match="1 image with boxes that reach out"):
        imagenet_tools.plan_export(odd.select(), to="yolo", bad_boxes="error")


def test_names_from_a_file_are_unique_without_regard_to_case_and_no_folder_shows(odd: Index, tmp_path: Path) -> None:
    names = tmp_path / "secret folder" / "names.txt"
    names.parent.mkdir()
    names.write_text("\ufeffn01440764 Tench\nn02012849 Crane\nn02102040 Spaniel\n")  # as Windows' Notepad writes it
    imagenet_tools.export(odd.select(), tmp_path / "x", to="image_folder", names=str(names))
    assert sorted(path.name for path in (tmp_path / "x" / "train").iterdir()) == ["Crane", "Spaniel", "Tench"]
    assert "secret folder" not in (tmp_path / "x" / "manifest.json").read_text()
    assert json.loads((tmp_path / "x" / "manifest.json").read_text())["recipe"]["options"] == {"names": "names.txt"}
    for data, message in (
        (b"n01440764 crane\nn02012849 Crane\nn02102040 Spaniel\n", "would both be"),
        (b"n01440764 tench\nn01440764 fish\n", "n01440764 is 'tench' and 'fish'"),
        (b"n01440764 t\xe9nch\n", "byte 11 is no UTF-8"),
        (b"n01440764 a\0b\nn02012849 b\nn02102040 c\n", "can name a folder"),
        (b"n01440764 " + b"a" * 256 + b"\nn02012849 b\nn02102040 c\n", "can name a folder"),
    ):
        names.write_bytes(data)
        with pytest.raises(UsageError, match=message):
            imagenet_tools.plan_export(odd.select(), to="image_folder", names=str(names))


def test_superclasses_carry_their_members_and_boxes(odd: Index, tmp_path: Path) -> None:
    chosen = odd.select(superclasses="n00015388,n02084071")
    plan = imagenet_tools.export(chosen, tmp_path / "x", to="yolo")
    classes = json.loads((tmp_path / "x" / "classes.json").read_text())["classes"]
    members = {one["wnid"]: one["members"] for one in classes}
    assert members == {"n00015388": ["n01440764", "n02012849"], "n02084071": ["n02102040"]}
    assert plan.boxes() == imagenet_tools.plan_export(odd.select(), to="yolo").boxes()


@pytest.mark.usefixtures("sharded")
def test_classes_are_called_as_their_published_list_calls_them(odd: Index, tmp_path: Path) -> None:
    chosen = odd.select(superclasses="coco80")
    result = imagenet_tools.export(chosen, tmp_path / "x", to="image_folder", names="listed")
    called = {row.wnid: row.display for row in result.classes}
    # WordNet's first words are minibike and sofa; a stop sign is no synset, and so no class.
    named = {each.name for each in lists.get("coco80").categories}
    assert set(called.values()) == named - {"stop sign"}
    assert (called["n02084071"], called["n04256520"]) == ("dog", "couch")
    assert (tmp_path / "x" / "train" / "traffic_light").is_dir()
    assert any("stop sign" in hazard for hazard in result.hazards)
    for unnamed in (odd.select(), odd.select(superclasses="dog.n.01,cat.n.01")):
        with pytest.raises(UsageError, match="--names listed: found no published list"):
            imagenet_tools.plan_export(unnamed, to="csv", names="listed")


def test_a_lock_knows_the_list_that_named_its_classes(odd: Index, tmp_path: Path) -> None:
    chosen = odd.select(superclasses="coco80", limit=20)
    before = imagenet_tools.export(chosen, tmp_path / "x", to="yolo", names="listed")
    locked = pin(odd, tmp_path / "x" / "lock.toml")
    after = imagenet_tools.plan_export(locked, to="yolo", names="listed")
    assert after.classes == before.classes


def test_fields_are_columns_of_images_or_of_a_table_of_ones_own(
    odd: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_folder, "WRITES", replace(image_folder.WRITES, fields=True))
    table = tmp_path / "captions.csv"
    table.write_text("dataset,image_id,text\nilsvrc2012,n01440764_1,a fish\n")
    chosen = odd.select(with_={"captions": str(table)})
    plan = imagenet_tools.plan_export(chosen, to="image_folder", field=["caption=captions.text", "w=width"])
    _, made = cut(plan, tmp_path / "a")
    batches = [columns for n in range(len(made.pieces)) for columns in made.columns(n)]
    rows = {
        image_id: {name: column[n] for name, column in columns.items()}
        for columns in batches
        for n, image_id in enumerate(columns["image_id"])
    }
    assert rows["n01440764_1"]["field caption"] == "a fish"
    assert rows["n02012849_1"]["field caption"] is None
    assert rows["n02012849_02"]["field w"] == 200
    for field, said in (("x=nothing", "nothing"), ("x=captions.nothing", "nothing"), ("x=nowhere.text", "nowhere")):
        with pytest.raises(UsageError, match=f"--field {field}: .*{said}.*Expected a column of images"):
            imagenet_tools.plan_export(chosen, to="image_folder", field=field)


def test_a_target_without_room_refuses_fields(odd: Index) -> None:
    with pytest.raises(UsageError, match="image_folder has no room for fields"):
        imagenet_tools.plan_export(odd.select(), to="image_folder", field="w=width")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"repair": "cmyk,gif"}, "--repair gif: expected some of cmyk, png, eoi, exif"),
        ({"min_box": -1}, "--min-box -1"),
        ({"quality": 0}, "--quality 0"),
        ({"crop": "center"}, "--crop center: expected --resize N beside it"),
        ({"fit": "long"}, "--fit long: expected --resize N beside it"),
        ({"resize": 0}, "--resize 0"),
        ({"resize": 9, "fit": "wide"}, "--fit wide: expected one of short, long, exact"),
        ({"resize": 9, "fit": "long", "crop": "center"}, "--fit long --crop center"),
        ({"shard_size": "1 sack"}, "--shard-size 1 sack"),
        ({"shard_size": 0}, "--shard-size 0"),
        ({"field": "caption"}, "--field caption: expected KEY=COLUMN"),
        ({"field": ["a=b", "a=c"]}, "--field a=: expected each key once"),
        ({"shuffle": "some"}, "--shuffle some"),
    ],
)
def test_what_cannot_be_meant_is_refused(said: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as error:
        make_options(said)
    assert message in str(error.value)


def test_sizes_are_bytes() -> None:
    assert [parse_size(text) for text in ("1GB", "512 MiB", "1.5kb", "7")] == [10**9, 512 << 20, 1500, 7]
