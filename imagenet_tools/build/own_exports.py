"""Recognise exports of this program among sources, and choose the data set that their images are read as."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from imagenet_tools.catalogue.releases import RELEASES
from imagenet_tools.images.class_folders import is_folder
from imagenet_tools.images.detection import dataset_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imagenet_tools.units import Detection

CLASSES = "classes.json"
MANIFEST = "manifest.json"

# An unfinished export has this file in place of a manifest.
_UNFINISHED = ".work/export.json"

_SUPERCLASSES = "superclasses"

# A manifest lists repaired images: 14 million of them take 400 MB. A larger file is not read.
_MAX_MANIFEST_BYTES = 512 << 20


class OwnExport(NamedTuple):
    """An export of this program, as its manifest describes it."""

    folder: Path
    target: str
    datasets: tuple[str, ...]  # of its images; empty if it is not finished
    changes: tuple[str, ...]  # options that make it a data set of its own, in words
    files: frozenset[str]  # files and shards beside its images, relative to its folder
    finished: bool

    @property
    def title(self) -> str:
        """The export in words."""
        unfinished = "" if self.finished else "unfinished "
        changes = f" with {' and '.join(self.changes)}" if self.changes else ""
        return f"an {unfinished}export to {self.target} that imagenet-tools made{changes}"

    def read_as(self, detection: Detection) -> Detection:
        """Return a detection in the export with the data set that its images belong to, and the reason.

        Images with their original bytes, classes and splits belong to the data set that they were exported from. Others
        are a data set named after the folder: they must not replace the originals.
        """
        if self.changes or not self.finished:
            dataset = detection.dataset
            if dataset in RELEASES or dataset in self.datasets:  # else its reader has named it already
                dataset = dataset_name(self.folder.name)
                dataset += "-export" if dataset in RELEASES or dataset in self.datasets else ""
            reason = f"a data set of its own, {dataset}, unless --dataset NAME says otherwise"
        else:
            dataset = self.datasets[0] if len(self.datasets) == 1 else detection.dataset
            reason = f"its images are the originals, of {dataset}"
        evidence = f"{self.title}: {reason}; {detection.evidence}"
        superclasses = _SUPERCLASSES in self.changes
        found = replace(detection, dataset=dataset, evidence=evidence, superclasses=superclasses)
        return replace(found, missing="", readings=())


def export_at(folder: Path) -> OwnExport | None:
    """Return the export whose files are directly in a folder, or None. Any other manifest.json is ignored."""
    finished = (folder / CLASSES).is_file() and (folder / MANIFEST).is_file()
    try:
        manifest = _json(folder / MANIFEST) if finished else _json(folder / _UNFINISHED)[0]
        selection, options = manifest["recipe"]["selection"], manifest["recipe"]["options"]
        files = {MANIFEST, *manifest["files"]} if finished else {".work"}
        datasets = {str(source["dataset"]) for source in manifest["sources"]} if finished else set()
        changes = [f"--{option}" for option in ("resize", "repair") if option in options]
        if not changes and "pillow" in manifest.get("software", ()):  # the target makes new images of the pixels
            changes.append("new images")
        words = _words(selection)
        if _SUPERCLASSES in words or words.get("nested") == "merge":
            changes.append(_SUPERCLASSES)
        if "by" in words:
            changes.append("a split of its own")
        target = str(manifest["target"])
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return None
    return OwnExport(folder, target, tuple(sorted(datasets)), tuple(changes), frozenset(files), finished)


def _words(selection: dict[str, Any]) -> dict[str, Any]:
    """Return the words of a selection; of one that a lock pins, those that the lock was made with."""
    tables = [table for table in selection.get("recipe", {}).values() if isinstance(table, dict)]
    return {key: value for table in (selection, *tables) for key, value in table.items()}


def exports_in(folder: Path) -> list[OwnExport]:
    """Return the export at a folder, or those directly in it, where an export to several targets puts them."""
    if export := export_at(folder):
        return [export]
    names: list[str] = []
    with suppress(OSError), os.scandir(folder) as entries:  # its readers report a folder that cannot be opened
        names += sorted(entry.name for entry in entries if is_folder(entry))
    return [export for name in names if (export := export_at(folder / name))]


def export_around(path: Path) -> OwnExport | None:
    """Return the export that a path is, or is in."""
    return next((export for folder in (path, *path.parents) if (export := export_at(folder))), None)


def exports_on_the_way(root: Path, files: Iterable[str]) -> dict[str, OwnExport]:
    """Return the exports that contain some files below `root`. All paths are relative to it."""
    folders = {folder.as_posix() for file in files for folder in (Path(file), *Path(file).parents)} - {"."}
    return {name: export for name in sorted(folders) if (export := export_at(root / name))}


def _json(path: Path) -> Any:
    if path.stat().st_size > _MAX_MANIFEST_BYTES:
        raise ValueError(f"{path} is larger than any manifest")
    return json.loads(path.read_bytes())
