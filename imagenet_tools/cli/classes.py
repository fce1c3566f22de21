"""The command classes: published class lists, maps between lists, superclasses and trees. It needs no data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import imagenet_tools
from imagenet_tools.cli import DONE, FAILED, options
from imagenet_tools.cli.printing import note, print_json, print_text, terminal_columns
from imagenet_tools.errors import UsageError
from imagenet_tools.text import count_of, first_of, printable, table

if TYPE_CHECKING:
    from imagenet_tools.catalogue.class_maps import ClassMap
    from imagenet_tools.catalogue.identify_classes import ClassesFound
    from imagenet_tools.catalogue.identify_labels import LabelsFound
    from imagenet_tools.catalogue.image_lists import ImageList
    from imagenet_tools.catalogue.lists import ClassList
    from imagenet_tools.superclasses.superclasses import Superclasses

_MAX_NAMED = 10  # classes named in a message

# The facts about a list, in the order of --json.
_CLASS_FACTS = ("name", "title", "n_classes", "order", "base", "background", "sha256", "source", "checked")
_IMAGE_FACTS = ("name", "title", "dataset", "n_images", "sha256", "source", "checked")

_classes_option = click.option(
    "--classes", metavar="LIST", default="ilsvrc2012", show_default=True, help="A published list, a file, or a,b,c."
)
_under_option = click.option(
    "--under", metavar="SYNSET", default="entity.n.01", show_default=True, help="Use this synset and those below it."
)
_kinds_only_option = click.option("--kinds-only", is_flag=True, help="Follow kinds (@) only, not instances (@i).")


@options.make_command("classes", cls=options.Group)
def command() -> None:
    """Show, identify, map and group class lists.

    Examples:
        imagenet-tools classes list
        imagenet-tools classes show coco80
        imagenet-tools classes show imagenet100-cmc -o classes.txt
        imagenet-tools classes identify predictions.csv
        imagenet-tools classes map imagenet21k-goog ilsvrc2012 -o map.csv
        imagenet-tools classes cut --k 20 --balanced -o twenty.toml

    A LIST is a published name, a file with one class a line, or a,b,c.
    """


@options.make_command("list", parent=command, asks_index=False)
@click.option("--parts", is_flag=True, help="Also list the parts of splits, such as breeds-living17/rand-source.")
@click.option("--images", is_flag=True, help="List the image lists instead, such as simclr-1pct.")
@options.output_file_option
def list_command(parts: bool, images: bool, output: Path | None) -> None:
    """List the published class lists, or image lists.

    Examples:
        imagenet-tools classes list
        imagenet-tools classes list --images
    """
    from imagenet_tools.catalogue import image_lists, lists

    if images:
        facts = [_facts(image_lists.get(name)) for name in image_lists.names()]
        head = ["name", "images", "dataset", "what it is"]
        rows = [[fact[key] for key in ("name", "n_images", "dataset", "title")] for fact in facts]
    else:
        class_lists = [lists.get(name) for name in lists.names(parts=parts)]
        facts = [_facts(classes) for classes in class_lists]
        head = ["name", "classes", "synsets", "from", "what it is"]
        rows = [[c.name, len(c), len(set(c.wnids)), c.base, c.title] for c in class_lists]
    if options.as_json():
        print_json(facts, output)
        return
    print_text(table(head, rows, width=terminal_columns()), output)
    for name, reason in (image_lists if images else lists).LEFT_OUT.items():
        note(f"left out: {name}: {reason}")


def _facts(listed: ClassList | ImageList) -> dict[str, Any]:
    """Return the facts about a list, without its classes or images."""
    names = _CLASS_FACTS if hasattr(listed, "wnids") else _IMAGE_FACTS
    return {name: len(listed) if name.startswith("n_") else getattr(listed, name) for name in names}


@options.make_command("show", parent=command, asks_index=False)
@click.argument("list_", metavar="LIST")
@options.output_file_option
def show_command(list_: str, output: Path | None) -> None:
    """Show a class list or an image list.

    Classes and images are in the order of the list. Each class has its wnid, number and name. The output is a file
    that --classes or --images takes. A list of categories (VOC, COCO, CIFAR) is a table with synsets and the number
    of classes in ILSVRC2012 and fall11.

    Examples:
        imagenet-tools classes show imagenette
        imagenet-tools classes show voc20
    """
    from imagenet_tools.catalogue import class_maps, given_lists, image_lists

    is_class_list = given_lists.published(list_) is not None or "," in list_ or Path(list_).exists()
    images = None if is_class_list else image_lists.find(list_)
    if images is not None:
        if options.as_json():
            print_json(_facts(images) | {"images": images.images}, output)
            return
        note(f"{images.name}: {images.title}; {count_of(len(images), 'image')} of {images.dataset}")
        agrees = f"; agrees with {images.checked}" if images.checked else ""
        note(f"sha256 {images.sha256}; from {images.source}{agrees}")
        print_text("\n".join(images.images), output)
        return
    classes = class_maps.listed(list_)
    if options.as_json():
        members = _category_facts(classes) if classes.categories else classes.wnids
        print_json(_facts(classes) | {"classes": members}, output)
        return
    note(f"{classes.name}: {classes.title}; {count_of(len(classes), 'class')}; order: {classes.order}")
    note(f"sha256 {classes.sha256}" + (f"; from {classes.source}" if classes.source else ""))
    if classes.checked:
        note(f"agrees with {classes.checked}")
    print_text(_category_table(classes) if classes.categories else _class_lines(classes), output)


def _class_lines(classes: ClassList) -> str:
    from imagenet_tools.wordnet import wordnet

    lemmas = wordnet.load().lemmas
    rows = wordnet.rows_of(classes.wnids).tolist()
    numbered = enumerate(zip(classes.wnids, rows, strict=True), classes.base)
    return "\n".join(f"{wnid} {number} {lemmas[row].partition(' ')[0]}" for number, (wnid, row) in numbered)


def _category_facts(categories: ClassList) -> list[dict[str, Any]]:
    from imagenet_tools.catalogue import class_maps

    targets = {name: class_maps.class_map(name, categories).target.tolist() for name in ("ilsvrc2012", "fall11")}
    n_classes = {f"n_{name}": Counter(target) for name, target in targets.items()}
    return [
        {"index": n, **category._asdict(), **{name: counts[n] for name, counts in n_classes.items()}}
        for n, category in enumerate(categories.categories)
    ]


def _category_table(categories: ClassList) -> str:
    from imagenet_tools.wordnet import wordnet

    rows = []
    for facts in _category_facts(categories):
        lists = "ILSVRC2012" if facts["n_fall11"] else "ILSVRC2012 or fall11"
        missing = "" if facts["n_ilsvrc2012"] else f"no image of it in {lists}"
        shown = {
            "synsets": ", ".join(wordnet.synset(wnid).name for wnid in facts["synsets"]),
            "members": len(facts["members"]) or None,
            "note": "; ".join(filter(None, (missing, facts["note"]))),
        }
        rows.append(facts | shown)
    columns = ("index", "number", "name", "synsets", "members", "n_ilsvrc2012", "n_fall11", "note")
    used = [name for name in columns if name == "index" or any(row[name] not in (None, "") for row in rows)]
    head = [name.removeprefix("n_") for name in used]
    return table(head, [[row[name] for name in used] for row in rows], width=terminal_columns())


@options.make_command("identify", parent=command, asks_index=False)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True))
@options.output_file_option
def identify_command(file: Path, output: Path | None) -> int:
    """Identify a file of classes or labels.

    Names the published list that a file of classes equals, or the numbering that a file of labels uses. A file of
    classes has wnids or names: text, csv, JSON (config.json too), a Python dict, or data.yaml. A file of
    labels or predictions has one number a line for the 50,000 validation images, or image and number (csv, .lst).
    FILE can be - for stdin. The exit code is 1 if the file cannot be identified.

    Examples:
        imagenet-tools classes identify my_classes.txt
        imagenet-tools classes identify predictions.csv
    """
    from imagenet_tools.catalogue.identify_classes import ClassesFound

    result = imagenet_tools.identify("/dev/stdin" if str(file) == "-" else file)
    if options.as_json():
        facts = {name: value for name, value in vars(result).items() if name != "tried"}
        print_json(facts | {"why": result.why, "told": result.told}, output)
    else:
        lines = _class_findings(result) if isinstance(result, ClassesFound) else _label_findings(result)
        print_text(printable("\n".join([result.why, *lines])), output)
    return DONE if result.told else FAILED


def _class_findings(result: ClassesFound) -> list[str]:
    lines = [
        f"  {near.name}: {near.shared:,} in it, {near.missing:,} missing, {near.extra:,} not in it"
        for near in result.near
    ]
    for title, names in (("missing", result.missing), ("not in it", result.extra)):
        if names:
            lines.append(f"  {title}: {first_of(names, _MAX_NAMED)}")
    for text, choices in result.ambiguous.items():
        lines.append(f"  {text} may be {' or '.join(choices)}: use the wnid")
    return lines


def _label_findings(result: LabelsFound) -> list[str]:
    lines = [f"  the same numbers as {numbering}" for numbering in result.same if result.numbering]
    for title, fit in (("best", result.best), ("next", result.next)):
        if fit is not None:
            lines.append(f"  {title}: {fit.share:8.2%}  {fit.numbering}; rows {fit.rows}")
    return lines


@options.make_command("map", parent=command, asks_index=False)
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option("--ancestors", is_flag=True, help="Map a class that is not in B to the nearest class of B above it.")
@options.output_file_option
def map_command(a: str, b: str, ancestors: bool, output: Path | None) -> None:
    """Map the classes of list A to those of list B.

    The result is csv: output and class of A, output and class of B, and whether it is the same class or one above.
    Outputs are numbered from 0. Notes on stderr list the classes that are lost.

    Examples:
        imagenet-tools classes map imagenet12k ilsvrc2012
        imagenet-tools classes map ilsvrc2012 breeds-living17 -o map.csv
    """
    class_map = imagenet_tools.class_map(a, b, ancestors=ancestors)
    first, second = class_map.a, class_map.b
    if options.as_json():
        index = None if class_map.merged else class_map.index.tolist()
        facts = {"a": _facts(first), "b": _facts(second), "target": class_map.target.tolist(), "index": index}
        titles = ("lost", "dropped", "merged", "above", "ambiguous")
        print_json(facts | {title: getattr(class_map, title) for title in titles}, output)
        return
    print_text("\n".join(_map_lines(class_map)), output)
    n_dropped = len(class_map.dropped)
    note(
        f"{first.name} ({len(first):,}) to {second.name} ({len(second):,}): {len(first) - n_dropped:,} classes have a "
        f"target, {len(class_map.above):,} of them above; {n_dropped:,} have none"
    )
    for title in ("lost", "merged", "ambiguous"):
        names = list(getattr(class_map, title))
        if names:
            list_name = (first if title == "ambiguous" else second).name
            note(f"{title}: {count_of(len(names), 'class')} of {list_name}: {first_of(names, _MAX_NAMED)}")


def _map_lines(class_map: ClassMap) -> Iterable[str]:
    a, b = class_map.a, class_map.b
    yield "a_output,a,b_output,b,how"
    for output, name in enumerate(a.classes, a.background):
        target = int(class_map.target[output])
        if target >= 0:
            how = "above" if name in class_map.above else "same"
            cells = (str(output), name, str(target), b.classes[target - b.background], how)
            yield ",".join(f'"{cell}"' if "," in cell else cell for cell in cells)


@options.make_command("cut", parent=command, asks_index=False)
@_classes_option
@click.option("--k", type=click.IntRange(1), metavar="N", help="Choose N that share no class and hold most classes.")
@click.option("--depth", type=click.IntRange(0), metavar="N", help="Choose the synsets N edges below --under.")
@click.option("--at", metavar="LIST", help="Choose these synsets: a,b,c or a file with one a line.")
@_under_option
@click.option(
    "--balanced", is_flag=True, help="With --k: make the smallest as large as possible, then hold most classes."
)
@click.option("--disjoint", is_flag=True, help="With --depth or --at: keep those that share no class and hold most.")
@click.option("--equal", is_flag=True, help="Cut each to the number of classes of the smallest.")
@click.option(
    "--measure",
    default="longest",
    show_default=True,
    type=click.Choice(("longest", "shortest")),
    help="Measure depth by the longest or the shortest path.",
)
@click.option(
    "--overlap",
    default="nearest",
    show_default=True,
    type=click.Choice(("nearest", "first", "largest", "none")),
    help="The superclass of a class below several: fewest edges up, first listed, most classes, or none.",
)
@click.option("--min-classes", type=click.IntRange(1), metavar="N", default=1, help="Drop those with fewer classes.")
@click.option("--max-classes", type=click.IntRange(1), metavar="N", help="Drop those with more classes.")
@_kinds_only_option
@options.output_file_option
def cut_command(
    classes: str,
    at: str | None,
    under: str,
    kinds_only: bool,
    output: Path | None,
    **rule: Any,  # the other options: keyword arguments of cuts.cut
) -> None:
    """Group classes into superclasses.

    Superclasses are chosen by number (--k), by depth (--depth) or as a list (--at). The result is a TOML file with
    each choice, the classes in no superclass and those below several. It can be edited and passed to --superclasses.
    A class below two superclasses goes to the lower one, or by --overlap.

    Examples:
        imagenet-tools classes cut --k 20 --balanced -o twenty.toml
        imagenet-tools classes cut --depth 3 --under animal --disjoint
        imagenet-tools classes cut --at dog,cat.n.01,bird -o pets.toml
        imagenet-tools export pets --to image_folder --superclasses pets.toml
    """
    from imagenet_tools.catalogue.given_lists import read_list
    from imagenet_tools.superclasses import cuts
    from imagenet_tools.superclasses import superclasses as superclass_file

    if (rule["balanced"] and rule["k"] is None) or (rule["disjoint"] and rule["k"] is not None):
        raise UsageError(
            "--balanced needs --k. --disjoint needs --depth or --at: the superclasses of --k are always disjoint."
        )
    superclasses = cuts.cut(
        read_list(classes, _resolve),
        at=read_list(at, _resolve) if at is not None else None,
        under=_resolve(under),
        instances=not kinds_only,
        **rule,
    )
    shared = superclasses.shared()
    _deliver(superclass_file.text(superclasses), vars(superclasses) | {"ambiguous": shared}, output)
    _note_superclasses(superclasses, [ambiguous.wnid for ambiguous in shared])


def _deliver(text: str, facts: object, output: Path | None) -> None:
    """Write a TOML file to `output`, or print it; with --json, print the facts in it instead."""
    if output is not None or not options.as_json():
        print_text(text, output)
    if options.as_json():
        print_json(facts)


def _resolve(text: str) -> str:
    """Return the wnid of a synset without an index."""
    from imagenet_tools.catalogue import terms

    return options.note_sense(terms.resolve(text))


def _note_superclasses(superclasses: Superclasses, ambiguous: list[str]) -> None:
    """Print the sizes of superclasses, and the classes without one, to stderr."""
    sizes = [len(superclass.members) for superclass in superclasses.superclasses]
    span = f", {min(sizes):,} to {max(sizes):,} each" if sizes else ""
    n_classes = len(superclasses.classes())
    note(f"{count_of(len(sizes), 'superclass')} of {sum(sizes):,} of {count_of(n_classes, 'class')}{span}")
    meanings = {
        "uncovered": "at or below none",
        "undecided": "below several, assigned to none",
        "surplus": "more than the smallest has",
        "outside": "not below --under",
        "ambiguous": "at or below several",
    }
    for reason, wnids in (*superclasses.unassigned(), ("ambiguous", ambiguous)):
        if wnids:
            note(f"{reason}: {count_of(len(wnids), 'class')} {meanings[reason]}: {_some_names(wnids)}")
    if passed := superclasses.passed_over:
        note(f"passed over: {count_of(len(passed), 'synset')}: {_some_names(tuple(passed))}")
    for line in superclasses.notes:
        note(line)


def _some_names(wnids: Sequence[str]) -> str:
    from imagenet_tools.wordnet import wordnet

    return first_of([wordnet.synset(wnid).name for wnid in wnids[:6]], 5)


@options.make_command("tree", parent=command)
@_classes_option
@click.option("--rule", required=True, metavar="RULE", help="Which hypernym to keep if there are several.")
@_under_option
@_kinds_only_option
@options.output_file_option
def tree_command(classes: str, rule: str, under: str, kinds_only: bool, output: Path | None) -> None:
    """Make a tree above classes, with one hypernym for each synset.

    RULE: first (WordNet's first), min-depth or max-depth (the shortest or longest path from the top), most-classes or
    fewest-classes (at or below it), most-images (in the index). WordNet's order decides ties. The result is a TOML
    file with each choice. It can be edited, and `tree --exclusive FILE` draws it or converts it to JSON.

    Examples:
        imagenet-tools classes tree --rule min-depth -o tree.toml
        imagenet-tools tree --exclusive tree.toml --depth 4
    """
    from imagenet_tools.catalogue.given_lists import read_list
    from imagenet_tools.superclasses import exclusive_tree as trees

    images = options.open_index().counts("images") if rule == "most-images" else None
    wnids = read_list(classes, _resolve)
    tree = trees.exclusive_tree(wnids, rule=rule, under=_resolve(under), images=images, instances=not kinds_only)
    _deliver(trees.text(tree), tree, output)
    n_classes = len({choice.wnid for choice in tree.choices} & set(tree.classes))
    note(
        f"{count_of(len(tree.hypernyms) + 1, 'synset')} of {count_of(len(tree.classes), 'class')}; "
        f"{len(tree.choices):,} keep one hypernym of several by {rule}, {n_classes:,} of them classes"
    )
