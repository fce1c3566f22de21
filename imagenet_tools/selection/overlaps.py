"""Find the classes that a selection shares with other classes: those of pretraining with those of the target.

A class overlaps if it is one of the others, is below one, or is above one: images of a dog may show a beagle, and those
of a beagle show a dog.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from imagenet_tools.catalogue import given_lists, terms
from imagenet_tools.errors import UsageError
from imagenet_tools.store.layout import is_index
from imagenet_tools.store.store import Store
from imagenet_tools.text import count_of
from imagenet_tools.wordnet import graph, hierarchy, wordnet

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_HOW = {"equal": "are its classes", "below": "are below one", "above": "are above one"}


def shared(wnids: Iterable[str], text: str) -> dict[str, str]:
    """Return the wnids that overlap with the classes of a list or an index, each as equal, below or above.

    Args:
        wnids: The classes.
        text: A published list, wnids with ',' between, or the absolute path of a file of classes or of an index.
    """
    others = {wnid for wnid in _classes(text) if wordnet.find_row(wnid) is not None}
    rows = wordnet.rows_of(sorted(others))
    below, above = (
        set(wordnet.wnids_of(graph.reach(edges, rows))) for edges in (hierarchy.edges_down(), hierarchy.edges_up())
    )
    kinds = (("equal", others), ("below", below), ("above", above))
    kind_of = {wnid: next((kind for kind, of_kind in kinds if wnid in of_kind), "") for wnid in wnids}
    return {wnid: kind for wnid, kind in kind_of.items() if kind}


def note(text: str, kind_of: Mapping[str, str]) -> str:
    """Return in words which classes overlap."""
    counts = Counter(kind_of.values())
    parts = [f"{counts[kind]:,} {words}" for kind, words in _HOW.items() if counts[kind]]
    name = Path(text).name
    name = name if len(name) <= 40 else count_of(name.count(",") + 1, "class")
    return f"overlap with {name}: {count_of(len(kind_of), 'class')} left out" + (
        f": {', '.join(parts)}" if parts else ""
    )


def _classes(text: str) -> Sequence[str]:
    listed = given_lists.published(text)
    if listed is not None:
        return listed.wnids  # of categories, their members or synsets
    if Path(text).is_absolute() and is_index(Path(text)):
        with Store.open(text) as index:
            rows = index.sql("SELECT DISTINCT wnid FROM images WHERE wnid IS NOT NULL ORDER BY ALL").fetchall()
        if not rows:
            raise UsageError(
                f"--exclude overlap:{text}: found no classes in the index. Expected one with labelled images."
            )
        return [wnid for (wnid,) in rows]
    return given_lists.read_list(text, lambda name: terms.resolve(name).wnid)
