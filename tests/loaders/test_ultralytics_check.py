"""`check --with-loader` on exports: what the frameworks' own loaders count is what classes.json says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import imagenet_tools
from tests.loaders.truth import Say

PROOFS = [
    pytest.param(to, loader, marks=pytest.mark.proof(target=to, loader=f"check --with-loader: {loader}"))
    for to, loader in (
        ("image_folder", "ImageFolder"),
        ("yolo", "YOLODataset"),
        ("yolo_classify", "ClassificationDataset"),
    )
]


@pytest.mark.parametrize(("to", "loader"), PROOFS)
def test_the_loader_finds_what_was_written(index: Any, tmp_path: Path, to: str, loader: str, say: Say) -> None:
    root = tmp_path / "x"
    imagenet_tools.export(index.select(), root, to=to, repair="eoi")
    before = sorted(root.rglob("*"))
    (found,) = imagenet_tools.check(root, index=index, read_data=True, with_loader=True)
    assert found.findings == ()
    assert loader in found.loader
    assert found.compared == found.images > 0
    assert sorted(root.rglob("*")) == before, "the loader left something in the export"
    say(f"{to} {found.images} images")


@pytest.mark.proof(target="yolo", loader="check --with-loader: YOLODataset")
def test_what_the_loader_drops_is_found(index: Any, tmp_path: Path) -> None:
    imagenet_tools.export(index.select(), tmp_path / "x", to="yolo")  # with an image that lacks its end
    (found,) = imagenet_tools.check(tmp_path / "x", index=index, with_loader=True)
    assert {one.code for one in found.findings} == {"E308"}
