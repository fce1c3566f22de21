"""The command line: one module a command, named as the command.

Exit codes: 0 done, 1 failed, 2 usage, 3 done with problems counted, 4 the target exists or is locked, 130 interrupted.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import click

from imagenet_tools import __version__
from imagenet_tools.errors import ExistsError, ImagenetToolsError, UsageError

FAILED, USAGE, PROBLEMS, EXISTS, INTERRUPTED = 1, 2, 3, 4, 130


class _Commands(click.Group):
    """The modules of this package that hold a command; a module is imported when its command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        names = sorted(path.stem for path in Path(__file__).parent.glob("*.py"))
        return [name.replace("_", "-") for name in names if name not in ("__init__", "common", "progress")]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = importlib.import_module(f"imagenet_tools.cli.{cmd_name.replace('-', '_')}").command
        return command


_EPILOG = """\b
Examples:
  imagenet-tools find tabby
  imagenet-tools build-index ILSVRC2012_img_train.tar ILSVRC2012_img_val.tar
  imagenet-tools query "SELECT name, n_images FROM synsets WHERE is_a(wnid, 'dog.n.01')"
  imagenet-tools export dogs --to image_folder --under dog

\b
Exit codes: 0 done, 1 failed, 2 usage, 3 done with problems counted,
            4 the target exists or is locked, 130 interrupted (run again to resume)
"""


@click.command(cls=_Commands, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="imagenet-tools")
@click.option(
    "-i",
    "--index",
    type=click.Path(path_type=Path),
    envvar="IMAGENET_INDEX",
    help="The index; default $IMAGENET_INDEX, else ./imagenet.index.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_context
def group(ctx: click.Context, index: Path | None, as_json: bool) -> None:
    """Index ImageNet, ask it in SQL over WordNet, and export subsets to training loaders.

    A SYNSET is a wnid (n02084071), a name (dog.n.01), or a lemma (dog) that one sense alone can mean.
    """
    ctx.obj = {"index": index, "json": as_json}


def main() -> None:
    """Run the command line, and exit with its code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the command line; gives the exit code. What went wrong is said on stderr, in words."""
    try:
        return int(group.main(arguments, prog_name="imagenet-tools", standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        return USAGE
    except (click.Abort, KeyboardInterrupt):
        click.echo("\nInterrupted. What is finished is kept: run the same command again to go on.", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has had enough, as `head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ImagenetToolsError as error:
        click.echo(f"error: {error}", err=True)
        if isinstance(error, UsageError):
            return USAGE
        return EXISTS if isinstance(error, ExistsError) else FAILED
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        click.echo(f"error: {where}{error.strerror or error}", err=True)
        return FAILED
