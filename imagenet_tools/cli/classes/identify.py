"""classes identify: which published list a file equals, or how a file of labels counts classes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click

from imagenet_tools.cli import DONE, FAILED
from imagenet_tools.cli.classes.printing import OUTPUT, give, give_json
from imagenet_tools.cli.common import output_options, printable

_NAMED = 10  # classes that differ, and are named


@click.command(
    "identify",
    epilog="\b\nExamples:\n  imagenet-tools classes identify my_classes.txt\n"
    "  imagenet-tools classes identify predictions.csv",
)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True))
@OUTPUT
@output_options
def command(file: Path, output: Path | None, as_json: bool, index_path: Path | None) -> int:
    """Tell which published list a file of classes equals, or how a file of labels counts classes.

    Classes: wnids or names a line, csv, json (config.json too), a Python dict, or data.yaml. Labels or predictions: a
    number a line for the 50,000 validation images, image and number, or .lst. FILE may be - for what is piped in. Where
    nothing can be told the exit code is 1.
    """
    import imagenet_tools
    from imagenet_tools.catalogue.identify_classes import ClassesFound

    found = imagenet_tools.identify("/dev/stdin" if str(file) == "-" else file)
    if as_json:
        facts = {one.name: getattr(found, one.name) for one in dataclasses.fields(found) if one.name != "tried"}
        give_json(_said(facts | {"why": found.why, "told": found.told}), output)
        return DONE if found.told else FAILED
    lines = [found.why]
    if isinstance(found, ClassesFound):
        lines += [f"  {n.name}: {n.shared:,} in it, {n.missing:,} missing, {n.extra:,} not in it" for n in found.near]
        for word, texts in (("missing", found.missing), ("not in it", found.extra)):
            lines += [f"  {word}: {', '.join(texts[:_NAMED])}{' ...' if len(texts) > _NAMED else ''}"] if texts else []
        lines += [f"  {text} may be {' or '.join(choices)}: give the wnid" for text, choices in found.ambiguous.items()]
    else:
        lines += [f"  the same numbers as {numbering}" for numbering in found.same if found.numbering]
        for word, one in (("best", found.best), ("next", found.next)):
            if one is not None:
                lines.append(f"  {word}: {one.share:8.2%}  {one.numbering}; rows {one.rows}")
    give(printable("\n".join(lines)), output)
    return DONE if found.told else FAILED


def _said(value: Any) -> Any:
    """A value with its named tuples as JSON objects, a numbering also in words."""
    if hasattr(value, "_asdict"):
        words = {"words": str(value)} if hasattr(value, "as_text") else {}
        return {key: _said(one) for key, one in value._asdict().items()} | words
    if isinstance(value, tuple):
        return [_said(one) for one in value]
    return {key: _said(one) for key, one in value.items()} if isinstance(value, dict) else value
