"""The releases of ImageNet: what was published of each, which one classes belong to, and why it lacks classes.

Sources of the counts: the devkits' readme files of ILSVRC2010 and ILSVRC2012, and the web page of Stanford Dogs. The
readme of ILSVRC2015 has those of the detection task, whose test images grew from 40,152 in that year. Fall 2011, winter
2021 and ImageNet-21K-P: image-net.org, and the papers and scripts of Alibaba-MIIL/ImageNet21K. Sources of the reasons:
these; the card of rwightman/imagenet-12k; issues 18 of google-research/big_transfer and 27 of microsoft/FocalNet
(classes without images); and Russakovsky and others, "ImageNet Large Scale Visual Recognition Challenge", 2015 (dogs).
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.catalogue import labels, lists
from imagenet_tools.text import count_of, first_of
from imagenet_tools.wordnet import hierarchy, wordnet

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping


class Release(NamedTuple):
    """A release: its title, its number of classes, and its images by split (None: the release has no splits)."""

    title: str
    classes: int
    images: Mapping[str | None, int]


RELEASES: Mapping[str, Release] = {
    "ilsvrc2010": Release("ILSVRC2010", 1_000, {"train": 1_261_406, "val": 50_000, "test": 150_000}),
    "ilsvrc2012": Release("ILSVRC2012", 1_000, {"train": 1_281_167, "val": 50_000, "test": 100_000}),
    "fall11": Release("ImageNet, fall 2011", 21_841, {None: 14_197_122}),
    "winter21": Release("ImageNet, winter 2021", 19_167, {}),
    "imagenet21k": Release("the whole ImageNet, release not known", 21_841, {}),
    **{
        f"imagenette2{size}": Release(f"Imagenette{size}", 10, {"train": 9_469, "val": 3_925})
        for size in ("", "-160", "-320")
    },
    "ilsvrc-det": Release("ILSVRC's detection task", 200, {"train": 456_567, "val": 20_121, "test": 51_294}),
    "stanford-dogs": Release("Stanford Dogs", 120, {"train": 12_000, "test": 8_580}),
    "imagenet21k-p-fall11": Release("ImageNet-21K-P of fall 2011", 11_221, {"train": 11_797_632, "val": 561_052}),
    "imagenet21k-p-winter21": Release("ImageNet-21K-P of winter 2021", 10_450, {"train": 11_060_223, "val": 522_500}),
}

# Sets whose publishers split all images of some classes of ILSVRC2012 into train and val again: their titles, the lists
# of their classes, and their number. The name tells which of its three sizes an archive is.
RESPLIT = {
    "imagenette": ("Imagenette", ("imagenette",), 10),
    "imagewoof": ("Imagewoof", ("imagewoof",), 10),
    "imagewang": ("Imagewang", ("imagenette", "imagewoof"), 20),
}
_RESPLIT_NAME = re.compile(rf"({'|'.join(RESPLIT)})2?(?:-(?:160|320))?")

WINTER21 = "winter21"
_PERSON = "n00007846"
# Winter 2021 is fall 2011 without 2,674 of the 2,833 synsets of persons; no list of the 159 kept ones is public.
_MAX_PERSONS_WINTER21 = 159
_MAX_PERSONS_WINTER21_P = 105  # in ImageNet-21K-P

# Stanford Dogs has the breeds of ILSVRC2012 without the dalmatian, and three wild dogs.
_DOG = "n02084071"
_DALMATIAN = "n02110341"
_WILD_DOGS = frozenset({"n02115641", "n02115913", "n02116738"})

# Other data sets over ILSVRC2012's classes: a pattern of their folders' names, and their names as data sets.
_OTHER_SETS = {
    r"tiny-?imagenet": "tiny-imagenet-200",
    r"mini-?imagenet": "mini-imagenet",
    r"imagenet-?r(?:endition)?": "imagenet-r",
    r"imagenet-?a": "imagenet-a",
    r"imagenet-?o": "imagenet-o",
    r"imagenet-?sketch": "imagenet-sketch",
    r"imagenet-?v2": "imagenetv2",
    r"objectnet": "objectnet",
    r"imagenet-?d": "imagenet-d",
    r"ninco": "ninco",
}
_OTHER_CLASSES = {
    "tiny-imagenet-200": 200,
    "imagenet-r": 200,
    "imagenet-a": 200,
    "imagenet-o": 200,
    "imagenet-sketch": 1_000,
}
_V2 = {  # the three sets, with their spellings
    "matched-frequency": "matched-?frequency",
    "threshold-0.7": r"threshold-?0\.7",
    "top-images": "top-?images",
}


class Verdict(NamedTuple):
    """The data set that a set of classes belongs to, why, and which others are possible."""

    dataset: str
    why: str
    others: tuple[str, ...] = ()
    own: bool = False  # the images have names that ImageNet never gives

    @property
    def readings(self) -> tuple[str, ...]:
        """The other possible data sets in words, each with the option that selects it."""
        return tuple(f"{title(other)} (--dataset {other})" for other in self.others)


def release_of(wnids: Iterable[str], *, name: str = "") -> Verdict:
    """Return the release that a set of classes belongs to; if the classes do not decide, the name does.

    Classes that are all among ILSVRC2012's 1,000 are ilsvrc2012, unless the name says another release.

    Args:
        wnids: The classes.
        name: The name of the archive or folder.

    Example:
        >>> release_of(["n02123045"], name="ILSVRC2012_img_train.tar").dataset
        'ilsvrc2012'
    """
    classes, name = frozenset(wnids), name.casefold()
    named = next((release for release in ("fall11", "winter21") if release in name), None)
    if match := _RESPLIT_NAME.search(name):
        full_title, of_lists, n_classes = RESPLIT[match[1]]
        if classes <= {wnid for listed in of_lists for wnid in lists.get(listed).wnids}:
            why = f"{len(classes)} of {full_title}'s {n_classes} classes, and its name"
            return Verdict(match[0], why, ("ilsvrc2012",))
    in_ilsvrc2012 = classes <= _ilsvrc2012()
    if in_ilsvrc2012 and named is None:
        why = f"all among the 1,000 classes of {title('ilsvrc2012')}"
        is_certain = len(classes) == 1_000 or "ilsvrc2012" in name
        return Verdict("ilsvrc2012", why, () if is_certain else ("fall11", "winter21"))
    # Fewer classes decide nothing, and the persons of WordNet take 20 ms to find.
    if not in_ilsvrc2012 and len(classes) > _MAX_PERSONS_WINTER21 and classes <= _fall11():
        n_persons = len(classes & persons())
        if n_persons > _MAX_PERSONS_WINTER21:
            why = f"{count_of(n_persons, 'class')} of persons, and winter 2021 has {_MAX_PERSONS_WINTER21} at most"
            return Verdict("fall11", why)
        if len(classes) == RELEASES["winter21"].classes or classes >= _fall11() - persons(instances=True):
            why = f"every class of fall 2011 but {len(_fall11()) - len(classes):,}, all of persons"
            return Verdict("winter21", why)
    if named is not None:
        other = "winter21" if named == "fall11" else "fall11"
        others = (other, "ilsvrc2012") if in_ilsvrc2012 else (other,)
        return Verdict(named, f"its name says {named}, and nothing else does", others)
    return Verdict("imagenet21k", "classes beyond the 1,000, too few to tell the release", ("fall11", "winter21"))


def other_set(name: str) -> str | None:
    """Return the data set over ILSVRC2012's classes that a folder or archive is named after; None for another name.

    Example:
        >>> other_set("imagenetv2-top-images-format-val")
        'imagenetv2-top-images'
    """
    words = re.sub(r"[_ ]", "-", name.casefold())
    if words == "sketch":  # as ImageNet-Sketch unpacks
        return "imagenet-sketch"
    for pattern, dataset in _OTHER_SETS.items():
        if re.search(rf"(?<![a-z0-9])(?:{pattern})(?![a-z])", words):
            variants = (name for name, spelling in _V2.items() if re.search(spelling, words))
            variant = next(variants, "") if dataset == "imagenetv2" else ""
            return f"{dataset}-{variant}" if variant else dataset
    return None


def are_stanford_dogs(folders: Iterable[str]) -> bool:
    """Return True if folders have the names of Stanford Dogs, n02085620-Chihuahua, and all are of its breeds."""
    names = list(folders)
    return bool(names) and all(name[9:] and name[:9] in _breeds() for name in names)


def release_of_21k_p(wnids: Iterable[str], *, name: str = "") -> Verdict:
    """Return the release of ImageNet-21K-P that classes belong to: winter 2021, which image-net.org has, by default."""
    fall11, winter21 = "imagenet21k-p-fall11", "imagenet21k-p-winter21"
    classes = frozenset(wnids)
    n_persons = len(classes & persons())
    if n_persons > _MAX_PERSONS_WINTER21_P:
        return Verdict(
            fall11, f"{count_of(n_persons, 'class')} of persons, and winter 2021's has {_MAX_PERSONS_WINTER21_P}"
        )
    if len(classes) == RELEASES[winter21].classes:
        return Verdict(winter21, count_of(len(classes), "class"))
    if "fall11" in name.casefold():
        return Verdict(fall11, "its name says fall11, and nothing else does", (winter21,))
    return Verdict(winter21, "the one that image-net.org has", (fall11,))


def published(dataset: str, split: str | None) -> int | None:
    """Return the number of images published in a split of a release; None if it is not known."""
    release = RELEASES.get(dataset)
    return release.images.get(split) if release else None


def published_classes(dataset: str) -> int:
    """Return the number of classes of a release, or of another set of ILSVRC2012's classes; 0 if it is not known."""
    match = _RESPLIT_NAME.fullmatch(dataset)
    if match and match[1] != "imagewang":  # its val has 10 of the 20
        return RESPLIT[match[1]][2]
    if dataset in _OTHER_CLASSES:
        return _OTHER_CLASSES[dataset]
    # The classes of "imagenet21k" are those of an unknown release.
    return RELEASES[dataset].classes if dataset in RELEASES and dataset != "imagenet21k" else 0


def title(dataset: str) -> str:
    """Return the title of a release; for another data set its name."""
    return RELEASES[dataset].title if dataset in RELEASES else dataset


@functools.cache
def _ilsvrc2012() -> frozenset[str]:
    return frozenset(labels.ilsvrc2012_sorted())


@functools.cache
def _fall11() -> frozenset[str]:
    return frozenset(labels.fall11())


@functools.cache
def _breeds() -> frozenset[str]:
    return (_ilsvrc2012() & frozenset(hierarchy.descendants(_DOG)) | _WILD_DOGS) - {_DALMATIAN}


@functools.cache
def persons(*, instances: bool = False) -> frozenset[str]:
    """Return the synsets at or below person."""
    # Three more of fall 2011's classes are persons by instance edges alone; the published counts leave them out.
    return frozenset(hierarchy.descendants(_PERSON, instances=instances))


# ---- why a release or a class list lacks classes, as far as its publisher says

_MAX_NAMED = 10
# Classes of other lists that are synsets without images in the archive of fall 2011.
_WITHOUT_IMAGES = ("n03931044", "n04399382", "n09859684")
_OF_FALL11 = ("fall11", WINTER21, "imagenet12k", "imagenet21k-p", "imagenet21k-p-winter21")
_OF_WINTER21 = (WINTER21, "imagenet21k-p-winter21")
_FEWEST_IMAGES = {
    "imagenet12k": "the classes of fall 2011 with 440 images or more",
    "imagenet21k-p": "the classes of fall 2011 with more than 500 images",
    "imagenet21k-p-winter21": "the classes of winter 2021 with more than 500 images",
}
# The names of releases whose class lists have other names.
_LISTS_OF_RELEASES = {"imagenet21k-p-fall11": "imagenet21k-p", "ilsvrc-det": "ilsvrc-det200"}


class Winter21(NamedTuple):
    """The classes of winter 2021 as far as they are known; no list of them is public.

    Attributes:
        has: Classes that it has: those of fall 2011 that are no persons, and the persons of ImageNet-21K-P.
        perhaps: Persons of fall 2011 that ImageNet-21K-P does not tell about: winter 2021 has `n_of_these`.
        n_of_these: 19,167 less the classes that it has.
    """

    has: tuple[str, ...]
    perhaps: frozenset[str]
    n_of_these: int


@functools.cache
def winter21() -> Winter21:
    """Return what is known about the classes of winter 2021.

    Example:
        >>> known = winter21()
        >>> len(known.has), len(known.perhaps), known.n_of_these
        (19110, 1960, 57)
    """
    of_persons = persons(instances=True)
    listed = frozenset(lists.get("imagenet21k-p").wnids)
    kept = frozenset(lists.get("imagenet21k-p-winter21").wnids)
    fall11 = lists.get("fall11").wnids
    has = tuple(wnid for wnid in fall11 if wnid not in of_persons or wnid in kept)
    perhaps = of_persons.intersection(fall11) - listed
    return Winter21(has, perhaps, RELEASES[WINTER21].classes - len(has))


def list_of(name: str) -> str:
    """Return the name of the class list of a release; any other name as it is."""
    return _LISTS_OF_RELEASES.get(name, name)


def images_of(name: str) -> Mapping[str | None, int]:
    """Return the number of images of a release, or of a class list that a release has, by split; empty if not known."""
    names = [name, *(release for release, listed in _LISTS_OF_RELEASES.items() if listed == name)]
    return next((RELEASES[release].images for release in names if release in RELEASES), {})


def why_missing(name: str, wnids: Collection[str]) -> Iterator[str]:
    """Yield a sentence for each known reason why a published list or release lacks some classes.

    Args:
        name: The list or release.
        wnids: Classes that it lacks.

    Example:
        >>> next(why_missing("imagenet12k", ["n04399382"]))
        'imagenet12k lacks n04399382 (teddy.n.01): no images in fall 2011.'
    """
    rest = set(wnids)
    if name in _OF_FALL11 and (unpictured := rest.intersection(_WITHOUT_IMAGES)):
        yield f"{name} lacks {_named(unpictured)}: no images in fall 2011."
        rest -= unpictured
    if name in _OF_WINTER21 and (lost := rest & persons(instances=True)):
        why = "winter 2021 leaves out 2,674 of the 2,832 below person, as image-net.org says"
        yield f"{name} lacks {count_of(len(lost), 'class')} of persons: {why}."
        rest -= lost
    if name in _FEWEST_IMAGES and (few := rest.intersection(lists.get("fall11").wnids)):
        kept = _FEWEST_IMAGES[name]
        yield f"{name} lacks {count_of(len(few), 'class')} with too few images: it keeps {kept}."
    if name == "ilsvrc2010" and (dogs := rest.intersection(hierarchy.descendants(_DOG))):
        replaced = "in 2012, breeds of dogs took the place of 90 other classes"
        yield f"{name} lacks {count_of(len(dogs), 'class')} of dogs: {replaced}."


def _named(wnids: Collection[str]) -> str:
    return first_of([f"{wnid} ({wordnet.synset(wnid).name})" for wnid in sorted(wnids)], _MAX_NAMED)
