"""Find the sources at the paths that a user gives, and cut them into units."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from imagenet_tools.build.named_folders import named_source
from imagenet_tools.build.survey import detect, units_in, what_is
from imagenet_tools.catalogue.releases import RELEASES
from imagenet_tools.errors import SourceError, UsageError
from imagenet_tools.storage.buckets import exists, is_remote, place_of, url_of
from imagenet_tools.storage.files import errors_named
from imagenet_tools.store.sources import Source

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from imagenet_tools.units import Detection, Reader, Unit

# A data set's name becomes part of file names and of keys.
_DATASET = re.compile(r"[a-z0-9][a-z0-9._-]*")


def find_sources(
    paths: Sequence[Path],
    readers: Mapping[str, Reader],
    *,
    dataset: str | None,
    known: Sequence[Source],
    class_names: str | None = None,
) -> list[Source]:
    """Return the sources at some paths.

    Args:
        paths: Files and folders.
        readers: The readers by form.
        dataset: Name of the data set in place of the detected ones.
        known: Sources of the index, with their names and where they are now.
        class_names: What the names of class folders mean: a published list, a file of classes, or a,b,c.

    Raises:
        SourceError: A path is missing, is not recognised, or looks like a source of the index that was moved.
        UsageError: `dataset` is no valid name.
    """
    if dataset is not None and not _DATASET.fullmatch(dataset):
        raise UsageError(f"'{dataset}' cannot name a data set: expected lower-case letters, digits, '.', '_' and '-'.")
    sources: list[Source] = []
    for given in paths:
        path = place_of(given)
        if class_names is not None and is_remote(path):
            raise UsageError(f"--class-names: it names class folders, and found the URL {url_of(path)}.")
        with errors_named(path):
            detections, ignored = (
                detect(path, readers, with_exports=dataset is not None)
                if class_names is None
                else ([named_source(path, class_names)], list[str]())
            )
        if not detections:
            raise SourceError(
                f"{url_of(path)} is not recognised: it is {what_is(path)}.\nExpected class folders called by wnids, "
                "such as n02085620/n02085620_10074.JPEG, an official archive, or a form of docs/reference/forms.md."
            )
        if not any(detection.holds for detection in detections):
            first = detections[0]
            raise SourceError(f"{path}: found {'; '.join(filter(None, (first.evidence, first.advice)))}.")
        _refuse_unnamed(path, detections, dataset)
        if dataset is not None:
            detections = [replace(detection, dataset=dataset, readings=()) for detection in detections]
        _refuse_names(path, detections)
        root, inside = (path, ".") if path.is_dir() else (path.parent, path.name)
        source = Source(
            _name(root, inside, [*known, *sources]),
            root,
            inside,
            found=tuple(detections),
            ignored=tuple(ignored),
            forms=tuple(sorted({detection.form for detection in detections})),
            dataset=", ".join(sorted({detection.dataset for detection in detections})),
            evidence="; ".join(detection.evidence for detection in detections),
        )
        if all(source.name != other.name for other in sources):
            _refuse_moved(source, known)
            sources.append(source)
    return sources


def _refuse_unnamed(path: Path, detections: Sequence[Detection], dataset: str | None) -> None:
    """Raise SourceError for a source that is no known data set, if the user names none, or a release."""
    unnamed = next((detection for detection in detections if detection.needs_dataset), None)
    if unnamed and (dataset is None or dataset in RELEASES):
        example = f"such as --dataset {unnamed.dataset}" if unnamed.dataset not in RELEASES else "a new one"
        said = f"--dataset {dataset} cannot be checked" if dataset else "nothing says which data set this is"
        raise SourceError(f"{path}: found {unnamed.evidence}; {said}. Name it: --dataset NAME, {example}.")


def _refuse_names(path: Path, detections: Sequence[Detection]) -> None:
    """Raise SourceError if a source, such as somebody's shards, names its data set as no file can be called."""
    for detection in detections:
        if detection.holds and not _DATASET.fullmatch(detection.dataset):
            raise SourceError(
                f"{url_of(path)}: its files call their data set {detection.dataset!r}; expected lower-case letters, "
                "digits, '.', '_' and '-'. Name it: --dataset NAME."
            )


def _refuse_moved(source: Source, known: Sequence[Source]) -> None:
    """Raise SourceError for a source that seems to be a moved one of the index: it would be indexed twice."""
    if any(source.name == other.name for other in known):
        return
    for other in known:
        same = (other.place.name, other.forms, other.dataset) == (source.place.name, source.forms, source.dataset)
        if same and not exists(other.place):
            raise SourceError(
                f"{url_of(source.place)}: the index has a source {other.name} of the same kind at "
                f"{url_of(other.place)}, which no longer exists. If it was moved here, run: imagenet-tools relocate "
                f"{other.name}={url_of(source.root)}. If this is another source, rename it."
            )


def _name(root: Path, inside: str, others: Sequence[Source]) -> str:
    """Return the name of a source: that of its file or folder, with a number if another source has that name."""
    wanted = (root / inside).name or "root"
    places = {other.name: (other.root, other.path) for other in others}
    name, n = wanted, 1
    while places.get(name, (root, inside)) != (root, inside):
        n += 1
        name = f"{wanted}-{n}"
    return name


def units_of(source: Source, readers: Mapping[str, Reader]) -> Iterator[Unit]:
    """Yield the units of a source, in the order of the index."""
    for detection in source.found:
        if detection.holds:
            for unit in units_in(detection, source.name, source.root, readers):
                yield unit._replace(superclasses=detection.superclasses)
