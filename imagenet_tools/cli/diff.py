"""The command diff: compare two indexes, locks, recipes or class lists."""

from __future__ import annotations

import click

from imagenet_tools.cli import DONE, FAILED, options
from imagenet_tools.cli.printing import print_json, print_table

_MEANINGS = {
    "only_a": "only in A",
    "only_b": "only in B",
    "wnid": "another class",
    "split": "another split",
    "n": "another number of images",
    "length": "another length",
    "bytes": "other bytes",
    "value": "another value",
    "place": "another place in the order",
}


@options.make_command("diff")
@click.argument("a")
@click.argument("b")
@click.option("--by", type=click.Choice(("id", "wnid", "bytes")), help="Compare image ids, classes, or image bytes.")
@click.option(
    "-n", "--limit", type=click.IntRange(0), metavar="N", default=20, show_default=True, help="Examples of each kind."
)
def command(a: str, b: str, by: str | None, limit: int) -> int:
    """Show how B differs from A.

    A and B are indexes, locks, recipes, published lists, files of classes, or a,b,c. All differences are counted.

    Examples:
        imagenet-tools diff dogs.lock.toml dogs-2.lock.toml
        imagenet-tools diff lab.index imagenet.index --by wnid
        imagenet-tools diff imagenet100-cmc mine.txt

    Exit codes: 0 there is no difference, 1 there is one.
    """
    from imagenet_tools.selection.differences import differences

    result = differences(a, b, by=by, limit=limit)
    if options.as_json():
        print_json(result)
    elif not result.counts:
        click.echo(f"nothing differs, by {result.by}")
    else:
        counts = [(kind, n, _MEANINGS[kind]) for kind, n in result.counts.items()]
        print_table(("difference", "count", "meaning"), counts, fit=False)
        click.echo()
        examples = [(example.what, example.key, example.a, example.b) for example in result.some]
        print_table(("difference", "of", "a", "b"), [tuple(map(_text, row)) for row in examples])
    return FAILED if result.counts else DONE


def _text(value: object) -> str:
    return "" if value is None else ", ".join(map(str, value)) if isinstance(value, list) else str(value)
