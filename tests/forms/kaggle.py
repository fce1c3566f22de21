"""Kaggle's imagenet-object-localization-challenge as it unpacks: ILSVRC/{Annotations,Data,ImageSets}, csv beside."""

import tarfile
from collections.abc import Mapping
from pathlib import Path

from tests.forms.annotations import tar_of, write_files

TABLES = ("LOC_synset_mapping.txt", "LOC_train_solution.csv", "LOC_val_solution.csv")


def files_of(data: Mapping[str, bytes], sample: Path) -> dict[str, bytes | str]:
    """Every file of the tree by its place, annotations first, as in the archive."""
    xml: dict[str, bytes | str] = {}
    for archive, top in (("ILSVRC2012_bbox_train_v2.tar.gz", "train/"), ("ILSVRC2012_bbox_val_v3.tgz", "")):
        with tarfile.open(sample / archive) as members:
            for member in members:
                stream = members.extractfile(member)
                if stream is not None:
                    xml[f"ILSVRC/Annotations/CLS-LOC/{top}{member.name}"] = stream.read()
    images = {f"ILSVRC/Data/CLS-LOC/{place(stem)}.JPEG": data[stem] for stem in sorted(data)}
    names = {
        split: [place(stem).removeprefix(f"{split}/") for stem in sorted(data) if place(stem).startswith(split)]
        for split in ("train", "val", "test")
    }
    boxed = [name.removeprefix("ILSVRC/Annotations/CLS-LOC/train/")[:-4] for name in xml if "/train/" in name]
    lists = {"train_cls": names["train"], "train_loc": boxed, "val": names["val"], "test": names["test"]}
    sets = {
        f"ILSVRC/ImageSets/CLS-LOC/{name}.txt": "".join(f"{one} {n}\n" for n, one in enumerate(own, 1))
        for name, own in lists.items()
    }
    return xml | images | sets


def place(stem: str) -> str:
    """The place of an image below Data/CLS-LOC, without suffix."""
    return f"train/{stem[:9]}/{stem}" if stem.startswith("n") else f"{stem.split('_')[1]}/{stem}"


def write(root: Path, data: Mapping[str, bytes], sample: Path) -> Path:
    """The whole of it: the tree, the tables, and the form to fill in."""
    tables: dict[str, bytes | str] = {name: (sample / name).read_bytes() for name in TABLES}
    tables["LOC_sample_submission.csv"] = "ImageId,PredictionString\nILSVRC2012_test_00000001,n01440764 0 0 1 1\n"
    return write_files(root, files_of(data, sample) | tables)


def write_archive(path: Path, data: Mapping[str, bytes], sample: Path) -> Path:
    """imagenet_object_localization_patched2019.tar.gz."""
    path.write_bytes(tar_of(files_of(data, sample)))
    return path
