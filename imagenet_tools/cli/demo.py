"""The command demo: run the main commands on the drawn sample, and show each of them."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import sys
from functools import partial
from pathlib import Path

import click

from imagenet_tools.cli import DONE, PROBLEMS, options, run
from imagenet_tools.cli.printing import print_json
from imagenet_tools.errors import ExistsError, ImagenetToolsError
from imagenet_tools.storage.processes import in_child

_COMMANDS = """
find tabby
build-index {sample}/ILSVRC2012_img_train.tar {sample}/ILSVRC2012_img_val.tar {sample}/ILSVRC2012_devkit_t12.tar.gz \
{sample}/ILSVRC2012_bbox_train_v2.tar.gz {sample}/ILSVRC2012_bbox_val_v3.tgz -o {demo}/imagenet.index
-i {demo}/imagenet.index info
-i {demo}/imagenet.index query "SELECT name, n_images FROM synsets WHERE is_a(wnid, 'dog.n.01') \
AND n_images > 0 ORDER BY n_images DESC LIMIT 5"
-i {demo}/imagenet.index tree dog --depth 2
-i {demo}/imagenet.index export {demo}/dogs --to image_folder --under dog
-i {demo}/imagenet.index export {demo}/dogs-yolo --to yolo --under dog --without toy_dog --per-class train=5,val=2
-i {demo}/imagenet.index show -n 104 -o {demo}/contact-sheet.png
report {demo}/imagenet.index -o {demo}/report.html
report {demo}/dogs-yolo -o {demo}/dogs-yolo.html
"""

# A folder with this file is a demo. What the demo made in it is removed when the demo is made again.
_MARKER = ".imagenet-tools-demo"
_MADE = ("sample", "imagenet.index", "dogs", "dogs-yolo", "contact-sheet.png", "report.html", "dogs-yolo.html")


@options.make_command("demo", asks_index=False)
@click.argument("folder", metavar="DIR", type=options.PATH)
def command(folder: Path) -> int:
    """Run the main commands on a small sample, in a folder DIR.

    Each command is printed before it runs: index the sample, query it with SQL, export subsets, and write reports.
    The sample holds 13 of the 1,000 classes in the layout of the official archives; its images are drawn. With
    --json, the output of the commands goes to stderr, and their exit codes to stdout.

    Example:
        imagenet-tools demo demo
    """
    if folder.exists():
        if not (folder / _MARKER).is_file():
            raise ExistsError(f"{folder} exists and is no demo. Name a folder that does not exist.")
        for name in _MADE:  # anything else is the user's
            made = folder / name
            shutil.rmtree(made) if made.is_dir() else made.unlink(missing_ok=True)
    shutil.copytree(_sample(), folder / "sample")
    (folder / _MARKER).write_text("`imagenet-tools demo` made this folder. When it runs again, it replaces that.\n")
    # A path is quoted from its first letter to its last: '/tmp/my demo'/imagenet.index is one word for a shell.
    names = {"sample": shlex.quote(str(folder / "sample")), "demo": shlex.quote(str(folder))}
    lines = [line.format(**names) for line in _COMMANDS.strip().splitlines()]
    steps = []
    with contextlib.redirect_stdout(sys.stderr if options.as_json() else sys.stdout):
        for line in lines:
            click.echo(click.style(f"\n$ imagenet-tools {line}", bold=True))
            sys.stdout.flush()
            # A process each: `query` forks, and must not fork a process in which DuckDB has threads.
            code = in_child(partial(run, shlex.split(line)), memory=None, seconds=None)
            code = code if code >= 0 else 128 - code  # the exit code that a shell gives for a signal
            steps.append({"command": f"imagenet-tools {line}", "exit_code": code})
            if code not in (DONE, PROBLEMS):
                break
        else:
            click.echo(f"\nThe index and the exports are in {folder}/. Each export has a classes.json and a")
            click.echo("manifest.json, which list its content. One image of the sample is cut short on purpose.")
            click.echo(f"Open the pictures: {folder}/report.html, dogs-yolo.html and contact-sheet.png.")
    if options.as_json():
        print_json({"folder": folder, "steps": steps})
    return code if code != PROBLEMS else DONE


def _sample() -> Path:
    """Return the sample folder, in an installed package or in the checkout of an editable install."""
    package = Path(__file__).parent.parent
    for folder in (package / "sample", package.parent / "data" / "sample"):
        if folder.is_dir():
            return folder
    raise ImagenetToolsError("The sample is missing from this installation. Install imagenet-tools again.")
