"""check: whether archives are as they were published, and the images of a lock are here."""

from __future__ import annotations

from pathlib import Path

import click

import imagenet_tools
from imagenet_tools.cli import FAILED, PROBLEMS
from imagenet_tools.cli.chosen import findings, print_findings
from imagenet_tools.cli.common import note, open_index, output_options, print_json, printable
from imagenet_tools.cli.progress import Progress
from imagenet_tools.errors import UsageError

_EPILOG = """\b
Examples:
  imagenet-tools check /data/imagenet                        # names and sizes
  imagenet-tools check dogs.lock.toml                        # its images, in the index
  imagenet-tools check ILSVRC2012_img_train.tar --md5        # run again to go on, if it was interrupted

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
@click.option("--strict", is_flag=True, help="Exit with 1 for warnings too.")
@output_options
def command(
    paths: tuple[Path, ...],
    md5: bool,
    cache: Path | None,
    fresh: bool,
    strict: bool,
    as_json: bool,
    index_path: Path | None,
) -> int:
    """Compare archives with the published names, sizes and sums. Nothing is written beside them.

    A lock is compared with the index: whether its images are there. Exit code 3: some are not.
    """
    from imagenet_tools.published.md5 import can_resume

    locks = [path for path in paths if _is_lock(path)]
    if locks:
        return _check_locks(locks, paths, index_path, as_json)
    if md5 and not can_resume():
        note("OpenSSL's library is not found here: an interrupted sum begins anew, with the archive that it was at")
    done = []
    for one in imagenet_tools.check(paths, md5=md5, cache=cache, fresh=fresh, progress=Progress()):
        done.append(one)
        if not as_json:
            known = f", {one.published}" if one.published and one.published != one.path.name else ""
            right = "as published" if md5 else "of the published size"
            click.echo(
                printable(f"{one.path}: {'; '.join(f'{code} {text}' for code, text in one.findings) or right + known}")
            )
    if as_json:
        print_json(
            [
                one._asdict() | {"path": str(one.path), "findings": [finding._asdict() for finding in one.findings]}
                for one in done
            ]
        )
    codes = [finding.code for one in done for finding in one.findings]
    return FAILED if any(code.startswith("E") or strict for code in codes) else 0


def _is_lock(path: Path) -> bool:
    from imagenet_tools.selection import lock

    return path.suffix == ".toml" and path.is_file() and lock.is_lock(path)


def _check_locks(locks: list[Path], paths: tuple[Path, ...], index_path: Path | None, as_json: bool) -> int:
    if len(locks) < len(paths):
        raise UsageError(f"Found the lock {locks[0]} beside archives; expected locks alone, or archives alone.")
    index = open_index(index_path)
    found = [findings(index, path) for path in locks]
    if as_json:
        print_json(found)
    else:
        for one in found:
            print_findings(one)
    return PROBLEMS if any(one["missing"] or one["relabelled"] for one in found) else 0
