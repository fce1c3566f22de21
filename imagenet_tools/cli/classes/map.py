"""classes map: the classes of one list in another, and what is lost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imagenet_tools.cli import DONE
from imagenet_tools.cli.classes.printing import OUTPUT, class_facts, give, give_json
from imagenet_tools.cli.common import note, output_options

if TYPE_CHECKING:
    from imagenet_tools.catalogue.class_maps import ClassMap


@click.command(
    "map",
    epilog="\b\nExamples:\n  imagenet-tools classes map imagenet12k ilsvrc2012\n"
    "  imagenet-tools classes map ilsvrc2012 breeds-living17 -o map.csv",
)
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option("--ancestors", is_flag=True, help="A class that is not in B goes to the nearest class of B above it.")
@OUTPUT
@output_options
def command(a: str, b: str, ancestors: bool, output: Path | None, as_json: bool, index_path: Path | None) -> int:
    """Map the classes of list A to those of list B, and say what is lost.

    The result is csv: output and class of A, output and class of B, and whether it is the same class or one above.
    Outputs count from 0.
    """
    import imagenet_tools

    found = imagenet_tools.class_map(a, b, ancestors=ancestors)
    if as_json:
        give_json(_map_facts(found), output)
        return DONE
    give("\n".join(_map_lines(found)), output)
    note(
        f"{found.a.name} ({len(found.a):,}) to {found.b.name} ({len(found.b):,}): "
        f"{len(found.a) - len(found.dropped):,} classes have one, {len(found.above):,} of them above; "
        f"{len(found.dropped):,} have none"
    )
    for what, names in (("lost", found.lost), ("merged", tuple(found.merged)), ("ambiguous", tuple(found.ambiguous))):
        if names:
            some = ", ".join(names[:10]) + (" ..." if len(names) > 10 else "")
            note(f"{what}: {len(names):,} classes of {(found.a if what == 'ambiguous' else found.b).name}: {some}")
    return DONE


def _map_lines(found: ClassMap) -> list[str]:
    lines = ["a_output,a,b_output,b,how"]
    for place, name in enumerate(found.a.classes):
        target = int(found.target[found.a.background + place])
        if target >= 0:
            how = "above" if name in found.above else "same"
            into = found.b.classes[target - found.b.background]
            cells = (str(found.a.background + place), name, str(target), into, how)
            lines.append(",".join(f'"{cell}"' if "," in cell else cell for cell in cells))
    return lines


def _map_facts(found: ClassMap) -> dict[str, Any]:
    return {
        "a": class_facts(found.a),
        "b": class_facts(found.b),
        "target": found.target.tolist(),
        "index": None if found.merged else found.index.tolist(),
        "lost": found.lost,
        "dropped": found.dropped,
        "merged": found.merged,
        "above": found.above,
        "ambiguous": found.ambiguous,
    }
