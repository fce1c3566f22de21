"""detect: what lies at a path, told before anything is read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

import imagenet_tools
from imagenet_tools.cli import FAILED
from imagenet_tools.cli.common import counted, output_options, print_json, printable

if TYPE_CHECKING:
    from imagenet_tools.index.sources import Survey
    from imagenet_tools.units import Detection, Labelling

_EPILOG = """\b
Examples:
  imagenet-tools detect ILSVRC2012_img_train.tar
  imagenet-tools detect /data/imagenet /data/fall11_whole.tar --json

\b
Exit code: 0 where each path was recognised, else 1.
"""

_ORDERS = {"wnid": "in sorted order", "ilsvrc_id": "in the devkit's order (ILSVRC2012_ID)"}


@click.command("detect", epilog=_EPILOG)
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH...")
@output_options
def command(paths: tuple[Path, ...], as_json: bool, index_path: Path | None) -> int:
    """Say what lies at a path: form, release, splits, labels, the evidence, what is missing, what indexing will read.

    Headers are read, no images. Where two readings are possible, the option that decides is named.
    """
    surveys = [imagenet_tools.detect(path) for path in paths]
    if as_json:
        print_json([_plain(one) for one in surveys])
    else:
        click.echo(printable("\n\n".join(map(_text, surveys))))
    return 0 if all(one.found for one in surveys) else FAILED


def _plain(one: Survey) -> dict[str, object]:
    return {
        "path": str(one.path),
        "found": [_detection(found, n) for found, n in zip(one.found, one.units, strict=True)],
        "not_read": list(one.ignored),
        "unrecognised": one.unrecognised or None,
    }


def _detection(found: Detection, n: int) -> dict[str, object]:
    from imagenet_tools.published.releases import title

    return {
        "form": found.form,
        "path": str(found.path),
        "dataset": found.dataset,
        "release": title(found.dataset),
        "splits": list(found.splits),
        "labels": found.labels._asdict() if found.labels else None,
        "evidence": found.evidence,
        "missing": found.missing or None,
        "reads": list(found.holds),
        "units": n,
        "other_readings": list(found.readings),
        "advice": found.advice or None,
    }


def _text(one: Survey) -> str:
    from imagenet_tools.published.releases import title

    lines = [str(one.path)]
    for found, n in zip(one.found, one.units, strict=True):
        inside = "" if found.path == one.path else f" in {found.path.relative_to(one.path)}"
        splits = f", {' and '.join(found.splits)}" if found.splits else ""
        lines.append(f"  {found.form}{inside}: {title(found.dataset)}{splits} (data set {found.dataset})")
        said = {
            "evidence": found.evidence,
            "labels": _labels(found.labels),
            "missing": found.missing,
            "reads": f"{', '.join(found.holds)}, in {counted(n, 'unit')} of work",
            "or else": "; ".join(found.readings),
            "advice": found.advice,
        }
        lines += [f"    {word:9} {text}" for word, text in said.items() if text]
    if one.ignored:
        more = " ..." if len(one.ignored) > 5 else ""
        lines.append(f"  not read: {counted(len(one.ignored), 'file')}, {', '.join(one.ignored[:5])}{more}")
    if one.unrecognised:
        lines.append(f"  nothing of ImageNet: it is {one.unrecognised}")
    return "\n".join(lines)


def _labels(found: Labelling | None) -> str:
    from imagenet_tools.published.releases import title

    if found is None:
        return "none"
    numbers = f", from {found.base} {_ORDERS.get(found.order, found.order)}" if found.base is not None else ", as wnids"
    return f"{found.by}: classes of {title(found.space)}{numbers}"
