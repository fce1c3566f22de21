"""Write the tables of README.md and CONTRIBUTING.md that are made from the code.

    python data/make_readme.py

README: formats (name, first sentence of the docstring, READS or WRITES), words of a selection and of an export in
their three spellings, and the rows of tests/benchmarks/RESULTS.md that are marked for it. CONTRIBUTING: rooms, homes
of libraries and homes of SQL, from tests/test_layers.py. tests/test_readme.py fails if a page differs.
"""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

from imagenet_tools import formats
from imagenet_tools.selection.words import EXPORT, SELECTION, Word

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "tests" / "benchmarks" / "RESULTS.md"

sys.path.insert(0, str(ROOT))  # run as a script, Python finds only the modules of data/

from tests import test_layers  # noqa: E402


def forms() -> Iterator[str]:
    """Yield a row for each module that reads, by name."""
    yield from ("| form | what it reads | gives |", "|---|---|---|")
    for name in formats.names():
        module = importlib.import_module(f"imagenet_tools.formats.{name}")
        if hasattr(module, "scan"):
            yield f"| `{name}` | {_sentence(module)} | {', '.join(module.READS.holds)} |"


def targets() -> Iterator[str]:
    """Yield a row for each module that writes, by name."""
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
    """Return the first sentence of a module's docstring."""
    return _plain(formats.first_sentence(module.__doc__ or ""))


def choosing() -> Iterator[str]:
    """Return a row for each word of a selection, in the order of the steps."""
    return _words(SELECTION)


def exporting() -> Iterator[str]:
    """Return a row for each word of an export."""
    return _words(EXPORT)


def figures() -> Iterator[str]:
    """Yield the rows that the benchmarks wrote for the README."""
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
    """Escape a text for a Markdown table, except `code`."""
    return text.replace("|", r"\|").replace("*", r"\*").replace("<", r"\<")


def rooms() -> Iterator[str]:
    """Yield a row for each room, from the lowest to the highest."""
    yield from ("| room | content |", "|---|---|")
    for room in (*test_layers.GROUND, *test_layers.ROOMS, "__init__", "__main__"):
        folder = test_layers.PACKAGE / room
        name = f"{room}/" if folder.is_dir() else f"{room}.py"
        module = importlib.import_module(f"imagenet_tools.{room}" if room != "__init__" else "imagenet_tools")
        yield f"| `{name}` | {_sentence(module)} |"


def libraries() -> Iterator[str]:
    """Yield a row for each library that only some modules may import."""
    yield from ("| library | imported only by |", "|---|---|")
    for library, homes in test_layers.HOMES.items():
        yield f"| {library} | {', '.join(f'`{home}`' for home in sorted(homes))} |"


def sql() -> Iterator[str]:
    """Yield a row for each room that may contain SQL."""
    yield from ("| room | SQL for |", "|---|---|")
    for room, purpose in test_layers.SQL.items():
        yield f"| `{room}/` | {purpose} |"


Tables = dict[str, Callable[[], Iterator[str]]]

PAGES: dict[Path, Tables] = {
    ROOT / "README.md": {
        "forms": forms,
        "targets": targets,
        "choosing": choosing,
        "exporting": exporting,
        "figures": figures,
    },
    ROOT / "CONTRIBUTING.md": {"rooms": rooms, "libraries": libraries, "sql": sql},
}


def written(path: Path) -> str:
    """Return the text of a page with its tables between their marks; raise ValueError if a mark is missing."""
    text = path.read_text()
    for name, table in PAGES[path].items():
        begin, end = f"<!-- {name}: written by data/make_readme.py -->\n", f"<!-- end of {name} -->\n"
        before, begun, rest = text.partition(begin)
        _, ended, after = rest.partition(end)
        if not begun or not ended:
            message = f"{path} has no marks {begin.strip()} ... {end.strip()}: put them where the table belongs."
            raise ValueError(message)
        lines = "".join(f"{line}\n" for line in table())
        text = f"{before}{begin}{lines}{end}{after}"
    return text


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(written(page))
