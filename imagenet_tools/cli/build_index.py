"""build-index: make an index of sources, add to it, or refresh it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

import imagenet_tools
from imagenet_tools.cli import PROBLEMS
from imagenet_tools.cli.common import (
    counted,
    note,
    output_options,
    print_json,
    printable,
    root_option,
    some_of,
    table,
    width_of_terminal,
)
from imagenet_tools.cli.progress import ProgressBar
from imagenet_tools.store.layout import default_index

if TYPE_CHECKING:
    from imagenet_tools.build.build import Report

_EPILOG = """\b
Examples:
  imagenet-tools build-index ILSVRC2012_img_train.tar ILSVRC2012_img_val.tar ILSVRC2012_devkit_t12.tar.gz
  imagenet-tools build-index ILSVRC2012_bbox_train_v2.tar.gz        # adds to ./imagenet.index
  imagenet-tools build-index my/tree --dataset mydogs -o dogs.index
  imagenet-tools build-index /data/fall11_whole.tar --like /lab/imagenet.index
"""


@click.command("build-index", epilog=_EPILOG)
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH...")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The index to make or add to (like -i).")
@click.option("--dataset", metavar="NAME", help="The data set that these sources belong to, where names do not tell.")
@click.option(
    "--workers", type=click.IntRange(1), metavar="N", help="Processes to use; default: one a core, more on a slow disk."
)
@click.option("--fresh", is_flag=True, help="Forget what the index holds, and build it anew.")
@click.option("--glosses", metavar="DIR|nltk", help="Add WordNet's glosses, through NLTK or from a dict folder.")
@click.option("--like", type=click.Path(path_type=Path), metavar="INDEX", help="Take over what agrees with this index.")
@click.option(
    "--hash",
    "by_hash",
    is_flag=True,
    help="Tell by all bytes what has changed, and which images of one key differ, not by sizes and times.",
)
@click.option("--no-probe", is_flag=True, help="Names, places and lengths alone; a later build adds images' facts.")
@root_option
@click.option("--strict", is_flag=True, help="Exit with 1 where problems were counted.")
@output_options
def command(
    paths: tuple[Path, ...],
    output: Path | None,
    dataset: str | None,
    workers: int | None,
    fresh: bool,
    glosses: str | None,
    like: Path | None,
    by_hash: bool,
    no_probe: bool,
    roots: tuple[str, ...],
    strict: bool,
    as_json: bool,
    index_path: Path | None,
) -> int:
    """Index ImageNet as you hold it: tars, folders, devkit, boxes. Nothing is unpacked.

    An index that is there is added to, or refreshed; what has not changed is not read again.
    """
    from imagenet_tools.store.sources import parse_roots

    report = imagenet_tools.build_index(
        paths,
        output or index_path or default_index(),
        dataset=dataset,
        workers=workers,
        fresh=fresh,
        glosses=glosses,
        like=like,
        by_hash=by_hash,
        probe=not no_probe,
        roots=dict(parse_roots(roots)),
        progress=ProgressBar(),
    )
    if as_json:
        print_json(_plain(report))
    else:
        _print(report)
    if report.problems:
        return 1 if strict else PROBLEMS
    return 0


def _plain(report: Report) -> dict[str, object]:
    sources = [
        {"source": one.name, "forms": one.forms, "dataset": one.dataset, "found": one.evidence, "ignored": one.ignored}
        for one in report.sources
    ]
    return {
        "index": str(report.index),
        "sources": sources,
        "units": report.units,
        "rows": report.rows,
        "problems": report.problems,
    }


def _print(report: Report) -> None:
    sources = [(one.name, one.dataset, one.evidence) for one in report.sources]
    click.echo(table(("source", "data set", "found"), sources, width=width_of_terminal()))
    for one in report.sources:
        for found in one.found:
            if found.readings:
                note(f"{one.name}: taken for {found.dataset}; it may be {' or '.join(found.readings)}")
            if found.advice:
                note(f"{one.name}: {found.advice}")
        if one.ignored:
            note(f"{one.name}: not read: {some_of(one.ignored)}")
    rows = report.rows
    held = ", ".join(
        counted(rows.get(f"{name}s" if name != "box" else "boxes", 0), name) for name in ("image", "box", "label")
    )
    units = ", ".join(f"{n:,} {state}" for state, n in report.units.items() if n)
    click.echo(printable(f"{report.index}: {held} (units: {units or 'none'})"))
    if rows.get("copies"):
        click.echo(f"{counted(rows['copies'], 'image')} also in a second place (table copies)")
    if n := report.problems.get("other_bytes"):
        note(f"{counted(n, 'image')} in a second place with other bytes than the one that is kept: copies.other_bytes")
    if rows.get("unused_boxes"):
        note(f"{counted(rows['unused_boxes'], 'box')} kept aside in unused_boxes: no such image here, or given twice")
    if report.problems:
        kinds = ", ".join(f"{n:,} {code}" for code, n in report.problems.items())
        note(f"{counted(sum(report.problems.values()), 'problem')}: {kinds}")
        note('list them: imagenet-tools query "SELECT code, source, file, image_id, reason FROM problems"')
