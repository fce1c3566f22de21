"""miniImageNet and tieredImageNet as their authors publish them: lists, pickles of Python 2, and PNGs in a pickle."""

import io
import pickle
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from imagenet_tools.wordnet import wordnet
from tests.forms.annotations import write_files
from tests.forms.arrays import Pixels, drawn, dumps2

# Of miniImageNet's classes in each split of Ravi and Larochelle.
MINI = {"train": ("n01532829", "n01558993"), "val": ("n01855672",), "test": ("n01930112",)}
# Of tieredImageNet's, in no order, as a folder lists them. Two classes of train are called harp.
TIERED = {
    "train": ("n03773504", "n01532829", "n03495258", "n03494278"),
    "val": ("n02099267", "n02099429"),
    "test": ("n02808440", "n03314780"),
}
SIDE = 84


def ravi_name(wnid: str, rank: int) -> str:
    """The name that Ravi and Larochelle give an image by its place among those of its class, from 1."""
    return f"{wnid}{rank:08d}"


def ravi(home: Path, classes: Mapping[str, Mapping[str, Mapping[str, bytes]]]) -> Path:
    """images/ and the three csv, of the images by split, class and ILSVRC2012's stem."""
    files: dict[str, bytes | str] = {}
    for split, wnids in classes.items():
        rows = ["filename,label\n"]
        for wnid, images in wnids.items():
            for rank, stem in enumerate(sorted(images, key=lambda stem: int(stem.partition("_")[2])), 1):
                files[f"images/{ravi_name(wnid, rank)}.jpg"] = images[stem]
                rows.append(f"{ravi_name(wnid, rank)}.jpg,{wnid}\n")
        files[f"{split}.csv"] = "".join(rows)
    return write_files(home, files)


def vinyals(home: Path, images: Mapping[str, bytes], splits: Mapping[str, Iterable[str]]) -> Path:
    """images/ and a csv for each split, with ILSVRC2012's names; trainval.csv too."""
    files: dict[str, bytes | str] = {f"images/{stem}.JPEG": data for stem, data in images.items()}
    for split, stems in {**splits, "trainval": [*splits["train"], *splits["val"]]}.items():
        files[f"{split}.csv"] = "filename,class\n" + "".join(f"{stem}.JPEG,{stem[:9]}\n" for stem in stems)
    return write_files(home, files)


def mini_numbers(split: str) -> range:
    """The numbers of the images that the cache of a split has: three of each class."""
    first = {"train": 0, "val": 100, "test": 200}[split]
    return range(first, first + 3 * len(MINI[split]))


def mini_cache(home: Path, *, python: int = 2) -> Path:
    """mini-imagenet-cache-train.pkl and the others; image n of a split is `drawn`, three after another of each class.

    With `python` 2, the texts are those of Python 2.
    """
    files = {}
    for split, wnids in MINI.items():
        images = np.stack([drawn(n, SIDE) for n in mini_numbers(split)])
        data = {
            "image_data": images,
            "class_dict": {wnid: list(range(3 * k, 3 * k + 3)) for k, wnid in enumerate(wnids)},
        }
        files[f"mini-imagenet-cache-{split}.pkl"] = dumps2(data) if python == 2 else pickle.dumps(data, 4)
    return write_files(home / "mini-imagenet", files)


def png(pixels: Pixels) -> bytes:
    """An image as cv2.imencode writes it, here by Pillow."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def class_name(wnid: str) -> str:
    """The line of class_names.txt: the words of ILSVRC2012's synset_words.txt."""
    return ", ".join(lemma.replace("_", " ") for lemma in wordnet.synset(wnid).lemmas)


def tiered_numbers(split: str) -> list[tuple[int, str]]:
    """The number and the class of each image of a split: two of each class, class after class."""
    first = {"train": 0, "val": 100, "test": 200}[split]
    return [(first + n, TIERED[split][n // 2]) for n in range(2 * len(TIERED[split]))]


def tiered(home: Path, *, python: int = 2, names: Sequence[str] = ("class_names.txt", "synsets.txt")) -> Path:
    """train_images_png.pkl, train_labels.pkl and so on, with the two lists of the classes beside them."""
    files: dict[str, bytes | str] = {}
    dump = dumps2 if python == 2 else lambda value: pickle.dumps(value, 5)
    for split, wnids in TIERED.items():
        images = [np.frombuffer(png(drawn(n, SIDE)), np.uint8).reshape(-1, 1).copy() for n, _ in tiered_numbers(split)]
        files[f"{split}_images_png.pkl"] = dump(images)
        specific = np.repeat(np.arange(len(wnids), dtype=np.int32), 2)
        files[f"{split}_labels.pkl"] = dump(
            {
                "label_specific": specific,
                "label_general": np.zeros(len(specific), np.int32),
                "label_specific_str": [class_name(wnid) for wnid in wnids],
                "label_general_str": {0: "a superclass"},
            }
        )
    every = sorted(wnid for wnids in TIERED.values() for wnid in wnids)
    lists = {"synsets.txt": every, "class_names.txt": [class_name(wnid) for wnid in every]}
    files |= {name: "".join(f"{line}\n" for line in lists[name]) for name in names}
    return write_files(home / "tiered-imagenet", files)
