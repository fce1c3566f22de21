"""Files of ours that are broken, and places that cannot take what is written: one sentence that names the place."""

import errno
import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest

import imagenet_tools as imt
from imagenet_tools import schema
from imagenet_tools.errors import ExportError, ImagenetToolsError, NoIndexError, SourceError, UsageError
from imagenet_tools.exports.check import check_export
from imagenet_tools.index import Index
from imagenet_tools.selection import lock, recipe
from imagenet_tools.store.layout import read_manifest
from imagenet_tools.superclasses import exclusive_tree, superclasses
from tests.conftest import Extracted

HEAD = f'"format": "imagenet-tools index", "schema": {schema.VERSION}'
MANIFESTS = {
    "cut": "{",
    "empty": "",
    "list": "[]",
    "null": "null",
    "number": "5",
    "text": '"x"',
    "deep": "[" * 100_000,
    "no tables": "{" + HEAD + "}",
    "tables": "{" + HEAD + ', "tables": [], "software": {}}',
    "files": "{" + HEAD + ', "tables": {"images": 5}, "software": {}}',
    "entry": "{" + HEAD + ', "tables": {"images": [5]}, "software": {}}',
    "key": "{" + HEAD + ', "tables": {"images": [{"file": "a"}]}, "software": {}}',
    "type": "{"
    + HEAD
    + ', "tables": {"images": [{"file": 5, "part": "", "rows": 1, "bytes": 1, "sha256": ""}]}, "software": {}}',
    "software": "{" + HEAD + ', "tables": {}, "software": 5}',
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_that_is_none_is_an_error_that_names_it(name: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(MANIFESTS[name])
    with pytest.raises(NoIndexError) as raised:
        read_manifest(tmp_path)
    assert str(raised.value).startswith(str(tmp_path / "manifest.json"))
    assert len(str(raised.value)) < 600
    # An export's manifest is as broken with it.
    (tmp_path / "classes.json").write_text(MANIFESTS[name])
    (finding,) = check_export(tmp_path).findings
    assert finding.code == "E301" and str(tmp_path) in finding.message


def test_links_to_themselves_are_errors_that_name_them(index: Index, tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    for call in (
        lambda: imt.open_index(loop),
        lambda: imt.detect(loop),
        lambda: imt.build_index(loop, tmp_path / "x.index"),
        lambda: imt.export(index.select(), loop, to="image_folder"),
        lambda: recipe.read(loop),
        lambda: index.select(classes=str(loop)),
        lambda: index.select(images=str(loop)).counts(),
    ):
        with pytest.raises(ImagenetToolsError, match="loop"):
            call()
    assert [path.name for path in tmp_path.iterdir()] == ["loop"]


READERS: dict[str, Callable[[Path], object]] = {
    "recipe": recipe.read,
    "lock": lock.read,
    "superclasses": superclasses.read,
    "exclusive tree": exclusive_tree.read,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    "content",
    [
        "a = " + "[" * 100_000 + "]" * 100_000,
        "a = " + "{a = " * 100_000,
        "a" + ".a" * 50_000 + " = 1",
        "[" + "a." * 50_000 + "a]",
        "a = " + "[" * 50 + "]" * 50,
    ],
    ids=["lists", "tables", "keys", "heading", "few"],
)
def test_toml_that_is_nested_deep_is_an_error_that_names_its_file(reader: str, content: str, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(content)
    with pytest.raises((UsageError, SourceError), match=r"a\.toml: ") as raised:
        READERS[reader](tmp_path / "a.toml")
    assert len(str(raised.value)) < 400


@pytest.mark.parametrize(
    "words", ['[export.yolo]\nresize = "9"', "[export.yolo]\nrepair = 5", '[split]\ngroups = "a\\u0000b"']
)
def test_a_recipe_s_value_of_a_wrong_type_is_an_error_that_names_the_key(words: str, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(f"format = 1\n{words}\n")
    with pytest.raises(UsageError, match=r"a\.toml, .*(resize|repair|groups): found .*; expected"):
        recipe.read(tmp_path / "a.toml")


def test_names_too_long_for_a_file_system_are_foreseen(extracted: Extracted, tmp_path: Path) -> None:
    data = min(extracted.data.values(), key=len)
    with tarfile.open(tmp_path / "long.tar", "w") as out:
        for stem in ("x" * 295, "\u00e9" * 126, "y" * 250):
            member = tarfile.TarInfo(f"train/n01440764/{stem}.JPEG")
            member.size = len(data)
            out.addfile(member, BytesIO(data))
    imt.build_index(tmp_path / "long.tar", tmp_path / "a.index", dataset="mine", workers=1)
    index = imt.open_index(tmp_path / "a.index")
    for call in (
        lambda: imt.plan_export(index.select(), to="image_folder"),
        lambda: imt.export(index.select(), tmp_path / "x", to="image_folder"),
    ):
        with pytest.raises(ExportError, match=r"2 images would be files of longer names .* --where \"strlen"):
            call()
    made = imt.export(index.select(where="strlen(image_id) <= 250"), tmp_path / "x", to="image_folder")
    assert made.images() == 1
    assert len(next((tmp_path / "x").rglob("*.JPEG")).name) == 255


FULL = """
import errno, os, sys
import imagenet_tools as imt
from imagenet_tools.store import layout
from imagenet_tools.errors import ImagenetToolsError, SourceError
left = [int(sys.argv[3])]
write = layout.write_table
def full(*args, **keywords):
    left[0] -= 1
    if left[0] == 0:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # as pyarrow raises it: without a path
    return write(*args, **keywords)
for module in list(sys.modules.values()):
    if getattr(module, "write_table", None) is write:
        module.write_table = full
from imagenet_tools.cli import main
sys.argv[1:] = ["build-index", sys.argv[1], "-o", sys.argv[2], "--workers", "1"]
main()
"""


def test_a_full_disk_at_a_second_build_names_the_place_and_harms_nothing(
    sample: Path, extracted: Extracted, tmp_path: Path
) -> None:
    made = tmp_path / "a.index"
    imt.build_index(sample / "ILSVRC2012_img_val.tar", made, workers=1)
    before = (made / "manifest.json").read_bytes()
    second = str(sample / "ILSVRC2012_img_train.tar")
    for n in (1, 3):
        command = [sys.executable, "-c", FULL, second, str(made), str(n)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 1, done.stderr
        last = done.stderr.splitlines()[-1]
        assert last.startswith(f"error: {made}: No space left on device. What is finished is kept in {made}.partial")
        assert "Traceback" not in done.stderr
        assert (made / "manifest.json").read_bytes() == before
    imt.build_index(second, made, workers=1)
    other = tmp_path / "b.index"
    imt.build_index(sample / "ILSVRC2012_img_val.tar", other, workers=1)
    imt.build_index(second, other, workers=1)
    tables = [json.loads((path / "manifest.json").read_text())["tables"] for path in (made, other)]
    assert tables[0] == tables[1]


def test_a_full_disk_of_an_export_is_told_of_once(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from imagenet_tools.exports import run

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(run, "write_manifest", full)
    with pytest.raises(ImagenetToolsError, match=r"x: No space left on device\. .* kept in .*x\.partial: make room"):
        imt.export(index.select(), tmp_path / "x", to="image_folder", workers=1)
    assert shutil.disk_usage(tmp_path).free and not (tmp_path / "x").exists()
