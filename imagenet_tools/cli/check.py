"""The command check: verify archives, indexes, exports and locks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imagenet_tools.catalogue.sums import NOTHING_COMPARED
from imagenet_tools.cli import DONE, FAILED, PROBLEMS, options
from imagenet_tools.cli.printing import print_json
from imagenet_tools.errors import UsageError
from imagenet_tools.progress import ProgressBar
from imagenet_tools.storage.shares import parse as parse_shard
from imagenet_tools.text import are, count_of, printable

if TYPE_CHECKING:
    from imagenet_tools.exports.checks import AnyChecked
    from imagenet_tools.index import Index

_MAX_PRINTED = 20  # images; --json has them all


@options.make_command("check")
@click.argument("paths", nargs=-1, required=True, type=options.PATH, metavar="PATH...")
@click.option("--md5", is_flag=True, help="Compare the MD5 sums of archives with the published ones.")
@click.option("--cache", type=options.PATH, metavar="FILE", help="Where sums are kept. Default: ~/.cache.")
@click.option("--fresh", is_flag=True, help="Compute sums again, even if they are in the cache.")
@click.option(
    "--read-data", is_flag=True, help="Decode every image, and compare all images of an export with the index."
)
@click.option("--with-loader", is_flag=True, help="Read an export with the framework's own loader, if installed.")
@click.option("--shard", metavar="I/N", help="With --read-data, decode only share I of N of an index, such as 0/3.")
@click.option("--strict", is_flag=True, help="Exit with 1 for warnings too.")
def command(
    paths: tuple[Path, ...],
    strict: bool,
    shard: str | None,
    **keywords: Any,  # the other options: keyword arguments of checks.check
) -> int:
    """Verify archives, indexes, exports and locks.

    The content of PATH says what it is. Archives are compared with the published sizes and sums; indexes and exports
    with their manifests and images; locks with the index. Nothing is written beside PATH.

    Examples:
        imagenet-tools check /data/imagenet                        # archives: names and sizes
        imagenet-tools check ILSVRC2012_img_train.tar --md5        # and MD5 sums, which are kept for the next time
        imagenet-tools check imagenet.index                        # an index: its files and its sources
        imagenet-tools check imagenet.index --read-data            # and every image, decoded in full
        imagenet-tools check imagenet.index --read-data --shard 0/3    # a third of them; 1/3 and 2/3 elsewhere
        imagenet-tools check dogs.lock.toml                        # a lock: is each of its images in the index?
        imagenet-tools check dogs-yolo --read-data --with-loader   # an export: files, images, loader

    Findings in archives:
        E101  the size is not the published one
        E102  the MD5 is not the published one
        W101  no checksum was published for this archive under any name: nothing was compared
        W102  the content is that of another archive than the name says
        W103  the archive was gunzipped after the download, as Safari does: nothing was compared
        W104  only a rough size was published, and it agrees; use --md5 to be sure

    Findings in an index:
        E201  a Parquet file is missing, or its bytes are not those in manifest.json
        E202  a Parquet file cannot be read, or has wrong rows or columns
        E203  a file of a source is missing
        E204  the size or time of a source's file changed after indexing
        E205  an image cannot be read or decoded in full (--read-data)
        W201  the index has no images

    Findings in an export:
        E301  manifest.json or classes.json is missing or invalid
        E302  a file of the manifest is missing, or has another size
        E303  the bytes of a file are not those in the manifest
        E304  image or label files are missing, extra, or of another size, or label bytes differ
        E305  images, splits, classes or boxes differ from the counts in classes.json
        E306  the bytes of an image differ from those in the index
        E307  an image is not in the index
        E308  the framework's own loader finds other classes, images or boxes (--with-loader)
        E309  the recipe or the lock is missing, unreadable, or of another export
        E310  an image cannot be decoded in full (--read-data)
        E311  images have other classes or splits than in the lock of the export
        E312  a source of the index is missing or has changed, so its images were not compared
        W301  no image was compared: no index was named, or the export holds no images
        W302  the framework's loader is not installed, or the format has none
        W303  the export was made from another generation of the index
        W304  the manifest has an older version: the bytes of label files were not compared

    The bytes of label files are always compared with the manifest. Images and shards (with the labels in them) are
    compared if the export was made with --hash.

    --json prints a list: {"path", ..., "findings": [{"code", "message"}]}.

    Exit codes: 0 nothing is wrong, 1 there are errors (E...; with --strict also W...), 3 nothing could be compared or
    images of a lock are missing, 130 interrupted.
    """
    from imagenet_tools.exports import checks

    share = parse_shard(shard) if shard is not None else None
    locks = [path for path in paths if checks.is_lock(path)]
    if locks:
        return _check_locks(locks, paths)
    results: list[AnyChecked] = []
    index = options.open_index() if options.index_path() else None
    for result in checks.check(paths, index=index, shard=share, progress=ProgressBar(), **keywords):
        results.append(result)
        if not options.as_json():
            click.echo(printable(checks.line(result)))
    if options.as_json():
        print_json(results)
    codes = [finding.code for result in results for finding in result.findings]
    if any(code.startswith("E") or strict for code in codes):
        return FAILED
    return PROBLEMS if any(code in NOTHING_COMPARED for code in codes) else DONE


def _check_locks(locks: list[Path], paths: tuple[Path, ...]) -> int:
    if len(locks) < len(paths):
        raise UsageError(f"Found the lock {locks[0]} beside other paths; expected locks only. Check them one by one.")
    index = options.open_index()
    results = [lock_findings(index, path) for path in locks]
    if options.as_json():
        print_json(results)
    else:
        for result in results:
            print_lock_findings(result)
    return PROBLEMS if any(result["missing"] or result["relabelled"] for result in results) else DONE


def lock_findings(index: Index, path: Path) -> dict[str, object]:
    """Return the images of a lock that are missing or have another class in the index, as plain values."""
    from imagenet_tools.index import pin
    from imagenet_tools.selection import lock

    pinned = pin(index, path)
    return {
        "lock": str(path),
        "images": pinned.pinned.n_images if pinned.pinned else 0,
        "missing": lock.missing(pinned),
        "relabelled": [{"image": key, "locked": was, "here": now} for key, was, now in lock.relabelled(pinned)],
    }


def print_lock_findings(findings: Mapping[str, Any]) -> None:
    """Print the result of lock_findings."""
    missing, relabelled = findings["missing"], findings["relabelled"]
    images = count_of(findings["images"], "image")
    lines_by_title = {
        f"{len(missing):,} of {images} {are(len(missing))} not in the index": missing,
        f"{count_of(len(relabelled), 'image')} with another class in the index": [
            f"{image['image']}: locked as {image['locked']}, here {image['here']}" for image in relabelled
        ],
    }
    if not missing and not relabelled:
        click.echo(f"{findings['lock']}: all {images} {are(findings['images'])} here")
    for title, lines in lines_by_title.items():
        if lines:
            click.echo(f"{findings['lock']}: {title}")
        for line in lines[:_MAX_PRINTED]:
            click.echo(printable(f"  {line}"))
        if len(lines) > _MAX_PRINTED:
            click.echo(f"  ... and {len(lines) - _MAX_PRINTED:,} more; --json lists all")
