"""An open index with selections: the object that users hold."""

from __future__ import annotations

import inspect
import textwrap
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from imagenet_tools.arguments import checked, keyword_types
from imagenet_tools.errors import UsageError
from imagenet_tools.selection import lock, recipe
from imagenet_tools.selection.selection import Selection
from imagenet_tools.selection.words import SELECTION, SelectionWords, Word
from imagenet_tools.store.store import Store
from imagenet_tools.store.summary import summarise
from imagenet_tools.text import html_of

if TYPE_CHECKING:
    from imagenet_tools.selection.widget import Browser


def by_recipe(index: Store, path: str | Path) -> Selection:
    """Return the selection that a recipe, or a lock, makes.

    Raises:
        UsageError: The file is neither.
        SourceError: Images that the lock pins are not in the index, or have another class there.
    """
    path = Path(path)
    if lock.is_lock(path):
        pinned = pin(index, path)
        lock.check_all_here(pinned)
        return pinned
    return Selection(index, near=path.absolute().parent).with_words(**recipe.read(path).words)


def pin(index: Store, path: str | Path) -> Selection:
    """Return the images that a lock pins; some of them may be missing from the index."""
    return Selection(index, pinned=lock.read(path))


def _explained(word: Word) -> str:
    """Return the lines of a docstring that explain a word."""
    value = word.kind if "|" in word.kind else word.metavar
    text = f"{word.keyword}{f' ({value})' if value else ''}: {word.sentence}"
    return textwrap.fill(text, 100, initial_indent=" " * 4, subsequent_indent=" " * 8, break_on_hyphens=False)


def _signature(words: type) -> inspect.Signature:
    """Return the signature of a method with a keyword for each key of a TypedDict."""
    keys = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in keyword_types(words).items()
    ]
    self = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return inspect.Signature([self, *keys], return_annotation="Selection")


class Index(Store):
    """An open index: run SQL on it, read its images, and select some of them.

    Example:
        >>> with imt.open_index("imagenet.index") as index:
        ...     index["ILSVRC2012_val_00000020"], index.select(under="dog.n.01", per_class=2)
        (Image: ilsvrc2012/ILSVRC2012_val_00000020; ..., Selection: under dog.n.01, per_class 2; 20 images, ...)
    """

    def _repr_html_(self) -> str:
        """Return the tables of `info`, for notebooks."""
        summary = summarise(self)
        return html_of(str(self.path), *summary.tables(), notes=summary.notes())

    def widget(self) -> Browser:
        """Return a widget for notebooks: the tree of synsets, images of each, and a selection to choose, as code.

        Raises:
            UsageError: anywidget is not installed.

        Example:
            browser = index.widget()
            browser                             # shows it; in a later cell: browser.selection.show(12)
        """
        try:
            from imagenet_tools.selection.widget import Browser
        except ModuleNotFoundError as error:
            raise UsageError(
                f"index.widget() needs anywidget, and found no module {error.name}. "
                "Install it: pip install 'imagenet-tools[notebook]'."
            ) from error
        return Browser(self)

    @property
    def images(self) -> Selection:
        """Return all images as a selection, to choose from with its methods."""
        return Selection(self)

    @partial(checked, meanings={word.keyword: word.help for word in SELECTION})
    def select(self, **words: Unpack[SelectionWords]) -> Selection:
        """Return a selection of images; each word is also a flag of the command line and a key of a recipe.

        A selection is lazy: it queries the index when it is asked for counts, rows or a data set.

        Args:
            WORDS

        Returns:
            The selection, to count, to train on, to export, or to choose from further.

        Raises:
            UsageError: A value is not understood, such as an unknown synset.
            QueryError: A condition is not one SQL condition over the tables.

        Example:
            dogs = index.select(under="dog", without="toy_dog", per_class={"train": 300, "val": 50})
            dogs.counts()["train"]
        """
        return self.images.with_words(**words)

    select.__doc__ = inspect.cleandoc(select.__doc__ or "").replace("    WORDS", "\n".join(map(_explained, SELECTION)))
    select.__signature__ = _signature(SelectionWords)  # type: ignore[attr-defined]  # help() shows each word
