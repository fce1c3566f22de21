"""detect: what lies at a path, told before anything is read."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

import imagenet_tools
from imagenet_tools.cli import FAILED
from imagenet_tools.cli.common import counted, output_options, print_json, printable, some_of, width_of_terminal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imagenet_tools.build.survey import Survey
    from imagenet_tools.units import Detection, Labelling

_EPILOG = """\b
Examples:
  imagenet-tools detect ILSVRC2012_img_train.tar
  imagenet-tools detect /data/imagenet /data/fall11_whole.tar --json

\b
--json prints a list, an object a path: {"path", "found": [...], "not_read": [...], "unrecognised"}. In "found" stand
"form", "path", "dataset", "release", "splits", "labels" {"by", "space", "order", "base"}, "evidence", "missing",
"reads", "units", "other_readings" and "advice".

\b
Exit code: 0 where each path was recognised, else 1.
"""

_ORDERS = {
    "wnid": "in sorted order",
    "ilsvrc_id": "in the devkit's order (ILSVRC2012_ID)",
    "det_id": "in the order of DET's devkit (ILSVRC2015_DET_ID)",
}


@click.command("detect", epilog=_EPILOG)
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH...")
@output_options
def command(paths: tuple[Path, ...], as_json: bool, index_path: Path | None) -> int:
    """Say what lies at a path: form, release, splits, labels, the evidence, what is missing, what indexing will read.

    Headers are read, no images. Where two readings are possible, the option that decides is named.
    """
    width = width_of_terminal()
    surveys = []
    for path in paths:
        surveys.append(imagenet_tools.detect(path))
        if not as_json:
            click.echo(printable("\n" * (len(surveys) > 1) + _text(surveys[-1], width)))
    if as_json:
        print_json([_plain(one) for one in surveys])
    return 0 if all(one.found for one in surveys) else FAILED


def _plain(one: Survey) -> dict[str, object]:
    return {
        "path": str(one.path),
        "found": [_detection(found, n) for found, n in zip(one.found, one.units, strict=True)],
        "not_read": list(one.ignored),
        "unrecognised": one.unrecognised or None,
    }


def _detection(found: Detection, n: int) -> dict[str, object]:
    return {
        "form": found.form,
        "path": str(found.path),
        "dataset": found.dataset,
        "release": _title(found.dataset),
        "splits": list(found.splits),
        "labels": found.labels._asdict() if found.labels else None,
        "evidence": found.evidence,
        "missing": found.missing or None,
        "reads": list(found.holds),
        "units": n,
        "other_readings": list(found.readings),
        "advice": found.advice or None,
    }


def _text(one: Survey, width: int | None) -> str:
    lines = [str(one.path)]
    for found, n in zip(one.found, one.units, strict=True):
        inside = "" if found.path == one.path else f" in {found.path.relative_to(one.path)}"
        splits = f", {_listed(found.splits)}" if found.splits else ""
        lines += _wrapped(
            f"  {found.form}{inside}: ", f"{_title(found.dataset)}{splits}, data set {found.dataset}", width
        )
        said = {
            "evidence": found.evidence,
            "labels": _labels(found.labels),
            "missing": found.missing,
            "reads": f"{_listed(found.holds)}, in {counted(n, 'unit')} of work" if found.holds else "nothing of it",
            "or else": "; ".join(found.readings),
            "advice": found.advice,
        }
        for word, text in said.items():
            lines += _wrapped(f"    {word:9} ", text, width) if text else []
    if one.ignored:
        lines += _wrapped("  not read: ", some_of(one.ignored), width)
    if one.unrecognised:
        lines += _wrapped("  ", f"nothing of ImageNet: it is {one.unrecognised}", width)
    return "\n".join(lines)


def _wrapped(head: str, text: str, width: int | None) -> list[str]:
    """A text behind its head; on a terminal, its further lines below its first one."""
    if width is None or len(head) + len(text) <= width:
        return [head + text]
    below = " " * min(len(head), 14)
    room = max(width, 2 * len(below))
    return textwrap.wrap(
        text, room, initial_indent=head, subsequent_indent=below, break_long_words=False, break_on_hyphens=False
    )


def _listed(words: Sequence[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _labels(found: Labelling | None) -> str:
    if found is None:
        return "none"
    numbers = f", from {found.base} {_ORDERS.get(found.order, found.order)}" if found.base is not None else ", as wnids"
    return f"{found.by}: {'synsets' if found.space == 'wordnet' else 'classes'} of {_title(found.space)}{numbers}"


def _title(dataset: str) -> str:
    from imagenet_tools.catalogue.releases import title

    return "WordNet" if dataset == "wordnet" else title(dataset)
