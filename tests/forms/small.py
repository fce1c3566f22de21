"""Imagenette as its authors pack it, and the archives that Hugging Face had of ILSVRC2012 before Parquet."""

import json
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.forms.whole import add, pack

# Of Imagenette's ten classes: tench, English springer, chain saw.
CLASSES = ("n01440764", "n02102040", "n03000684")


def noisy_labels(rows: Mapping[str, tuple[str, str]]) -> str:
    """noisy_imagenette.csv of some images by path: the class, and the label in the set with 50 % of other classes."""
    sets = [f"noisy_labels_{percent}" for percent in (0, 1, 5, 25, 50)]
    lines = [
        ",".join((path, *[wnid] * 4, noisiest, str(path.startswith("val/")))) for path, (wnid, noisiest) in rows.items()
    ]
    return "\n".join((",".join(("path", *sets, "is_valid")), *lines)) + "\n"


def imagenette(home: Path, train: Mapping[str, Mapping[str, bytes]], val: Mapping[str, Mapping[str, bytes]]) -> Path:
    """imagenette2-160.tgz: both splits draw on ILSVRC2012's train and val; a csv lies beside them."""
    root = home / "imagenette2-160"
    for split, classes in (("train", train), ("val", val)):
        for wnid, inside in classes.items():
            (root / split / wnid).mkdir(parents=True)
            for stem, data in inside.items():
                (root / split / wnid / f"{stem}.JPEG").write_bytes(data)
    (root / "noisy_imagenette.csv").write_text("path,noisy_labels_0,is_valid\ntrain/n01440764/a.JPEG,n01440764,False\n")
    return pack(home / "imagenette2-160.tgz", root)


def hub_archive(path: Path, images: Mapping[str, bytes], labels: Mapping[str, str]) -> Path:
    """train_images_0.tar.gz, val_images.tar.gz: flat, each name with the wnid of its class behind it; test without."""
    with tarfile.open(path, "w:gz") as archive:
        for stem, data in images.items():
            suffix = f"_{labels[stem]}" if stem in labels else ""
            add(archive, f"{stem}{suffix}.JPEG", data)
    return path


# The factors of ImageNet-X in the order of its files.
FACTORS = (
    "multiple_objects", "background", "color", "brighter", "darker", "style", "larger", "smaller", "object_blocking",
    "person_blocking", "partial_view", "pattern", "pose", "shape", "subcategory", "texture",
)  # fmt: skip


def lines(rows: Iterable[Mapping[str, object]]) -> str:
    """Rows as JSON, one a line."""
    return "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
