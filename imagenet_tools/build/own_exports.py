"""Exports of this program that lie among sources: how to tell one, and under which name its images are read."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from imagenet_tools.catalogue.releases import RELEASES
from imagenet_tools.images.shards import own_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imagenet_tools.units import Detection

CLASSES, MANIFEST = "classes.json", "manifest.json"

# What an export that is not finished holds in place of a manifest.
_HALF = ".work/export.json"

# A manifest names the images that were repaired: 14 million of them are 400 MB. A larger file is not read.
_LARGEST_MANIFEST = 512 << 20


class OwnExport(NamedTuple):
    """An export of this program, as its manifest describes it."""

    folder: Path
    target: str
    datasets: tuple[str, ...]  # of its images; empty where it is not finished
    changes: tuple[str, ...]  # what makes it a data set of its own, in words
    files: frozenset[str]  # that lie beside its images, and shards of them, by their paths in its folder
    finished: bool

    @property
    def title(self) -> str:
        """What it is, in words."""
        made = "" if self.finished else "unfinished "
        changes = f" with {' and '.join(self.changes)}" if self.changes else ""
        return f"an {made}export to {self.target} that imagenet-tools made{changes}"

    def read_as(self, found: Detection) -> Detection:
        """Return what was found in it with the data set that its images belong to, and why.

        Images with their original bytes and splits are those of the data set that they were exported from. Others are a
        data set of their own, named after the folder: they must not take the place of the originals.
        """
        if self.changes or not self.finished:
            dataset = found.dataset
            if dataset in RELEASES or dataset in self.datasets:  # else its reader has named it already
                dataset = own_name(self.folder.name)
                dataset += "-export" if dataset in RELEASES or dataset in self.datasets else ""
            why = f"a data set of its own, {dataset}, unless --dataset NAME says otherwise"
        else:
            dataset = self.datasets[0] if len(self.datasets) == 1 else found.dataset
            why = f"its images are the originals, of {dataset}"
        evidence = f"{self.title}: {why}; {found.evidence}"
        return replace(found, dataset=dataset, evidence=evidence, missing="", readings=())


def export_at(folder: Path) -> OwnExport | None:
    """Return the export whose files lie directly in a folder, or None. Any other manifest.json is nobody's."""
    finished = (folder / CLASSES).is_file() and (folder / MANIFEST).is_file()
    try:
        manifest = _json(folder / MANIFEST) if finished else _json(folder / _HALF)[0]
        selection, options = manifest["recipe"]["selection"], manifest["recipe"]["options"]
        files = {MANIFEST, *manifest["files"]} if finished else {".work"}
        datasets = {str(source["dataset"]) for source in manifest["sources"]} if finished else set()
        changes = [f"--{word}" for word in ("resize", "repair") if word in options]
        if "by" in selection:
            changes.append("a split of its own")
        return OwnExport(
            folder, str(manifest["target"]), tuple(sorted(datasets)), tuple(changes), frozenset(files), finished
        )
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return None


def exports_in(folder: Path) -> list[OwnExport]:
    """Return the export at a folder, or those directly in it, where one pass to several targets puts them."""
    found = export_at(folder)
    if found is not None:
        return [found]
    folders: list[str] = []
    with suppress(OSError), os.scandir(folder) as entries:  # one that may not be looked into is reported by its readers
        folders += sorted(entry.name for entry in entries if entry.is_dir())
    return [one for name in folders if (one := export_at(folder / name)) is not None]


def export_around(path: Path) -> OwnExport | None:
    """Return the export that a path is, or lies in."""
    return next((found for folder in (path, *path.parents) if (found := export_at(folder)) is not None), None)


def exports_on_the_way(root: Path, files: Iterable[str]) -> dict[str, OwnExport]:
    """Return the exports below a folder that some files or folders, relative to it, lie in, by their relative paths."""
    folders = {above.as_posix() for file in files for above in (Path(file), *Path(file).parents)} - {"."}
    return {name: found for name in sorted(folders) if (found := export_at(root / name)) is not None}


def _json(path: Path) -> Any:
    if path.stat().st_size > _LARGEST_MANIFEST:
        message = f"{path} is larger than any manifest"
        raise ValueError(message)
    return json.loads(path.read_bytes())
