"""Nest the class folders of an export as the hierarchy is, by a tree with one hypernym for each synset: --layout."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import TYPE_CHECKING

from imagenet_tools.catalogue.export_classes import Class
from imagenet_tools.errors import ExportError, UsageError
from imagenet_tools.superclasses import exclusive_tree
from imagenet_tools.superclasses.exclusive_tree import ExclusiveTree
from imagenet_tools.text import count_of
from imagenet_tools.wordnet import wordnet

if TYPE_CHECKING:
    from imagenet_tools.exports.plan import Plan

_BY_RULE = "tree"
_RULE = "first"  # of exclusive_tree.RULES


def tree_of(wnids: Sequence[str], layout: str) -> ExclusiveTree:
    """Return the tree of some classes: by WordNet's first hypernyms, or from a file of `classes tree`.

    Args:
        wnids: The classes.
        layout: "tree", or the path of a file.

    Raises:
        UsageError: The file cannot be read, or lacks a class.
    """
    try:
        if layout == _BY_RULE:
            return _tree_by_rule(tuple(wnids))
        tree = exclusive_tree.read(layout)
        for wnid in wnids:
            tree.path(wnid)
    except UsageError as error:
        message = f"--layout {layout}: {error}"
        raise UsageError(message) from error
    return tree


@functools.lru_cache(maxsize=1)
def _tree_by_rule(wnids: tuple[str, ...]) -> ExclusiveTree:
    return exclusive_tree.exclusive_tree(wnids, rule=_RULE)


def nested(classes: Sequence[Class], tree: ExclusiveTree) -> list[Class]:
    """Return classes whose folders are paths in the tree, below the lowest synset that is above all of them.

    A class that is above others has its own images in a folder of its name inside its folder, so that a loader that
    starts there finds them.

    Example:
        >>> from imagenet_tools.catalogue.export_classes import order_classes
        >>> dogs = order_classes(["n02085620", "n02099601"])
        >>> [cls.folder for cls in nested(dogs, tree_of(["n02085620", "n02099601"], "tree"))]
        ['n02085374/n02085620', 'n02087122/n02098550/n02099029/n02099601']
    """
    paths = {cls.wnid: _path(tree, cls.wnid) for cls in classes}
    levels = zip(*paths.values(), strict=False)  # up to the end of the shortest path
    n_shared = sum(1 for _ in takewhile(lambda level: len(set(level)) == 1, levels))
    above = {wnid for path in paths.values() for wnid in path[:-1]}
    folders = {
        wnid: "/".join((*path[n_shared:], *([wnid] if wnid in above or len(path) == n_shared else [])))
        for wnid, path in paths.items()
    }
    return [replace(cls, folder=folders[cls.wnid]) for cls in classes]


def _path(tree: ExclusiveTree, wnid: str) -> tuple[str, ...]:
    """Return the wnids from the top to a synset of the tree, as tree.path() does, without looking the synset up."""
    path = [wnid]
    while path[-1] != tree.under:
        path.append(tree.hypernyms[path[-1]])
    return tuple(path[::-1])


def hazards(plan: Plan) -> Iterator[str]:
    """Yield how loaders number nested folders, and where a synset with several hypernyms is."""
    yield (
        "--layout: ImageFolder opened at any folder numbers the folders just below it, and takes all images in each "
        "for its class; the indices in classes.json are those of the classes side by side, which timm gives"
    )
    tree = tree_of_plan(plan)
    parts = {wnid for cls in plan.classes for wnid in _path(tree, cls.wnid)}
    choices = [choice for choice in tree.choices if choice.wnid in parts]
    if choices:
        wnid, hypernym, others, _ = choices[0]
        name, above, passed = (wordnet.synset(each).name for each in (wnid, hypernym, others[0]))
        yield (
            f"{count_of(len(choices), 'synset')} with several hypernyms, each with its folder below one of them: "
            f"{name} is below {above}, not {passed}. tree.toml lists all, and can be edited for --layout tree.toml"
        )


def tree_of_plan(plan: Plan) -> ExclusiveTree:
    """Return the tree of --layout. ExportError: its file is not the one that the plan was made with."""
    tree = tree_of([cls.wnid for cls in plan.classes], plan.options.layout)
    if nested(plan.classes, tree) != list(plan.classes):
        message = f"--layout {plan.options.layout}: the file was changed since the export began. Export again."
        raise ExportError(message)
    return tree
