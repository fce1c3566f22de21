"""The command line: each command is a module with the command's name.

Exit codes: 0 done, 1 failed, 2 usage, 3 done with problems counted, 4 the target exists or is locked, 130 interrupted.
"""

from __future__ import annotations

import atexit
import importlib
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import click
from click.shell_completion import shell_complete

from imagenet_tools import __version__
from imagenet_tools.cli import process
from imagenet_tools.cli.options import JSON_OPTION, Group, default_index_option, make_command
from imagenet_tools.cli.printing import print_json
from imagenet_tools.cli.process import INTERRUPTED
from imagenet_tools.errors import ExistsError, ImagenetToolsError, UsageError
from imagenet_tools.storage.processes import without_pandas
from imagenet_tools.text import printable

DONE = 0
FAILED = 1
USAGE = 2
PROBLEMS = 3
EXISTS = 4

_NAME = "imagenet-tools"
_COMPLETION_VARIABLE = "_IMAGENET_TOOLS_COMPLETE"  # click's shell completion reads it

# Modules of this folder that are not commands.
_HELPERS = {"__init__", "options", "printing", "process"}

# These commands may run other people's loaders, and these may need pandas.
_NEED_PANDAS = {"check"}

# These commands continue where they stopped when they run again.
_RESUMABLE = {"build-index", "check", "export", "merge", "demo"}


class Commands(Group):
    """A group whose commands are the modules of this folder. A module is imported when its command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        modules = {path.stem for path in Path(__file__).parent.glob("*.py")}
        return sorted(name.replace("_", "-") for name in modules - _HELPERS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a command and return the command; None if there is no such command."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"imagenet_tools.cli.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command


@make_command(_NAME, cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name=_NAME)
@default_index_option
def group() -> None:
    """Index ImageNet, query it with SQL over WordNet, and export subsets for training.

    A SYNSET is a wnid (n02084071), a name (dog.n.01), or a lemma (dog) if only one of its senses has images.

    Examples:
        imagenet-tools find tabby
        imagenet-tools build-index ILSVRC2012_img_train.tar ILSVRC2012_img_val.tar
        imagenet-tools query "SELECT name, n_images FROM synsets WHERE is_a(wnid, 'dog.n.01')"
        imagenet-tools export dogs --to image_folder --under dog

    Exit codes: 0 done, 1 failed, 2 usage, 3 done with problems counted,
                  4 the target exists or is locked, 130 interrupted (run again to resume)
    With --json, errors are JSON on stdout too: {"error": {"type", "exit_code", "message"}}.
    """


group.params.append(JSON_OPTION)


def main() -> None:
    """Run the command line as this process, and exit with its code."""
    process.open_streams()
    try:
        process.hear_signals()
        if _NEED_PANDAS.isdisjoint(sys.argv):
            without_pandas()
        code = run(sys.argv[1:])
        process.ignore_signals()
    except KeyboardInterrupt:  # a signal arrived outside run()
        code = _report("Interrupted", "Interrupted.", INTERRUPTED, ())
    with suppress(OSError):
        process.flush_streams()
    if code == INTERRUPTED:
        # Python ends by SIGINT, whatever the code, if a KeyboardInterrupt ever passed an exec(), as in dataclasses.
        atexit._run_exitfuncs()
        os._exit(code)
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run the command line and return its exit code. Errors are reported, not raised."""
    return reported(lambda: _run(arguments), arguments)


def _run(arguments: list[str]) -> int:
    # group.main() would report an EOFError as Ctrl-C, and handle a broken pipe by itself.
    if instruction := os.environ.get(_COMPLETION_VARIABLE):
        return shell_complete(group, {}, _NAME, _COMPLETION_VARIABLE, instruction)
    try:
        with group.make_context(_NAME, list(arguments)) as ctx:
            code = int(group.invoke(ctx) or DONE)
    except click.exceptions.Exit as exit_:
        code = exit_.exit_code
    sys.stdout.flush()  # now, so that a full disk is reported as an error of the command
    return code


def reported(work: Callable[[], int], arguments: Sequence[str]) -> int:
    """Run a command and return its exit code. Report an error on stderr, and with --json on stdout too."""
    try:
        try:
            return work()
        except Exception as error:
            if os.environ.get("IMAGENET_TOOLS_DEBUG"):
                traceback.print_exception(error)
            if process.interrupted():  # DuckDB, or an import, turned the KeyboardInterrupt into another error
                raise KeyboardInterrupt from error
            return _report_error(error, arguments)
    except KeyboardInterrupt:
        text = "Interrupted."
        if not _RESUMABLE.isdisjoint(arguments):
            text += " What is finished is kept: run the same command again to go on."
        return _report("Interrupted", text, INTERRUPTED, arguments)


def _report_error(error: Exception, arguments: Sequence[str]) -> int:
    """Report an error and return the exit code."""
    name, code, text = type(error).__name__, FAILED, str(error)
    if isinstance(error, BrokenPipeError):
        return DONE  # the reader of the rows closed the pipe, as `head` does
    if isinstance(error, click.ClickException):
        error.show()
        return _report("UsageError", "", USAGE, arguments, error.format_message())
    if isinstance(error, ImagenetToolsError):
        code = USAGE if isinstance(error, UsageError) else EXISTS if isinstance(error, ExistsError) else FAILED
    elif isinstance(error, OSError):
        text = f"{os.fsdecode(error.filename)}: {error.strerror}" if error.filename else error.strerror or text
    elif isinstance(error, MemoryError):
        text = "There is not enough memory for this."
    elif isinstance(error, UnicodeEncodeError):
        code, text = USAGE, f"{error.object!r} is not valid Unicode text and cannot be used. Use another name."
    elif not isinstance(error, _engine_errors()):
        text = (
            f"This is a bug of imagenet-tools: {name} at {_place(error)}: {text}. Please report it, with the output "
            "that IMAGENET_TOOLS_DEBUG=1 before the command adds."
        )
    return _report(name, f"error: {text}", code, arguments, text)


def _place(error: Exception) -> str:
    """Return the last line of this package that an exception came through."""
    package = Path(__file__).parent.parent
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if package in Path(frame.filename).parents]
    return f"{Path(frames[-1].filename).relative_to(package)}:{frames[-1].lineno}" if frames else "an unknown place"


def _report(name: str, text: str, code: int, arguments: Sequence[str], message: str = "") -> int:
    """Print an error to stderr, and with --json as JSON to stdout; return the exit code."""
    with suppress(OSError):  # the disk is full: nothing more can be reported
        if text:
            click.echo(printable(text), err=True)
        before = arguments[: arguments.index("--")] if "--" in arguments else arguments
        if "--json" in before:
            print_json({"error": {"type": name, "exit_code": code, "message": message or text}})
    return code


def _engine_errors() -> tuple[type[Exception], ...]:
    from imagenet_tools.store.connection import engine_errors

    return engine_errors()
