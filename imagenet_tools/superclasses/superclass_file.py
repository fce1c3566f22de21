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
import json
import tomllib
from collections import Counter
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from imagenet_tools import hierarchy, wordnet
from imagenet_tools.errors import UnknownSynsetError, UsageError
from imagenet_tools.files import write_whole
from imagenet_tools.superclasses.superclasses import REASONS, Rule, Superclass, Superclasses

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


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
        yield from (f"{key} = {_value(value)}" for key, value in _stated(made.rule))
    yield from ("", "[made]", f"n_classes = {len(classes)}", f"n_covered = {n_covered}")
    yield f"n_ambiguous = {len(shared)}"
    yield f"disjoint = {_value(not shared)}  # in the graph: no class lies at or below two of them"
    yield f'sha256 = "{_sha256(made)}"'
    yield f"notes = {_value(made.notes)}"
    for one in made.superclasses:
        yield from ("", "[[superclass]]", f"synset = {_synset(one.wnid)}", f"name = {_value(one.name)}")
        yield from _list("members", one.members)
    for each in shared:
        taken = [f"taken = {_synset(each.taken)}"] if each.taken else []
        others = ", ".join(map(_synset, each.others))
        yield from ("", "[[ambiguous]]", f"class = {_synset(each.wnid)}", *taken, f"others = [{others}]")
    yield from ("", "[unassigned]")
    for reason, wnids in made.unassigned():
        yield from _list(reason, wnids)
    if made.passed_over:
        yield from ("", "[passed_over]")
        yield from (f"{_synset(wnid)} = {_value(why)}" for wnid, why in made.passed_over.items())


def _stated(rule: Rule) -> Iterator[tuple[str, object]]:
    for key in (each.name for each in fields(rule)):
        value = getattr(rule, key)
        if key == "at" and value is not None:
            value = [_named(wnid) for wnid in value]
        if value is not None:
            yield key, _named(value) if key == "under" else value


def _list(key: str, wnids: Iterable[str]) -> Iterator[str]:
    lines = [f"  {_synset(wnid)}," for wnid in wnids]
    yield from [f"{key} = [", *lines, "]"] if lines else [f"{key} = []"]


def _synset(wnid: str) -> str:
    return _value(_named(wnid))


def _named(wnid: str) -> str:
    return f"{wnid} {wordnet.name_at(wordnet.row_of(wnid))}"


def _value(value: object) -> str:
    # JSON's texts, numbers, truths and flat lists are TOML's too, but for one letter.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


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
    try:
        return parse(Path(path).read_text(encoding="utf-8"), where=str(path))
    except OSError as error:
        message = f"{path}: {error.strerror}. Expected a file of superclasses, as `classes cut` writes it."
        raise UsageError(message) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: byte {error.start:,} is no UTF-8. Expected a TOML file.") from error


def parse(content: str, *, where: str = "superclasses") -> Superclasses:
    """The superclasses that a file's text holds: see read."""
    try:
        table = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{where}: {error}. Expected TOML, as `classes cut` writes it.") from error
    if table.get("format") != 1 or table.get("kind") != "superclasses":
        found = f"format {table.get('format')!r}, kind {table.get('kind')!r}"
        raise UsageError(f'{where}: found {found}; expected format 1, kind "superclasses".')
    _known(where, table, ("format", "kind", "rule", "made", "superclass", "ambiguous", "unassigned", "passed_over"))
    rule = _rule(where, table.get("rule"))
    superclasses = tuple(sorted(_superclass(where, one) for one in _tables(where, table, "superclass")))
    _check(where, superclasses, rule is None or rule.instances)
    members = {member for one in superclasses for member in one.members}
    unassigned = table.get("unassigned", {})
    _known(f"{where}, [unassigned]", unassigned, REASONS)
    # Who gives a class to a superclass by hand may leave it in the list of those that have none.
    rest = {
        reason: tuple(sorted(set(_wnids(f"{where}, {reason}", unassigned.get(reason, []))) - members))
        for reason in REASONS
    }
    over = {_wnid(where, synset): str(why) for synset, why in table.get("passed_over", {}).items()}
    said = table.get("made", {})
    made = Superclasses(
        rule=rule,
        superclasses=superclasses,
        **rest,  # type: ignore[arg-type]  # by the names of REASONS
        passed_over=over,
        notes=tuple(map(str, said.get("notes", ()))),
    )
    return replace(made, edited=said.get("sha256") != _sha256(made))


def _superclass(where: str, one: Mapping[str, object]) -> Superclass:
    wnid = _wnid(f"{where}, [[superclass]]", one.get("synset"))
    where = f"{where}, superclass {one.get('synset')}"
    _known(where, one, ("synset", "name", "members"))
    members = tuple(sorted(_wnids(where, one.get("members"))))
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
                raise UsageError(
                    f"{where}: {_synset(member)} stands in {_synset(holder[member])} and in {_synset(one.wnid)}. "
                    "A class belongs to one superclass; take it out of the other."
                )
            if member not in below:
                raise UsageError(
                    f"{where}: {_synset(member)} does not lie below {_synset(one.wnid)}. Its hypernyms are "
                    f"{', '.join(map(_synset, hierarchy.hypernyms(member))) or 'none'}. Move it to a superclass above "
                    "it, or give this superclass a synset above both."
                )
            holder[member] = one.wnid


def _rule(where: str, table: Mapping[str, object] | None) -> Rule | None:
    if table is None:
        return None
    _known(f"{where}, [rule]", table, tuple(each.name for each in fields(Rule)))
    values = dict(table)
    if "under" in values:
        values["under"] = _wnid(f"{where}, under", values["under"])
    if "at" in values:
        values["at"] = tuple(_wnids(f"{where}, at", values["at"]))
    try:
        return Rule(**values)  # type: ignore[arg-type]  # Rule checks them itself
    except UsageError as error:
        raise UsageError(f"{where}, [rule]: {error}") from error


def _tables(where: str, table: Mapping[str, object], key: str) -> list[Mapping[str, object]]:
    found = table.get(key, [])
    if not isinstance(found, list) or not found or not all(isinstance(one, dict) for one in found):
        raise UsageError(f"{where}: found no [[{key}]]. Expected one for each {key}, with synset, name and members.")
    return found


def _known(where: str, table: Mapping[str, object], keys: tuple[str, ...]) -> None:
    unknown = sorted(set(table) - set(keys))
    if unknown:
        raise UsageError(f"{where}: {unknown[0]!r} is no key here. Expected {', '.join(keys)}.")


def _wnids(where: str, listed: object) -> list[str]:
    if not isinstance(listed, list):
        raise UsageError(f"{where}: expected a list of synsets, found {listed!r}.")
    found = [_wnid(where, text) for text in listed]
    twice = [wnid for wnid, n in Counter(found).items() if n > 1]
    if twice:
        raise UsageError(f"{where}: {_synset(twice[0])} stands twice. Take one out.")
    return found


def _wnid(where: str, written: object) -> str:
    """The wnid of a synset written as a wnid, a name, or both."""
    if not isinstance(written, str) or not written.strip():
        raise UsageError(f'{where}: expected a synset, such as "n02084071 dog.n.01", found {written!r}.')
    first, _, second = written.strip().partition(" ")
    try:
        row = wordnet.row_of(first)
    except UnknownSynsetError as error:
        raise UnknownSynsetError(f"{where}: {error}") from error
    if second and wordnet.spelled(second) != wordnet.name_at(row):
        raise UsageError(f"{where}: {first} is {wordnet.name_at(row)}, not {second.strip()}. Correct one of them.")
    return wordnet.wnids_of([row])[0]
