"""check of an export: right ones pass, and whatever is changed, cut, removed or added is found, with its code."""

import itertools
import json
import os
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import imagenet_tools
from imagenet_tools.errors import ExportError, SourceError
from imagenet_tools.exports.check import check_export
from imagenet_tools.exports.manifest import Digest
from imagenet_tools.exports.writer import ImageFile
from imagenet_tools.index import Index
from tests.exports.conftest import Export
from tests.exports.odd import make_odd, sources
from tests.exports.test_contract import FORMATS, TARGETS
from tests.parameters import short_list

three_kinds = pytest.mark.parametrize("target", short_list(TARGETS, "coco", "image_folder", "webdataset"))
two_kinds = pytest.mark.parametrize("target", short_list(TARGETS, "coco", "webdataset"))
CHANGED = {"resize": 20, "repair": "exif,png,eoi,cmyk"}


def codes(root: Path, index: Index | None = None, *, read_data: bool = True) -> set[str]:
    checked = imagenet_tools.check(root, index=index, read_data=read_data)
    return {finding.code for one in checked for finding in one.findings}


@three_kinds
@pytest.mark.parametrize("options", short_list([{}, {"hash": True}, CHANGED], {"hash": True}, CHANGED))
def test_an_export_is_as_it_was_written(target: str, options: dict[str, Any], exported: Export) -> None:
    module = FORMATS[target]
    holds = module.WRITES.holds_bytes
    copies = holds and not module.WRITES.remade_bytes
    if options.get("resize") and not copies:
        pytest.skip("it holds no images that are changed")
    root, plan = exported(target, **options)
    (found,) = plan.check(read_data=True)
    # One image has no end, and Pillow does not decode it; --repair eoi ends it.
    cut = {"E310"} if copies and "repair" not in options else set()
    assert {one.code for one in found.findings} == (cut if copies else {"W301"})
    assert found.images == (plan.images() if module.WRITES.names_images else 0)
    assert found.compared == (found.images if copies else 0)
    assert found.decoded == (found.images - len(cut) if holds else 0)
    assert codes(root) == {"W301", *cut}


def test_a_warning_does_not_hide_what_was_checked(exported: Export) -> None:
    root = exported("voc", repair="eoi").root
    (line,) = repr(imagenet_tools.check(root, read_data=True)).splitlines()[1:]
    checked = r"as written: (\d+) images as voc, \1 decoded in full; W301 no image was compared with an index"
    assert re.match(rf"{root}: {checked}", line)
    (root / "classes.json").unlink()
    assert "as written" not in repr(imagenet_tools.check(root))


def test_a_plan_that_was_not_made_has_nothing_to_check(odd: Index, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="expected an export that was made"):
        imagenet_tools.plan_export(odd.select(), to="image_folder").check()
    with pytest.raises(SourceError, match="is no index, export or lock"):
        imagenet_tools.check(tmp_path)


@three_kinds
def test_every_bit_that_flips_in_an_image_or_a_named_file_is_found(
    target: str, exported: Export, tmp_path: Path
) -> None:
    root = shutil.copytree(exported(target, hash=True).root, tmp_path / "x")
    files = sorted(path for path in root.rglob("*") if path.is_file() and path.name != "manifest.json")
    draw = random.Random(target)
    for _ in range(25):
        path = draw.choice(files)
        before = path.read_bytes()
        if not before:
            continue
        after = bytearray(before)
        after[draw.randrange(len(after))] ^= 1 << draw.randrange(8)
        path.write_bytes(after)
        assert codes(root) & {"E301", "E303", "E304"}, path
        path.write_bytes(before)
    assert codes(root, read_data=False) == {"W301"}


@two_kinds
@pytest.mark.parametrize("change", ["remove", "cut", "add", "swap"])
def test_files_that_are_gone_cut_added_or_swapped_are_found_without_reading_images(
    target: str, change: str, exported: Export, tmp_path: Path
) -> None:
    root = shutil.copytree(exported(target).root, tmp_path / "x")
    files = sorted((path for path in root.rglob("*") if path.is_file()), key=lambda path: -path.stat().st_size)
    files = [path for path in files if path.name not in ("manifest.json", "classes.json")]
    first = files[0]
    if change == "remove":
        first.unlink()
    elif change == "cut":
        first.write_bytes(first.read_bytes()[:-1])
    elif change == "add":
        (first.parent / "another.JPEG").write_bytes(b"1")
    else:
        other = next((path for path in files if path.stat().st_size != first.stat().st_size), None)
        if other is None:
            pytest.skip("it has one file")
        one, two = first.read_bytes(), other.read_bytes()
        first.write_bytes(two)
        other.write_bytes(one)
    assert codes(root, read_data=False) & {"E302", "E303", "E304"}


def test_an_image_of_the_same_size_with_other_bytes_is_found_in_the_index(
    odd: Index, exported: Export, tmp_path: Path
) -> None:
    shutil.copytree(exported("image_folder").root, tmp_path / "x")
    path = tmp_path / "x" / "train" / "n01440764" / "n01440764_1.JPEG"
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    (found,) = imagenet_tools.check(tmp_path / "x", index=odd, read_data=True)
    assert [one.code for one in found.findings] == ["E310", "E306"]  # E310: an image that is cut as it is
    assert "n01440764_1" in found.findings[1].message


def test_an_image_that_is_not_in_the_index_is_named(index: Index, exported: Export) -> None:
    assert codes(exported("image_folder").root, index, read_data=False) == {"E307", "W303"}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda one: one["classes"].reverse(), "E302"),
        (lambda one: one["classes"][0]["splits"]["train"].update(images=1), "E305"),
        (lambda one: one.clear(), "E301"),
    ],
)
def test_a_changed_classes_json_is_found(
    change: Callable[[Any], object], code: str, odd: Index, exported: Export, tmp_path: Path
) -> None:
    path = shutil.copytree(exported("image_folder").root, tmp_path / "x") / "classes.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    assert code in codes(tmp_path / "x", odd)


def test_the_exports_of_one_pass_are_checked_one_by_one(odd: Index, tmp_path: Path) -> None:
    plan = imagenet_tools.export(odd.select(), tmp_path / "x", to="image_folder,yolo")
    assert [(one.target, one.findings) for one in plan.check()] == [("image_folder", ()), ("yolo", ())]
    checked = imagenet_tools.check(tmp_path / "x", index=odd)
    assert [one.target for one in checked] == ["image_folder", "yolo"]


# ---- labels


def label_files(root: Path) -> list[Path]:
    """The files of an export in which its labels are: all but images, and what every export has."""
    kept = {"manifest.json", "classes.json", "recipe.toml", "lock.toml", "lock.ids", "README.md"}
    images = {".JPEG", ".jpg", ".png", ".tar", ".zip"}
    return [
        path
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name not in kept and path.suffix not in images
    ]


# Targets whose labels are names, folders or members of a zip.
NO_DIGITS = ("edm", "image_folder", "yolo_classify", "zip", "mmpretrain", "timm_class_map")


@three_kinds
def test_a_digit_that_is_another_in_a_label_is_found_without_reading_images(
    target: str, exported: Export, tmp_path: Path
) -> None:
    root = shutil.copytree(exported(target).root, tmp_path / "x")
    holds_images = FORMATS[target].WRITES.shard_bytes is not None  # labels beside images, in one file
    changed = 0
    for path in label_files(root):
        data = path.read_bytes()
        digits = [n for n, byte in enumerate(data) if chr(byte).isdigit()]
        if not digits or holds_images:
            continue
        place = digits[len(digits) // 2]
        path.write_bytes(data[:place] + (b"7" if data[place] != ord("7") else b"3") + data[place + 1 :])
        assert codes(root, read_data=False) & {"E303", "E304"}, path
        path.write_bytes(data)
        changed += 1
    assert codes(root, read_data=False) == {"W301"}
    assert changed or holds_images or target in NO_DIGITS


def test_labels_that_are_swapped_are_found(exported: Export, tmp_path: Path) -> None:
    root = shutil.copytree(exported("yolo").root, tmp_path / "x")
    by_size: dict[int, list[Path]] = {}
    for path in sorted((root / "labels").rglob("*.txt")):
        by_size.setdefault(path.stat().st_size, []).append(path)
    first, other = next(
        (a, b) for paths in by_size.values() for a, b in itertools.pairwise(paths) if a.read_bytes() != b.read_bytes()
    )
    one, two = first.read_bytes(), other.read_bytes()
    first.write_bytes(two)
    other.write_bytes(one)
    assert codes(root, read_data=False) == {"E304", "W301"}


def test_an_export_of_an_earlier_version_is_checked_as_far_as_its_manifest_goes(
    exported: Export, tmp_path: Path
) -> None:
    for target in ("yolo", "image_folder"):
        root = shutil.copytree(exported(target).root, tmp_path / target)
        content = json.loads((root / "manifest.json").read_text())
        before = Digest()
        for path in root.rglob("*"):
            name = path.relative_to(root).as_posix()
            if path.is_file() and name not in {*content["files"], "manifest.json"}:
                before.add([ImageFile(name, path.stat().st_size)])
        content["image_files"].update(of="path, size", sum_of_sha256_of_lines=before.hexdigest())
        (root / "manifest.json").write_text(json.dumps(content))
        assert codes(root, read_data=False) == {"W301", *(["W304"] if target == "yolo" else [])}
        first = next(path for path in root.rglob("*_1.*"))
        first.write_bytes(first.read_bytes()[:-1])
        assert "E304" in codes(root, read_data=False)


@pytest.mark.parametrize(
    "target",
    short_list((name for name in TARGETS if FORMATS[name].WRITES.holds_bytes), "coco", "image_folder", "webdataset"),
)
def test_images_of_another_class_or_split_than_the_lock_has_are_found(
    target: str, exported: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two images change places, so that every number is right."""
    root = exported(target).root
    module = FORMATS[target]
    read = list(module.read_back(root))
    other = next(
        n for n, one in enumerate(read) if (one.split, one.class_index) != (read[0].split, read[0].class_index)
    )
    assert codes(root, read_data=False) == {"W301"}
    swapped = [*read]
    swapped[0] = read[0]._replace(split=read[other].split, class_index=read[other].class_index, boxes=read[other].boxes)
    swapped[other] = read[other]._replace(split=read[0].split, class_index=read[0].class_index, boxes=read[0].boxes)
    monkeypatch.setattr(module, "read_back", lambda root: iter(swapped))
    assert codes(root, read_data=False) == {"E311", "W301"}


def test_an_image_that_is_cut_inside_the_picture_is_found(exported: Export, tmp_path: Path) -> None:
    root = shutil.copytree(exported("image_folder", repair="eoi").root, tmp_path / "x")
    assert codes(root) == {"W301"}
    path = root / "train" / "n01440764" / "n01440764_1.JPEG"
    data = path.read_bytes()
    path.write_bytes(data[:-200] + bytes(200))  # of the same size
    assert codes(root, read_data=False) == {"W301"}
    (found,) = imagenet_tools.check(root, read_data=True)
    assert [one.code for one in found.findings] == ["W301", "E310"]
    assert path.stem in found.findings[1].message


def test_an_index_whose_source_has_changed_is_not_taken_for_right(tmp_path: Path) -> None:
    make_odd(tmp_path / "source")
    imagenet_tools.build_index(sources(tmp_path / "source"), tmp_path / "x.index", dataset="ilsvrc2012", workers=1)
    index = imagenet_tools.open_index(tmp_path / "x.index")
    imagenet_tools.export(index.select(), tmp_path / "x", to="image_folder", link="copy")
    path = tmp_path / "source" / "train" / "n01440764" / "n01440764_1.JPEG"
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 10**10))
    (found,) = imagenet_tools.check(tmp_path / "x", index=tmp_path / "x.index")
    assert [one.code for one in found.findings] == ["E312"]
    assert "build-index" in found.findings[0].message
    shutil.rmtree(tmp_path / "source")
    (found,) = imagenet_tools.check(tmp_path / "x", index=tmp_path / "x.index")
    assert {one.code for one in found.findings} == {"E312"}


def test_a_target_of_a_pass_that_lost_its_manifest_is_found(odd: Index, tmp_path: Path) -> None:
    imagenet_tools.export(odd.select(), tmp_path / "x", to="image_folder,yolo")
    (tmp_path / "x" / "yolo" / "manifest.json").unlink()
    assert "E301" in codes(tmp_path / "x", read_data=False)


@pytest.mark.parametrize(
    ("options", "words"), [({}, "the index's to"), ({"resize": 64}, "resized or repaired again, to")]
)
def test_what_was_compared_with_the_index_is_said(
    index: Index, tmp_path: Path, options: dict[str, int], words: str
) -> None:
    chosen = index.select(under="beagle.n.01", limit=2)
    imagenet_tools.export(chosen, tmp_path / "x", to="image_folder", **options)  # type: ignore[arg-type]
    assert f"{words} the byte" in check_export(tmp_path / "x", index=index).summary
