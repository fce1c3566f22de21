"""The command diff: compare two indexes, locks, recipes, lists or releases."""

from __future__ import annotations

import click

from imagenet_tools.cli import DONE, FAILED, options
from imagenet_tools.cli.printing import print_json, print_table, print_text
from imagenet_tools.text import count_of

_MEANINGS = {
    "only_a": "only in A",
    "only_b": "only in B",
    "maybe_a": "perhaps only in A",
    "maybe_b": "perhaps only in B",
    "wnid": "another class",
    "split": "another split",
    "n": "another number of images",
    "length": "another length",
    "bytes": "other bytes",
    "value": "another value",
    "place": "another place in the order",
}


@options.make_command("diff", asks_index=False)
@click.argument("a")
@click.argument("b")
@click.option(
    "--by",
    type=click.Choice(("id", "photo", "wnid", "bytes")),
    help="Compare image ids, photos, classes, or image bytes.",
)
@click.option(
    "-n", "--limit", type=click.IntRange(0), metavar="N", default=20, show_default=True, help="Examples of each kind."
)
def command(a: str, b: str, by: str | None, limit: int) -> int:
    """Show how B differs from A.

    A and B are indexes, locks, recipes, published lists of classes or images, releases such as winter21, files of
    classes or images, or a,b,c. All differences are counted, and the reasons that are known are named.

    Examples:
        imagenet-tools diff dogs.lock.toml dogs-2.lock.toml
        imagenet-tools diff lab.index imagenet.index --by wnid
        imagenet-tools diff imagenet100-cmc mine.txt
        imagenet-tools diff fall11 winter21

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
        print_table(("difference", "count", "meaning"), counts)
        click.echo()
        examples = [(example.what, example.key, example.a, example.b) for example in result.some]
        print_table(("difference", "of", "a", "b"), [tuple(map(_text, row)) for row in examples])
        facts = [*result.why]
        if result.in_both is not None:
            facts.insert(0, f"{count_of(result.in_both, 'class')} in both")
        if facts:
            click.echo()
            print_text("\n".join(facts), None)
    return FAILED if result.counts else DONE


def _text(value: object) -> str:
    return "" if value is None else ", ".join(map(str, value)) if isinstance(value, list) else str(value)
