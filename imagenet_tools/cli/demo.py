"""demo: the whole path on the drawn sample, each command shown before it runs."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import click

from imagenet_tools import cli
from imagenet_tools.errors import ExistsError, ImagenetToolsError

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
def command(folder: Path) -> int:
    """Index the sample ImageNet that comes with this package, ask it in SQL, and export it, below DIR.

    The sample is drawn, not photographed: 13 of the 1,000 classes in the layout of the official archives.
    """
    if folder.exists():
        if not (folder / _MARK).is_file():
            message = f"{folder} exists and is no demo. Name a folder that does not exist."
            raise ExistsError(message)
        shutil.rmtree(folder)  # an earlier demo, which this one makes again
    shutil.copytree(_sample(), folder / "sample")
    (folder / _MARK).write_text("made by `imagenet-tools demo`, and removed when it makes the demo again\n")
    for line in filter(None, _COMMANDS.strip().splitlines()):
        text = line.format(sample=folder / "sample", demo=folder)
        click.echo(click.style(f"\n$ imagenet-tools {text}", bold=True))
        code = cli.run(shlex.split(text))
        if code not in (0, cli.PROBLEMS):
            return code
    click.echo(
        f"\nAll of it lies in {folder}/. The exports train as they are; see classes.json and manifest.json in each."
    )
    return 0


def _sample() -> Path:
    """The sample: inside the installed package, or in the checkout that an editable install points to."""
    package = Path(__file__).parent.parent
    for place in (package / "sample", package.parent / "data" / "sample"):
        if place.is_dir():
            return place
    message = "The sample is missing from this installation. Install imagenet-tools again."
    raise ImagenetToolsError(message)
