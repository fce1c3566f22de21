"""Shards of Parquet, WebDataset and TFRecord: found by name, grouped by data set and split, identified by first images.

Each format parses the names of its shards, reads their first images and describes a data set: see ShardForm. This
module does the rest: the split, the data set, the meaning of class numbers, the shards that are missing, and the units.

Names of shards are hints. Official names of images (ILSVRC2012_val_00000001) decide the split where all images of a
group have one. The classes of the images, and the numbers beside them, decide the data set.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from imagenet_tools.catalogue import labels
from imagenet_tools.catalogue.releases import RESPLIT, release_of
from imagenet_tools.formats._shared.contract import unit_at
from imagenet_tools.images.detection import dataset_name
from imagenet_tools.images.numbering import Reading, numbers_of, read_numbers
from imagenet_tools.text import count_of, joined
from imagenet_tools.units import Detection, Labelling, Unit
from imagenet_tools.wordnet.wnid import keeps_imagenet_name, official_split, wnid_of_stem
from imagenet_tools.wordnet.wordnet import find_row

T = TypeVar("T")

_LOOKED_AT_SHARDS = 16
_SPLITS = ("train", "val", "test", None)

_ADVICE = (
    "an image without its name is no known photograph: no box, no other release and no official split can be joined "
    "with it, and the meaning of its class number cannot be checked. Index a release that keeps the names, "
    "such as image-net.org's archives, ILSVRC/imagenet-1k or timm/imagenet-1k-wds"
)


class ShardName(NamedTuple):
    """Facts from the path of a shard."""

    home: Path  # the folder that all splits of the data set share
    dataset: str  # the name of the data set; "" if the path has none
    group: str  # equal for the shards of one split only
    split: str | None
    of: int = 0  # the number of shards in the group; 0 if the name does not say it


class FirstImage(NamedTuple, Generic[T]):
    """Facts about one of the first images of a shard."""

    name: str  # as the shard spells it
    stem: str  # as ImageNet spells it; "" if nothing gives it such a name
    wnid: str | None  # the class that the name gives
    numbers: Sequence[int]  # class numbers beside the image
    facts: T  # what only the format knows
    exported: str | None = None  # the data set, if an export of this project wrote the image

    @property
    def is_imagenets(self) -> bool:
        """Return True if it has a name of ImageNet's, of a class that exists, or if an export wrote it."""
        wnid = wnid_of_stem(self.stem)
        named = keeps_imagenet_name(self.stem) and (wnid is None or find_row(wnid) is not None)
        return self.exported is not None or named


def missing_shards(n: int, of: int, split: str) -> str:
    """Return how many shards of a split are missing, "2 of 4 shards of train"; "" if none is."""
    return f"{n:,} of {of:,} shards of {split}" if n > 0 else ""


def class_of_stem(stem: str) -> str | None:
    """Return the class that a stem names, or the official label of a validation image."""
    return wnid_of_stem(stem) or labels.validation_wnid(stem)


class ShardGroup(NamedTuple, Generic[T]):
    """The shards of one data set and split, and their first images that have names of ImageNet's."""

    home: Path
    dataset: str
    split: str | None
    shards: list[Path]
    of: int
    images: list[FirstImage[T]]


class ShardSet(Generic[T]):
    """The shard groups of one data set; each holds an image with a name of ImageNet's.

    Attributes:
        home: The folder that all splits share.
        name: The name of the data set by the names of its shards or folders; "" if they have none.
        groups: The groups by split.
        alone: Whether no other data set is at the path.
    """

    def __init__(self, title: str, groups: Sequence[ShardGroup[T]], *, alone: bool):
        self.title = title
        self.groups = groups
        self.alone = alone
        self.home, self.name = groups[0][:2]
        self.images = [image for group in groups for image in group.images]
        self.wnids = {image.wnid for image in self.images if image.wnid}
        self.exported = {image.exported for image in self.images if image.exported}
        self.reading = read_numbers(
            (image.wnid, number) for image in self.images if image.wnid for number in image.numbers if number >= 0
        )

    def dataset(self, name: str) -> tuple[str, tuple[str, ...]]:
        """Return (the data set, what else it may be) by the images and by a name of the shards or their folder."""
        return dataset_of_images((image.stem for image in self.images), self.wnids, name=name, reading=self.reading)

    def labelling(self, space: str) -> Labelling:
        """Return what gives the classes: numbers whose meaning is known, else names of images in `space`."""
        return self.reading.labelling or Labelling("the images' names", space)

    def evidence(self, *parts: str) -> str:
        """Return the number of shards, the first image, and the parts that are not empty."""
        count = count_of(sum(len(group.shards) for group in self.groups), f"{self.title} shard")
        return joined((f"{count}, the first image {self.images[0].name}", *parts))

    @cached_property
    def splits(self) -> tuple[str, ...]:
        """The splits of the groups, each once."""
        return tuple(dict.fromkeys(group.split for group in self.groups if group.split))

    @cached_property
    def missing(self) -> str:
        """The shards that are not there, by the numbers in the names of the others."""
        return joined(
            missing_shards(group.of - len(group.shards), group.of, group.split or "the data set")
            for group in self.groups
        )


class ShardForm(NamedTuple, Generic[T]):
    """A form of shards, by the functions in which its module differs from others."""

    form: str  # the name of the module
    title: str
    files: Callable[[Path], Iterable[Path]]  # returns the candidates at a path, sorted
    parse: Callable[[Path], ShardName]
    look: Callable[[Sequence[Path]], list[FirstImage[T]]]  # returns the first images of some shards of one group
    describe: Callable[[Path, ShardSet[T]], Detection]  # returns the detection of one data set at a path

    def groups(self, path: Path) -> list[ShardGroup[T]]:
        """Return the shards at a path by data set and split: training, validation, test, unknown.

        Files without images are left out.
        """
        by_name: dict[tuple[Path, str, str], list[tuple[Path, ShardName]]] = {}
        for file in self.files(path):
            name = self.parse(file)
            by_name.setdefault(name[:3], []).append((file, name))
        groups: list[ShardGroup[T]] = []
        for (home, dataset, _), members in by_name.items():
            shards = [file for file, _ in members]
            if images := self.look(shards):
                images = [image for image in images if image.is_imagenets]
                split = split_of_images((image.stem for image in images), members[0][1].split)
                groups.append(ShardGroup(home, dataset, split, shards, max(name.of for _, name in members), images))
        return sorted(groups, key=lambda group: (group.home, group.dataset, _SPLITS.index(group.split)))

    def detect(self, path: Path) -> list[Detection]:
        """Return the data sets of shards at a path, one detection each, by the names of their first images."""
        groups = self.groups(path)
        data_sets: dict[tuple[Path, str], list[ShardGroup[T]]] = {}
        for group in groups:
            if group.images:
                data_sets.setdefault(group[:2], []).append(group)
        if groups and not data_sets:
            return self._detect_nameless(path, groups)
        alone = len(data_sets) == 1
        return [self.describe(path, ShardSet(self.title, of_set, alone=alone)) for of_set in data_sets.values()]

    def _detect_nameless(self, path: Path, groups: Sequence[ShardGroup[T]]) -> list[Detection]:
        """Return a detection that holds nothing, for shards called ImageNet's whose images have no names of ImageNet's.

        Shards with any other name, in a folder with any other name, are nothing of ImageNet's.
        """
        folder = path.absolute().parent if path.name == "data" else path
        name = groups[0].dataset
        if "imagenet" not in f"{folder.name} {name}".lower():
            return []
        count = count_of(sum(len(group.shards) for group in groups), f"{self.title} shard")
        evidence = f"{count} whose images have none of ImageNet's names"
        return [Detection(self.form, path, dataset_name(name or folder.name), (), evidence, advice=_ADVICE)]

    def units(self, detection: Detection, source: str, root: Path, *, nameless: bool = False) -> Iterator[Unit]:
        """Yield one unit for each shard, by split and number; its class numbers mean what the detection says.

        With `nameless`, also for the shards of a split in which no image has a name of ImageNet's.
        """
        numbers = numbers_of(detection.labels)
        for group in self.groups(detection.path):
            for shard in group.shards if group.images or nameless else ():
                yield unit_at(detection, source, root, shard, split=group.split, numbers=numbers)


def spread(shards: Sequence[T], n: int = _LOOKED_AT_SHARDS) -> Sequence[T]:
    """Return n shards, evenly from the first to the last: unshuffled shards hold one or two classes each."""
    return [shards[k * (len(shards) - 1) // (n - 1)] for k in range(n)] if len(shards) > n else shards


def split_of_images(stems: Iterable[str], named: str | None) -> str | None:
    """Return the split of the official names, if all are official and of one split; else `named`, the shards' own."""
    splits = {official[1] if (official := official_split(stem)) else "" for stem in stems}
    return (splits.pop() if len(splits) == 1 else "") or named


def dataset_of_images(
    stems: Iterable[str], wnids: Collection[str], *, name: str, reading: Reading
) -> tuple[str, tuple[str, ...]]:
    """Return (the data set, what else it may be) by official names, classes, class numbers and a name."""
    verdict = release_of(wnids, name=name)
    official = next(filter(None, map(official_split, stems)), None)
    if official and not verdict.dataset.startswith(tuple(RESPLIT)):  # those are made of official images
        return f"ilsvrc{official[0]}", ()
    decided = reading.labelling is not None and reading.labelling.space == verdict.dataset
    return verdict.dataset, () if decided else verdict.readings
