"""The file that holds superclasses: TOML, to be read, edited, committed and used again.

    format = 1
    kind = "superclasses"
    [rule]                                  how they were chosen: enough to choose them again
    k = 20
    ...
    [made]                                  what came of it; tells a file that was edited since
    n_classes = 1000
    sha256 = "..."
    [[superclass]]                          in the order of their wnids; a superclass's index is its place, from 0
    synset = "n02084071 dog.n.01"
    name = "dog.n.01"
    members = [
      "n02085620 chihuahua.n.03",
      ...
    ]
    [[ambiguous]]                           a class at or below several of them; `taken` is missing where none took it
    class = "n02123045 tabby.n.01"
    taken = "n02121620 cat.n.01"
    others = ["n01317541 domestic_animal.n.01"]
    [unassigned]                            classes in no superclass, by reason
    uncovered = [...]
    [passed_over]                           synsets that might have been superclasses, with the reason
    "n02118333 fox.n.01" = "4 classes"

By hand one may move, take out and add members, rename superclasses, add and remove them. A synset is written as a
wnid, a name, or both, which must agree. What is checked when the file is read: that synsets exist, that no class stands
twice, that each lies at or below its superclass. `ambiguous` is for people and is not read: it follows from the rest.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from imagenet_tools.errors import UsageError
from imagenet_tools.storage.files import read_text, write_whole
from imagenet_tools.superclasses import toml_synsets as toml
from imagenet_tools.superclasses.superclasses import REASONS, Rule, Superclass, Superclasses
from imagenet_tools.wordnet import hierarchy, wordnet

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


_MADE_BY = "classes cut"
_KEYS = ("rule", "made", "superclass", "ambiguous", "unassigned", "passed_over")


# ---- written


def write(made: Superclasses, path: str | Path) -> None:
    """Write the file, whole or not at all; ExistsError where something is at `path`."""
    write_whole(Path(path), text(made).encode())


def text(made: Superclasses) -> str:
    """The file's text, as drawn at the head of this module; the same superclasses give the same text."""
    return "\n".join(_lines(made)) + "\n"


def _lines(made: Superclasses) -> Iterator[str]:
    shared, classes = made.shared(), made.classes()
    n_covered = len(made.superclass_of())
    yield f"# {len(made.superclasses):,} superclasses of {n_covered:,} of {len(classes):,} classes."
    yield "# Members may be moved, taken out and added by hand, superclasses renamed; what reads the file checks it."
    yield from ("format = 1", 'kind = "superclasses"')
    if made.rule is not None:
        yield from ("", "[rule]")
        yield from (f"{key} = {toml.value(value)}" for key, value in _stated(made.rule))
    yield from ("", "[made]", f"n_classes = {len(classes)}", f"n_covered = {n_covered}")
    yield f"n_ambiguous = {len(shared)}"
    yield f"disjoint = {toml.value(not shared)}  # in the graph: no class lies at or below two of them"
    yield f'sha256 = "{_sha256(made)}"'
    yield f"notes = {toml.value(made.notes)}"
    for one in made.superclasses:
        yield from ("", "[[superclass]]", f"synset = {toml.synset(one.wnid)}", f"name = {toml.value(one.name)}")
        yield from toml.listed("members", one.members)
    for each in shared:
        taken = [f"taken = {toml.synset(each.taken)}"] if each.taken else []
        others = ", ".join(map(toml.synset, each.others))
        yield from ("", "[[ambiguous]]", f"class = {toml.synset(each.wnid)}", *taken, f"others = [{others}]")
    yield from ("", "[unassigned]")
    for reason, wnids in made.unassigned():
        yield from toml.listed(reason, wnids)
    if made.passed_over:
        yield from ("", "[passed_over]")
        yield from (f"{toml.synset(wnid)} = {toml.value(why)}" for wnid, why in made.passed_over.items())


def _stated(rule: Rule) -> Iterator[tuple[str, object]]:
    for key in (each.name for each in fields(rule)):
        value = getattr(rule, key)
        if key == "at" and value is not None:
            value = [toml.named(wnid) for wnid in value]
        if value is not None:
            yield key, toml.named(value) if key == "under" else value


def _sha256(made: Superclasses) -> str:
    lines = (f"{wnid}\t{superclass}\n" for wnid, superclass in sorted(made.superclass_of().items()))
    names = (f"{one.wnid}\t{one.name}\n" for one in made.superclasses)
    return hashlib.sha256("".join([*lines, *names]).encode()).hexdigest()


# ---- read


def read(path: str | Path) -> Superclasses:
    """Read and check the file; `edited` says whether it was changed since it was made, or made by hand.

    UsageError, with the place: it is no such file, a synset is not known, a class stands twice or not below its
    superclass.
    """
    return parse(read_text(path, _MADE_BY), where=str(path))


def parse(content: str, *, where: str = "superclasses") -> Superclasses:
    """The superclasses that a file's text holds: see read."""
    table = toml.parsed(content, where=where, kind="superclasses", made_by=_MADE_BY, keys=_KEYS)
    rule = _rule(where, toml.table_of(where, table, "rule") if "rule" in table else None)
    superclasses = tuple(sorted(_superclass(where, one) for one in toml.tables(where, table, "superclass")))
    _check(where, superclasses, rule is None or rule.instances)
    members = {member for one in superclasses for member in one.members}
    unassigned = toml.table_of(where, table, "unassigned")
    toml.known(f"{where}, [unassigned]", unassigned, REASONS)
    # Who gives a class to a superclass by hand may leave it in the list of those that have none.
    rest = {
        reason: tuple(sorted(set(toml.wnids(f"{where}, {reason}", unassigned.get(reason, []))) - members))
        for reason in REASONS
    }
    over = {toml.wnid(where, synset): str(why) for synset, why in toml.table_of(where, table, "passed_over").items()}
    said = toml.table_of(where, table, "made")
    made = Superclasses(
        rule=rule,
        superclasses=superclasses,
        **rest,  # type: ignore[arg-type]  # by the names of REASONS
        passed_over=over,
        notes=tuple(map(str, said.get("notes", ()))) if isinstance(said.get("notes"), list) else (),
    )
    return replace(made, edited=said.get("sha256") != _sha256(made))


def _superclass(where: str, one: Mapping[str, object]) -> Superclass:
    wnid = toml.wnid(f"{where}, [[superclass]]", one.get("synset"))
    where = f"{where}, superclass {one.get('synset')}"
    toml.known(where, one, ("synset", "name", "members"))
    members = tuple(sorted(toml.wnids(where, one.get("members"))))
    if not members:
        raise UsageError(f"{where}: it has no members. Add some, or remove the superclass.")
    return Superclass(wnid, str(one.get("name", wordnet.synset(wnid).name)), members)


def _check(where: str, superclasses: tuple[Superclass, ...], instances: bool) -> None:
    """UsageError: a superclass or a class stands twice, or a class does not lie at or below its superclass."""
    for what, values in (("synset", [one.wnid for one in superclasses]), ("name", [one.name for one in superclasses])):
        twice = [value for value, n in Counter(values).items() if n > 1]
        if twice:
            raise UsageError(f"{where}: two superclasses have the {what} {twice[0]}. Expected one; join them.")
    holder: dict[str, str] = {}
    for one in superclasses:
        below = set(hierarchy.descendants(one.wnid, instances=instances))
        for member in one.members:
            if member in holder:
                both = f"{toml.synset(holder[member])} and in {toml.synset(one.wnid)}"
                raise UsageError(
                    f"{where}: {toml.synset(member)} stands in {both}. "
                    "A class belongs to one superclass; take it out of the other."
                )
            if member not in below:
                above = ", ".join(map(toml.synset, hierarchy.hypernyms(member))) or "none"
                raise UsageError(
                    f"{where}: {toml.synset(member)} does not lie below {toml.synset(one.wnid)}. "
                    f"Its hypernyms are {above}. Move it to a superclass above it, "
                    "or give this superclass a synset above both."
                )
            holder[member] = one.wnid


def _rule(where: str, table: Mapping[str, object] | None) -> Rule | None:
    if table is None:
        return None
    toml.known(f"{where}, [rule]", table, tuple(each.name for each in fields(Rule)))
    values = dict(table)
    if "under" in values:
        values["under"] = toml.wnid(f"{where}, under", values["under"])
    if "at" in values:
        values["at"] = tuple(toml.wnids(f"{where}, at", values["at"]))
    try:
        return Rule(**values)  # type: ignore[arg-type]  # Rule checks them itself
    except UsageError as error:
        raise UsageError(f"{where}, [rule]: {error}") from error
