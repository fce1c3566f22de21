"""torchvision's CIFAR10 on batches of ten classes: as the recipe opens them, and as a check with the loader does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from torchvision.datasets import CIFAR10
from torchvision.transforms import ToTensor

import imagenet_tools
from imagenet_tools.exports.check import check_export
from tests.exports.test_array_targets import published
from tests.loaders.run import CHECKOUT
from tests.loaders.truth import DOGS, OTHERS, Say, Truth

CLASSES = sorted(DOGS + OTHERS)[:10]


@pytest.fixture(scope="module")
def root(index: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cifar") / "x"
    imagenet_tools.export(index.select(classes=",".join(CLASSES)), folder, to="cifar", shuffle="full")
    return folder


def of_recipe(root: Path) -> type[CIFAR10]:
    """The subclass that docs/recipes/cifar.md shows."""
    page = (CHECKOUT / "docs/recipes/cifar.md").read_text()
    [block] = re.findall(r"```text\n(class CifarLike.*?)\n\n", page, re.DOTALL)
    names: dict[str, Any] = {"torchvision": torchvision}
    exec(block, names)  # a page of this project
    found: type[CIFAR10] = names["CifarLike"]
    return found


@pytest.mark.proof(target="cifar", loader="torchvision CIFAR10")
@pytest.mark.parametrize("split", ["train", "val"])
def test_torchvision_reads_a_ten_class_export(root: Path, truth: dict[str, Truth], split: str, say: Say) -> None:
    dataset = of_recipe(root)(str(root), train=split == "train")
    assert len(dataset.classes) == 10 and len(set(dataset.classes)) == 10
    expected = sorted(
        (CLASSES.index(one.wnid), published(one.data, 32).tobytes())
        for one in truth.values()
        if one.wnid in CLASSES and one.split == split and one.problem is None
    )
    read = sorted(
        (label, np.asarray(image).transpose(2, 0, 1).tobytes())
        for image, label in (dataset[n] for n in range(len(dataset)))
    )
    assert read == expected
    say(f"{split} {len(read)} images of {len(dataset.classes)} classes")


@pytest.mark.proof(target="cifar", loader="torch DataLoader over CIFAR10")
def test_a_batch_trains(root: Path, say: Say) -> None:
    dataset = of_recipe(root)(str(root), train=True, transform=ToTensor())
    images, labels = next(iter(torch.utils.data.DataLoader(dataset, batch_size=16, shuffle=True)))
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, 10))
    loss = torch.nn.functional.cross_entropy(model(images), labels)
    loss.backward()
    assert images.shape == (16, 3, 32, 32) and torch.isfinite(loss)
    say(f"a batch of {tuple(images.shape)}")


@pytest.mark.proof(target="cifar", loader="check --with-loader")
def test_a_check_opens_it_with_torchvision(root: Path, index: Any, say: Say) -> None:
    checked = check_export(root, index=index, read_data=True, with_loader=True)
    assert checked.ok and checked.loader.startswith("torchvision "), checked.findings
    say(checked.summary)


@pytest.mark.proof(target="cifar", loader="torchvision CIFAR10 without its MD5 replaced")
def test_cifar10_itself_refuses_files_that_are_not_its_own(root: Path) -> None:
    """Without the subclass: this is why the recipe names the files."""
    with pytest.raises(RuntimeError, match="not found or corrupted"):
        CIFAR10(str(root), train=True)
