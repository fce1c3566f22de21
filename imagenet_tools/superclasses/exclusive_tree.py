"""Make a tree of the graph above some classes, and read and write its TOML file.

Each synset keeps one of its hypernyms, by a named rule. Every choice loses a fact, so that the tree records it with
the hypernyms that were passed over. Ties go to WordNet's first hypernym, kinds before instances. Only hypernyms at or
below the top can be chosen.

The file can be read, edited, committed and used again:

    format = 1
    kind = "exclusive tree"
    [rule]                                  enough to make it again
    rule = "min-depth"
    under = "n00001740 entity.n.01"
    instances = true
    [made]                                  the result; its sha256 shows whether the file was edited since
    n_classes = 1000
    n_synsets = 1860
    n_choices = 38
    sha256 = "..."
    [[choice]]                              a synset with several hypernyms, and the one that it keeps
    synset = "n02084071 dog.n.01"
    hypernym = "n02083346 canine.n.02"
    others = ["n01317541 domestic_animal.n.01"]
    why = "depth 12; the others: depth 7"
    [tree]
    classes = [...]                         synsets with one hypernym follow from WordNet

Users may give a choice another hypernym, and add and remove classes. The reader checks that synsets exist, that each
hypernym is one, and that every synset with several hypernyms between a class and the top has a choice. A choice for a
synset that no path uses any more has no effect. The reader ignores `others`; `why` is for people.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from imagenet_tools.errors import UsageError
from imagenet_tools.storage.files import read_text, write_whole
from imagenet_tools.superclasses import toml_file
from imagenet_tools.superclasses.toml_file import read_synset, synset_label, synset_text
from imagenet_tools.text import count_of, html_of
from imagenet_tools.wordnet import graph, hierarchy, wordnet
from imagenet_tools.wordnet.wnid import sha256_of_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import numpy.typing as npt

    from imagenet_tools.wordnet.graph import Edges

# Each rule, and which hypernym it keeps.
RULES = {
    "first": "the hypernym that WordNet names first",
    "min-depth": "the hypernym that the shortest path from the top leads to",
    "max-depth": "the hypernym that the longest path from the top leads to",
    "most-classes": "the hypernym with the most of the classes at or below it, each counted once",
    "fewest-classes": "the hypernym with the fewest of the classes at or below it, each counted once",
    "most-images": "the hypernym with the most images of the classes at or below it, each counted once",
}
_MADE_BY = "classes tree"
_KIND = "exclusive tree"


class ParentChoice(NamedTuple):
    """A synset with several hypernyms: the one that it keeps, the others in WordNet's order, and the reason."""

    wnid: str
    hypernym: str
    others: tuple[str, ...]
    why: str


@dataclass(frozen=True, kw_only=True, repr=False)
class ExclusiveTree:
    """A tree: classes, and one hypernym for every synset from each class up to the top, the top excluded."""

    rule: str | None  # None: chosen by hand
    under: str  # the wnid of the top
    instances: bool
    classes: tuple[str, ...]  # wnids, sorted
    hypernyms: Mapping[str, str]  # by wnid, sorted
    choices: tuple[ParentChoice, ...]  # sorted by wnid
    edited: bool = False  # the file was changed after it was written

    def __repr__(self) -> str:
        synsets, classes = count_of(len(self.hypernyms) + 1, "synset"), count_of(len(self.classes), "class")
        return (
            f"ExclusiveTree: {synsets} of {classes}, by {self.rule or 'hand'}; {count_of(len(self.choices), 'choice')}"
        )

    def _repr_html_(self) -> str:
        """Return the synsets of several hypernyms and the one that each keeps, for notebooks."""
        rows = [(wordnet.synset(each.wnid).name, wordnet.synset(each.hypernym).name, each.why) for each in self.choices]
        return html_of(repr(self), (("synset", "hypernym kept", "why"), rows))

    def edges_down(self) -> Edges:
        """Return the edges of the tree from each row of imagenet_tools.wordnet.wordnet to its children."""
        lower, upper = wordnet.rows_of(self.hypernyms), wordnet.rows_of(self.hypernyms.values())
        return graph.from_pairs(len(wordnet.load().offsets), upper, lower)

    def path(self, synset: str) -> tuple[str, ...]:
        """Return the wnids from the top to a synset, both included; UsageError if it is not in the tree."""
        wnid = wordnet.synset(synset).wnid
        if wnid != self.under and wnid not in self.hypernyms:
            raise UsageError(f"{synset} is not in the tree; expected one of its classes, or a synset above one.")
        path = [wnid]
        while path[-1] != self.under:
            path.append(self.hypernyms[path[-1]])
        return tuple(path[::-1])


def exclusive_tree(
    classes: Iterable[str],
    *,
    rule: str,
    under: str = hierarchy.ROOT,
    images: npt.NDArray[np.int64] | None = None,
    instances: bool = True,
) -> ExclusiveTree:
    """Return the tree of some classes by a rule.

    Args:
        classes: Wnids or names.
        rule: One of RULES.
        under: The top: a wnid or a name.
        images: Images filed at each synset, by row of wordnet: (82,115,). Only for the rule most-images.
        instances: Also follow instance edges.

    Raises:
        UsageError: No such rule, a class twice or not below `under`, or no images for the rule that counts them.
    """
    if rule not in RULES:
        raise UsageError(f"{rule!r} is no rule; expected one of {', '.join(RULES)}.")
    wnids = wordnet.wnids_of(np.sort(wordnet.rows_of(classes)))
    top = wordnet.synset(under).wnid
    ranks, words = _ranking(rule, wnids, top, images, instances)

    def choose(wnid: str, hypernyms: tuple[str, ...]) -> tuple[str, str]:
        if len(hypernyms) == 1:
            return hypernyms[0], ""
        hypernym_ranks = ranks[wordnet.rows_of(hypernyms)]
        best = int(hypernym_ranks.argmax())
        reasons = [words.format(abs(rank)) for rank in hypernym_ranks.tolist()]
        others = ", ".join([*reasons[:best], *reasons[best + 1 :]])
        return hypernyms[best], f"{reasons[best]}; the others: {others}" if words else "first"

    return _tree(wnids, top, instances, rule, choose)


def _tree(
    classes: tuple[str, ...],
    top: str,
    instances: bool,
    rule: str | None,
    choose: Callable[[str, tuple[str, ...]], tuple[str, str]],
) -> ExclusiveTree:
    """Return the tree in which each synset keeps the hypernym that `choose(wnid, hypernyms)` returns with a reason."""
    parents = _parents(classes, wordnet.row_of(top), instances)
    hypernyms: dict[str, str] = {}
    choices = []
    for class_wnid in classes:
        wnid = class_wnid
        while wnid != top and wnid not in hypernyms:
            above = wordnet.wnids_of(parents[wordnet.row_of(wnid)])
            kept, why = choose(wnid, above)
            if len(above) > 1:
                choices.append(ParentChoice(wnid, kept, tuple(other for other in above if other != kept), why))
            hypernyms[wnid] = kept
            wnid = kept
    return ExclusiveTree(
        rule=rule,
        under=top,
        instances=instances,
        classes=classes,
        hypernyms=dict(sorted(hypernyms.items())),
        choices=tuple(sorted(choices)),
    )


def _parents(classes: tuple[str, ...], top: int, instances: bool) -> dict[int, list[int]]:
    """Return the rows of the hypernyms at or below the top, for the row of each synset at or above a class.

    Raises:
        UsageError: A class is not below the top, or appears twice.
    """
    if not classes:
        raise UsageError("Found no classes; expected one at least.")
    rows = wordnet.distinct_rows_of(classes)
    up = hierarchy.edges_up(instances=instances)
    below = wordnet.mask_of(graph.reach(hierarchy.edges_down(instances=instances), [top]))
    outside = rows[~below[rows]]
    if len(outside):
        raise UsageError(
            f"{len(outside):,} of {len(rows):,} classes are not below {wordnet.name_at(top)}, such as "
            f"{wordnet.name_at(int(outside[0]))} ({wordnet.wnids_of(outside[:1])[0]}). Leave them out, or name a "
            "synset above all of them."
        )
    inside = np.flatnonzero(below & wordnet.mask_of(graph.reach(up, rows))).tolist()
    return {row: [above for above in up.of(row).tolist() if below[above]] for row in inside if row != top}


def _ranking(
    rule: str, classes: tuple[str, ...], top: str, images: npt.NDArray[np.int64] | None, instances: bool
) -> tuple[npt.NDArray[np.integer], str]:
    """Return a number for each row, the greatest one is kept, and how to write its absolute value in words."""
    if rule == "first":
        return np.zeros(len(wordnet.load().offsets), np.int64), ""
    if rule in {"min-depth", "max-depth"}:
        shortest, longest = graph.depths(hierarchy.edges_down(instances=instances), [wordnet.row_of(top)])
        return (-shortest if rule == "min-depth" else longest), "depth {}"
    direct = wordnet.mask_of(wordnet.rows_of(classes)).astype(np.int64)
    if rule == "most-images":
        if images is None:
            raise UsageError("The rule most-images needs images to count; expected an index, or `images`.")
        return hierarchy.inclusive(direct * np.asarray(images), instances=instances), "{:,} images"
    below = hierarchy.inclusive(direct, instances=instances)
    return (-below if rule == "fewest-classes" else below), "{:,} classes"


# ---- the file


def write(tree: ExclusiveTree, path: str | Path) -> None:
    """Write the file, whole or not at all; ExistsError if the path exists."""
    write_whole(Path(path), text(tree).encode())


def text(tree: ExclusiveTree) -> str:
    """Return the text of the file; equal trees give equal texts."""
    comments = [f"A tree of {len(tree.classes):,} classes; {len(tree.choices):,} synsets keep one hypernym of several."]
    if tree.rule is not None:
        comments.append(f"By the rule {tree.rule}: {RULES[tree.rule]}; among equals WordNet's first.")
    comments.append("Choices may be changed by hand; what reads the file checks them.")
    return toml_file.document(_KIND, comments, _sections(tree))


def _sections(tree: ExclusiveTree) -> Iterator[tuple[str, Mapping[str, object]]]:
    rule = {} if tree.rule is None else {"rule": tree.rule}
    yield "[rule]", rule | {"under": synset_label(tree.under), "instances": tree.instances}
    counts = {
        "n_classes": len(tree.classes),
        "n_synsets": len(tree.hypernyms) + 1,
        "n_choices": len(tree.choices),
        "sha256": _sha256(tree),
    }
    yield "[made]", counts
    for wnid, hypernym, others, why in tree.choices:
        entries = {"synset": synset_label(wnid), "hypernym": synset_label(hypernym)}
        yield "[[choice]]", entries | {"others": tuple(map(synset_label, others)), "why": why}
    yield "[tree]", {"classes": [*map(synset_label, tree.classes)]}


def _sha256(tree: ExclusiveTree) -> str:
    return sha256_of_lines(f"{wnid}\t{hypernym}" for wnid, hypernym in tree.hypernyms.items())


def read(path: str | Path) -> ExclusiveTree:
    """Read and check a file.

    Raises:
        UsageError: Not such a file, or a choice that does not hold. The message names the place.
        UnknownSynsetError: A synset is not in WordNet 3.0.
    """
    return parse(read_text(path, _MADE_BY), where=str(path))


def parse(content: str, *, where: str = "exclusive tree") -> ExclusiveTree:
    """Return the tree that the text of a file holds: see read()."""
    keys = ("rule", "made", "choice", "tree")
    table = toml_file.parse_document(content, where=where, kind=_KIND, made_by=_MADE_BY, keys=keys)
    options = toml_file.table_at(where, table, "rule")
    toml_file.check_keys(f"{where}, [rule]", options, ("rule", "under", "instances"))
    rule, instances = options.get("rule"), options.get("instances", True)
    if rule is not None and (not isinstance(rule, str) or rule not in RULES):
        raise UsageError(f"{where}, [rule]: {rule!r} is no rule; expected one of {', '.join(RULES)}, or none.")
    if type(instances) is not bool:
        raise UsageError(f"{where}, [rule]: instances = {instances!r}; expected true or false.")
    under = read_synset(f"{where}, under", options.get("under", "entity.n.01"))
    listed = toml_file.table_at(where, table, "tree").get("classes")
    classes = tuple(sorted(toml_file.read_synsets(f"{where}, classes", listed)))
    try:
        parents = _parents(classes, wordnet.row_of(under), instances)
    except UsageError as error:
        raise UsageError(f"{where}, classes: {error}") from error
    choices = _parse_choices(f"{where}, [[choice]]", toml_file.tables_at(where, table, "choice"))
    for wnid in choices:
        if wordnet.row_of(wnid) not in parents:
            raise UsageError(
                f"{where}: {synset_text(wnid)} is neither a class nor above one: its [[choice]] has no effect. "
                "Remove it, or add its classes."
            )

    def choose(wnid: str, hypernyms: tuple[str, ...]) -> tuple[str, str]:
        expected = ", ".join(map(synset_text, hypernyms))
        if wnid not in choices and len(hypernyms) > 1:
            problem = f"{synset_text(wnid)} has {len(hypernyms)} hypernyms and no [[choice]]: {expected}"
            raise UsageError(f"{where}: {problem}. Add one that names one of them.")
        hypernym, why = choices.get(wnid, (hypernyms[0], ""))
        if hypernym not in hypernyms:
            problem = f"{synset_text(hypernym)} is no hypernym of {synset_text(wnid)} below {synset_text(under)}"
            raise UsageError(f"{where}: {problem}; expected {expected}.")
        return hypernym, why

    tree = _tree(classes, under, instances, rule, choose)
    edited = toml_file.table_at(where, table, "made").get("sha256") != _sha256(tree)
    return dataclasses.replace(tree, edited=edited)


def _parse_choices(where: str, tables: Iterable[Mapping[str, Any]]) -> dict[str, tuple[str, str]]:
    """Return the hypernym that each [[choice]] keeps, and why, by wnid."""
    choices: dict[str, tuple[str, str]] = {}
    for table in tables:
        toml_file.check_keys(where, table, ("synset", "hypernym", "others", "why"))
        wnid = read_synset(f"{where}, synset", table.get("synset"))
        if wnid in choices:
            raise UsageError(f"{where}: {synset_text(wnid)} appears twice. Remove one.")
        hypernym = read_synset(f"{where} of {synset_text(wnid)}, hypernym", table.get("hypernym"))
        choices[wnid] = hypernym, str(table.get("why", ""))
    return choices
