"""A widget for notebooks: the tree of synsets with their counts, images of a synset, and a selection as code.

`index.widget()` makes one. widget.js is its page, a plain ES module, and says which messages go to and fro. Children of
a synset and images are sent when they are asked for, so that a tree of 21,841 classes opens at once.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from imagenet_tools.display import pictures
from imagenet_tools.errors import ImagenetToolsError
from imagenet_tools.selection.recipe import python
from imagenet_tools.selection.selection import Selection
from imagenet_tools.selection.show import sheet_rows
from imagenet_tools.superclasses import drawing
from imagenet_tools.text import images_of
from imagenet_tools.wordnet import hierarchy, wordnet

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from imagenet_tools.store.store import Store

_N_IMAGES = 12  # shown of a synset


class Browser(anywidget.AnyWidget):
    """A widget that shows the synsets and images of an index, in which the user chooses a selection.

    Attributes:
        under: Synsets whose images are chosen; all images if empty. Set wnids, names or lemmas; wnids are kept.
        without: Synsets whose images are left out.
        code: The selection as Python.
        about: The number of its images.

    Example:
        browser = index.widget()
        browser                                  # in a notebook: look and choose
        browser.selection.show(12)               # in a later cell: what was chosen
    """

    _esm = Path(__file__).with_name("widget.js")
    top = traitlets.Dict().tag(sync=True)
    under = traitlets.List(traitlets.Unicode()).tag(sync=True)
    without = traitlets.List(traitlets.Unicode()).tag(sync=True)
    code = traitlets.Unicode().tag(sync=True)
    about = traitlets.Unicode().tag(sync=True)

    def __init__(self, index: Store) -> None:
        self.index = index
        super().__init__()
        self.top = self._top()
        self._describe()
        self.observe(self._describe, ["under", "without"])
        self.on_msg(lambda _, message, __: self.send(*self.answer(message)))

    def __repr__(self) -> str:
        return f"Browser: {self.code}; {self.about}"

    @property
    def selection(self) -> Selection:
        """The selection that is chosen."""
        return Selection(self.index).with_words(under=self.under or None, without=self.without or None)

    def answer(self, message: dict[str, str]) -> tuple[dict[str, Any], list[bytes]]:
        """Return the answer to a message of the page, and its buffers: see widget.js."""
        wnid, pictures_shown = message["synset"], message["want"] == "images"
        try:
            if pictures_shown:
                content, buffers = self._images(wnid)
                return {"synset": wnid, **content}, buffers
            return {"synset": wnid, "children": self._children(wnid)}, []
        except ImagenetToolsError as error:
            return {"synset": wnid, "error": str(error)}, []

    @functools.cached_property
    def _counts(self) -> npt.NDArray[np.int64]:
        """The number of images at or below each synset."""
        return hierarchy.inclusive(self.index.counts())

    def _outline(self, wnid: str) -> Sequence[drawing.Node]:
        """Return a synset and its children; chains of single children are skipped."""
        return drawing.outline(wnid, depth=1, counts=self._counts, counted=True, collapse=True).nodes

    def _top(self) -> dict[str, object]:
        """Return the lowest synset above all images."""
        wnid = hierarchy.ROOT
        while len(nodes := self._outline(wnid)) == 2 and nodes[0].count == nodes[1].count:
            wnid = nodes[1].wnid
        return {**_row(nodes[0]), "parts": len(nodes) > 1}

    def _children(self, wnid: str) -> list[dict[str, object]]:
        return sorted(map(_row, self._outline(wnid)[1:]), key=lambda row: (row["name"], row["wnid"]))

    def _images(self, wnid: str) -> tuple[dict[str, Any], list[bytes]]:
        below = Selection(self.index).under(wnid)
        [row] = sheet_rows(below, _N_IMAGES, together=True)
        tiles = [{"caption": tile.caption, "problem": tile.problem} for tile in row.tiles]
        buffers = [pictures.as_bytes(tile.picture, "JPEG") for tile in row.tiles if tile.picture is not None]
        return {"total": len(below), "tiles": tiles}, buffers

    @traitlets.validate("under", "without")
    def _resolved(self, proposal: dict[str, Any]) -> list[str]:
        return list(dict.fromkeys(map(self.index.synset, proposal["value"])))

    def _describe(self, _: object = None) -> None:
        words = {"under": self.under, "without": self.without}
        self.code = python({word: wnids for word, wnids in words.items() if wnids})
        counts = self.selection.counts()
        n_classes = len({wnid for counted in counts.values() for wnid in counted})
        self.about = images_of({split: sum(counted.values()) for split, counted in counts.items()}, n_classes)


def _row(node: drawing.Node) -> dict[str, object]:
    """Return a synset as the page shows it."""
    name = wordnet.label_of(node.wnid)
    return {"wnid": node.wnid, "synset": node.name, "name": name, "images": node.count, "parts": node.hidden > 0}
