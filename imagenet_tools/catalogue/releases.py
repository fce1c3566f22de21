"""The releases of ImageNet: what was published of each, and which of them a set of classes speaks for.

Counts: of ILSVRC2010 and ILSVRC2012 their devkits' readme files; of the detection task that of ILSVRC2015's (its test
images grew from 40,152 in that year); of Stanford Dogs its web page; of fall 2011, winter 2021 and ImageNet-21K-P
image-net.org and the papers and scripts of Alibaba-MIIL/ImageNet21K.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.catalogue import labels
from imagenet_tools.wordnet import hierarchy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Release(NamedTuple):
    """What was published of a release; a split is None where the release has no splits."""

    title: str
    classes: int
    images: Mapping[str | None, int]


RELEASES: Mapping[str, Release] = {
    "ilsvrc2010": Release("ILSVRC2010", 1_000, {"train": 1_261_406, "val": 50_000, "test": 150_000}),
    "ilsvrc2012": Release("ILSVRC2012", 1_000, {"train": 1_281_167, "val": 50_000, "test": 100_000}),
    "fall11": Release("ImageNet, fall 2011", 21_841, {None: 14_197_122}),
    "winter21": Release("ImageNet, winter 2021", 19_167, {}),
    "imagenet21k": Release("the whole ImageNet, release not told", 21_841, {}),
    **{
        f"imagenette2{size}": Release(f"Imagenette{size}", 10, {"train": 9_469, "val": 3_925})
        for size in ("", "-160", "-320")
    },
    "ilsvrc-det": Release("ILSVRC's detection task", 200, {"train": 456_567, "val": 20_121, "test": 51_294}),
    "stanford-dogs": Release("Stanford Dogs", 120, {"train": 12_000, "test": 8_580}),
    "imagenet21k-p-fall11": Release("ImageNet-21K-P of fall 2011", 11_221, {"train": 11_797_632, "val": 561_052}),
    "imagenet21k-p-winter21": Release("ImageNet-21K-P of winter 2021", 10_450, {"train": 11_060_223, "val": 522_500}),
}

# The ten classes of Imagenette, whose releases of three sizes are told by their names.
_IMAGENETTE = frozenset(
    {"n01440764", "n02102040", "n02979186", "n03000684", "n03028079",
     "n03394916", "n03417042", "n03425413", "n03445777", "n03888257"}
)  # fmt: skip
_IMAGENETTE_NAME = re.compile(r"imagenette2?(?:-(?:160|320))?")

_PERSON = "n00007846"
# Winter 2021 is fall 2011 without 2,674 of the 2,833 synsets of persons; no list of the 159 that stayed is public.
_PERSONS_KEPT = 159
# ImageNet-21K-P of winter 2021 has 105 of them.
_PERSONS_KEPT_P = 105


# Stanford Dogs has the breeds of ILSVRC2012 but the dalmatian, and three wild dogs of it.
_DOG = "n02084071"
_DALMATIAN = "n02110341"
_WILD_DOGS = frozenset({"n02115641", "n02115913", "n02116738"})

# Sets of ILSVRC2012's classes that are called by these words; their names as data sets.
_OTHER_SETS = {
    r"tiny-?imagenet": "tiny-imagenet-200",
    r"mini-?imagenet": "mini-imagenet",
    r"imagenet-?r(?:endition)?": "imagenet-r",
    r"imagenet-?a": "imagenet-a",
    r"imagenet-?o": "imagenet-o",
    r"imagenet-?sketch": "imagenet-sketch",
    r"imagenet-?v2": "imagenetv2",
    r"objectnet": "objectnet",
}
_V2 = re.compile(r"matched-frequency|threshold-?0\.7|top-?images")


class Verdict(NamedTuple):
    """The data set that a set of classes is taken for, why, and what else it may be."""

    dataset: str
    why: str
    others: tuple[str, ...] = ()
    own: bool = False  # whether the names of the images are none of ImageNet's, so that any set may have given them

    @property
    def readings(self) -> tuple[str, ...]:
        """The other readings in words, each with the option that decides."""
        if self.own:
            return ("another set of ILSVRC2012's classes, whose own images never have such names (--dataset NAME)",)
        return tuple(f"{title(one)} (--dataset {one})" for one in self.others)


def release_of(wnids: Iterable[str], *, name: str = "") -> Verdict:
    """The release that a set of classes speaks for; where it cannot tell, the name of the archive or folder does.

    Classes that are all among ILSVRC2012's 1,000 are ilsvrc2012, unless the name says another release.
    """
    found = frozenset(wnids)
    said = next((one for one in ("fall11", "winter21") if one in name.casefold()), None)
    if found <= _IMAGENETTE and (named := _IMAGENETTE_NAME.search(name.casefold())):
        return Verdict(named[0], f"{len(found)} of Imagenette's ten classes, and its name", ("ilsvrc2012",))
    thousand = found <= _thousand()
    if thousand and said is None:
        why = f"all among the 1,000 classes of {title('ilsvrc2012')}"
        told = len(found) == 1_000 or "ilsvrc2012" in name.casefold()
        return Verdict("ilsvrc2012", why, () if told else ("fall11", "winter21"))
    if not thousand and found <= _fall11():
        persons = len(found & _persons())
        if persons > _PERSONS_KEPT:
            return Verdict("fall11", f"{persons:,} classes of persons, and winter 2021 has {_PERSONS_KEPT} at most")
        if len(found) == RELEASES["winter21"].classes or found >= _fall11() - _persons(instances=True):
            why = f"every class of fall 2011 but {len(_fall11()) - len(found):,}, all of persons"
            return Verdict("winter21", why)
    if said is not None:
        rest = {"fall11": "winter21", "winter21": "fall11"}[said]
        why = f"its name says {said}, and nothing else does"
        return Verdict(said, why, (rest, "ilsvrc2012") if thousand else (rest,))
    return Verdict("imagenet21k", "classes beyond the 1,000, too few to tell the release", ("fall11", "winter21"))


def other_set(name: str) -> str | None:
    """Return the set of ILSVRC2012's classes that a folder or an archive is called after; None where it is none known.

    Example:
        >>> other_set("imagenetv2-top-images-format-val")
        'imagenetv2-top-images'
    """
    words = re.sub(r"[_ ]", "-", name.casefold())
    if words == "sketch":  # as ImageNet-Sketch unpacks
        return "imagenet-sketch"
    for pattern, dataset in _OTHER_SETS.items():
        if re.search(rf"(?<![a-z0-9])(?:{pattern})(?![a-z])", words):
            variant = _V2.search(words) if dataset == "imagenetv2" else None
            return f"{dataset}-{variant[0]}" if variant else dataset
    return None


def are_stanford_dogs(folders: Iterable[str]) -> bool:
    """Return True if folders are called as Stanford Dogs calls them, n02085620-Chihuahua, and all are of its breeds."""
    names = list(folders)
    return bool(names) and all(name[9:] and name[:9] in _breeds() for name in names)


def release_of_21k_p(wnids: Iterable[str], *, name: str = "") -> Verdict:
    """The release of ImageNet-21K-P that a set of classes speaks for: the one published whole is winter 2021's."""
    fall11, winter21 = "imagenet21k-p-fall11", "imagenet21k-p-winter21"
    found = frozenset(wnids)
    persons = len(found & _persons())
    if persons > _PERSONS_KEPT_P:
        return Verdict(fall11, f"{persons:,} classes of persons, and winter 2021's has {_PERSONS_KEPT_P}")
    if len(found) == RELEASES[winter21].classes:
        return Verdict(winter21, f"{len(found):,} classes")
    if "fall11" in name.casefold():
        return Verdict(fall11, "its name says fall11, and nothing else does", (winter21,))
    return Verdict(winter21, "the one that image-net.org has", (fall11,))


def published(dataset: str, split: str | None) -> int | None:
    """How many images were published of a split of a release; None where that is not known."""
    release = RELEASES.get(dataset)
    return release.images.get(split) if release else None


def title(dataset: str) -> str:
    """The name of a data set as people write it; its own name where it is no release that is known here."""
    return RELEASES[dataset].title if dataset in RELEASES else dataset


@functools.cache
def _thousand() -> frozenset[str]:
    return frozenset(labels.ilsvrc2012_sorted())


@functools.cache
def _breeds() -> frozenset[str]:
    return (_thousand() & frozenset(hierarchy.descendants(_DOG)) | _WILD_DOGS) - {_DALMATIAN}


@functools.cache
def _fall11() -> frozenset[str]:
    return frozenset(labels.fall11())


@functools.cache
def _persons(*, instances: bool = False) -> frozenset[str]:
    # Three more of fall 2011's classes are persons as instances alone; the published counts leave them out.
    return frozenset(hierarchy.descendants(_PERSON, instances=instances))
