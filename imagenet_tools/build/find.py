"""Find the sources below the paths that a user gives, and cut them into units."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from imagenet_tools.build.survey import detect, what_is
from imagenet_tools.errors import SourceError, UsageError
from imagenet_tools.store.sources import Source

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from imagenet_tools.units import Reader, Unit

# A data set's name becomes part of file names and of keys.
_DATASET = re.compile(r"[a-z0-9][a-z0-9._-]*")

_FORMS = (
    "Expected one of: class folders (<split>/<wnid>/*.JPEG), a folder or a tar of class tars (nXXXXXXXX.tar), the flat "
    "tar or folder of val or test, a zip of stored images, Parquet, WebDataset or TFRecord shards, a devkit, box XML "
    "(folder or .tar.gz), LOC_*_solution.csv. The README lists every form."
)


def find_sources(
    paths: Sequence[Path], readers: Mapping[str, Reader], *, dataset: str | None, known: Sequence[Source]
) -> list[Source]:
    """What lies at each path. SourceError: a path that is not there, or in which nothing is recognised."""
    if dataset is not None and not _DATASET.fullmatch(dataset):
        message = f"'{dataset}' cannot name a data set: expected lower-case letters, digits, '.', '_' and '-'."
        raise UsageError(message)
    sources: list[Source] = []
    for given in paths:
        path = Path(os.path.abspath(given))  # noqa: PTH100 - resolve() would follow links out of the user's tree
        found, ignored = detect(path, readers, with_exports=dataset is not None)
        if not found:
            raise SourceError(_nothing(path))
        if not any(one.holds for one in found):
            raise SourceError(f"{path}: found {'; '.join(filter(None, (found[0].evidence, found[0].advice)))}.")
        if dataset is not None:
            found = [replace(one, dataset=dataset, readings=()) for one in found]
        root, inside = (path, ".") if path.is_dir() else (path.parent, path.name)
        source = Source(
            _name(path, root, inside, [*known, *sources]),
            root,
            inside,
            tuple(found),
            tuple(ignored),
            tuple(sorted({one.form for one in found})),
            ", ".join(sorted({one.dataset for one in found})),
            "; ".join(one.evidence for one in found),
        )
        if all(source.name != other.name for other in sources):
            _refuse_moved(source, known)
            sources.append(source)
    return sources


def _refuse_moved(source: Source, known: Sequence[Source]) -> None:
    """Raise SourceError where a source is one of the index, it seems, that has moved: it would be indexed twice."""
    if any(source.name == other.name for other in known):
        return
    for other in known:
        same = (other.place.name, other.forms, other.dataset) == (source.place.name, source.forms, source.dataset)
        if same and not other.place.exists():
            message = (
                f"{source.place}: the index has a source {other.name} of the same kind at {other.place}, where nothing "
                f"is any more. If that has moved here, say so: imagenet-tools relocate {other.name}={source.root}. If "
                "this is another one, rename it."
            )
            raise SourceError(message)


def _nothing(path: Path) -> str:
    return f"{path} is not recognised: it is {what_is(path)}. {_FORMS}"


def _name(path: Path, root: Path, inside: str, others: Sequence[Source]) -> str:
    """The name of a source: its own, with a number where another source has it already."""
    wanted = path.name or "root"
    for name in (wanted, *(f"{wanted}-{n}" for n in range(2, len(others) + 3))):
        same = next((other for other in others if other.name == name), None)
        if same is None or (same.root, same.path) == (root, inside):
            return name
    raise AssertionError(wanted)


def units_of(source: Source, readers: Mapping[str, Reader]) -> Iterator[Unit]:
    """The units of a source, in the order of the index."""
    for found in source.found:
        if found.holds:
            yield from readers[found.form].units(found, source.name, source.root)
