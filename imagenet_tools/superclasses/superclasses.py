"""Superclasses of a set of classes, and the TOML file that holds them.

The file can be read, edited, committed and used again:

    format = 1
    kind = "superclasses"
    [rule]                                  how they were chosen: enough to choose them again
    k = 20
    ...
    [made]                                  the result; its sha256 shows whether the file was edited since
    n_classes = 1000
    sha256 = "..."
    [[superclass]]                          sorted by wnid; the index of a superclass is its place, from 0
    synset = "n02084071 dog.n.01"
    name = "dog.n.01"
    members = [
      "n02085620 chihuahua.n.03",
      ...
    ]
    [[ambiguous]]                           a class at or below several of them; no `taken` if none of them has it
    class = "n02123045 tabby.n.01"
    taken = "n02121620 cat.n.01"
    others = ["n01317541 domestic_animal.n.01"]
    [unassigned]                            classes in no superclass, by reason
    uncovered = [...]
    [passed_over]                           synsets that might have been superclasses, with the reason
    "n02118333 fox.n.01" = "4 classes"

Users may move, remove and add members, and rename, add and remove superclasses. The reader checks that every synset
exists, that no class appears twice, and that each class is at or below its superclass. It ignores `ambiguous`, which
follows from the rest.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.errors import UsageError
from imagenet_tools.storage.files import read_text, write_whole
from imagenet_tools.superclasses import toml_file
from imagenet_tools.superclasses.toml_file import read_synset, read_synsets, synset_label, synset_text
from imagenet_tools.text import count_of, html_of
from imagenet_tools.wordnet import graph, hierarchy, wordnet
from imagenet_tools.wordnet.wnid import sha256_of_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MEASURES = ("longest", "shortest")
OVERLAPS = ("nearest", "first", "largest", "none")
REASONS = ("uncovered", "undecided", "surplus", "outside")
EMPTIED = "its classes went to others, or to none"  # why a chosen superclass has no members
_WAYS = ("depth", "k", "at")
_MADE_BY = "classes cut"
_KIND = "superclasses"
_KEYS = ("rule", "made", "superclass", "ambiguous", "unassigned", "passed_over")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How superclasses are chosen: exactly one of `depth`, `k` and `at` is set.

    Attributes:
        depth: The synsets at this number of edges below `under`.
        k: This number of disjoint synsets that together have the most classes. The result is exact. It takes a second,
            or half a minute for fall11 without `balanced` or a bound.
        at: These synsets, by wnid.
        under: All superclasses are at or below this wnid.
        measure: Depth by the longest or the shortest path. By the longest, no superclass is below another.
        balanced: With `k`: first make the smallest superclass as large as possible, then maximise the total.
        disjoint: With `depth` or `at`: keep only the superclasses that share no class and together have the most.
        equal: Keep as many classes in each as the smallest has: those of the lowest hash.
        overlap: Where a class below several superclasses goes, if none of them is below another: "nearest" (fewest
            edges up), "first" (first met on the way up, depth first), "largest" (most classes) or "none". Ties go to
            the first. Of nested superclasses the lower one takes the class.
        min_classes: The least number of classes at or below a superclass.
        max_classes: The greatest number.
        instances: Also follow instance edges.

    Raises:
        UsageError: No way to choose or several, or a value that is not known.
    """

    depth: int | None = None
    k: int | None = None
    at: tuple[str, ...] | None = None
    under: str = "n00001740"  # entity.n.01
    measure: str = "longest"
    balanced: bool = False
    disjoint: bool = False
    equal: bool = False
    overlap: str = "nearest"
    min_classes: int = 1
    max_classes: int | None = None
    instances: bool = True

    def __post_init__(self) -> None:
        ways = [way for way in _WAYS if getattr(self, way) is not None]
        if len(ways) != 1:
            raise UsageError(f"Found {' and '.join(ways) or 'no way to choose'}; expected one of {', '.join(_WAYS)}.")
        for key, least in (("depth", 0), ("k", 1), ("min_classes", 1), ("max_classes", 1)):
            value = getattr(self, key)
            if value is not None and (type(value) is not int or value < least):
                raise UsageError(f"{key} = {value!r}; expected a whole number from {least}.")
        for key, known in (("measure", MEASURES), ("overlap", OVERLAPS)):
            if getattr(self, key) not in known:
                raise UsageError(f"{key} = {getattr(self, key)!r}; expected one of {', '.join(known)}.")
        for key in ("balanced", "disjoint", "equal", "instances"):
            if type(getattr(self, key)) is not bool:
                raise UsageError(f"{key} = {getattr(self, key)!r}; expected true or false.")


class Superclass(NamedTuple):
    """A superclass: its synset, its name, and the wnids of its classes, sorted."""

    wnid: str
    name: str
    members: tuple[str, ...]


class Shared(NamedTuple):
    """A class at or below several superclasses: the one that has it (None: none), and the others."""

    wnid: str
    taken: str | None
    others: tuple[str, ...]


@dataclass(frozen=True, repr=False)
class Superclasses:
    """Superclasses sorted by wnid, no class in two of them, and the classes that are in none."""

    rule: Rule | None  # None: made by hand
    superclasses: tuple[Superclass, ...]
    uncovered: tuple[str, ...] = ()  # at or below none of them
    undecided: tuple[str, ...] = ()  # below several, and the rule gives them to none
    surplus: tuple[str, ...] = ()  # more than the smallest superclass has, if all must have equally many
    outside: tuple[str, ...] = ()  # not at or below the rule's `under`
    passed_over: Mapping[str, str] = field(default_factory=dict)  # wnid of a synset: why it is no superclass
    notes: tuple[str, ...] = ()  # sentences about the choice
    edited: bool = False  # the file was changed after it was written

    def __repr__(self) -> str:
        n_members = sum(len(superclass.members) for superclass in self.superclasses)
        n_classes = count_of(len(self.classes()), "class")
        return f"Superclasses: {count_of(len(self.superclasses), 'superclass')} of {n_members:,} of {n_classes}"

    def _repr_html_(self) -> str:
        """Return the superclasses with their numbers of classes, and the classes that are in none, for notebooks."""
        rows = [(each.wnid, each.name, len(each.members)) for each in self.superclasses]
        without = [(reason, len(wnids)) for reason, wnids in self.unassigned() if wnids]
        in_none = ("in no superclass", "classes")
        return html_of(repr(self), (("wnid", "name", "classes"), rows), (in_none, without), notes=self.notes)

    def superclass_of(self) -> dict[str, str]:
        """Return the wnid of the superclass of each class that has one."""
        return {member: superclass.wnid for superclass in self.superclasses for member in superclass.members}

    def classes(self) -> tuple[str, ...]:
        """Return the wnids of all classes, also those without a superclass, sorted."""
        return tuple(sorted([*self.superclass_of(), *(wnid for _, wnids in self.unassigned() for wnid in wnids)]))

    def unassigned(self) -> list[tuple[str, tuple[str, ...]]]:
        """Return the classes without a superclass, by reason."""
        return [(reason, getattr(self, reason)) for reason in REASONS]

    def shared(self) -> tuple[Shared, ...]:
        """Return the classes at or below several superclasses, emptied ones included; empty if all are disjoint."""
        classes, superclass_of = self.classes(), self.superclass_of()
        wnids = [superclass.wnid for superclass in self.superclasses]
        wnids += [wnid for wnid, why in self.passed_over.items() if why == EMPTIED]
        is_superclass = wordnet.mask_of(wordnet.rows_of(wnids))
        edges = hierarchy.edges_up(instances=self.rule is None or self.rule.instances)
        below, above, _ = graph.pairs(edges, wordnet.rows_of(classes))
        above_class: dict[str, list[str]] = {}
        chosen = is_superclass[above]
        for wnid, superclass in zip(*map(wordnet.wnids_of, (below[chosen], above[chosen])), strict=True):
            above_class.setdefault(wnid, []).append(superclass)
        shared = []
        for wnid in classes:
            superclasses, taken = sorted(above_class.get(wnid, ())), superclass_of.get(wnid)
            if len(superclasses) > 1:
                shared.append(Shared(wnid, taken, tuple(other for other in superclasses if other != taken)))
        return tuple(shared)


# ---- write the file


def write(superclasses: Superclasses, path: str | Path) -> None:
    """Write the file, whole or not at all; ExistsError if the path exists."""
    write_whole(Path(path), text(superclasses).encode())


def text(superclasses: Superclasses) -> str:
    """Return the text of the file; equal superclasses give equal texts."""
    comments = (
        f"{len(superclasses.superclasses):,} superclasses of {len(superclasses.superclass_of()):,} of "
        f"{count_of(len(superclasses.classes()), 'class')}.",
        "Members may be moved, taken out and added by hand, superclasses renamed; what reads the file checks it.",
    )
    remarks = {("[made]", "disjoint"): "  # in the graph: no class lies at or below two of them"}
    return toml_file.document(_KIND, comments, _sections(superclasses), remarks=remarks)


def _sections(superclasses: Superclasses) -> Iterator[tuple[str, Mapping[str, object]]]:
    shared = superclasses.shared()
    if (rule := superclasses.rule) is not None:
        values = {option.name: getattr(rule, option.name) for option in fields(rule)}
        values |= {"under": synset_label(rule.under), "at": tuple(map(synset_label, rule.at)) if rule.at else rule.at}
        yield "[rule]", {key: value for key, value in values.items() if value is not None}
    facts = {
        "n_classes": len(superclasses.classes()),
        "n_covered": len(superclasses.superclass_of()),
        "n_ambiguous": len(shared),
        "disjoint": not shared,
        "sha256": _sha256(superclasses),
        "notes": superclasses.notes,
    }
    yield "[made]", facts
    for wnid, name, members in superclasses.superclasses:
        yield "[[superclass]]", {"synset": synset_label(wnid), "name": name, "members": [*map(synset_label, members)]}
    for wnid, taken, others in shared:
        entries = {"class": synset_label(wnid)} | ({"taken": synset_label(taken)} if taken else {})
        yield "[[ambiguous]]", entries | {"others": tuple(map(synset_label, others))}
    yield "[unassigned]", {reason: [*map(synset_label, wnids)] for reason, wnids in superclasses.unassigned()}
    if superclasses.passed_over:
        yield "[passed_over]", {synset_text(wnid): why for wnid, why in superclasses.passed_over.items()}


def _sha256(superclasses: Superclasses) -> str:
    lines = [f"{wnid}\t{superclass}" for wnid, superclass in sorted(superclasses.superclass_of().items())]
    return sha256_of_lines([*lines, *(f"{wnid}\t{name}" for wnid, name, _ in superclasses.superclasses)])


# ---- read the file


def read(path: str | Path) -> Superclasses:
    """Read and check a file; `edited` of the result is True if it was changed by hand, or made by hand.

    Raises:
        UsageError: Not such a file, a class twice, or a class that is not below its superclass. The message names the
            place.
        UnknownSynsetError: A synset is not in WordNet 3.0.
    """
    return parse(read_text(path, _MADE_BY), where=str(path))


def parse(content: str, *, where: str = "superclasses") -> Superclasses:
    """Return the superclasses that the text of a file holds: see read()."""
    table = toml_file.parse_document(content, where=where, kind=_KIND, made_by=_MADE_BY, keys=_KEYS)
    rule = _parse_rule(where, toml_file.table_at(where, table, "rule")) if "rule" in table else None
    tables = toml_file.tables_at(where, table, "superclass")
    if not tables:
        expected = "Expected one for each superclass, with synset, name and members."
        raise UsageError(f"{where}: found no [[superclass]]. {expected}")
    superclasses = tuple(sorted(_parse_superclass(where, entry) for entry in tables))
    _check_unique(where, superclasses)
    _check_members(where, superclasses, rule is None or rule.instances)
    members = {member for superclass in superclasses for member in superclass.members}
    unassigned = toml_file.table_at(where, table, "unassigned")
    toml_file.check_keys(f"{where}, [unassigned]", unassigned, REASONS)
    # Users who give a class to a superclass may leave it in the list of unassigned classes.
    rest = {
        reason: tuple(sorted(set(read_synsets(f"{where}, {reason}", unassigned.get(reason, []))) - members))
        for reason in REASONS
    }
    passed_over = toml_file.table_at(where, table, "passed_over").items()
    facts = toml_file.table_at(where, table, "made")
    notes = facts.get("notes", ())
    result = Superclasses(
        rule=rule,
        superclasses=superclasses,
        **rest,  # type: ignore[arg-type]  # by the names of REASONS
        passed_over={read_synset(where, key): str(why) for key, why in passed_over},
        notes=tuple(map(str, notes)) if isinstance(notes, list) else (),
    )
    return replace(result, edited=facts.get("sha256") != _sha256(result))


def _parse_superclass(where: str, table: Mapping[str, object]) -> Superclass:
    wnid = read_synset(f"{where}, [[superclass]]", table.get("synset"))
    where = f"{where}, superclass {table.get('synset')}"
    toml_file.check_keys(where, table, ("synset", "name", "members"))
    members = tuple(sorted(read_synsets(where, table.get("members"))))
    if not members:
        raise UsageError(f"{where}: it has no members. Add some, or remove the superclass.")
    return Superclass(wnid, str(table.get("name", wordnet.synset(wnid).name)), members)


def _check_unique(where: str, superclasses: tuple[Superclass, ...]) -> None:
    for key, values in (
        ("synset", [wnid for wnid, _, _ in superclasses]),
        ("name", [name for _, name, _ in superclasses]),
    ):
        twice = [value for value, n in Counter(values).items() if n > 1]
        if twice:
            raise UsageError(f"{where}: two superclasses have the {key} {twice[0]}. Expected one; join them.")


def _check_members(where: str, superclasses: tuple[Superclass, ...], instances: bool) -> None:
    superclass_of: dict[str, str] = {}
    for wnid, _, members in superclasses:
        below = set(hierarchy.descendants(wnid, instances=instances))
        for member in members:
            if member in superclass_of:
                raise UsageError(
                    f"{where}: {synset_text(member)} is in {synset_text(superclass_of[member])} and in "
                    f"{synset_text(wnid)}. A class belongs to one superclass; remove it from the other."
                )
            if member not in below:
                above = ", ".join(map(synset_text, hierarchy.hypernyms(member))) or "none"
                raise UsageError(
                    f"{where}: {synset_text(member)} is not below {synset_text(wnid)}. Its hypernyms are "
                    f"{above}. Move it to a superclass above it, or give this superclass a synset above both."
                )
            superclass_of[member] = wnid


def _parse_rule(where: str, table: Mapping[str, object]) -> Rule:
    toml_file.check_keys(f"{where}, [rule]", table, tuple(option.name for option in fields(Rule)))
    values = dict(table)
    if "under" in values:
        values["under"] = read_synset(f"{where}, under", values["under"])
    if "at" in values:
        values["at"] = tuple(read_synsets(f"{where}, at", values["at"]))
    try:
        return Rule(**values)  # type: ignore[arg-type]  # Rule checks them itself
    except UsageError as error:
        raise UsageError(f"{where}, [rule]: {error}") from error
