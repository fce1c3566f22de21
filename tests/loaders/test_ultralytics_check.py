"""`check --with-loader` on exports: what the frameworks' own loaders count is what classes.json says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import imagenet_tools
from tests.loaders.truth import Export, Say

PROOFS = [
    pytest.param(to, loader, marks=pytest.mark.proof(target=to, loader=f"check --with-loader: {loader}"))
    for to, loader in (
        ("image_folder", "ImageFolder"),
        ("yolo", "YOLODataset"),
        ("yolo_classify", "ClassificationDataset"),
    )
]


@pytest.mark.parametrize(("to", "loader"), PROOFS)
@pytest.mark.proof(target="each", loader="check --with-loader")
def test_the_loader_finds_what_was_written(
    export: Callable[[str, str], Export], chosen: str, index: Any, to: str, loader: str, say: Say
) -> None:
    root = export(chosen, to).root
    before = sorted(root.rglob("*"))
    (found,) = imagenet_tools.check_export(root, index=index, read_data=True, with_loader=True)
    assert found.findings == ()
    assert loader in found.loader
    assert found.compared == found.images > 0
    assert sorted(root.rglob("*")) == before, "the loader left something in the export"
    say(f"{to} {found.images} images")
