"""What shards of the hubs tell together, whatever they are: the data set, the split, and that they have no names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

from imagenet_tools.catalogue.releases import release_of
from imagenet_tools.units import Detection
from imagenet_tools.wordnet.wnid import official_split

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from pathlib import Path

    from imagenet_tools.images.numbering import Reading

T = TypeVar("T")

_ADVICE = (
    "an image without its name is no known photograph: no box, no other release and no official split can be joined "
    "with it, and what its class number means cannot be held against anything. Index a release that keeps the names, "
    "such as image-net.org's archives, ILSVRC/imagenet-1k or timm/imagenet-1k-wds"
)


def spread(shards: Sequence[T], n: int = 16) -> Sequence[T]:
    """Some of many shards, from the first to the last: where they are not shuffled, one holds a class or two."""
    return [shards[k * (len(shards) - 1) // (n - 1)] for k in range(n)] if len(shards) > n else shards


def split_told(stems: Iterable[str], called: str | None) -> str | None:
    """The split that official names say, where all are official and of one split; else that of the shards' own name."""
    found = {named[1] if (named := official_split(stem)) else "" for stem in stems}
    return (found.pop() if len(found) == 1 else "") or called


def dataset_told(
    stems: Iterable[str], wnids: Collection[str], *, name: str, reading: Reading
) -> tuple[str, tuple[str, ...]]:
    """(the data set that official names, classes and the shards' name speak for, what else it may be)."""
    verdict = release_of(wnids, name=name)
    official = next((named for stem in stems if (named := official_split(stem))), None)
    if official and not verdict.dataset.startswith("imagenette"):  # which is made of official images
        return f"ilsvrc{official[0]}", ()
    decided = reading.numbering is not None and reading.numbering.space == verdict.dataset
    return verdict.dataset, () if decided else verdict.readings


def nameless(form: str, path: Path, called: str, what: str) -> list[Detection]:
    """The detection of shards that are called ImageNet's, by themselves or their folder; nothing of any others."""
    folder = path.absolute().parent if path.name == "data" else path
    if "imagenet" not in f"{folder.name} {called}".lower():
        return []
    return [Detection(form, path, own_name(called or folder.name), (), what, advice=_ADVICE)]


def own_name(wanted: str) -> str:
    """A name as data sets are named: lower-case letters, digits, '.', '_' and '-'."""
    return re.sub(r"[^a-z0-9._-]+", "-", wanted.lower()).lstrip("._-") or "imagenet"
