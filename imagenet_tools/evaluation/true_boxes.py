"""The true boxes of images, with which localisation and detection are scored; exports/true_boxes.py reads them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imagenet_tools.evaluation.files import Texts
    from imagenet_tools.evaluation.metrics import Bools, Floats, Ints


@dataclass(frozen=True, eq=False)
class TrueBoxes:
    """The boxes of images; a box names its image by its place in `images`."""

    name: str
    images: Texts = field(repr=False)  # (n,): stems
    sizes: Floats = field(repr=False)  # (n, 2): width and height of the raster as stored; nan if unknown
    orientations: Ints = field(repr=False)  # (n,): EXIF; 1 if there is none
    splits: Texts = field(repr=False)  # (n,): None if unknown
    is_partial: Bools = field(repr=False)  # (n,): only objects of the image's own class are boxed, or none
    image_places: Ints = field(repr=False)  # (m,): the place of the image of each box
    classes: Texts = field(repr=False)  # (m,): wnids, or names of categories without one
    edges: Floats = field(repr=False)  # (m, 4): xmin, ymin, xmax, ymax in pixels
    areas: Floats = field(repr=False)  # (m,): as COCO's file states them, else width * height
    crowds: Bools = field(repr=False)  # (m,): boxes of groups
    class_of: Mapping[int, str] = field(default_factory=dict, repr=False)  # by COCO's category id; empty if unknown
    indexes: Mapping[int, str] = field(default_factory=dict, repr=False)  # by class index from 0; empty if unknown
    image_of: Mapping[object, int] = field(default_factory=dict, repr=False)  # places by COCO's image id
    lists_images: bool = True  # `images` has those without boxes too
    notes: tuple[str, ...] = ()

    def take(self, kept: Bools, *notes: str) -> TrueBoxes:
        """Return the boxes of some images: (n,), bool."""
        places = np.cumsum(kept) - 1
        boxes = kept[self.image_places]
        of_images = ("images", "sizes", "orientations", "splits", "is_partial")
        columns = {name: getattr(self, name)[kept] for name in of_images}
        columns |= {name: getattr(self, name)[boxes] for name in ("classes", "edges", "areas", "crowds")}
        return replace(
            self,
            **columns,
            image_places=places[self.image_places[boxes]],
            image_of={key: int(places[place]) for key, place in self.image_of.items() if kept[place]},
            notes=self.notes + tuple(filter(None, notes)),
        )

    def with_images(self, stems: Sequence[str]) -> TrueBoxes:
        """Return the same boxes with more images, which have none."""
        more = sorted(set(stems) - set(self.images.tolist()))
        n = len(more)
        return replace(
            self,
            images=np.append(self.images, np.array(more, object)),
            sizes=np.append(self.sizes, np.full((n, 2), np.nan), axis=0),
            orientations=np.append(self.orientations, np.ones(n, np.int64)),
            splits=np.append(self.splits, np.full(n, None, object)),
            is_partial=np.append(self.is_partial, np.zeros(n, np.bool_)),
            lists_images=True,
        )
