"""The command build-index: make an index of sources, add to it, or refresh it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import imagenet_tools
from imagenet_tools.cli import DONE, FAILED, PROBLEMS, options
from imagenet_tools.cli.printing import note, print_json, print_table
from imagenet_tools.progress import ProgressBar
from imagenet_tools.storage.buckets import url_of
from imagenet_tools.storage.executors import ray_cluster
from imagenet_tools.store.layout import default_index
from imagenet_tools.text import count_of, printable, some_of

if TYPE_CHECKING:
    from imagenet_tools.build.build import Report


@options.make_command("build-index")
@click.argument("paths", nargs=-1, required=True, type=options.PATH, metavar="PATH...")
@click.option("-o", "--output", type=options.PATH, help="The index to make or add to (same as -i).")
@click.option("--dataset", metavar="NAME", help="The data set of these sources. Default: detected from the sources.")
@click.option("--class-names", metavar="FILE|LIST", help="What class folders called by numbers or words mean.")
@click.option(
    "--workers",
    type=click.IntRange(1),
    metavar="N",
    help="Number of processes. Default: one a core, and more if the disk is slow.",
)
@click.option("--fresh", is_flag=True, help="Discard what the index holds, and build it from the start.")
@click.option("--glosses", metavar="DIR|nltk", help="Add WordNet's glosses, from a dict folder or through NLTK.")
@click.option("--like", type=options.PATH, metavar="INDEX", help="Copy rows of equal archives from this index.")
@click.option(
    "--hash",
    "by_hash",
    is_flag=True,
    help="Compare all bytes, not sizes and times, to find changed files and images that differ under one key.",
)
@click.option("--no-probe", is_flag=True, help="Read no image headers. A later build adds their facts.")
@options.shard_option
@options.ray_option
@options.root_option
@click.option("--strict", is_flag=True, help="Exit with 1 if there are problems.")
def command(
    paths: tuple[Path, ...],
    output: Path | None,
    no_probe: bool,
    strict: bool,
    shard: str | None,
    ray: str | None,
    **keywords: Any,  # the other options: keyword arguments of build_index
) -> int:
    """Index archives and folders of ImageNet.

    PATH is a tar, a zip, a folder, a devkit or an archive of boxes; a tar, a devkit and boxes also by URL. Nothing is
    unpacked. If the index exists, the sources are added or refreshed; what has not changed is not read again.

    Examples:
        imagenet-tools build-index ILSVRC2012_img_train.tar ILSVRC2012_img_val.tar ILSVRC2012_devkit_t12.tar.gz
        imagenet-tools build-index ILSVRC2012_bbox_train_v2.tar.gz        # add to ./imagenet.index
        imagenet-tools build-index s3://lab/ILSVRC2012_img_val.tar s3://lab/ILSVRC2012_devkit_t12.tar.gz
        imagenet-tools build-index my/tree --dataset mydogs -o dogs.index
        imagenet-tools build-index /data/fall11_whole.tar --like /lab/imagenet.index
        imagenet-tools build-index /data/fall11_whole.tar --shard 0/3     # and 1/3, 2/3 elsewhere; then: merge
    """
    with ray_cluster(ray) as executor:
        report = imagenet_tools.build_index(
            paths,
            output or options.index_path() or default_index(),
            probe=not no_probe,
            executor=executor,
            roots=options.roots(),
            shard=shard,
            progress=ProgressBar(),
            **keywords,
        )
    return print_report(report, strict=strict, shard=shard)


def print_report(report: Report, *, strict: bool = False, shard: str | None = None) -> int:
    """Print what a build, or a shard of it, has done, and return the exit code."""
    if options.as_json():
        sources = [
            {
                "source": source.name,
                "forms": source.forms,
                "dataset": source.dataset,
                "found": source.evidence,
                "ignored": source.ignored,
            }
            for source in report.sources
        ]
        print_json(vars(report) | {"index": url_of(report.index), "sources": sources})
    else:
        _print_sources(report)
        _print_totals(report, shard)
    if report.problems:
        return FAILED if strict else PROBLEMS
    return DONE


def _print_sources(report: Report) -> None:
    rows = [(source.name, source.dataset, source.evidence) for source in report.sources]
    print_table(("source", "data set", "found"), rows)
    for source in report.sources:
        for detection in source.found:
            if detection.readings:
                readings = " or ".join(detection.readings)
                note(f"{source.name}: taken for {detection.dataset}; it may be {readings}")
            if detection.advice:
                note(f"{source.name}: {detection.advice}")
        if source.ignored:
            note(f"{source.name}: not read: {some_of(source.ignored)}")


def _print_totals(report: Report, shard: str | None) -> None:
    n_rows = report.rows
    units = ", ".join(f"{n:,} {state}" for state, n in report.units.items() if n)
    place = url_of(report.index) + (f", shard {shard}" if shard else "")
    click.echo(printable(f"{place}: {report.content()} (units: {units or 'none'})"))
    if shard:
        note(f"when all shards are done: imagenet-tools merge {shlex.quote(url_of(report.index))}")
    if n := n_rows.get("copies"):
        click.echo(f"{count_of(n, 'image')} also in a second place (table copies)")
    if n := report.problems.get("other_bytes"):
        note(f"{count_of(n, 'image')} in a second place with other bytes than the one that is kept: copies.other_bytes")
    if n := n_rows.get("unused_boxes"):
        note(f"{count_of(n, 'box')} in the table unused_boxes: without an image in the index, or repeated")
    if report.problems:
        codes = ", ".join(f"{n:,} {code}" for code, n in report.problems.items())
        note(f"{count_of(sum(report.problems.values()), 'problem')}: {codes}")
        is_default = Path(report.index).absolute() == default_index().absolute()
        named = "" if is_default else f"-i {shlex.quote(url_of(report.index))} "
        note(f'List them with: imagenet-tools {named}query "SELECT code, source, file, image_id, reason FROM problems"')
