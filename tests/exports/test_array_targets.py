"""The arrays of downsampled and cifar: pixels by the box filter, and what the published readers find in the files."""

import io
import pickle
import pickletools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import imagenet_tools
from imagenet_tools.catalogue import lists
from imagenet_tools.errors import ExportError, FormatError, UsageError
from imagenet_tools.exports.check import check_export
from imagenet_tools.images.transform import box_planes
from imagenet_tools.index import Index
from tests.exports.conftest import Export
from tests.exports.odd import CRANE, ODD, SPANIEL, TENCH
from tests.exports.test_edm import drawn, encoded
from tests.forms import arrays

pytestmark = pytest.mark.long  # a proof of the whole; the long suite has it

BY_STEM = {one.stem: one for one in ODD}


def published(data: bytes, side: int) -> arrays.Pixels:
    """The published chain, from its words: RGB, resized by Pillow's box filter, kept as PNG, then plane after plane."""
    with Image.open(io.BytesIO(data)) as image:
        small = (image if image.mode == "RGB" else image.convert(mode="RGB")).resize((side, side), Image.Resampling.BOX)
    kept = io.BytesIO()
    small.save(kept, "PNG")
    pixels = np.asarray(Image.open(kept))
    return np.array([*pixels[:, :, 0].flatten(), *pixels[:, :, 1].flatten(), *pixels[:, :, 2].flatten()], np.uint8)


@pytest.mark.parametrize("side", [8, 32, 64])
@pytest.mark.parametrize(("size", "mode"), [((500, 375), "RGB"), ((90, 31), "L"), ((64, 64), "P"), ((60, 80), "CMYK")])
def test_an_image_is_that_of_the_published_chain(size: tuple[int, int], mode: str, side: int) -> None:
    data = encoded(drawn(*size, mode))
    assert box_planes(data, side) == published(data, side).tobytes()


def test_each_pixel_is_the_mean_of_those_that_it_covers() -> None:
    image = drawn(128, 64)
    found = np.frombuffer(box_planes(encoded(image), 32), np.uint8).reshape(3, 32, 32).astype(float)
    means = np.asarray(image, float).reshape(32, 2, 32, 4, 3).mean((1, 3)).transpose(2, 0, 1)
    assert np.abs(found - means).max() <= 0.5 + 1e-9


def test_an_image_that_is_cut_is_undecodable() -> None:
    with pytest.raises(FormatError) as caught:
        box_planes(encoded(drawn(300, 300))[:-2000], 32)
    assert caught.value.code == "undecodable"


# ---- downsampled


def read_npz(root: Path, side: int) -> dict[str, tuple[str, int, arrays.Pixels]]:
    """Split, sorted class index and pixels by image, as TensorFlow Datasets reads the files: CHW, labels from 1."""
    found = {}
    for path in root.glob("*.npz"):
        with np.load(path, allow_pickle=False) as data:
            assert list(data) == ["data", "labels", *(["mean"] if "train" in path.name else []), "filenames"]
            for image, label, name in zip(data["data"], data["labels"], data["filenames"], strict=True):
                pixels = np.reshape(image, (3, side, side)).transpose(1, 2, 0)
                found[name.decode()] = ("train" if "train" in path.name else "val", label - 1, pixels)
    return found


@pytest.mark.parametrize("side", [None, *(pytest.param(side, marks=pytest.mark.long) for side in (8, 16, 64))])
def test_the_published_reader_finds_the_images_with_ilsvrc_s_ids(side: int | None, exported: Export) -> None:
    root, result = exported("downsampled", **({"side": side} if side else {}))
    found = read_npz(root, side or 32)
    assert len(found) == result.images() == 24
    order = lists.get("ilsvrc2012-id").wnids
    for stem, (split, label, pixels) in found.items():
        assert (split, order[label]) == (BY_STEM[stem].split, BY_STEM[stem].wnid)
        assert np.array_equal(pixels.transpose(2, 0, 1).ravel(), published(BY_STEM[stem].data, side or 32))
    assert sorted(path.name for path in root.glob("*.npz")) == sorted(
        [*(f"train_data_batch_{n}.npz" for n in range(1, 11)), "val_data.npz"]
    )
    train = np.concatenate([np.load(root / f"train_data_batch_{n}.npz")["data"] for n in range(1, 11)])
    assert len(np.load(root / "train_data_batch_10.npz")["data"]) == 20 // 10
    assert np.allclose(np.load(root / "train_data_batch_1.npz")["mean"], np.mean(train, axis=0), rtol=1e-14)


def test_the_pickles_are_the_same_to_a_plain_unpickler(exported: Export) -> None:
    root, _ = exported("downsampled", side_files=True)
    names = sorted(path.name for path in (root / "pickles").iterdir())
    assert len(names) == 11
    for name in names:
        with np.load(root / f"{name}.npz") as npz, (root / "pickles" / name).open("rb") as file:
            pickled = pickle.load(file)
            assert list(pickled) == list(npz)
            assert np.array_equal(pickled["data"], npz["data"]) and pickled["data"].dtype == np.uint8
            assert pickled["labels"] == npz["labels"].tolist()
            assert "mean" not in pickled or np.array_equal(pickled["mean"], npz["mean"])
            assert pickled["filenames"] == [one.decode() for one in npz["filenames"]]


def test_the_loader_and_a_check_find_what_was_written(exported: Export, odd: Index) -> None:
    root, _ = exported("downsampled")
    checked = check_export(root, index=odd, read_data=True, with_loader=True)
    assert checked.ok and checked.decoded == 24 and checked.loader.startswith("numpy ")


def test_sizes_and_classes_that_it_does_not_have_are_refused(odd: Index, index: Index) -> None:
    with pytest.raises(UsageError, match="--side 28: expected one of 8, 16, 32, 64"):
        imagenet_tools.plan_export(odd.select(), to="downsampled", side=28)
    with pytest.raises(UsageError, match="--side: it belongs to downsampled; found --to csv"):
        imagenet_tools.plan_export(odd.select(), to="csv", side=32)
    with pytest.raises(ExportError, match=r"n02691156 \(airplane\) is none of its 1,000 classes.* export to cifar"):
        imagenet_tools.plan_export(index.select(superclasses="cifar10"), to="downsampled")
    plan = imagenet_tools.plan_export(odd.select(), to="downsampled", side=64)
    assert plan.bytes() == plan.images() * 3 * 64 * 64
    assert any("are ILSVRC's ids, 1 to 1,000, and not 1 to 3" in hazard for hazard in plan.hazards)


# ---- CIFAR


def loaded(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = pickle.loads(path.read_bytes(), encoding="latin1")
    return found


def test_the_batches_are_cifars_to_its_readers(exported: Export) -> None:
    root, result = exported("cifar")
    home = root / "cifar-10-batches-py"
    meta = loaded(home / "batches.meta")
    assert meta["label_names"] == [one.display for one in result.classes]
    assert meta["num_vis"] == 3072 and meta["num_cases_per_batch"] == 4 and meta["wnids"] == [TENCH, CRANE, SPANIEL]
    counts = Counter()
    for name in (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"):
        batch = loaded(home / name)
        assert batch["split"] == ("val" if name == "test_batch" else "train")
        pixels = batch["data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)  # as torchvision does
        for image, label, file in zip(pixels, batch["labels"], batch["filenames"], strict=True):
            one = BY_STEM[file.encode("latin1").decode().removesuffix(".png")]
            assert meta["wnids"][label] == one.wnid
            assert np.array_equal(image.transpose(2, 0, 1).ravel(), published(one.data, 32))
            counts[one.split] += 1
        by_bytes = pickle.loads((home / name).read_bytes(), encoding="bytes")  # as Keras does
        assert np.array_equal(by_bytes[b"data"], batch["data"]) and by_bytes[b"labels"] == batch["labels"]
    assert counts == {"train": 20, "val": 4}


def test_the_pickles_have_the_opcodes_of_cifars_own(exported: Export) -> None:
    root, _ = exported("cifar")
    ours = (root / "cifar-10-batches-py" / "data_batch_5").read_bytes()
    theirs = arrays.dumps2(loaded(root / "cifar-10-batches-py" / "data_batch_5"))
    kept = [
        [(opcode.name, argument) for opcode, argument, _ in pickletools.genops(data) if opcode.name != "BINPUT"]
        for data in (ours, theirs)
    ]
    names = {name for name, _ in kept[0]}
    assert names <= {name for name, _ in kept[1]} | {"NEWFALSE", "NEWTRUE"}
    assert [one for one in kept[0] if one[0] in ("SHORT_BINSTRING", "BINSTRING")] == [
        one for one in kept[1] if one[0] in ("SHORT_BINSTRING", "BINSTRING")
    ]


def test_images_of_cifar_itself_stay_as_they_are(tmp_path: Path) -> None:
    home = arrays.cifar10(tmp_path / "home")
    built = imagenet_tools.build_index(home, tmp_path / "x.index", workers=1)
    index = imagenet_tools.open_index(built.index)
    chosen = index.select(superclasses="cifar10", from_=["train", "test"])
    result = imagenet_tools.export(chosen, tmp_path / "x", to="cifar", workers=1)
    again = [loaded(path) for path in (tmp_path / "x/cifar-10-batches-py").glob("*_batch*")]
    labels, images = {}, {}
    for batch in again:
        labels |= dict(zip(batch["filenames"], batch["labels"], strict=True))
        images |= dict(zip(batch["filenames"], batch["data"], strict=True))
    for k, name in enumerate((*(f"data_batch_{n}" for n in range(1, 6)), "test_batch")):
        batch = loaded(home / name)
        for n, (label, image) in enumerate(zip(batch["labels"], batch["data"], strict=True)):
            assert labels[f"{name}_{n}.png"] == label == (8 * k + n) % 10  # CIFAR-10's own labels
            assert np.array_equal(images[f"{name}_{n}.png"], image)
    assert len(result.classes) == 10


def test_further_splits_and_missing_ones_are_told(index: Index, tmp_path: Path) -> None:
    chosen = index.select(split="train=0.5,val=0.3,test=0.2")
    plan = imagenet_tools.export(chosen, tmp_path / "x", to="cifar", workers=1)
    assert "CIFAR's loaders do not read val_batch" in plan.hazards
    home = tmp_path / "x/cifar-10-batches-py"
    assert {loaded(home / name)["split"] for name in ("test_batch",)} == {"test"}
    assert loaded(home / "val_batch")["split"] == "val"
    alone = imagenet_tools.plan_export(index.select(from_="val"), to="cifar")
    assert any("there is no train: CIFAR's loaders need both" in hazard for hazard in alone.hazards)


def test_an_export_is_a_data_set_of_its_own_when_it_is_detected(exported: Export) -> None:
    for target in ("cifar", "downsampled"):
        [found] = imagenet_tools.detect(exported(target).root).found
        assert found.dataset not in ("ilsvrc2012", "cifar10") and "with new images" in found.evidence
