"""check of an export: right ones pass, and whatever is changed, cut, removed or added is found, with its code."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import imagenet_tools
from imagenet_tools.errors import ExportError, SourceError
from imagenet_tools.index.opened import Index
from tests.exports.conftest import Export

TARGETS = [name for name, module in imagenet_tools._formats().items() if hasattr(module, "open_shard")]
every_target = pytest.mark.parametrize("target", TARGETS)


def codes(root: Path, index: Index | None = None, *, read_data: bool = True) -> set[str]:
    checked = imagenet_tools.check_export(root, index=index, read_data=read_data)
    return {finding.code for one in checked for finding in one.findings}


@every_target
@pytest.mark.parametrize("options", [{}, {"hash": True}, {"resize": 20, "repair": "exif,png,eoi,cmyk"}])
def test_an_export_is_as_it_was_written(target: str, options: dict[str, Any], exported: Export) -> None:
    module = imagenet_tools._formats()[target]
    holds = module.HOLDS_BYTES
    if options.get("resize") and not holds:
        pytest.skip("it holds no images")
    root, plan = exported(target, **options)
    (found,) = plan.check(read_data=True)
    assert {one.code for one in found.findings} == (set() if holds else {"W301"})
    assert found.images == (plan.images() if getattr(module, "NAMES_IMAGES", True) else 0)
    assert found.compared == (found.images if holds else 0)
    assert codes(root) == {"W301"}


def test_a_plan_that_was_not_made_has_nothing_to_check(odd: Index, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="expected an export that was made"):
        imagenet_tools.plan_export(odd.select(), to="image_folder").check()
    with pytest.raises(SourceError, match="is no export"):
        imagenet_tools.check_export(tmp_path)


@every_target
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
    assert codes(root) == {"W301"}


@every_target
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
    (found,) = imagenet_tools.check_export(tmp_path / "x", index=odd, read_data=True)
    assert [one.code for one in found.findings] == ["E306"]
    assert "n01440764_1" in found.findings[0].message


def test_an_image_that_is_not_in_the_index_is_named(index: Index, exported: Export) -> None:
    assert codes(exported("image_folder").root, index) == {"E307", "W303"}


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
    checked = imagenet_tools.check_export(tmp_path / "x", index=odd)
    assert [one.target for one in checked] == ["image_folder", "yolo"]
