"""Write the README's tables that the code makes: what is read, what is written, the words of both, and the figures.

    python data/make_readme.py

A row of the forms is a module's name, the first sentence of its docstring, and its READS; a row of the targets has what
the contract of writers names in place of READS; a row of the words is a word of imagenet_tools.selection.words in its
three spellings; a row of the figures is one that a benchmark put into tests/benchmarks/RESULTS.md for it. A test fails
where the README differs.
"""

import importlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

from imagenet_tools import formats
from imagenet_tools.selection.words import EXPORT, SELECTION, Word

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
RESULTS = ROOT / "tests" / "benchmarks" / "RESULTS.md"


def forms() -> Iterator[str]:
    """A row a module that reads, by name."""
    yield from ("| form | what it reads | gives |", "|---|---|---|")
    for name in formats.names():
        module = importlib.import_module(f"imagenet_tools.formats.{name}")
        if hasattr(module, "scan"):
            yield f"| `{name}` | {_sentence(module)} | {', '.join(module.READS.holds)} |"


def targets() -> Iterator[str]:
    """A row a module that writes, by name."""
    yield from ("| target | what it writes | images | boxes |", "|---|---|---|---|")
    for name in formats.names():
        module = importlib.import_module(f"imagenet_tools.formats.{name}")
        if hasattr(module, "open_shard"):
            images = "their bytes" if module.WRITES.holds_bytes else "where they lie"
            boxes = (
                ("of the image as turned" if module.WRITES.turned else "of the raster as stored")
                if module.WRITES.boxes
                else ""
            )
            yield f"| `{name}` | {_sentence(module)} | {images} | {boxes} |"


def _sentence(module: ModuleType) -> str:
    """The first sentence of a module's docstring."""
    return _plain(" ".join(re.split(r"\.(?=\s|$)", module.__doc__ or "", maxsplit=1)[0].split()))


def choosing() -> Iterator[str]:
    """A row a word of a selection, in the order in which a selection is made."""
    return _words(SELECTION)


def exporting() -> Iterator[str]:
    """A row a word of an export."""
    return _words(EXPORT)


def figures() -> Iterator[str]:
    """A row a work that was measured, as the benchmarks wrote it."""
    if not RESULTS.exists():
        yield "Not measured yet."
        return
    yield from ("| work | this project | beside others, in the same run |", "|---|---|---|")
    for part in RESULTS.read_text().split("<!-- for the README -->\n")[1:]:
        yield from part.partition("<!-- end for the README -->")[0].splitlines()


def _words(words: tuple[Word, ...]) -> Iterator[str]:
    yield from ("| flag | recipe | Python | meaning |", "|---|---|---|---|")
    for word in words:
        value = word.metavar or (word.kind if "|" in word.kind else "")
        flag = f"{word.flag} {value}".strip().replace("|", r"\|")
        section = {"": "", "export": "[export.TARGET] "}.get(word.section, f"[{word.section}] ")
        yield f"| `{flag}` | `{section}{word.key}` | `{word.keyword}=` | {_plain(word.help)} |"


def _plain(text: str) -> str:
    """A text that Markdown shows as it is, but for `code`."""
    return text.replace("|", r"\|").replace("*", r"\*").replace("<", r"\<")


TABLES: dict[str, Callable[[], Iterator[str]]] = {
    "forms": forms,
    "targets": targets,
    "choosing": choosing,
    "exporting": exporting,
    "figures": figures,
}


def written(readme: str) -> str:
    """The README with each table between its marks; ValueError where they are not there."""
    for name, table in TABLES.items():
        begin, end = f"<!-- {name}: written by data/make_readme.py -->\n", f"<!-- end of {name} -->\n"
        before, found, rest = readme.partition(begin)
        _, ended, after = rest.partition(end)
        if not found or not ended:
            message = f"{README} has no marks {begin.strip()} ... {end.strip()}: put them where the table belongs."
            raise ValueError(message)
        lines = "".join(f"{line}\n" for line in table())
        readme = f"{before}{begin}{lines}{end}{after}"
    return readme


if __name__ == "__main__":
    README.write_text(written(README.read_text()))
