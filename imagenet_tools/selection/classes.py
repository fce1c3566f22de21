"""The classes of a selection: what each wnid of the images becomes, or the step that leaves it out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.errors import UsageError
from imagenet_tools.wordnet import graph, hierarchy, wordnet

if TYPE_CHECKING:
    from imagenet_tools.selection.choice import Choice

_NAMED = 3  # how many classes a message names


class SelectedClasses(NamedTuple):
    """The classes that wnids become."""

    of: Mapping[str, str]  # the class of each wnid that has one, by wnid, in the order of the wnids
    reasons: Mapping[str, str]  # the step that left out each other wnid
    notes: tuple[str, ...]  # what there is to say of nested classes and of superclasses, in sentences


def choose(choice: Choice, wnids: Iterable[str], holds: frozenset[str] | None) -> SelectedClasses:
    """The classes that these wnids become by the words of a choice.

    `holds` are the wnids for which the conditions of class_where hold, None where there are none. UsageError: classes
    are nested and must not be.
    """
    known = {wnid for wnid in wnids if wordnet.find_row(wnid) is not None}
    reasons: dict[str, str] = {}
    left = sorted(set(wnids))

    def keep(step: str, kept: set[str] | frozenset[str]) -> None:
        reasons.update({wnid: step for wnid in left if wnid not in kept})
        left[:] = [wnid for wnid in left if wnid in kept]

    if choice.under:
        keep("under", _below(choice.under))
    for synset in choice.also_under:
        keep("also_under", _below([synset]))
    if choice.without:
        keep("without", set(left) - _below(choice.without))
    if choice.classes is not None:
        keep("classes", set(choice.classes.wnids))
    if holds is not None:
        keep("class_where", holds)
    tops = _nested([wnid for wnid in left if wnid in known])
    notes = _said_of_nested(choice, left, tops)
    of = {wnid: wnid for wnid in left}
    if choice.nested == "leaves":
        keep("nested", set(left) - _parents(tops))
        of = {wnid: wnid for wnid in left}
    elif choice.nested == "merge":
        of |= {wnid: tops.top_of[wnid] for wnid in tops.top_of}
    if choice.superclasses is not None:
        # What becomes of the class that a wnid was merged into.
        above = choice.superclasses.of(sorted(set(of.values())))
        keep("superclasses", {wnid for wnid in left if of[wnid] in above})
        of = {wnid: above[of[wnid]] for wnid in left}
    return SelectedClasses(of, reasons, notes)


def _below(synsets: Iterable[str]) -> set[str]:
    return {wnid for synset in synsets for wnid in hierarchy.descendants(synset)}


class _Nested(NamedTuple):
    above: Mapping[str, Sequence[str]]  # the classes above each class that has some
    top_of: Mapping[str, str]  # the class that a nested one merges into
    unclear: Mapping[str, Sequence[str]]  # nested classes below several topmost ones, and these, nearest first


def _nested(wnids: Sequence[str]) -> _Nested:
    """Which of some classes lie below others of them."""
    if not wnids:
        return _Nested({}, {}, {})
    rows = wordnet.rows_of(wnids)
    name = dict(zip(rows.tolist(), wnids, strict=True))
    below, node, edges = graph.pairs(hierarchy.edges_up(), rows)
    found: dict[str, list[tuple[int, str]]] = {}
    for row, above, n in zip(below.tolist(), node.tolist(), edges.tolist(), strict=True):
        if n and above in name:
            found.setdefault(name[row], []).append((n, name[above]))
    tops = {
        wnid: [one for _, one in sorted(over) if one not in found]  # nearest first, equally near ones by wnid
        for wnid, over in found.items()
    }
    return _Nested(
        {wnid: [one for _, one in over] for wnid, over in found.items()},
        {wnid: over[0] for wnid, over in tops.items()},
        {wnid: over for wnid, over in tops.items() if len(over) > 1},
    )


def _parents(nested: _Nested) -> set[str]:
    return {one for over in nested.above.values() for one in over}


def _said_of_nested(choice: Choice, left: Sequence[str], nested: _Nested) -> tuple[str, ...]:
    parents = sorted(_parents(nested))
    if not parents:
        return ()
    example = next(wnid for wnid in nested.above if parents[0] in nested.above[wnid])
    said = (
        f"{len(parents):,} of {len(left):,} classes have others of them below ({_named(parents[0])} has "
        f"{_named(example)})"
    )
    if choice.nested == "error":
        raise UsageError(f"--nested error: {said}. --nested leaves leaves them out, merge joins what is below to them.")
    if choice.nested == "merge":
        unclear = [
            f"{_named(wnid)} lies below {' and '.join(map(_named, over))}, and went to the first"
            for wnid, over in sorted(nested.unclear.items())
        ]
        more = [f"{len(unclear) - _NAMED:,} more lie below several"] if len(unclear) > _NAMED else []
        merged = f"{said}: {len(nested.top_of):,} classes are merged into the topmost above them"
        return (merged, *unclear[:_NAMED], *more)
    return (f"{said}: they are left out" if choice.nested == "leaves" else f"{said}: both are kept (--nested)",)


def _named(wnid: str) -> str:
    return f"{wnid} {wordnet.synset(wnid).name}"


def in_order(
    choice: Choice, classes: SelectedClasses, chosen: Iterable[str], dropped: Iterable[str]
) -> tuple[str, ...]:
    """The classes of a selection, numbered by their place: those of the list, or those that have images.

    `chosen` are the classes of the images; `dropped` those that were left out whole. An empty class of a list keeps
    its place. UsageError: a class has no ILSVRC id to be ordered by.
    """
    found = set(chosen)
    listed = _as_listed(choice, classes)
    if listed:
        gone = set(dropped)
        found |= {wnid for wnid in listed if wnid not in gone}
    if choice.order == "ilsvrc-id":
        return _by_ilsvrc_id(found)
    if listed and choice.order in (None, "listed"):
        place = {wnid: n for n, wnid in enumerate(listed)}
        return tuple(sorted(found, key=place.__getitem__))
    return tuple(sorted(found))


def _as_listed(choice: Choice, classes: SelectedClasses) -> list[str]:
    if choice.superclasses is not None:
        return list(choice.superclasses.order)
    if choice.classes is not None:
        return list(dict.fromkeys(classes.of[wnid] for wnid in choice.classes.wnids if wnid in classes.of))
    return []


def _by_ilsvrc_id(wnids: Iterable[str]) -> tuple[str, ...]:
    from imagenet_tools.catalogue import lists

    ids = {wnid: lists.numbers_of(wnid).get("ilsvrc2012-id") for wnid in wnids}
    without = sorted(wnid for wnid, number in ids.items() if number is None)
    if without:
        raise UsageError(
            f"--order ilsvrc-id: {len(without):,} classes have no ILSVRC2012_ID, {_named(without[0])} first. "
            "Expected classes of ilsvrc2012; --order wnid orders any."
        )
    return tuple(sorted(ids, key=lambda wnid: ids[wnid] or 0))


def in_chunks(
    of: Mapping[str, str], counts: Mapping[str, Mapping[str, int]], at_once: int
) -> Iterator[tuple[list[str], str]]:
    """(wnids of images, split), in the order of split and class: of classes that have so many images, or of one.

    `of` is the class of each wnid of images, `counts` the images by split and class.
    """
    members: dict[str, list[str]] = {}
    for wnid, one in of.items():
        members.setdefault(one, []).append(wnid)
    for split, counted in counts.items():
        chunk, n = list[str](), 0
        for wnid, size in counted.items():
            if chunk and n + size > at_once:
                yield chunk, split
                chunk, n = [], 0
            chunk += members[wnid]
            n += size
        if chunk:
            yield chunk, split
