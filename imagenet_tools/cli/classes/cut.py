"""classes cut: superclasses chosen from the graph into a file; needs no data."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imagenet_tools.cli import DONE
from imagenet_tools.cli.classes.printing import CLASSES, KINDS_ONLY, OUTPUT, UNDER, resolved
from imagenet_tools.cli.common import counted, note, output_options, print_json
from imagenet_tools.errors import UsageError

if TYPE_CHECKING:
    from imagenet_tools.superclasses.superclasses import Superclasses

_EPILOG = """\b
Examples:
  imagenet-tools classes cut --k 20 --balanced -o twenty.toml
  imagenet-tools classes cut --depth 3 --under animal --disjoint
  imagenet-tools classes cut --at dog,cat.n.01,bird -o pets.toml
  imagenet-tools export pets --to image_folder --superclasses pets.toml
"""


@click.command("cut", epilog=_EPILOG)
@CLASSES
@click.option("--k", type=click.IntRange(1), metavar="N", help="N that share no class and together have the most.")
@click.option("--depth", type=click.IntRange(0), metavar="N", help="The synsets N edges below --under.")
@click.option("--at", metavar="LIST", help="These synsets: a,b,c or a file with one a line.")
@UNDER
@click.option("--balanced", is_flag=True, help="With --k: the smallest as large as can be, then the most classes.")
@click.option("--disjoint", is_flag=True, help="With --depth, --at: only those that share no class and have the most.")
@click.option("--equal", is_flag=True, help="Each as many classes as the smallest has.")
@click.option("--measure", default="longest", show_default=True, type=click.Choice(("longest", "shortest")))
@click.option(
    "--overlap",
    default="nearest",
    show_default=True,
    type=click.Choice(("nearest", "first", "largest", "none")),
    help="Where a class goes that lies below several: fewest edges up, first met, most classes, to none.",
)
@click.option("--min-classes", type=click.IntRange(1), metavar="N", default=1, help="Only those of N classes or more.")
@click.option("--max-classes", type=click.IntRange(1), metavar="N", help="Only those of N classes or fewer.")
@KINDS_ONLY
@OUTPUT
@output_options
def command(
    classes: str,
    k: int | None,
    depth: int | None,
    at: str | None,
    under: str,
    balanced: bool,
    disjoint: bool,
    equal: bool,
    measure: str,
    overlap: str,
    min_classes: int,
    max_classes: int | None,
    kinds_only: bool,
    output: Path | None,
    as_json: bool,
    index_path: Path | None,
) -> int:
    """Choose superclasses of some classes: by number, by depth, or at a list.

    The result is a TOML file with every choice, what is in no superclass, and what might be in several. It can be
    edited and given to --superclasses. A class below two superclasses goes to the lower one, else by --overlap.
    """
    from imagenet_tools.catalogue.given_lists import read_list
    from imagenet_tools.superclasses import cuts, superclass_file

    if (balanced and k is None) or (disjoint and k is not None):
        raise UsageError(
            "--balanced goes with --k, whose superclasses are always disjoint; --disjoint with the others."
        )
    made = cuts.cut(
        read_list(classes, resolved),
        k=k,
        depth=depth,
        at=read_list(at, resolved) if at is not None else None,
        under=resolved(under),
        measure=measure,
        balanced=balanced,
        disjoint=disjoint,
        equal=equal,
        overlap=overlap,
        min_classes=min_classes,
        max_classes=max_classes,
        instances=not kinds_only,
    )
    if output is not None:
        superclass_file.write(made, output)
    if as_json:
        print_json(_facts(made))
    elif output is None:
        click.echo(superclass_file.text(made), nl=False)
    _report(made)
    return DONE


def _facts(made: Superclasses) -> dict[str, Any]:
    said = dataclasses.asdict(made)
    said["superclasses"] = [one._asdict() for one in made.superclasses]
    said["ambiguous"] = [one._asdict() for one in made.shared()]
    return said


def _report(made: Superclasses) -> None:
    """What there is to say on stderr."""
    from imagenet_tools.wordnet import wordnet

    def some(wnids: list[str]) -> str:
        names = [wordnet.synset(wnid).name for wnid in wnids[:5]]
        return ", ".join(names) + (" ..." if len(wnids) > len(names) else "")

    sizes = [len(one.members) for one in made.superclasses]
    span = f", {min(sizes):,} to {max(sizes):,} each" if sizes else ""
    n_classes = len(made.classes())
    note(f"{counted(len(sizes), 'superclass')} of {sum(sizes):,} of {n_classes:,} classes{span}")
    words = {
        "uncovered": "at or below none",
        "undecided": "below several, given to none",
        "surplus": "more than the smallest has",
        "outside": "not below --under",
    }
    for reason, wnids in made.unassigned():
        if wnids:
            note(f"{reason}: {counted(len(wnids), 'class')} {words[reason]}: {some(list(wnids))}")
    shared = made.shared()
    if shared:
        note(f"ambiguous: {counted(len(shared), 'class')} at or below several: {some([one.wnid for one in shared])}")
    if made.passed_over:
        note(f"passed over: {counted(len(made.passed_over), 'synset')}: {some(list(made.passed_over))}")
    for line in made.notes:
        note(line)
