"""An open index with selections: what users have in hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

from imagenet_tools.arguments import checked
from imagenet_tools.selection.choosing import choose
from imagenet_tools.selection.selection import Selection
from imagenet_tools.selection.words import SELECTION
from imagenet_tools.store.store import Store


class Index(Store):
    """An open index: ask it in SQL, look at its images, and select some of them."""

    @property
    def images(self) -> Selection:
        """Every image, to choose from."""
        return Selection(self)

    @partial(checked, meanings={word.keyword: word.help for word in SELECTION})
    def select(
        self,
        *,
        dataset: str | Iterable[str] | None = None,
        from_: str | Iterable[str] | None = None,
        under: str | Iterable[str] | None = None,
        also_under: str | Iterable[str] | None = None,
        without: str | Iterable[str] | None = None,
        classes: str | Iterable[str] | None = None,
        class_where: str | Iterable[str] | None = None,
        nested: str | None = None,
        superclasses: str | Iterable[str] | None = None,
        images: str | Iterable[str] | None = None,
        where: str | Iterable[str] | None = None,
        parameter: Mapping[str, object] | None = None,
        with_: Mapping[str, str | Path] | None = None,
        exclude: str | Iterable[str] | None = None,
        boxed: bool | None = None,
        min_images: int | None = None,
        max_images: int | None = None,
        split: str | Mapping[str, float] | None = None,
        groups: str | Path | None = None,
        per_class: int | str | Mapping[str, int] | None = None,
        limit: int | None = None,
        order: str | None = None,
        seed: int | None = None,
    ) -> Selection:
        """A selection by the words of the command line: see imagenet_tools.selection.words.SELECTION. Lazy."""
        words = {name: value for name, value in locals().items() if name != "self"}
        return choose(self, words)
