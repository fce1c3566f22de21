"""The file that holds an exclusive tree: TOML, to be read, edited, committed and used again.

    format = 1
    kind = "exclusive tree"
    [rule]                                  enough to make it again
    rule = "min-depth"
    under = "n00001740 entity.n.01"
    instances = true
    [made]                                  what came of it; tells a file that was edited since
    n_classes = 1000
    n_synsets = 1860
    n_choices = 38
    sha256 = "..."
    [[choice]]                              a synset of several hypernyms, and the one that it keeps
    synset = "n02084071 dog.n.01"
    hypernym = "n02083346 canine.n.02"
    others = ["n01317541 domestic_animal.n.01"]
    why = "depth 12; the others: depth 7"
    [tree]
    classes = [...]                         what has one hypernym alone follows from WordNet

By hand one may give a choice another hypernym, and add and take out classes. What is checked when the file is read:
that synsets exist, that each hypernym is one, and that every synset of several on the way from a class to the top has
its choice; one that lies on no such way any more decides nothing. `others` and `why` are for people and are not read.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagenet_tools.errors import UsageError
from imagenet_tools.storage.files import read_text, write_whole
from imagenet_tools.superclasses import toml_synsets as toml
from imagenet_tools.superclasses.exclusive_tree import RULES, ExclusiveTree, ParentChoice, parents_of, walked
from imagenet_tools.wordnet import wordnet

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_MADE_BY = "classes tree"


def write(tree: ExclusiveTree, path: str | Path) -> None:
    """Write the file, whole or not at all; ExistsError where something is at `path`."""
    write_whole(Path(path), text(tree).encode())


def text(tree: ExclusiveTree) -> str:
    """The file's text, as drawn at the head of this module; the same tree gives the same text."""
    return "\n".join(_lines(tree)) + "\n"


def _lines(tree: ExclusiveTree) -> Iterator[str]:
    yield f"# A tree of {len(tree.classes):,} classes; {len(tree.choices):,} synsets keep one hypernym of several."
    if tree.rule is not None:
        yield f"# By the rule {tree.rule}: {RULES[tree.rule]}; among equals WordNet's first."
    yield "# Choices may be changed by hand; what reads the file checks them."
    yield from ("format = 1", 'kind = "exclusive tree"', "", "[rule]")
    if tree.rule is not None:
        yield f"rule = {toml.value(tree.rule)}"
    yield from (f"under = {toml.synset(tree.under)}", f"instances = {toml.value(tree.instances)}")
    yield from ("", "[made]", f"n_classes = {len(tree.classes)}", f"n_synsets = {len(tree.hypernyms) + 1}")
    yield from (f"n_choices = {len(tree.choices)}", f'sha256 = "{_sha256(tree.hypernyms)}"')
    for choice in tree.choices:
        others = ", ".join(map(toml.synset, choice.others))
        yield from ("", "[[choice]]", f"synset = {toml.synset(choice.wnid)}")
        yield from (f"hypernym = {toml.synset(choice.hypernym)}", f"others = [{others}]")
        yield f"why = {toml.value(choice.why)}"
    yield from ("", "[tree]", *toml.listed("classes", tree.classes))


def _sha256(hypernyms: Mapping[str, str]) -> str:
    return hashlib.sha256("".join(f"{low}\t{high}\n" for low, high in hypernyms.items()).encode()).hexdigest()


def read(path: str | Path) -> ExclusiveTree:
    """Read and check the file; UsageError or UnknownSynsetError, with the place and what to do: it does not hold."""
    return parse(read_text(path, _MADE_BY), where=str(path))


def parse(content: str, *, where: str = "exclusive tree") -> ExclusiveTree:
    """The tree that a file's text holds: see read."""
    keys = ("rule", "made", "choice", "tree")
    table = toml.parsed(content, where=where, kind="exclusive tree", made_by=_MADE_BY, keys=keys)
    rule = toml.table_of(where, table, "rule")
    toml.known(f"{where}, [rule]", rule, ("rule", "under", "instances"))
    name, instances = rule.get("rule"), rule.get("instances", True)
    if name is not None and (not isinstance(name, str) or name not in RULES):
        raise UsageError(f"{where}, [rule]: {name!r} is no rule; expected one of {', '.join(RULES)}, or none.")
    if type(instances) is not bool:
        raise UsageError(f"{where}, [rule]: instances = {instances!r}; expected true or false.")
    under = toml.wnid(f"{where}, under", rule.get("under", "entity.n.01"))
    classes = tuple(sorted(toml.wnids(f"{where}, classes", toml.table_of(where, table, "tree").get("classes"))))
    try:
        parents = parents_of(classes, under=under, instances=instances)
    except UsageError as error:
        raise UsageError(f"{where}, classes: {error}") from error
    given = _choices(where, table.get("choice", []))
    for wnid in given:
        if wordnet.row_of(wnid) not in parents:
            what = "is no class and lies above none, so that its [[choice]] decides nothing"
            raise UsageError(f"{where}: {toml.synset(wnid)} {what}. Take it out, or add its classes.")
    made: dict[str, ParentChoice] = {}

    def kept(wnid: str) -> str:
        several = wordnet.wnids_of(parents[wordnet.row_of(wnid)])
        expected = ", ".join(map(toml.synset, several))
        if wnid not in given and len(several) > 1:
            what = f"has {len(several)} hypernyms and no [[choice]]: {expected}"
            raise UsageError(f"{where}: {toml.synset(wnid)} {what}. Add one that names one of them.")
        taken, why = given.get(wnid, (several[0], ""))
        if taken not in several:
            what = f"is no hypernym of {toml.synset(wnid)} below {toml.synset(under)}"
            raise UsageError(f"{where}: {toml.synset(taken)} {what}; expected {expected}.")
        if len(several) > 1:
            made[wnid] = ParentChoice(wnid, taken, tuple(one for one in several if one != taken), why)
        return taken

    hypernyms = walked(classes, under, kept)
    return ExclusiveTree(
        rule=name,
        under=under,
        instances=instances,
        classes=classes,
        hypernyms=hypernyms,
        choices=tuple(choice for _, choice in sorted(made.items())),
        edited=toml.table_of(where, table, "made").get("sha256") != _sha256(hypernyms),
    )


def _choices(where: str, listed: Any) -> dict[str, tuple[str, str]]:
    """The hypernym that each [[choice]] keeps, and why, by wnid."""
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise UsageError(f"{where}: found choice = {listed!r}; expected tables, [[choice]].")
    found: dict[str, tuple[str, str]] = {}
    for one in listed:
        here = f"{where}, [[choice]]"
        toml.known(here, one, ("synset", "hypernym", "others", "why"))
        wnid = toml.wnid(f"{here}, synset", one.get("synset"))
        if wnid in found:
            raise UsageError(f"{here}: {toml.synset(wnid)} stands twice. Take one out.")
        here = f"{here} of {toml.synset(wnid)}"
        found[wnid] = toml.wnid(f"{here}, hypernym", one.get("hypernym")), str(one.get("why", ""))
    return found
