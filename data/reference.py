"""Make the reference tables of docs/ from the code: commands, Python, tables in SQL, published lists, and codes.

Each function yields the lines of one table or of one part of a page; data/make_readme.py puts them between their marks.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any

import click

import imagenet_tools
from imagenet_tools import cli, schema
from imagenet_tools.annotations import bbox
from imagenet_tools.catalogue import image_lists, lists
from imagenet_tools.exports import boxes
from imagenet_tools.exports.plan import Plan, Result
from imagenet_tools.index import Index
from imagenet_tools.selection import steps
from imagenet_tools.selection.selection import Selection
from imagenet_tools.selection.words import EXPORT, SELECTION
from imagenet_tools.store.store import Image
from imagenet_tools.training.dataset import Dataset
from imagenet_tools.wordnet import hierarchy, similarity

_EVERYWHERE = {"help", "as_json", "index_path"}  # options of every command
# Methods for other rooms of the package, and what a result says of its writer.
_INTERNAL = {
    *("chosen", "condition", "cursor", "demand", "image_place", "keep", "keys", "place", "read", "run", "senses_taken"),
    *("image_of", "shown_boxes", "stamps", "together", "with_words", "writer", "writes", "written"),
}
_MAX_SIGNATURE_CHARS = 88


def plain(text: str) -> str:
    """Escape a text for a Markdown table."""
    return text.replace("|", r"\|").replace("*", r"\*").replace("<", r"\<")


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    titles = list(head)
    yield f"| {' | '.join(titles)} |"
    yield f"|{'---|' * len(titles)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


# ---- the command line


def commands() -> Iterator[str]:
    """Yield a section for each command, in alphabetical order."""
    for name in cli.group.list_commands(click.Context(cli.group, **cli.group.context_settings)):
        yield from _command(_named(name), name, 2)


def _named(name: str) -> click.Command:
    """Return a command by its name."""
    command: click.Command = importlib.import_module(f"imagenet_tools.cli.{name.replace('-', '_')}").command
    return command


def _command(command: click.Command, name: str, level: int) -> Iterator[str]:
    arguments = [
        part
        for part in command.collect_usage_pieces(click.Context(command, **cli.group.context_settings))
        if part != "[OPTIONS]"
    ]
    is_group = isinstance(command, click.Group)
    yield from ("", f"{'#' * level} {name}", "")
    if not is_group:
        yield from (f"`imagenet-tools {' '.join((name, *arguments))}`", "")
    yield from _paragraphs(command.help or "")
    selection, export = {word.keyword for word in SELECTION}, {word.keyword for word in EXPORT}
    options = [option for option in command.params if isinstance(option, click.Option)]
    names = {option.name for option in options}
    elsewhere = _EVERYWHERE | set().union(*(words for words in (selection, export) if words <= names))
    own = [option for option in options if option.name not in elsewhere]
    if own:
        yield from ("", *table(("option", "meaning"), map(_option, own)))
    if selection <= names:
        yield from ("", "It also takes the flags that [choose images](selection.md).")
    if export <= names:
        yield from ("", "It also takes the flags of [an export](exports.md).")
    yield from _epilog(command.epilog or "")
    if is_group:
        for child in sorted(command.commands):  # type: ignore[attr-defined]
            yield from _command(command.commands[child], f"{name} {child}", level + 1)  # type: ignore[attr-defined]


def _option(option: click.Option) -> tuple[str, str]:
    """Return an option and its meaning."""
    value = "" if option.is_flag else " " + (option.metavar or _choices(option))
    spelled = ", ".join(option.opts)
    default = option.default if option.show_default is True else None
    meaning = plain(option.help or "") + (f" Default: {default}." if default is not None else "")
    return f"`{plain_code(spelled + value)}`", meaning


def _choices(option: click.Option) -> str:
    """Return what stands for the value of an option without a metavar."""
    if isinstance(option.type, click.Choice):
        return "|".join(option.type.choices)
    return "N" if isinstance(option.type, click.types.IntParamType) else option.type.name.upper()


def plain_code(text: str) -> str:
    """Escape a text that is in `code` in a Markdown table."""
    return text.replace("|", r"\|")


def _paragraphs(text: str) -> Iterator[str]:
    """Yield paragraphs, of a line each."""
    for number, paragraph in enumerate(inspect.cleandoc(text).split("\n\n")):
        if number:
            yield ""
        yield re.sub(r"(?<!`)([<*])", r"\\\1", " ".join(paragraph.split()))


def _epilog(text: str) -> Iterator[str]:
    """Yield what stands below the options of a command: a paragraph with indented lines is a block of code."""
    for paragraph in text.replace("\b\n", "").split("\n\n"):
        lines = paragraph.strip("\n").splitlines()
        if not lines:
            continue
        indented = [line for line in lines[1:] if line.startswith("  ")]
        if indented and len(indented) == len(lines) - 1 and lines[0].endswith(":"):
            yield from ("", lines[0], "", "```text", *textwrap.dedent("\n".join(indented)).splitlines(), "```")
        else:
            yield from ("", " ".join(" ".join(lines).split()))


# ---- Python


def functions() -> Iterator[str]:
    """Yield a section for each public function; classes have their methods elsewhere."""
    for name in imagenet_tools.__all__:
        function = getattr(imagenet_tools, name)
        if inspect.isroutine(function):
            yield from _documented(f"imagenet_tools.{name}", function)


def index_methods() -> Iterator[str]:
    """Yield a section for each method of an open index and of its images."""
    yield from _members(Index, "index")
    yield from _members(Image, "image")


def selection_methods() -> Iterator[str]:
    """Yield a section for each method of a selection."""
    yield from _members(Selection, "selection")


def dataset_methods() -> Iterator[str]:
    """Yield the sections of a data set for training."""
    yield from _members(Dataset, "dataset")


def plan_methods() -> Iterator[str]:
    """Yield a section for each method of a plan and of a result."""
    yield from _members(Plan, "plan")
    yield from _members(Result, "result")


def wordnet_functions() -> Iterator[str]:
    """Yield a section for each function of the graph."""
    for module in (hierarchy, similarity):
        for name, function in vars(module).items():
            if inspect.isfunction(function) and function.__module__ == module.__name__ and not name.startswith("_"):
                yield from _documented(f"{module.__name__}.{name}", function)


def _members(kind: type, name: str) -> Iterator[str]:
    for member in dir(kind):
        value = inspect.getattr_static(kind, member)
        if member.startswith("_") or (member in _INTERNAL and kind in (Index, Selection, Plan, Result)):
            continue
        if isinstance(value, (property, functools.cached_property)):
            yield from ("", f"### {name}.{member}", *_docstring(inspect.getdoc(value) or ""))
        elif inspect.isroutine(value):
            bound = isinstance(value, (classmethod, staticmethod))
            yield from _documented(f"{name}.{member}", getattr(kind, member), n_bound=0 if bound else 1)


def _documented(name: str, function: Any, *, n_bound: int = 0) -> Iterator[str]:
    """Yield the section of a function: its name without the package, its signature, and its docstring."""
    yield from ("", f"### {re.sub(r'imagenet_tools[.](wordnet[.])?', '', name)}", "")
    yield from ("```text", *_signature(name, function, n_bound), "```")
    yield from _docstring(inspect.getdoc(function) or "")


def _signature(name: str, function: Any, n_bound: int) -> Iterator[str]:
    """Yield the signature of a function without its first parameters, on lines of its own if it is long."""
    signature = inspect.signature(function)
    parameters = [*signature.parameters.values()][n_bound:]
    texts: list[str] = []
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in texts:
            texts.append("*")
        texts.append(_unquoted(str(parameter)))
    result = signature.return_annotation
    returned = "" if result is signature.empty else f" -> {_unquoted(str(result))}"
    line = f"{name}({', '.join(texts)}){returned}"
    if len(line) <= _MAX_SIGNATURE_CHARS:
        yield line
    else:
        yield from (f"{name}(", *(f"    {text}," for text in texts), f"){returned}")


def _unquoted(text: str) -> str:
    """Return a parameter without the quotes around its annotation."""
    return re.sub(r"^(\**\w+: |)'([^']*)'", r"\1\2", text)


def _docstring(text: str) -> Iterator[str]:
    """Yield a docstring: sections as lists, examples as code."""
    for paragraph in re.split(r"\n\n(?=\S)", text):
        heading, _, body = paragraph.partition("\n")
        if re.match("Examples?:", heading):
            language = "pycon" if ">>>" in body else "text"  # ruff would format a block of Python
            yield from ("", f"```{language}", *textwrap.dedent(body).strip("\n").splitlines(), "```")
        elif re.fullmatch(r"\w+:", heading) and body.startswith("    "):
            named = heading not in ("Returns:", "Yields:")
            yield from ("", heading, "", *_entries(textwrap.dedent(body), named=named))
        else:
            yield from ("", *_paragraphs(paragraph))


def _entries(text: str, *, named: bool) -> Iterator[str]:
    """Yield the entries of a section of a docstring, as a list."""
    for entry in re.split(r"\n(?=\S)", text) if named else [text]:
        name, separator, meaning = " ".join(entry.split()).partition(": ")
        is_name = named and separator and re.fullmatch(r"[\w*, ]+(\(.*\))?", name)
        yield f"- `{name}`: {meaning}" if is_name else f"- {' '.join(entry.split())}"


# ---- tables of an index


def tables() -> Iterator[str]:
    """Yield a section for each table of an index, with its columns."""
    for name, contents in schema.TABLES.items():
        kind = "view" if name in schema.VIEWS else "table"
        yield from ("", f"## {name}", "", f"A {kind}. A row is {plain(contents.meaning)}.", "")
        rows = ((f"`{column.name}`", f"`{column.type}`", plain(column.meaning)) for column in contents.columns)
        yield from table(("column", "type", "meaning"), rows)


# ---- published lists


def class_lists() -> Iterator[str]:
    """Yield a row for each published class list."""
    head = ("list", "classes", "from", "content", "order", "source")
    every = map(lists.get, lists.names())
    rows = (
        (f"`{one.name}`", f"{len(one):,}", str(one.base), plain(one.title), plain(one.order), plain(one.source))
        for one in every
    )
    yield from table(head, rows)


def published_image_lists() -> Iterator[str]:
    """Yield a row for each published image list."""
    every = map(image_lists.get, image_lists.names())
    rows = (
        (f"`{one.name}`", f"{len(one):,}", f"`{one.dataset}`", plain(one.title), plain(one.source)) for one in every
    )
    yield from table(("list", "images", "data set", "content", "source"), rows)


def lists_left_out() -> Iterator[str]:
    """Yield a row for each list that is not bundled."""
    rows = ((f"`{name}`", plain(reason)) for name, reason in (lists.LEFT_OUT | image_lists.LEFT_OUT).items())
    yield from table(("list", "reason"), rows)


# ---- codes


def exit_codes() -> Iterator[str]:
    """Yield a row for each exit code of the command line."""
    text = (cli.__doc__ or "").partition("Exit codes: ")[2].strip().rstrip(".")
    yield from table(("exit code", "meaning"), (entry.split(" ", 1) for entry in text.split(", ")))


def errors() -> Iterator[str]:
    """Yield a row for each error that the package raises."""
    module = importlib.import_module("imagenet_tools.errors")
    kinds = [kind for kind in vars(module).values() if inspect.isclass(kind) and kind.__module__ == module.__name__]
    rows = (
        (f"`{kind.__name__}`", ", ".join(f"`{base.__name__}`" for base in kind.__bases__), plain(_first_line(kind)))
        for kind in kinds
    )
    yield from table(("error", "is also", "meaning"), rows)


def _first_line(documented: Any) -> str:
    return " ".join((inspect.getdoc(documented) or "").split("\n\n")[0].split())


def problem_codes() -> Iterator[str]:
    """Yield a row for each code in the column code of the table problems."""
    meanings: dict[str, list[str]] = {}
    for room in ("containers", "images", "annotations", "build", "formats"):
        path = importlib.import_module(f"imagenet_tools.{room}").__path__
        for found in pkgutil.iter_modules(path, f"imagenet_tools.{room}."):
            module = importlib.import_module(found.name)
            for code, meaning in {**getattr(module, "PROBLEMS", {}), **_problems_of(module)}.items():
                if meaning not in meanings.setdefault(code, []):
                    meanings[code].append(meaning)
    return _coded("code", {code: "; or ".join(of_code) for code, of_code in meanings.items()})


def _problems_of(module: ModuleType) -> Mapping[str, str]:
    reads = getattr(module, "READS", None)
    return reads.problems if reads else {}


def box_flags() -> Iterator[str]:
    """Yield a row for each code in the column flags of the table boxes."""
    return _coded("flag", bbox.FLAGS)


def image_reasons() -> Iterator[str]:
    """Yield a row for each step that leaves images out."""
    return _coded("step", steps.REASONS, ordered=True)


def box_reasons() -> Iterator[str]:
    """Yield a row for each reason that leaves a box out of an export."""
    return _coded("reason", boxes.REASONS)


def check_codes() -> Iterator[str]:
    """Yield a row for each code of a finding of `check`."""
    found = re.findall(r"^ +([EW]\d{3})  (.*)$", _named("check").epilog or "", re.MULTILINE)
    yield from table(("code", "meaning"), ((f"`{code}`", plain(meaning)) for code, meaning in found))


def _coded(head: str, meanings: Mapping[str, str], *, ordered: bool = False) -> Iterator[str]:
    codes = meanings if ordered else sorted(meanings)
    yield from table((head, "meaning"), ((f"`{code}`", plain(meanings[code])) for code in codes))
