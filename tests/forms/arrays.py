"""CIFAR's batches and the downsampled ImageNets as their publishers write them, from pixels drawn here.

CIFAR's pickles are Python 2's: each text and each run of bytes is a str of that Python. The pure Python pickler of the
standard library is made to write them so. The downsampled ones are dumped by Python 3, and saved by numpy.
"""

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from imagenet_tools.catalogue import lists
from tests.forms.annotations import write_files

Pixels = npt.NDArray[np.uint8]  # (height, width, 3)


class _Python2Pickler(pickle._Pickler):  # type: ignore[name-defined,misc]  # typeshed has no pure Python pickler
    """Writes str and bytes as Python 2 writes its str: SHORT_BINSTRING, or BINSTRING from 256 bytes on."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)  # type: ignore[attr-defined]

    def save_bytes(self, data: bytes | str) -> None:
        raw = data.encode("latin-1") if isinstance(data, str) else data
        if len(raw) < 256:
            self.write(pickle.SHORT_BINSTRING + bytes([len(raw)]) + raw)
        else:
            self.write(pickle.BINSTRING + len(raw).to_bytes(4, "little") + raw)
        self.memoize(data)

    dispatch[bytes] = dispatch[str] = save_bytes


def dumps2(value: object) -> bytes:
    """Pickle as cPickle of Python 2 does with protocol 2."""
    out = io.BytesIO()
    _Python2Pickler(out, 2).dump(value)
    return out.getvalue()


def drawn(n: int, side: int = 32) -> Pixels:
    """An image of noise, another for each number."""
    return np.random.default_rng(n).integers(0, 256, (side, side, 3), np.uint8)


def rows(images: list[Pixels]) -> Pixels:
    """The array of some images: all red values, all green ones, all blue ones of each."""
    return np.stack([image.transpose(2, 0, 1).ravel() for image in images])


def cifar10(home: Path, *, per_batch: int = 8) -> Path:
    """The six batches of CIFAR-10; image n has label n % 10, and numbers go on from batch to batch."""
    files = {}
    for number in range(6):
        numbers = range(number * per_batch, (number + 1) * per_batch)
        data = {
            "batch_label": f"training batch {number + 1} of 5" if number < 5 else "testing batch 1 of 1",
            "labels": [n % 10 for n in numbers],
            "data": rows([drawn(n) for n in numbers]),
            "filenames": [f"word_s_{n:06d}.png" for n in numbers],
        }
        files[f"data_batch_{number + 1}" if number < 5 else "test_batch"] = dumps2(data)
    names = [category.name for category in lists.get("cifar10").categories]
    meta = {"num_cases_per_batch": per_batch, "label_names": names, "num_vis": 3072}
    return write_files(home / "cifar-10-batches-py", {**files, "batches.meta": dumps2(meta), "readme.html": b"<html>"})


def cifar100(home: Path) -> Path:
    """CIFAR-100, where image n has the fine label n % 100."""
    fine = lists.get("cifar100").categories
    coarse = lists.get("cifar100-coarse").categories
    of = [next(k for k, one in enumerate(coarse) if set(each.synsets) <= set(one.synsets)) for each in fine]
    files = {}
    for name, numbers in (("train", range(120)), ("test", range(500, 620))):
        files[name] = dumps2(
            {
                "filenames": [f"word_s_{n:06d}.png" for n in numbers],
                "batch_label": f"{name}ing batch 1 of 1",
                "fine_labels": [n % 100 for n in numbers],
                "coarse_labels": [of[n % 100] for n in numbers],
                "data": rows([drawn(n) for n in numbers]),
            }
        )
    meta = {
        "fine_label_names": [category.name for category in fine],
        "coarse_label_names": [category.name for category in coarse],
    }
    return write_files(home / "cifar-100-python", {**files, "meta": dumps2(meta)})


def _batches(side: int, labels: Mapping[int, int]) -> dict[str, dict[str, Any]]:
    """Ten batches of train and one of val; `labels` has ILSVRC's id of each image by its number."""
    numbers = list(labels)
    size = len(numbers) // 11
    mean = np.mean(rows([drawn(n, side) for n in numbers[: 10 * size]]), axis=0)
    found: dict[str, dict[str, Any]] = {}
    for k in range(11):
        some = numbers[k * size : (k + 1) * size]
        data = {"data": rows([drawn(n, side) for n in some]), "labels": [labels[n] for n in some]}
        found[f"train_data_batch_{k + 1}" if k < 10 else "val_data"] = {**data, "mean": mean} if k < 10 else data
    return found


LABELS = {n: n * 7 % 1000 + 1 for n in range(66)}


def downsampled_npz(home: Path, side: int = 32, labels: Mapping[int, int] = LABELS) -> Path:
    """The npz of a downsampled ImageNet, unpacked into one folder."""
    (home / "all").mkdir(parents=True)
    for name, data in _batches(side, labels).items():
        np.savez(home / "all" / f"{name}.npz", **{key: np.array(value) for key, value in data.items()})
    return home / "all"


def downsampled_pickles(home: Path, side: int = 32, labels: Mapping[int, int] = LABELS, protocol: int = 3) -> Path:
    """The pickles of a downsampled ImageNet."""
    return write_files(
        home / f"imagenet{side}",
        {name: pickle.dumps(data, protocol) for name, data in _batches(side, labels).items()},
    )
