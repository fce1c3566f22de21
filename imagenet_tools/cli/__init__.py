"""The command line: one module a command, named as the command.

Exit codes: 0 done, 1 failed, 2 usage, 3 done with problems counted, 4 the target exists or is locked, 130 interrupted.
"""

from __future__ import annotations

import importlib
import io
import os
import signal
import sys
from pathlib import Path
from typing import Any

import click

from imagenet_tools import __version__
from imagenet_tools.errors import ExistsError, ImagenetToolsError, UsageError
from imagenet_tools.processes import without_pandas

DONE, FAILED, USAGE, PROBLEMS, EXISTS, INTERRUPTED = 0, 1, 2, 3, 4, 130

# Modules of these folders that hold no command.
_HELPERS = ("__init__", "answer", "chosen", "common", "printing", "progress")

# Commands that may run others' loaders, which may need pandas.
_LOADERS = {"check"}

# Commands whose work is kept when they are interrupted.
_RESUMED = {"build-index", "check", "export", "demo"}


class Commands(click.Group):
    """The modules of a folder that hold a command; a module is imported when its command is asked for."""

    def __init__(self, *args: Any, folder: Path, **kwargs: Any) -> None:
        self.folder = folder
        super().__init__(*args, **kwargs)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the modules, and of the folders of commands below a command."""
        found = {path.stem for path in self.folder.glob("*.py")}
        found |= {path.parent.name for path in self.folder.glob("*/__init__.py")}
        return sorted(name.replace("_", "-") for name in found if name not in _HELPERS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name, its module being imported now."""
        if cmd_name not in self.list_commands(ctx):
            return None
        within = ".".join(self.folder.relative_to(Path(__file__).parent).parts)
        name = ".".join(filter(None, ("imagenet_tools.cli", within, cmd_name.replace("-", "_"))))
        command: click.Command = importlib.import_module(name).command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; its reader may have had enough before the end, as `head` has."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return DONE


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


@click.command(
    cls=Commands, folder=Path(__file__).parent, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]}
)
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
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files may be no text, and terminals no Unicode
    for end in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(end) == signal.SIG_DFL:  # nohup has it ignored
            signal.signal(end, signal.default_int_handler)  # a scheduler's end is as orderly as Ctrl-C
    if _LOADERS.isdisjoint(sys.argv):
        without_pandas()
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the command line; gives the exit code. What went wrong is said on stderr, in words."""
    try:
        return int(group.main(arguments, prog_name="imagenet-tools", standalone_mode=False) or DONE)
    except click.ClickException as error:
        error.show()
        return USAGE
    except (click.Abort, KeyboardInterrupt):
        kept = " What is finished is kept: run the same command again to go on." * (not _RESUMED.isdisjoint(arguments))
        _say(f"Interrupted.{kept}")
        return INTERRUPTED
    except ImagenetToolsError as error:
        _say(f"error: {error}")
        if isinstance(error, UsageError):
            return USAGE
        return EXISTS if isinstance(error, ExistsError) else FAILED
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _say(f"error: {where}{error.strerror or error}")
        return FAILED
    except MemoryError:
        _say("error: There is not enough memory for this.")
        return FAILED
    except _engine_errors() as error:
        _say(f"error: {error}")
        return FAILED


def _say(text: str) -> None:
    from imagenet_tools.cli.common import printable

    click.echo(printable(text), err=True)


def _engine_errors() -> tuple[type[Exception], ...]:
    from imagenet_tools.index.connection import engine_errors

    return engine_errors()
