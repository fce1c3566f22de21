"""What a loader's reading is held to: the sample as its index has it, and an export of it on disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

Say = Callable[[str], None]

# The classes of the sample.
DOGS = ["n02085620", "n02086079", "n02088364", "n02099601", "n02106662"]
OTHERS = ["n01531178", "n01558993", "n02012849", "n02123045", "n03126707", "n04146614", "n04355933", "n04356056"]
SOURCES = (
    "ILSVRC2012_img_train.tar",
    "ILSVRC2012_img_val.tar",
    "ILSVRC2012_devkit_t12.tar.gz",
    "ILSVRC2012_bbox_train_v2.tar.gz",
    "ILSVRC2012_bbox_val_v3.tgz",
)


def page_code(word: str, recipe: str = "train") -> str:
    """The Python of a page of recipes that has a word in it: what a proof runs."""
    page = (Path(__file__).resolve().parent.parent.parent / "docs" / "recipes" / f"{recipe}.md").read_text()
    [code] = [block.split("```")[0] for block in page.split("```python\n")[1:] if word in block.split("```")[0]]
    return code


class Truth(NamedTuple):
    """An image as the index has it."""

    wnid: str
    split: str
    size: tuple[int, int]  # pixels of the stored raster
    orientation: int  # EXIF, 1 where there is no valid tag
    problem: str | None  # the index's, or "endless": a JPEG whose last bytes are not FF D9, which Pillow cannot decode
    data: bytes
    boxes: list[tuple[str, float, float, float, float]]  # wnid, left, top, right, bottom of the stored raster, 0 to 1


class Export(NamedTuple):
    """An export, and the wnids whose images it was asked for."""

    root: Path
    wnids: list[str]

    @property
    def classes(self) -> list[dict[str, Any]]:
        """The classes as the export's classes.json lists them, by index."""
        listed = json.loads((self.root / "classes.json").read_text())["classes"]
        return sorted(listed, key=lambda one: one["index"])

    def bytes_by_id(self, folder: str) -> dict[str, bytes]:
        """Every image below a folder of the export, by its stem."""
        files = [file for file in (self.root / folder).rglob("*") if file.suffix.lower() in {".jpeg", ".jpg", ".png"}]
        found = {file.stem: file.read_bytes() for file in files}
        assert len(found) == len(files), f"two images of one name in {folder}"
        return found

    def expect(
        self, truth: dict[str, Truth], folder: str, split: str, *, boxed: bool = False, listed: bool = False
    ) -> set[str]:
        """The ids of a split's folder, held to the truth: all of the index's, save what it says is damaged.

        A loader that only lists (`listed`) finds the damaged ones too.
        """
        asked = {
            image_id
            for image_id, image in truth.items()
            if image.wnid in self.wnids and image.split == split and (image.boxes or not boxed)
        }
        sound = {image_id for image_id in asked if truth[image_id].problem is None}
        manifest = (self.root / "manifest.json").read_text()
        for image_id in asked - sound:
            assert truth[image_id].problem != "endless" or image_id in manifest, f"the manifest is silent on {image_id}"
        there = set(self.bytes_by_id(folder))
        assert sound, f"nothing to read in {split}"
        assert sound <= there <= asked, f"{split}: lacks {sound - there}, has besides {there - asked}"
        return there if listed else there & sound
