"""diff: what differs between two indexes, locks, recipes or lists of classes."""

from __future__ import annotations

from pathlib import Path

import click

from imagenet_tools.cli import FAILED
from imagenet_tools.cli.common import output_options, print_json, table, width_of_terminal

_EPILOG = """\b
Examples:
  imagenet-tools diff dogs.lock.toml dogs-2.lock.toml
  imagenet-tools diff lab.index imagenet.index --by wnid
  imagenet-tools diff imagenet100-cmc mine.txt

\b
Exit code: 0 where nothing differs, 1 where something does.
"""

_MEANINGS = {
    "only_a": "in the first alone",
    "only_b": "in the second alone",
    "wnid": "of another class",
    "split": "in another split",
    "n": "another number of images",
    "length": "of another length",
    "bytes": "of other bytes",
    "value": "another value",
    "place": "in another place of the order",
}


@click.command("diff", epilog=_EPILOG)
@click.argument("a")
@click.argument("b")
@click.option("--by", type=click.Choice(("id", "wnid", "bytes")), help="Images by id, classes, or the images' bytes.")
@click.option("-n", "--limit", type=click.IntRange(0), default=20, show_default=True, help="Name so many of each kind.")
@output_options
def command(a: str, b: str, by: str | None, limit: int, as_json: bool, index_path: Path | None) -> int:
    """Show how B differs from A.

    Each is an index, a lock, a recipe, a published list, a file of classes, or a,b,c. What differs is counted in full.
    """
    from imagenet_tools.selection.differences import differences

    found = differences(a, b, by=by, limit=limit)
    if as_json:
        print_json(found._asdict() | {"some": [one._asdict() for one in found.some]})
    elif not found.counts:
        click.echo(f"nothing differs, by {found.by}")
    else:
        rows = [(what, n, _MEANINGS[what]) for what, n in found.counts.items()]
        click.echo(table(("difference", "count", "meaning"), rows))
        click.echo()
        some = [(one.what, one.key, _text(one.a), _text(one.b)) for one in found.some]
        click.echo(table(("difference", "of", "a", "b"), some, width=width_of_terminal()))
    return FAILED if found.counts else 0


def _text(value: object) -> str:
    return "" if value is None else ", ".join(map(str, value)) if isinstance(value, list) else str(value)
