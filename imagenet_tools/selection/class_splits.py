"""A split of classes, for learning from few images: some classes for training, others for validation and test."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from imagenet_tools.errors import UsageError
from imagenet_tools.selection.splits import Split, draw
from imagenet_tools.wordnet import graph, hierarchy, wordnet
from imagenet_tools.wordnet.wnid import hash32

_TRIES = 200


def divide(wnids: Iterable[str], split: Split, seed: int) -> dict[str, str]:
    """Return the split of each class that has one; the same classes, split and seed give the same.

    Classes that must stay together (one above the other, or with a shared ancestor below the depth asked for) make a
    family. Families go, by the lowest draw of their names, where most is still wanted; classes beyond the wanted number
    are left out, those of the highest draws. UsageError: there are too few classes, or their families are too large.
    """
    wanted = {name: int(n) for name, n in split.amounts}
    found = families(wnids, split.below)
    n_classes = sum(map(len, found))
    if n_classes < sum(wanted.values()):
        raise UsageError(f"--split {split}: {sum(wanted.values()):,} classes are asked for, found {n_classes:,}.")
    for n in range(_TRIES):
        sides = _attempt(found, wanted, seed, n)
        if sides is not None:
            return sides
    sizes = ", ".join(f"{len(one):,}" for one in sorted(found, key=len, reverse=True)[:5])
    raise UsageError(
        f"--split {split}: no way was found to fill these splits from {len(found):,} families of classes that must "
        f"stay together; the largest have {sizes} classes. Ask for fewer classes, or a larger below=."
    )


def _attempt(
    found: Sequence[Sequence[str]], wanted: Mapping[str, int], seed: int, attempt: int
) -> dict[str, str] | None:
    """Return the split of each class. Families go by size in the first attempt, in further ones by a draw."""

    def drawn(wnid: str) -> tuple[int, str]:
        return draw(hash32(wnid), seed + attempt), wnid

    def size(family: Sequence[str]) -> int:
        return -len(family) if attempt == 0 else 0

    left = dict(wanted)
    sides: dict[str, str] = {}
    for family in sorted(found, key=lambda family: (size(family), min(map(drawn, family)))):
        name = max(left, key=lambda one: left[one])  # of equals the first
        taken = sorted(family, key=drawn)[: left[name]]
        sides |= dict.fromkeys(taken, name)
        left[name] -= len(taken)
    return sides if not any(left.values()) else None


def families(wnids: Iterable[str], below: int | None) -> list[tuple[str, ...]]:
    """Classes that must stay together: one above the other, or sharing an ancestor deeper than `below` edges."""
    names = sorted(set(wnids))
    known = [wnid for wnid in names if wordnet.find_row(wnid) is not None]
    rows = wordnet.rows_of(known)
    of, node, _ = graph.pairs(hierarchy.edges_up(), rows)
    deep = hierarchy.max_depths()[node] > below if below is not None else np.zeros(len(node), np.bool_)
    joins = deep | np.isin(node, rows)
    parent: dict[int, int] = {}

    def root(one: int) -> int:
        while parent.setdefault(one, one) != one:
            parent[one] = parent[parent[one]]
            one = parent[one]
        return one

    for row, above in zip(of[joins].tolist(), node[joins].tolist(), strict=True):
        parent[root(row)] = root(above)
    together: dict[int, list[str]] = {}
    for row, wnid in zip(rows.tolist(), known, strict=True):
        together.setdefault(root(row), []).append(wnid)
    others = [(wnid,) for wnid in names if wordnet.find_row(wnid) is None]
    return sorted([*(tuple(one) for one in together.values()), *others])
