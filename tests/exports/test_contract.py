"""What every target keeps to, whatever it is: found by itself, a new format's module gets all of this for nothing."""

import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

import imagenet_tools
from imagenet_tools import api
from imagenet_tools.errors import ExistsError, SourceError
from imagenet_tools.exports import pieces
from imagenet_tools.exports.writer import ReadBack, Writes
from imagenet_tools.index import Index
from tests.exports.conftest import Export
from tests.exports.odd import CRANE, ODD, SPANIEL, TENCH, UNLABELLED, Odd, edges_of
from tests.parameters import short_list

FORMATS = api._formats()
TARGETS = [name for name, module in FORMATS.items() if hasattr(module, "open_shard")]
# Targets that hold the original bytes, which --resize and --repair change.
COPYING = [name for name in TARGETS if FORMATS[name].WRITES.holds_bytes and not FORMATS[name].WRITES.remade_bytes]
CUT = "n01440764_22"  # an image without its end, which Pillow does not decode
BY_STEM = {one.stem: one for one in ODD}
# Targets whose images no reader finds: containers of training libraries, and the folders of Pascal VOC.
UNREAD = {"array_record", "litdata", "mds", "voc"}

every_target = pytest.mark.parametrize("target", TARGETS)
# Folders, texts beside images, one JSON, one table, shards of two kinds, and images made anew; the others are long.
each_kind = pytest.mark.parametrize(
    "target", short_list(TARGETS, "coco", "csv", "edm", "hf_parquet", "image_folder", "webdataset", "yolo")
)


# Shards, one JSON beside images, and folders: how pieces are taken up again is the same for all others.
three_kinds = pytest.mark.parametrize("target", short_list(TARGETS, "coco", "image_folder", "webdataset"))


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many pieces, where no target sees shards."""
    monkeypatch.setattr(pieces, "_PIECE", 300_000)


def words(target: str) -> dict[str, Any]:
    """Options with which a target has several shards of these few images."""
    return {"shard_size": 8_000} if FORMATS[target].WRITES.shard_bytes is not None else {}


def content(root: Path) -> dict[str, str]:
    """The SHA-256 of every file, and the folders, by path."""
    paths = sorted(root.rglob("*"))
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in paths
    }


def read_back(target: str, root: Path) -> dict[str, ReadBack]:
    found = list(FORMATS[target].read_back(root))
    by_stem = {one.stem: one for one in found}
    assert len(by_stem) == len(found)
    return by_stem


def expected(module: ModuleType, *, unboxed: str = "skip") -> set[str]:
    """The stems of the images that a target takes: the labelled ones; in a detection export those with boxes."""
    if not module.WRITES.names_images:
        return set()
    if module.__name__.endswith(".dinov2"):  # it can name files only as ILSVRC2012 does
        return {one.stem for one in ODD if re.fullmatch(r"n\d{8}_[1-9]\d*", one.stem) and one.split == "train"}
    decoded = {one.stem for one in ODD if one.stem != CUT or not module.WRITES.remade_bytes}
    return {
        one.stem
        for one in ODD
        if one.stem in decoded and (one.boxes or not module.WRITES.detection or unboxed == "background")
    }


def manifest(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / "manifest.json").read_text())
    return found


@every_target
def test_a_writer_offers_all_that_the_contract_names(target: str) -> None:
    module = FORMATS[target]
    assert isinstance(module.WRITES, Writes)
    assert all(callable(getattr(module, name)) for name in ("hazards", "open_shard", "finish", "read_back"))
    assert not module.WRITES.detection or module.WRITES.boxes


@each_kind
def test_what_is_read_back_is_what_was_indexed(target: str, exported: Export) -> None:
    module = FORMATS[target]
    root, plan = exported(target, **words(target))
    found = read_back(target, root)
    assert set(found) == expected(module)
    classes = json.loads((root / "classes.json").read_text())["classes"]
    assert [one["wnid"] for one in classes] == [TENCH, CRANE, SPANIEL]
    for stem in expected(module):
        one, there = BY_STEM[stem], found[stem]
        assert there.split == one.split
        if there.class_index is not None:
            assert classes[there.class_index]["wnid"] == one.wnid
        if module.WRITES.remade_bytes:
            assert there.read is not None
            with Image.open(io.BytesIO(there.read())) as image:
                image.load()
        elif module.WRITES.holds_bytes:
            assert there.read is not None and there.read() == one.data, stem
        if module.WRITES.boxes:
            assert there.boxes is not None
            assert all(classes[index]["wnid"] == one.wnid for index, *_ in there.boxes)
            edges = sorted(tuple(edges) for _, *edges in there.boxes)
            truth = edges_of(one, turned=module.WRITES.turned)
            assert len(edges) == len(truth), stem
            for ours, theirs in zip(edges, truth, strict=True):
                assert ours == pytest.approx(theirs, abs=2e-6), stem
    cut = {f"ilsvrc2012/{CUT}"} if module.WRITES.remade_bytes else set()
    assert set(manifest(root)["undecodable"]) == cut
    assert plan.left_out == manifest(root)["left_out"]
    assert sum(plan.left_out.values()) + plan.images() == len(ODD) + 1
    assert plan.left_out["unlabelled"] == 1 and UNLABELLED not in found


@pytest.mark.long  # one worker and two: test_nothing_tells_the_time_the_machine_or_its_paths
@every_target
def test_the_number_of_workers_changes_no_byte(target: str, odd: Index, exported: Export, tmp_path: Path) -> None:
    for n in (1, 7):
        imagenet_tools.export(odd.select(), tmp_path / f"{n}", to=target, workers=n, **words(target))
    by_two = exported(target, **words(target)).root
    assert content(tmp_path / "1") == content(by_two) == content(tmp_path / "7")


@three_kinds
@pytest.mark.parametrize("n", [*(pytest.param(n, marks=pytest.mark.long) for n in (1, 2, 4)), 3])
def test_an_interrupted_export_goes_on_from_any_piece(
    target: str, n: int, odd: Index, exported: Export, tmp_path: Path
) -> None:
    steps: list[int] = []

    def stop_after(n: int) -> Callable[[str, int, int], None]:
        def told(stage: str, done: int, total: int) -> None:
            steps.append(done)
            if len(steps) > n:
                raise KeyboardInterrupt

        return told

    with pytest.raises(KeyboardInterrupt):
        imagenet_tools.export(
            odd.select(), tmp_path / "x", to=target, workers=1, progress=stop_after(n), **words(target)
        )
    assert not (tmp_path / "x").exists() and (tmp_path / "x.partial").is_dir()
    with pytest.raises(ExistsError, match="half of another export"):
        imagenet_tools.export(odd.select(without=SPANIEL), tmp_path / "x", to=target, **words(target))
    steps.clear()
    imagenet_tools.export(odd.select(), tmp_path / "x", to=target, workers=1, progress=stop_after(99), **words(target))
    assert steps[0] > 0  # what was finished is not done again
    assert content(tmp_path / "x") == content(exported(target, **words(target)).root)
    assert not (tmp_path / "x.partial").exists()


_KILLED = """
import os, signal, sys
import imagenet_tools
from imagenet_tools.exports import pieces
pieces._PIECE = 300_000
def told(stage, done, total):
    if done >= int(sys.argv[4]):
        os.kill(os.getpid(), signal.SIGKILL)
index = imagenet_tools.open_index(sys.argv[1])
words = {"shard_size": 8_000} if sys.argv[5] else {}
imagenet_tools.export(index.select(), sys.argv[2], to=sys.argv[3], workers=2, progress=told, **words)
"""


@pytest.mark.long
@every_target
def test_a_killed_export_goes_on_and_ends_in_the_same_bytes(
    target: str, odd: Index, exported: Export, tmp_path: Path
) -> None:
    whole = content(exported(target, **words(target)).root)
    for done in (0, 1, 12):
        dest = tmp_path / f"x{done}"
        arguments = [str(odd.path), str(dest), target, str(done), "yes" if words(target) else ""]
        ran = subprocess.run([sys.executable, "-c", _KILLED, *arguments], check=False, cwd=os.getcwd())  # noqa: PTH109
        assert ran.returncode == -signal.SIGKILL
        assert not dest.exists()
        imagenet_tools.export(odd.select(), dest, to=target, workers=2, **words(target))
        assert content(dest) == whole


@three_kinds
def test_a_file_of_a_finished_piece_that_is_cut_or_gone_is_made_again(
    target: str, odd: Index, exported: Export, tmp_path: Path
) -> None:
    def stop(stage: str, done: int, total: int) -> None:
        if done > 8:
            raise KeyboardInterrupt

    asked = {"to": target, "workers": 1, "link": "copy", **words(target)}  # not through a link to the source
    with pytest.raises(KeyboardInterrupt):
        imagenet_tools.export(odd.select(), tmp_path / "x", progress=stop, **asked)
    files = [path for path in (tmp_path / "x.partial").rglob("*") if path.is_file() and ".work" not in path.parts]
    for n, path in enumerate(files):
        if n % 2:
            path.unlink()
        else:
            os.truncate(path, path.stat().st_size // 2)
    imagenet_tools.export(odd.select(), tmp_path / "x", **asked)
    assert content(tmp_path / "x") == content(exported(target, **words(target)).root)


def test_a_part_of_a_finished_piece_that_is_cut_or_gone_is_made_again(
    odd: Index, exported: Export, tmp_path: Path
) -> None:
    def stop(stage: str, done: int, total: int) -> None:
        if done > 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        imagenet_tools.export(odd.select(), tmp_path / "x", to="cifar", workers=1, progress=stop)
    first, *others = sorted((tmp_path / "x.partial").rglob("*.part"))
    os.truncate(first, first.stat().st_size // 2)
    others[0].unlink()
    imagenet_tools.export(odd.select(), tmp_path / "x", to="cifar", workers=1)
    assert content(tmp_path / "x") == content(exported("cifar").root)


_KILLED_AT_THE_END = """
import os, signal, sys
import imagenet_tools
from imagenet_tools.formats.coco import writer
def killed(*_):
    yield b"{"
    os.kill(os.getpid(), signal.SIGKILL)
writer._text = killed
imagenet_tools.export(imagenet_tools.open_index(sys.argv[1]).select(), sys.argv[2], to="coco", workers=1)
"""


def test_an_export_that_is_killed_while_it_is_finished_leaves_no_file_of_that_run(
    odd: Index, exported: Export, tmp_path: Path
) -> None:
    arguments = [str(odd.path), str(tmp_path / "x")]
    ran = subprocess.run([sys.executable, "-c", _KILLED_AT_THE_END, *arguments], check=False, cwd=os.getcwd())  # noqa: PTH109
    assert ran.returncode == -signal.SIGKILL
    imagenet_tools.export(odd.select(), tmp_path / "x", to="coco", workers=1)
    assert content(tmp_path / "x") == content(exported("coco").root)


@each_kind
def test_a_class_that_is_empty_in_one_split_keeps_its_index(target: str, exported: Export) -> None:
    root, plan = exported(target, **words(target))
    if "val" not in plan.splits:
        pytest.skip(f"{target} cannot name the images of val, which are called as those of train")
    assert any("have no image in val (n02102040" in hazard for hazard in plan.hazards)
    classes = json.loads((root / "classes.json").read_text())["classes"]
    assert [one["splits"]["val"]["images"] > 0 for one in classes] == [True, True, False]
    for one in read_back(target, root).values():
        if one.split == "val" and one.class_index is not None:
            assert classes[one.class_index]["wnid"] in (TENCH, CRANE)


@three_kinds
def test_images_without_boxes_are_background_only_where_it_is_asked_for(
    target: str, odd: Index, tmp_path: Path
) -> None:
    module = FORMATS[target]
    asked = {"to": target, "unboxed": "background", "workers": 1, **words(target)}
    plan = imagenet_tools.export(odd.select(), tmp_path / "x", **asked)
    found = read_back(target, tmp_path / "x")
    assert set(found) == expected(module, unboxed="background")
    if module.WRITES.detection:
        assert any("3 images without boxes are written as background" in hazard for hazard in plan.hazards)


@each_kind
def test_a_target_with_boxes_says_that_they_are_partial(target: str, exported: Export) -> None:
    _, plan = exported(target, **words(target))
    assert sum("boxes are partial" in hazard for hazard in plan.hazards) == FORMATS[target].WRITES.boxes


CHANGES: tuple[dict[str, Any], ...] = (
    {"resize": 24, "crop": "center"},
    {"repair": "cmyk,png,eoi,exif"},
    {"resize": 24},
    {"resize": 30, "fit": "long"},
    {"resize": 20, "fit": "exact", "quality": 75},
    {"resize": 24, "repair": ["exif", "png"]},
    {"repair": "cmyk,png,eoi"},
)


SHORT_CHANGES = {"coco": (0, 1, 3, 4), "voc": (0, 5), "webdataset": (0, 1)}


def changes() -> Iterator[Any]:
    """What is done to images, by target. All but some are long.

    The images themselves are changed alike for every target; the two writers put boxes as fractions and whole pixels.
    """
    for target in TARGETS:
        for n, options in enumerate(CHANGES):
            short = n in SHORT_CHANGES.get(target, ())
            if target in COPYING:
                yield pytest.param(target, options, id=f"{target}-{n}", marks=() if short else pytest.mark.long)


@pytest.mark.parametrize(("target", "options"), [*changes()])
def test_boxes_follow_what_is_done_to_images(target: str, options: dict[str, Any], odd: Index, tmp_path: Path) -> None:
    module = FORMATS[target]
    imagenet_tools.export(odd.select(), tmp_path / "x", to=target, workers=1, **options, **words(target))
    repair = options.get("repair", "")
    found = read_back(target, tmp_path / "x")
    repaired: dict[str, set[str]] = {}
    stems = expected(module) & {one.stem for one in ODD if one.boxes}
    if "resize" in options:  # it lacks its end, and nothing asked to repair that: no loader decodes it
        stems -= {CUT}
        assert CUT not in found
        assert list(manifest(tmp_path / "x")["undecodable"]) == [f"ilsvrc2012/{CUT}"]
        assert manifest(tmp_path / "x")["left_out"]["undecodable"] == 1
    if options.get("crop") and module.WRITES.detection:  # its box lies above the middle square: it is no background
        stems -= {"n01440764_6"}
        assert "n01440764_6" not in found
        assert manifest(tmp_path / "x")["left_out"]["bad_boxes"] == 1
    for stem in stems:
        one, there = BY_STEM[stem], found[stem]
        assert there.read is not None
        data = there.read()
        with Image.open(io.BytesIO(data)) as image, Image.open(io.BytesIO(one.data)) as before:
            image.load()
            assert image.size == _size(before, options)
            kept = image.getexif().get(0x0112)
            turned = "exif" in repair and (one.orientation or 0) > 1
            assert kept == (None if turned else one.orientation)
            for rule in _needed(before, one) if "resize" not in options and data != one.data else ():
                repaired.setdefault(rule, set()).add(f"ilsvrc2012/{stem}")
            assert "cmyk" not in repair or image.mode != "CMYK"
            assert "png" not in repair or image.format == "JPEG"
        if module.WRITES.boxes:
            assert there.boxes is not None
            edges = sorted(tuple(edges) for _, *edges in there.boxes)
            truth = edges_of(one, turned=module.WRITES.turned or "exif" in repair)
            if options.get("crop"):
                side = min(one.size)
                # The middle square is the middle square, turned or not; its place is that of the longer side.
                tall = (one.size[1] > one.size[0]) != (module.WRITES.turned and (one.orientation or 0) >= 5)
                share = side / max(one.size)
                spread = [_in_square(edge, share, tall) for edge in truth]
                truth = sorted({edge for edge in spread if edge[0] < edge[2] and edge[1] < edge[3]})
            assert len(edges) == len(truth), stem
            # Whole pixels are half a pixel off at most; a box of less than half a pixel is one.
            off = 1.01 / min(_size(before, options)) if module.WRITES.whole_pixels else 2e-6
            for ours, theirs in zip(edges, truth, strict=True):
                assert ours == pytest.approx(theirs, abs=off), stem
    if repair and "resize" not in options:
        said = {rule: set(ids) for rule, ids in manifest(tmp_path / "x")["repaired"].items() if ids}
        assert {rule: ids & {f"ilsvrc2012/{one.stem}" for one in ODD if one.boxes} for rule, ids in said.items()} == (
            repaired
        )


def _needed(before: Image.Image, one: Odd) -> list[str]:
    """The repairs that an image needs, told by Pillow."""
    needs = {
        "cmyk": before.mode == "CMYK",
        "png": before.format == "PNG",
        "exif": before.getexif().get(0x0112, 1) > 1,
        "eoi": before.format == "JPEG" and not one.data.endswith(b"\xff\xd9"),
    }
    return [rule for rule, needed in needs.items() if needed]


def _in_square(edges: tuple[float, float, float, float], share: float, tall: bool) -> tuple[float, ...]:
    moved = [min(1.0, max(0.0, (edge - 0.5) / share + 0.5)) for edge in edges]
    return tuple(moved[n] if (n % 2 == 1) == tall else edges[n] for n in range(4))


def _size(before: Image.Image, options: dict[str, Any]) -> tuple[int, int]:
    width, height = before.size
    n, fit = options.get("resize"), options.get("fit", "short")
    if n is not None:
        if options.get("crop") or fit == "exact":
            width = height = n
        else:
            side = min(width, height) if fit == "short" else max(width, height)
            # To the nearest pixel, halves away from zero.
            width, height = int(width * n / side + 0.5), int(height * n / side + 0.5)
    turned = "exif" in options.get("repair", "") and before.getexif().get(0x0112, 1) >= 5
    return (height, width) if turned else (width, height)


@pytest.mark.long
@every_target
def test_several_targets_in_one_pass_are_each_as_if_alone(target: str, odd: Index, tmp_path: Path) -> None:
    turned = TARGETS[TARGETS.index(target) :] + TARGETS
    others = turned[1:4]
    both = imagenet_tools.export(odd.select(), tmp_path / "both", to=",".join([target, *others]))
    assert [plan.target for plan in both.together] == [target, *others]
    imagenet_tools.export(odd.select(), tmp_path / "alone", to=target)
    assert content(tmp_path / "both" / target) == content(tmp_path / "alone")
    others = [name for name in turned[1:] if name in COPYING and name != target][:3]
    changed = {"resize": 24, "repair": "cmyk,png,exif"}
    if target in COPYING:
        imagenet_tools.export(odd.select(), tmp_path / "changed", to=",".join([*others, target]), **changed)
        imagenet_tools.export(odd.select(), tmp_path / "changed alone", to=target, **changed)
        assert content(tmp_path / "changed" / target) == content(tmp_path / "changed alone")


@each_kind
def test_what_was_written_is_equal_when_it_is_indexed_again(
    target: str, odd: Index, exported: Export, tmp_path: Path
) -> None:
    module = FORMATS[target]
    root = exported(target, **words(target)).root
    if target in UNREAD or not module.WRITES.holds_bytes:
        with pytest.raises(SourceError, match=f"an export to {target} .* index the sources that it was made from"):
            imagenet_tools.build_index(root, tmp_path / "y.index", workers=1)
        return
    imagenet_tools.build_index(root, tmp_path / "y.index", dataset="ilsvrc2012", workers=1)
    again = imagenet_tools.open_index(tmp_path / "y.index")
    columns = ", ".join(module.WRITES.keeps)
    query = f"SELECT {columns} FROM images WHERE wnid IS NOT NULL ORDER BY ALL"
    taken = expected(module)
    before = [row for row in odd.sql(query).fetchall() if row[module.WRITES.keeps.index("image_id")] in taken]
    assert again.sql(query).fetchall() == before


@pytest.fixture(scope="module")
def elsewhere(odd: Index, tmp_path_factory: pytest.TempPathFactory) -> Index:
    """A copy of the index in another place."""
    return imagenet_tools.open_index(shutil.copytree(odd.path, tmp_path_factory.mktemp("elsewhere") / "y.index"))


@each_kind
def test_nothing_tells_the_time_the_machine_or_its_paths(
    target: str, odd: Index, elsewhere: Index, exported: Export, tmp_path: Path
) -> None:
    root = exported(target, **words(target)).root
    # By one worker, where the other export had two: their number changes no byte either.
    imagenet_tools.export(elsewhere.select(), tmp_path / "x", to=target, workers=1, **words(target))
    assert content(root) == content(tmp_path / "x")
    if FORMATS[target].WRITES.holds_bytes:
        for path in (*root.rglob("*"), *(tmp_path / "x").rglob("*")):
            data = path.read_bytes() if path.is_file() else b""
            assert not any(str(place).encode() in data for place in (root, tmp_path, odd.path.parent))
