"""Write the tables of README.md, CONTRIBUTING.md and docs/ that are made from the code.

    python data/make_readme.py

A page has a table where it has the two marks of it. Tables that are made here: formats (name, first sentence of the
docstring, READS or WRITES), words of a selection and of an export in their three spellings, the rows of
tests/benchmarks/RESULTS.md that are marked for the README, rooms, homes of libraries and homes of SQL (from
tests/test_layers.py), and the pages and links of docs/. reference.py makes the others. tests/test_readme.py fails if a
page differs.
"""

import html
import importlib
import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

from imagenet_tools import formats
from imagenet_tools.selection.words import EXPORT, SELECTION, Word

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "tests" / "benchmarks" / "RESULTS.md"

# The work of the rows for README.md.
HEADLINES = (
    "index class folders, facts of every image",
    "index a tar of class tars, facts of every image",
    "random reads for training, out of the tar",
    "count the images under dog.n.01",
    "WordNet opened, everything under entity.n.01",
    "index 14,197,122 images and 1,034,908 box XML",
)

sys.path.insert(0, str(ROOT))  # run as a script, Python finds only the modules of data/

from data import reference  # noqa: E402
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
    return reference.plain(formats.first_sentence(module.__doc__ or ""))


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


def speed() -> Iterator[str]:
    """Yield the rows of figures() that stand for the others, beside programs that people use."""
    head, line, *rows = figures()
    yield from (head, line)
    for work in HEADLINES:
        row = next(row for row in rows if row.startswith(f"| {work} |"))
        yield re.sub(r"(; | )[\d.,]+x the limit[^;|]*(?=[;|])", " ", row)


def _words(words: tuple[Word, ...]) -> Iterator[str]:
    yield from ("| flag | recipe | Python | meaning |", "|---|---|---|---|")
    for word in words:
        value = word.metavar or (word.kind if "|" in word.kind else "")
        flag = f"{word.flag} {value}".strip().replace("|", r"\|")
        section = {"": "", "export": "[export.TARGET] "}.get(word.section, f"[{word.section}] ")
        yield f"| `{flag}` | `{section}{word.key}` | `{word.keyword}=` | {reference.plain(word.help)} |"


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


def pages() -> Iterator[str]:
    """Yield a line for each page of docs/, in the order of its navigation, with its first sentence."""
    for section in tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"]:
        [(heading, entries)] = section.items()
        is_page = isinstance(entries, str)
        yield from ("" if is_page else f"\n## {heading}\n").splitlines()
        for page in [section] if is_page else entries:
            [(title, path)] = page.items()
            place = path.removesuffix("index.md").removesuffix(".md")
            yield f"- [{title}]({place or '.'}{'/' if place else ''}): {_opening(DOCS / path)}"


def _opening(path: Path) -> str:
    """Return the first sentence of a page below its title."""
    text = re.sub(r"<!--.*?-->", "", path.read_text(), flags=re.DOTALL)
    paragraph = re.split(r"\n{2,}", text)[1]
    sentence = re.split(r"(?<=\.)\s", " ".join(paragraph.split()))[0].rstrip(".:") + "."
    return re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", sentence)


def links() -> Iterator[str]:
    """Yield a row for each link that leaves the project, with the pages that have it."""
    places: dict[str, list[str]] = {}
    for path in (page for page in PAGES if page.suffix == ".md"):
        for url in re.findall(r"\]\((https?://[^)\s]+)\)", path.read_text()):
            places.setdefault(url, []).append(path.relative_to(ROOT).as_posix())
    rows = ((f"<{url}>", ", ".join(f"`{name}`" for name in dict.fromkeys(places[url]))) for url in sorted(places))
    yield from reference.table(("link", "on"), rows)


DOCS = ROOT / "docs"
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md")), DOCS / "llms.txt")

TABLES: dict[str, Callable[[], Iterator[str]]] = {
    table.__name__.replace("_", "-"): table
    for table in (
        *(forms, targets, choosing, exporting, figures, speed, rooms, libraries, sql, pages, links),
        *(reference.commands, reference.functions, reference.index_methods, reference.selection_methods),
        *(reference.dataset_methods, reference.plan_methods, reference.wordnet_functions, reference.tables),
        *(reference.class_lists, reference.published_image_lists, reference.lists_left_out, reference.exit_codes),
        *(reference.errors, reference.problem_codes, reference.box_flags, reference.image_reasons),
        *(reference.box_reasons, reference.check_codes),
    )
}
_BEGIN = "<!-- {}: written by data/make_readme.py -->\n"
_END = "<!-- end of {} -->\n"
PART = re.compile(rf"({_BEGIN})(.*?)({_END})".format(r"(?P<name>[\w-]+)", r"(?P=name)"), re.DOTALL)


def written(path: Path) -> str:
    """Return the text of a page with its tables between their marks; raise ValueError for a mark without its other."""
    text = path.read_text()
    if len(PART.findall(text)) != max(text.count("written by data/make_readme.py -->"), text.count("<!-- end of ")):
        message = (
            f"{path}: a table has one mark; expected {_BEGIN.format('NAME').strip()} ... {_END.format('NAME').strip()}"
        )
        raise ValueError(message)

    def table(found: re.Match[str]) -> str:
        lines = "".join(f"{line}\n" for line in TABLES[found["name"]]())
        if DOCS in path.parents:  # Python-Markdown would print the backslash of `a\|b`
            lines = re.sub(r"`([^`\n]*\\\|[^`\n]*)`", _code, lines)
        return f"{found[1]}{lines}{found[4]}"

    return PART.sub(table, text)


def _code(found: re.Match[str]) -> str:
    return f"<code>{html.escape(found[1]).replace(chr(92) + '|', '&#124;')}</code>"


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(written(page))
