"""Training without exporting: torch's DataLoader, timm and Lightning read the archives, as ImageFolder the files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from PIL import ImageFile
from torch.utils.data import DataLoader, Subset, random_split
from torch.utils.data.distributed import DistributedSampler
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.datasets.folder import default_loader

import imagenet_tools
from tests.loaders.folders import SOUND, class_folders, face, pixels
from tests.loaders.truth import DOGS, Say, Truth, page_code


@pytest.fixture(scope="module")
def folders(truth: dict[str, Truth], tmp_path_factory: pytest.TempPathFactory) -> Path:
    cut = {image_id: image for image_id, image in truth.items() if image_id not in SOUND}
    return class_folders(tmp_path_factory.mktemp("folders"), cut)


@pytest.fixture(params=["train", "val"])
def both(request: pytest.FixtureRequest, index: Any, folders: Path) -> tuple[ImageFolder, Any]:
    ours = index.select(where=SOUND).dataset(request.param, transform=pixels)
    return ImageFolder(folders / request.param, pixels), ours


@pytest.mark.proof(target="no export", loader="torchvision ImageFolder")
def test_the_face_and_every_pixel_are_imagefolder_s(both: tuple[ImageFolder, Any], say: Say) -> None:
    theirs, ours = both
    assert face(ours) == face(theirs)
    theirs.transform = ours.transform = None
    for n in range(len(theirs)):
        (image, label), (other, number) = theirs[n], ours[n]
        assert (label, image.mode, image.size) == (number, other.mode, other.size)
        assert image.tobytes() == other.tobytes(), theirs.samples[n]
    say(f"{len(theirs)} images, equal pixels")


@pytest.mark.proof(target="no export", loader="torchvision ImageFolder")
def test_the_150_real_images_are_those_of_torchvision_s_loader(real: Path, tmp_path: Path, say: Say) -> None:
    imagenet_tools.build_index(real / "ilsvrc2012_val", tmp_path / "x.index")
    ours = imagenet_tools.open_index(tmp_path / "x.index").select().dataset("val")
    for (image, _), (path, _) in zip(ours, ours.samples, strict=True):
        other = default_loader(path)
        assert (image.mode, image.size, image.tobytes()) == (other.mode, other.size, other.tobytes()), path
    assert len(ours) == 150
    say("150 real images, equal pixels")


@pytest.mark.proof(target="no export", loader="torch DataLoader")
def test_subsets_splits_and_samplers_of_torch_take_it(both: tuple[ImageFolder, Any]) -> None:
    theirs, ours = both
    for part, other in zip(random_split(theirs, [0.7, 0.3]), random_split(ours, [0.7, 0.3]), strict=True):
        assert len(part) == len(other)
    part = Subset(ours, [5, 3, 8])
    assert [label for _, label in part.__getitems__([2, 0])] == [ours.targets[8], ours.targets[5]]
    assert torch.equal(torch.tensor(ours.targets), torch.tensor(theirs.targets))
    images, labels = next(iter(DataLoader(ours, 8, sampler=DistributedSampler(ours, 2, 1, shuffle=False))))
    assert images.shape == (8, 64, 64, 3)
    assert labels.tolist() == theirs.targets[1:16:2]


@pytest.mark.proof(target="no export", loader="torch DataLoader")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_two_workers_give_imagefolder_s_batches(both: tuple[ImageFolder, Any], method: str, say: Say) -> None:
    def epoch(dataset: Any, workers: int) -> Iterator[list[torch.Tensor]]:
        how = {"num_workers": workers, "multiprocessing_context": method if workers else None}
        return iter(DataLoader(dataset, 16, shuffle=True, generator=torch.Generator().manual_seed(8), **how))

    theirs, ours = both
    n = 0
    for (images, labels), (others, numbers) in zip(epoch(theirs, 0), epoch(ours, 2), strict=True):
        assert torch.equal(images, others)
        assert torch.equal(labels, numbers)
        n += len(images)
    assert n == len(theirs)
    say(f"2 workers by {method}")


@pytest.fixture
def names(index: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the code of the page finds: imagenet.index in the current folder, and what a training script has by then."""
    (tmp_path / "imagenet.index").symlink_to(index.path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)  # for the one that lacks its last bytes
    crop = transforms.Compose([transforms.CenterCrop(64), transforms.ToTensor()])
    found = {"train_transform": crop, "val_transform": crop, "batch_size": 8, "workers": 2}
    exec(page_code("torch.utils.data"), found)
    return found


@pytest.mark.proof(target="no export", loader="docs: pytorch/examples")
def test_the_page_s_lines_train_as_main_py_does(names: dict[str, Any], say: Say) -> None:
    assert names["train_dataset"].classes == names["val_dataset"].classes == DOGS
    assert [list(names["train_dataset"].targets).count(label) for label in range(5)] == [10] * 5
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.AvgPool2d(8), torch.nn.Flatten(), torch.nn.Linear(192, len(DOGS)))
    optimizer = torch.optim.SGD(model.parameters(), 0.02)
    losses = []
    for _ in range(5):
        total = 0.0
        for images, target in names["train_loader"]:
            loss = torch.nn.functional.cross_entropy(model(images), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(images)
        losses.append(total / len(names["train_dataset"]))
    assert losses[-1] < losses[0]
    say(f"5 epochs, loss {losses[0]:.2f} to {losses[-1]:.2f}")


@pytest.mark.proof(target="no export", loader="docs: timm create_loader")
def test_timm_sets_its_transform_and_loads(names: dict[str, Any], say: Say) -> None:
    exec(page_code("timm.data"), names | {"device": torch.device("cpu")}, found := {})
    batches = [(images.shape, len(labels)) for images, labels in found["loader"]]
    assert batches == [((8, 3, 224, 224), 8)] * 6  # timm drops the last, for training
    assert "RandomResizedCrop" in repr(found["loader"].dataset.transform)
    say("6 batches of 8 at 224")


@pytest.mark.proof(target="no export", loader="docs: lightning Trainer.fit")
def test_lightning_fits(names: dict[str, Any], say: Say) -> None:
    class Model(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.Sequential(torch.nn.AvgPool2d(8), torch.nn.Flatten(), torch.nn.Linear(192, 5))
            self.seen = {"train": 0, "val": 0}

        def _loss(self, batch: list[torch.Tensor], split: str) -> torch.Tensor:
            self.seen[split] += len(batch[1])
            return torch.nn.functional.cross_entropy(self.layers(batch[0]), batch[1])

        def training_step(self, batch: list[torch.Tensor], number: int) -> torch.Tensor:
            return self._loss(batch, "train")

        def validation_step(self, batch: list[torch.Tensor], number: int) -> torch.Tensor:
            return self._loss(batch, "val")

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), 0.1)

    model = Model()
    exec(page_code("lightning"), names | {"model": model})
    assert model.seen["train"] == 50
    assert model.seen["val"] >= 20
    say("1 epoch on 50 images")
