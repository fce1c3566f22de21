"""demo: the whole path on the drawn sample, each command shown before it runs."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import sys
from functools import partial
from pathlib import Path

import click

from imagenet_tools import cli
from imagenet_tools.cli.common import output_options, print_json
from imagenet_tools.errors import ExistsError, ImagenetToolsError
from imagenet_tools.storage.processes import in_child

_EPILOG = """\b
Example:
  imagenet-tools demo demo
"""

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
"""

# What tells that a folder is a demo, and may be removed for a new one.
_MARK = ".imagenet-tools-demo"


@click.command("demo", epilog=_EPILOG)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@output_options
def command(folder: Path, as_json: bool, index_path: Path | None) -> int:
    """Show the whole path on a drawn sample, below DIR.

    Each command is printed before it runs: an index is made, asked in SQL, and exported. With --json all of it goes
    to stderr, and the commands with their exit codes to stdout.

    The sample is drawn, not photographed: 13 of the 1,000 classes in the layout of the official archives.
    """
    if folder.exists():
        if not (folder / _MARK).is_file():
            message = f"{folder} exists and is no demo. Name a folder that does not exist."
            raise ExistsError(message)
        shutil.rmtree(folder)  # an earlier demo, which this one makes again
    shutil.copytree(_sample(), folder / "sample")
    (folder / _MARK).write_text("made by `imagenet-tools demo`, and removed when it makes the demo again\n")
    lines = [line.format(sample=folder / "sample", demo=folder) for line in _COMMANDS.strip().splitlines()]
    codes: list[int] = []
    with contextlib.redirect_stdout(sys.stderr if as_json else sys.stdout):
        for line in lines:
            click.echo(click.style(f"\n$ imagenet-tools {line}", bold=True))
            sys.stdout.flush()
            # Each in a process of its own, as it would be: a query is not forked where DuckDB has run.
            code = in_child(partial(cli.run, shlex.split(line)), memory=None, seconds=None)
            codes.append(code if code >= 0 else 128 - code)  # as a shell does where a signal ended it
            if codes[-1] not in (cli.DONE, cli.PROBLEMS):
                break
        else:
            click.echo(f"\nAll of it lies in {folder}/. The exports train as they are; each says in classes.json and")
            click.echo("manifest.json what it holds.")
    if as_json:
        steps = [
            {"command": f"imagenet-tools {line}", "exit_code": code} for line, code in zip(lines, codes, strict=False)
        ]
        print_json({"folder": str(folder), "steps": steps})
    return codes[-1] if codes[-1] != cli.PROBLEMS else cli.DONE


def _sample() -> Path:
    """The sample: inside the installed package, or in the checkout that an editable install points to."""
    package = Path(__file__).parent.parent
    for place in (package / "sample", package.parent / "data" / "sample"):
        if place.is_dir():
            return place
    message = "The sample is missing from this installation. Install imagenet-tools again."
    raise ImagenetToolsError(message)
