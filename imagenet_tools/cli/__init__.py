"""The command line: one module a command, named as the command.

Exit codes: 0 done, 1 failed, 2 usage, 3 done with problems counted, 4 the target exists or is locked, 130 interrupted.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from click.shell_completion import shell_complete

from imagenet_tools import __version__
from imagenet_tools.cli import process
from imagenet_tools.cli.process import INTERRUPTED
from imagenet_tools.errors import ExistsError, ImagenetToolsError, UsageError
from imagenet_tools.storage.processes import without_pandas

DONE, FAILED, USAGE, PROBLEMS, EXISTS = 0, 1, 2, 3, 4

_NAME = "imagenet-tools"
_COMPLETE = "_IMAGENET_TOOLS_COMPLETE"  # where click looks for what a shell asks to be completed

# Modules of these folders that hold no command.
_HELPERS = ("__init__", "answer", "chosen", "common", "printing", "process", "progress")

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


_EPILOG = """\b
Examples:
  imagenet-tools find tabby
  imagenet-tools build-index ILSVRC2012_img_train.tar ILSVRC2012_img_val.tar
  imagenet-tools query "SELECT name, n_images FROM synsets WHERE is_a(wnid, 'dog.n.01')"
  imagenet-tools export dogs --to image_folder --under dog

\b
Exit codes: 0 done, 1 failed, 2 usage, 3 done with problems counted,
            4 the target exists or is locked, 130 interrupted (run again to resume)
With --json, an error is JSON on stdout too: {"error": {"type", "exit_code", "message"}}.
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
    """Run the command line as this process, and exit with its code."""
    process.open_streams()
    try:
        process.hear_signals()
        if _LOADERS.isdisjoint(sys.argv):
            without_pandas()
        code = run(sys.argv[1:])
        process.ignore_signals()
    except KeyboardInterrupt:
        code = _say("Interrupted", "Interrupted.", INTERRUPTED, ())  # a signal between two lines of this
    with suppress(OSError):
        process.flush_streams()
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run the command line; gives the exit code. What went wrong is said in words: see reported."""
    return reported(lambda: _run(arguments), arguments)


def _run(arguments: list[str]) -> int:
    # Not group.main(): it takes an EOFError for Ctrl-C, and a broken pipe for its own.
    if instruction := os.environ.get(_COMPLETE):
        return shell_complete(group, {}, _NAME, _COMPLETE, instruction)
    try:
        with group.make_context(_NAME, list(arguments)) as ctx:
            code = int(group.invoke(ctx) or DONE)
    except click.exceptions.Exit as ended:
        code = ended.exit_code
    sys.stdout.flush()  # a disk that is full is an error of the command
    return code


def reported(work: Callable[[], int], arguments: Sequence[str]) -> int:
    """Do the work of a command; gives the exit code. What went wrong is said on stderr, with --json on stdout too."""
    try:
        try:
            return work()
        except Exception as error:
            if os.environ.get("IMAGENET_TOOLS_DEBUG"):
                traceback.print_exception(error)
            if process.interrupted():  # DuckDB, or an import, made another error of it
                raise KeyboardInterrupt from error
            return _tell(error, arguments)
    except KeyboardInterrupt:
        kept = " What is finished is kept: run the same command again to go on." * (not _RESUMED.isdisjoint(arguments))
        return _say("Interrupted", f"Interrupted.{kept}", INTERRUPTED, arguments)


def _tell(error: Exception, arguments: Sequence[str]) -> int:
    """Say what went wrong; gives the exit code."""
    name, code, text = type(error).__name__, FAILED, str(error)
    if isinstance(error, BrokenPipeError):
        return DONE  # who read the rows of an answer has had enough, as `head` has
    if isinstance(error, click.ClickException):
        error.show()
        return _say("UsageError", "", USAGE, arguments, error.format_message())
    if isinstance(error, ImagenetToolsError):
        code = USAGE if isinstance(error, UsageError) else EXISTS if isinstance(error, ExistsError) else FAILED
    elif isinstance(error, OSError):
        text = f"{os.fsdecode(error.filename)}: {error.strerror}" if error.filename else error.strerror or text
    elif isinstance(error, MemoryError):
        text = "There is not enough memory for this."
    elif isinstance(error, UnicodeEncodeError):
        code, text = USAGE, f"{error.object!r} is no Unicode text, and cannot be used here. Name it otherwise."
    elif not isinstance(error, _engine_errors()):
        text = (
            f"This is a fault of imagenet-tools: {name} at {_place(error)}: {text}. Please report it, with what "
            "IMAGENET_TOOLS_DEBUG=1 before the command prints."
        )
    return _say(name, f"error: {text}", code, arguments, text)


def _place(error: Exception) -> str:
    """The last line of this package that an exception came through."""
    package = Path(__file__).parent.parent
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if package in Path(frame.filename).parents]
    return f"{Path(frames[-1].filename).relative_to(package)}:{frames[-1].lineno}" if frames else "an unknown place"


def _say(name: str, text: str, code: int, arguments: Sequence[str], message: str = "") -> int:
    """Say it on stderr, and with --json on stdout too, as JSON; gives the exit code."""
    from imagenet_tools.cli.common import print_json, printable

    with suppress(OSError):  # a full disk, of which nothing more can be said
        if text:
            click.echo(printable(text), err=True)
        before = arguments[: arguments.index("--")] if "--" in arguments else arguments
        if "--json" in before:
            print_json({"error": {"type": name, "exit_code": code, "message": message or text}})
    return code


def _engine_errors() -> tuple[type[Exception], ...]:
    from imagenet_tools.store.connection import engine_errors

    return engine_errors()
