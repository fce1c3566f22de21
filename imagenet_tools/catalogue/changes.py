"""Why releases and class lists lack classes that others have, as far as their publishers say.

Sources: image-net.org (winter 2021 and its persons), the scripts of Alibaba-MIIL/ImageNet21K (21K-P), the card of
rwightman/imagenet-12k, issues 18 of google-research/big_transfer and 27 of microsoft/FocalNet (classes without images),
and Russakovsky and others, "ImageNet Large Scale Visual Recognition Challenge", 2015 (dogs).
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.catalogue import lists
from imagenet_tools.catalogue.releases import DOG, RELEASES, persons
from imagenet_tools.text import count_of, first_of
from imagenet_tools.wordnet import hierarchy, wordnet

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

WINTER21 = "winter21"

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
    if name == "ilsvrc2010" and (dogs := rest.intersection(hierarchy.descendants(DOG))):
        replaced = "in 2012, breeds of dogs took the place of 90 other classes"
        yield f"{name} lacks {count_of(len(dogs), 'class')} of dogs: {replaced}."


def _named(wnids: Collection[str]) -> str:
    return first_of([f"{wnid} ({wordnet.synset(wnid).name})" for wnid in sorted(wnids)], _MAX_NAMED)
