"""check: whether archives are as they were published, exports as they were written, and a lock's images are here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

import imagenet_tools
from imagenet_tools.cli import FAILED, PROBLEMS
from imagenet_tools.cli.chosen import findings, print_findings
from imagenet_tools.cli.common import open_index, output_options, print_json, printable
from imagenet_tools.cli.progress import Progress
from imagenet_tools.errors import UsageError

_EPILOG = """\b
Examples:
  imagenet-tools check /data/imagenet                        # names and sizes
  imagenet-tools check dogs.lock.toml                        # its images, in the index
  imagenet-tools check ILSVRC2012_img_train.tar --md5        # a finished sum is kept, and not made again
  imagenet-tools check dogs-yolo --read-data --with-loader   # an export: its files, every image, Ultralytics' loader

\b
What may be found:
  E101  the size is not the published one
  E102  the MD5 is not the published one
  W101  no sum was published of it, under this name or any other
  W102  it is another archive than its name says
  W103  it was gunzipped on its way, as Safari does to the devkit
  W104  nothing is wrong, but its MD5 was not asked for, and its size is known roughly

\b
--json prints a list: {"path", "size", "md5", "published", "findings": [{"code", "message"}]}.

\b
Exit code: 0 where nothing is wrong, 1 where something is (E...; with --strict also W...), 130 interrupted.
"""


@click.command("check", epilog=_EPILOG)
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH...")
@click.option("--md5", is_flag=True, help="Read the archives, and compare their MD5 with the published ones.")
@click.option("--cache", type=click.Path(path_type=Path), metavar="FILE", help="Where sums are kept; default ~/.cache.")
@click.option("--fresh", is_flag=True, help="Sum again what was summed before.")
@click.option("--read-data", is_flag=True, help="Compare every image of an export with the index, not a sample.")
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
    """Compare archives with the published names, sizes and sums, and exports with their manifests and the index.

    What each PATH is, is told by what lies there. Nothing is written beside it. A lock is compared with the index:
    whether its images are there. Exit code 3: some are not.
    """
    kinds = {path: _kind(path) for path in paths}
    locks = [path for path in paths if kinds[path] == "lock"]
    if locks:
        return _check_locks(locks, paths, index_path, as_json)
    found: list[dict[str, object]] = []
    codes: list[str] = []
    for path in paths:
        if kinds[path] == "export":
            said = _exports(path, index_path, read_data=read_data, with_loader=with_loader)
        else:
            said = _archives(path, md5=md5, cache=cache, fresh=fresh)
        for line, values, coded in said:
            codes += [finding.code for finding in coded]
            found.append({**values, "path": str(values["path"]), "findings": [one._asdict() for one in coded]})
            if not as_json:
                wrong = "; ".join(f"{code} {text}" for code, text in coded)
                click.echo(printable(f"{values['path']}: {wrong or line}"))
    if as_json:
        print_json(found)
    return FAILED if any(code.startswith("E") or strict for code in codes) else 0


def _kind(path: Path) -> str:
    """What a path is to be checked as: the one place that decides it."""
    from imagenet_tools.exports.check import is_export
    from imagenet_tools.selection import lock

    if path.suffix == ".toml" and path.is_file() and lock.is_lock(path):
        return "lock"
    return "export" if is_export(path) else "archives"


Said = Iterator[tuple[str, dict[str, Any], tuple[Any, ...]]]


def _archives(path: Path, *, md5: bool, cache: Path | None, fresh: bool) -> Said:
    for one in imagenet_tools.check(path, md5=md5, cache=cache, fresh=fresh, progress=Progress()):
        known = f", {one.published}" if one.published and one.published != one.path.name else ""
        yield ("as published" if md5 else "of the published size") + known, one._asdict(), one.findings


def _exports(path: Path, index_path: Path | None, *, read_data: bool, with_loader: bool) -> Said:
    from imagenet_tools.index.layout import default_index, is_index

    where = index_path or default_index()
    index = open_index(where) if index_path or is_index(where) else None
    for one in imagenet_tools.check_export(path, index=index, read_data=read_data, with_loader=with_loader):
        by = f", read by {one.loader}" if one.loader else ""
        same = f", {one.compared:,} the index's to the byte" if one.compared else ""
        yield f"as written: {one.images:,} images as {one.target}{same}{by}", one._asdict(), one.findings


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
