"""check: whether archives are as published, indexes and exports as they were written, and a lock's images are here."""

from __future__ import annotations

from pathlib import Path

import click

from imagenet_tools.catalogue.sums import NOTHING_COMPARED
from imagenet_tools.cli import FAILED, PROBLEMS
from imagenet_tools.cli.chosen import findings, print_findings
from imagenet_tools.cli.common import open_index, output_options, print_json, printable
from imagenet_tools.cli.progress import ProgressBar
from imagenet_tools.errors import UsageError

_EPILOG = """\b
Examples:
  imagenet-tools check /data/imagenet                        # archives: names and sizes
  imagenet-tools check ILSVRC2012_img_train.tar --md5        # a finished sum is kept, and not made again
  imagenet-tools check imagenet.index                        # an index: its files and its sources
  imagenet-tools check imagenet.index --read-data            # and every image, decoded in full
  imagenet-tools check dogs.lock.toml                        # a lock: its images, in the index
  imagenet-tools check dogs-yolo --read-data --with-loader   # an export: its files, every image, Ultralytics' loader

\b
What may be found in archives:
  E101  the size is not the published one
  E102  the MD5 is not the published one
  W101  no sum was published of it, under this name or any other: nothing was compared
  W102  it is another archive than its name says
  W103  it was gunzipped on its way, as Safari does to the devkit: nothing was compared
  W104  nothing is wrong, but its MD5 was not asked for, and its size is known roughly

\b
In an index:
  E201  a Parquet file is missing, or has other bytes than manifest.json says
  E202  a Parquet file cannot be read, or has other rows or columns than it should
  E203  a file of a source is missing
  E204  a file of a source has another size or time than when it was indexed
  E205  an image cannot be read, or its pixels cannot be decoded in full (--read-data)
  W201  the index has no images

\b
In an export:
  E301  manifest.json or classes.json is missing, or not what an export has
  E302  a file that the manifest names is missing, or of another size
  E303  a file has other bytes than the manifest says
  E304  files of images or labels are missing, too many, or of another size; or labels have other bytes
  E305  other images, splits, classes or boxes are read back than classes.json counts
  E306  an image is not the one in the index, to the byte
  E307  an image is not in the index
  E308  the framework's own loader finds other classes, images or boxes (--with-loader)
  E309  recipe or lock is missing, cannot be read, or is not that of what is there
  E310  the pixels of an image cannot be decoded in full (--read-data)
  E311  images are in other classes or splits than the lock of the export says
  E312  a source of the index is gone or has changed, so that images could not be compared with it
  W301  no image was compared with an index: none was given, or the export holds no images
  W302  the framework's loader is not installed, or the format names none
  W303  the export was made from another generation of the index
  W304  the manifest is of an earlier version: the bytes of label files were not compared

\b
The bytes of label files are always compared with the manifest. Those of images and of shards, also the labels in
shards of images, are where the export was made with --hash.

\b
--json prints a list: {"path", ..., "findings": [{"code", "message"}]}.

\b
Exit code: 0 where nothing is wrong, 1 where something is (E...; with --strict also W...), 3 where nothing could be
compared, or images of a lock are not here, 130 interrupted.
"""


@click.command("check", epilog=_EPILOG)
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH...")
@click.option("--md5", is_flag=True, help="Read the archives, and compare their MD5 with the published ones.")
@click.option("--cache", type=click.Path(path_type=Path), metavar="FILE", help="Where sums are kept; default ~/.cache.")
@click.option("--fresh", is_flag=True, help="Sum again what was summed before.")
@click.option(
    "--read-data",
    is_flag=True,
    help="Decode every image in full, and compare all of an export with the index.",
)
@click.option("--with-loader", is_flag=True, help="Have the framework's own loader read an export, where installed.")
@click.option("--strict", is_flag=True, help="Exit with 1 for warnings too.")
@output_options
def command(
    paths: tuple[Path, ...],
    md5: bool,
    cache: Path | None,
    fresh: bool,
    read_data: bool,
    with_loader: bool,
    strict: bool,
    as_json: bool,
    index_path: Path | None,
) -> int:
    """Compare archives with the published sizes and sums, indexes and exports with their manifests and their images.

    What each PATH is, is told by what lies there. Nothing is written beside it. A lock is compared with the index:
    whether its images are there. Exit code 3: some are not.
    """
    from imagenet_tools.exports import checks

    locks = [path for path in paths if checks.is_lock(path)]
    if locks:
        return _check_locks(locks, paths, index_path, as_json)
    checked: list[dict[str, object]] = []
    codes: list[str] = []
    for one in checks.check(
        paths,
        index=open_index(index_path) if index_path else None,
        md5=md5,
        cache=cache,
        fresh=fresh,
        read_data=read_data,
        with_loader=with_loader,
        progress=ProgressBar(),
    ):
        codes += [finding.code for finding in one.findings]
        values = {**one._asdict(), "path": str(one.path), "findings": [found._asdict() for found in one.findings]}
        checked.append(values)
        if not as_json:
            click.echo(printable(checks.line(one)))
    if as_json:
        print_json(checked)
    if any(code.startswith("E") or strict for code in codes):
        return FAILED
    return PROBLEMS if any(code in NOTHING_COMPARED for code in codes) else 0


def _check_locks(locks: list[Path], paths: tuple[Path, ...], index_path: Path | None, as_json: bool) -> int:
    if len(locks) < len(paths):
        raise UsageError(f"Found the lock {locks[0]} beside others; expected locks alone.")
    index = open_index(index_path)
    found = [findings(index, path) for path in locks]
    if as_json:
        print_json(found)
    else:
        for one in found:
            print_findings(one)
    return PROBLEMS if any(one["missing"] or one["relabelled"] for one in found) else 0
