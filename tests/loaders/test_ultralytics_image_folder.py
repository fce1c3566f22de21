"""torchvision's ImageFolder on an `image_folder` export: classes, targets, and every byte as the index has it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from torchvision.datasets import ImageFolder

from tests.loaders.truth import Export, Say, Truth


@pytest.fixture
def folder(export: Callable[[str, str], Export], chosen: str) -> Export:
    return export(chosen, "image_folder")


@pytest.mark.proof(target="image_folder", loader="torchvision ImageFolder")
@pytest.mark.parametrize("split", ["train", "val"])
def test_classes_targets_and_bytes_are_the_index_s(
    folder: Export, truth: dict[str, Truth], split: str, say: Say
) -> None:
    dataset = ImageFolder(folder.root / split)
    expected = folder.expect(truth, split, split, listed=True)
    assert [one["wnid"] for one in folder.classes] == sorted(folder.wnids)
    assert dataset.classes == [one["folder"] for one in folder.classes]
    assert dataset.class_to_idx == {one["folder"]: one["index"] for one in folder.classes}
    read = {Path(file).stem: folder.classes[target]["wnid"] for file, target in dataset.samples}
    assert len(dataset.targets) == len(read) == len(expected)
    assert read == {image_id: truth[image_id].wnid for image_id in expected}
    for file, _ in dataset.samples:
        assert Path(file).read_bytes() == truth[Path(file).stem].data, file
    say(f"{split} {len(read)} images, {len(dataset.classes)} classes")


@pytest.mark.proof(target="image_folder", loader="torchvision ImageFolder")
@pytest.mark.parametrize("split", ["train", "val"])
def test_every_image_is_decoded_but_those_the_index_calls_damaged(
    folder: Export, truth: dict[str, Truth], split: str
) -> None:
    for file, _ in (dataset := ImageFolder(folder.root / split)).samples:
        image = truth[Path(file).stem]
        try:
            decoded = dataset.loader(file)
        except OSError:
            assert image.problem is not None, f"{file} does not decode, and the index knows of no problem"
        else:
            assert (decoded.mode, decoded.size) == ("RGB", image.size)
