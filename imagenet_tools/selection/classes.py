"""Choose the classes of a selection: the class that each wnid of images becomes, or the step that leaves it out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from imagenet_tools.catalogue import given_lists, lists, terms
from imagenet_tools.errors import UsageError
from imagenet_tools.selection.query import Prepared
from imagenet_tools.store.layout import is_index
from imagenet_tools.store.store import Store
from imagenet_tools.text import are, count_of, some_of
from imagenet_tools.wordnet import graph, hierarchy, wordnet

if TYPE_CHECKING:
    from imagenet_tools.selection.words import Choice

_NAMED_CLASSES = 3  # classes that a note names
_OVERLAP_WORDS = {"equal": "are its classes", "below": "are below one", "above": "are above one"}


def choose(choice: Choice, wnids: Iterable[str], holds: frozenset[str] | None) -> tuple[Prepared, list[str]]:
    """Return the classes that wnids become by the words of a choice, and notes on nested classes.

    Args:
        choice: The words.
        wnids: The wnids of the images, and those of the list of classes.
        holds: The wnids for which the conditions of class_where hold; None without conditions.

    Raises:
        UsageError: Classes are nested, and `nested` is "error".
    """
    reasons: dict[str, str] = {}
    left = sorted(set(wnids))

    def keep(step: str, kept: Iterable[str]) -> None:
        kept = set(kept)
        reasons.update({wnid: step for wnid in left if wnid not in kept})
        left[:] = [wnid for wnid in left if wnid in kept]

    if choice.under:
        keep("under", _below(choice.under))
    for synset in choice.also_under:
        keep("also_under", _below([synset]))
    if choice.without:
        keep("without", set(left) - _below(choice.without))
    if choice.classes is not None:
        keep("classes", choice.classes.wnids)
    if holds is not None:
        keep("class_where", holds)
    overlap_notes = []
    for text in choice.overlaps:
        shared = overlapping(left, text)
        overlap_notes.append(_overlap_note(text, shared))
        keep("overlap", set(left) - shared.keys())
    above = _classes_above(left)
    notes = [*overlap_notes, *_nested_notes(choice, left, above)]
    class_of = {wnid: wnid for wnid in left}
    if choice.nested == "leaves":
        keep("nested", set(left).difference(*above.values()))
    elif choice.nested == "merge":
        class_of |= {wnid: tops[0] for wnid, tops in _topmost(above).items()}
    if choice.superclasses is not None:
        if names := [category.name for category in choice.superclasses.without_synset()]:
            notes.append(f"{choice.superclasses.source}: WordNet has no noun for {some_of(names)}, which is left out")
        superclass_of = choice.superclasses.superclass_of(sorted({class_of[wnid] for wnid in left}))
        keep("superclasses", [wnid for wnid in left if class_of[wnid] in superclass_of])
        class_of = {wnid: superclass_of[class_of[wnid]] for wnid in left}
    return Prepared({wnid: class_of[wnid] for wnid in left}, reasons), notes


def _below(synsets: Iterable[str]) -> set[str]:
    return {wnid for synset in synsets for wnid in hierarchy.descendants(synset)}


# ---- Classes shared with others: those of pretraining with those of the target


def overlapping(wnids: Iterable[str], text: str) -> dict[str, str]:
    """Return the wnids that overlap with the classes of a list or an index, each as equal, below or above.

    A class overlaps if it is one of the others, is below one, or is above one: images of a dog may show a beagle, and
    those of a beagle show a dog.

    Args:
        wnids: The classes.
        text: A published list, wnids with ',' between, or the absolute path of a file of classes or of an index.
    """
    others = {wnid for wnid in _classes_named(text) if wordnet.find_row(wnid) is not None}
    rows = wordnet.rows_of(sorted(others))
    below, above = (
        set(wordnet.wnids_of(graph.reach(edges, rows))) for edges in (hierarchy.edges_down(), hierarchy.edges_up())
    )
    kinds = (("equal", others), ("below", below), ("above", above))
    kind_of = {wnid: next((kind for kind, of_kind in kinds if wnid in of_kind), "") for wnid in wnids}
    return {wnid: kind for wnid, kind in kind_of.items() if kind}


def _overlap_note(text: str, kind_of: Mapping[str, str]) -> str:
    """Return in words which classes overlap."""
    counts = Counter(kind_of.values())
    parts = [f"{counts[kind]:,} {words}" for kind, words in _OVERLAP_WORDS.items() if counts[kind]]
    name = Path(text).name
    name = name if len(name) <= 40 else count_of(name.count(",") + 1, "class")
    return f"overlap with {name}: {count_of(len(kind_of), 'class')} left out" + (
        f": {', '.join(parts)}" if parts else ""
    )


def _classes_named(text: str) -> Sequence[str]:
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


# ---- Nested classes


def _classes_above(wnids: Sequence[str]) -> dict[str, list[str]]:
    """Return, for each class below others, the classes above it: nearest first, equally near ones by wnid."""
    known = [wnid for wnid in wnids if wordnet.find_row(wnid) is not None]
    if not known:
        return {}
    rows = wordnet.rows_of(known)
    wnid_of = dict(zip(rows.tolist(), known, strict=True))
    below, node, edges = graph.pairs(hierarchy.edges_up(), rows)
    above: dict[str, list[tuple[int, str]]] = {}
    for row, above_row, distance in zip(below.tolist(), node.tolist(), edges.tolist(), strict=True):
        if distance and above_row in wnid_of:
            above.setdefault(wnid_of[row], []).append((distance, wnid_of[above_row]))
    return {wnid: [name for _, name in sorted(pairs)] for wnid, pairs in above.items()}


def _topmost(above: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return the classes above each nested class that are not nested themselves, nearest first."""
    return {wnid: [name for name in wnids if name not in above] for wnid, wnids in above.items()}


def _nested_notes(choice: Choice, left: Sequence[str], above: Mapping[str, Sequence[str]]) -> list[str]:
    parents = {wnid for wnids in above.values() for wnid in wnids}
    if not parents:
        return []
    parent = min(parents)
    example = next(wnid for wnid, wnids in above.items() if parent in wnids)
    text = (
        f"{len(parents):,} of {len(left):,} classes have others of them below ({_named(parent)} has {_named(example)})"
    )
    if choice.nested == "error":
        raise UsageError(f"--nested error: {text}. --nested leaves leaves them out, merge joins what is below to them.")
    if choice.nested != "merge":
        return [f"{text}: they are left out" if choice.nested == "leaves" else f"{text}: both are kept (--nested)"]
    unclear = [
        f"{_named(wnid)} lies below {' and '.join(map(_named, tops))}, and went to the first"
        for wnid, tops in sorted(_topmost(above).items())
        if len(tops) > 1
    ]
    if len(unclear) > _NAMED_CLASSES:
        unclear[_NAMED_CLASSES:] = [f"{len(unclear) - _NAMED_CLASSES:,} more lie below several"]
    return [f"{text}: {count_of(len(above), 'class')} {are(len(above))} merged into the topmost above them", *unclear]


def _named(wnid: str) -> str:
    return f"{wnid} {wordnet.synset(wnid).name}"


# ---- Order


def in_order(choice: Choice, prepared: Prepared, chosen: Iterable[str]) -> tuple[str, ...]:
    """Return the classes of a selection in the order of their numbers.

    These are the classes of the list or of the superclasses, else those with images. A listed class without images
    keeps its place, unless it was left out as a whole.

    Args:
        choice: The words.
        prepared: The class that each wnid becomes, and the classes that were left out as a whole.
        chosen: The classes that have images.

    Raises:
        UsageError: A class has no ILSVRC id to be ordered by.
    """
    listed: list[str] = []
    if choice.superclasses is not None:
        listed = list(choice.superclasses.wnids)
    elif choice.classes is not None:
        listed = list(
            dict.fromkeys(prepared.class_of[wnid] for wnid in choice.classes.wnids if wnid in prepared.class_of)
        )
    wnids = {*chosen, *(wnid for wnid in listed if wnid not in prepared.late)}
    if choice.order == "ilsvrc-id":
        return _by_ilsvrc_id(wnids)
    if listed and choice.order in (None, "listed"):
        places = {wnid: place for place, wnid in enumerate(listed)}
        return tuple(sorted(wnids, key=places.__getitem__))
    return tuple(sorted(wnids))


def _by_ilsvrc_id(wnids: Collection[str]) -> tuple[str, ...]:
    ids = lists.index_of("ilsvrc2012-id")
    if without := sorted(set(wnids) - ids.keys()):
        raise UsageError(
            f"--order ilsvrc-id: {len(without):,} classes have no ILSVRC2012_ID, {_named(without[0])} first. "
            "Expected classes of ilsvrc2012; --order wnid orders any."
        )
    return tuple(sorted(wnids, key=ids.__getitem__))


# ---- Batches


def batches(class_of: Mapping[str, str], sizes: Mapping[str, int], at_once: int) -> Iterator[list[str]]:
    """Yield the wnids of the images of some classes at a time: of at most `at_once` images together, or of one class.

    Args:
        class_of: The class of each wnid of images.
        sizes: The number of images of each class, in the order of the batches.
        at_once: The number of images of a batch.
    """
    wnids_of: dict[str, list[str]] = {}
    for wnid, class_wnid in class_of.items():
        wnids_of.setdefault(class_wnid, []).append(wnid)
    batch, n_images = list[str](), 0
    for class_wnid, size in sizes.items():
        if batch and n_images + size > at_once:
            yield batch
            batch, n_images = [], 0
        batch += wnids_of[class_wnid]
        n_images += size
    if batch:
        yield batch
