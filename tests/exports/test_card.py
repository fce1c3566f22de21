"""--card: README.md and croissant.json beside an export; tests/loaders lets mlcroissant read them."""

import hashlib
import json
from pathlib import Path

import pytest
from PIL import Image

import imagenet_tools
from imagenet_tools.index import Index

pytestmark = pytest.mark.long  # a proof of the whole; the long suite has it


@pytest.mark.parametrize("target", ["image_folder", "coco", "parquet", "webdataset"])
def test_they_are_among_the_files_of_the_export_and_no_pattern_for_its_data_finds_them(
    target: str, odd: Index, tmp_path: Path
) -> None:
    result = imagenet_tools.export(odd.select(), tmp_path / "x", to=target, card=True, workers=1)
    root = tmp_path / "x"
    assert {"README.md", "croissant.json"} <= set(result.files)
    assert all(checked.ok for checked in result.check())
    described = json.loads((root / "croissant.json").read_text())
    for file in described["distribution"]:
        if file["@type"] == "cr:FileObject":
            assert hashlib.sha256((root / file["contentUrl"]).read_bytes()).hexdigest() == file["sha256"]
    patterns = [file["includes"] for file in described["distribution"] if file["@type"] == "cr:FileSet"]
    assert patterns == ([["*.JPEG"]] if target in ("image_folder", "coco") else [])
    assert f"{result.images()} images of 3 classes" in described["description"]
    data = {"image_folder": "**/*.JPEG", "coco": "annotations/*.json", "parquet": "**/*.parquet", "webdataset": "*.tar"}
    assert not {"README.md", "croissant.json"} & {path.name for path in root.glob(data[target])}
    assert "terms of access" in (root / "README.md").read_text()


def test_the_card_of_a_target_that_writes_its_own_stays(odd: Index, tmp_path: Path) -> None:
    for name, card in (("with", True), ("without", False)):
        imagenet_tools.export(odd.select(), tmp_path / name, to="webdataset", card=card, workers=1)
    assert (tmp_path / "with" / "README.md").read_bytes() == (tmp_path / "without" / "README.md").read_bytes()
    assert not (tmp_path / "without" / "croissant.json").exists()


def test_without_the_option_there_is_no_card(index: Index, tmp_path: Path) -> None:
    imagenet_tools.export(index.select(under="tabby.n.01"), tmp_path / "x", to="image_folder", workers=1)
    assert not {"README.md", "croissant.json"} & {path.name for path in (tmp_path / "x").iterdir()}


def test_encodings_are_those_of_the_files(tmp_path: Path) -> None:
    folder = tmp_path / "train" / "n01440764"
    folder.mkdir(parents=True)
    for suffix in ("JPEG", "png", "webp"):
        Image.new("RGB", (8, 8)).save(folder / f"{suffix}.{suffix}")
    imagenet_tools.build_index(tmp_path / "train", tmp_path / "x.index", dataset="mine", workers=1)
    chosen = imagenet_tools.open_index(tmp_path / "x.index").select()
    imagenet_tools.export(chosen, tmp_path / "x", to="image_folder", card=True, workers=1)
    [images] = json.loads((tmp_path / "x" / "croissant.json").read_text())["distribution"][2:]
    assert images["encodingFormat"] == ["image/jpeg", "image/png", "image/webp"]
    assert images["includes"] == ["*.JPEG", "*.png", "*.webp"]
