"""Rooms import only from rooms below, class names are unique, and heavy libraries and SQL have fixed homes.

CONTRIBUTING.md shows ROOMS, HOMES and SQL as tables: run `make readme` after a change here.
"""

import ast
import functools
import re
from collections import Counter
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "imagenet_tools"

# A room is a folder of the package, or a module beside the folders. A module imports from its own room and from rooms
# before it. Imports under TYPE_CHECKING count. The modules in GROUND are below all rooms and may import each other.
GROUND = ("errors", "schema", "arrays", "units", "system", "arguments", "text", "progress")
ROOMS = (
    "tables",
    "storage",
    "wordnet",
    "containers",
    "catalogue",
    "superclasses",
    "images",
    "annotations",
    "display",
    "evaluation",
    "store",
    "training",
    "selection",
    "index",
    "build",
    "exports",
    "formats",
    "api",
    "explorer",
    "cli",
)
FACE = ("index", "api", "__init__", "__main__")  # modules above the ground

# The modules that may import a heavy library, or the room whose modules all may.
HOMES = {
    "nltk": {"wordnet.nltk_bridge"},
    "PIL": {"images.probe", "images.transform", "display"},
    "duckdb": {
        "build.stage",
        "formats.duckdb",
        "selection.query",
        "selection.differences",
        "store.connection",
        "store.gate",
        "store.query",
    },
    "click": {"cli"},
    "array_record": {"formats.array_record"},
    "google_crc32c": {"containers.tfrecords"},
    "indexed_gzip": {"containers.gzip_stream"},
    "anywidget": {"selection.widget"},
    "jinja2": {"explorer"},
    "starlette": {"explorer"},
    "uvicorn": {"explorer"},
}

# The rooms that may contain SQL.
SQL = {
    "store": "the views and macros of an index, and its check",
    "selection": "the steps of a selection, locks, comparisons, contact sheets and charts",
    "build": "the merge of scanned parts into tables",
    "exports": "the plan of an export, its boxes and its order of images",
    "formats": "tables that a format lists its images in",
    "explorer": "counts for filters, pages of images, and facts of one image",
    "cli": "the counts that `info` prints, and examples in help texts",
}


def name_of(path: Path) -> str:
    """Return the name of a module without the package's name."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def room_of(module: str) -> str:
    return module.partition(".")[0]


def layer_of(module: str) -> int:
    room = room_of(module)
    if room in GROUND:
        return -1
    return ROOMS.index(room) if room in ROOMS else len(ROOMS)


@functools.cache
def nodes(path: Path) -> list[ast.AST]:
    """Return what stands in a module."""
    return list(ast.walk(ast.parse(path.read_text())))


@pytest.fixture(scope="module", autouse=True)
def forget() -> Iterator[None]:
    """Forget the syntax trees when they have been looked at: every later search for garbage would walk them."""
    yield
    nodes.cache_clear()


@functools.cache
def imported(path: Path, *, typing: bool = True) -> set[str]:
    """Return the names that a module imports; without `typing`, not those under TYPE_CHECKING."""
    typing_only = {
        id(inner)
        for node in nodes(path)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found: set[str] = set()
    for node in nodes(path):
        if not typing and id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@functools.cache
def own(path: Path, *, typing: bool = True) -> set[str]:
    """Return the modules of this package that a module imports; names of a folder are in its __init__."""
    names = {name.partition(".")[2] for name in imported(path, typing=typing) if name.startswith("imagenet_tools.")}
    found = set()
    for name in names:
        above = name.rpartition(".")[0]
        places = (name, f"{name}.__init__", above, f"{above}.__init__" if above else "")
        found |= {next((place for place in places if place in MODULES), "")}
    return found - {""}


def test_a_module_imports_only_from_rooms_below() -> None:
    for module, path in MODULES.items():
        for other in own(path):
            if room_of(other) != room_of(module) and not {room_of(other), room_of(module)} <= set(GROUND):
                assert layer_of(other) < layer_of(module), f"{module} imports {other}, which is beside or above it"


def test_no_modules_import_in_a_circle() -> None:
    graph = {module: own(path, typing=False) - {module} for module, path in MODULES.items()}
    TopologicalSorter(graph).prepare()


def test_every_room_is_a_folder_and_there_are_at_most_20() -> None:
    folders = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert folders == set(ROOMS) - set(FACE)
    assert len(folders) <= 20
    assert {path.stem for path in PACKAGE.glob("*.py")} == {*GROUND, *FACE}


def test_a_class_name_is_used_once() -> None:
    classes = Counter(node.name for path in MODULES.values() for node in nodes(path) if isinstance(node, ast.ClassDef))
    assert not [name for name, n in classes.items() if n > 1]


def test_a_module_of_few_lines_has_several_importers() -> None:
    """Formats, commands and __init__ are exempt, and so are modules for users, which nothing here imports."""
    importers = Counter(other for path in MODULES.values() for other in own(path))
    small = [
        name
        for name, path in MODULES.items()
        if len(path.read_text().splitlines()) < 60 and importers[name] == 1 and "__init__" not in name
    ]
    assert [name for name in small if room_of(name) not in ("formats", "cli")] == []


@pytest.mark.parametrize("library", HOMES)
def test_a_heavy_library_is_imported_in_its_home_alone(library: str) -> None:
    users = {
        name
        for name, path in MODULES.items()
        if any(one.split(".")[0] == library for one in imported(path, typing=False))
    }
    assert {name if name in HOMES[library] else room_of(name) for name in users} == HOMES[library]


def test_no_format_tells_by_itself_whether_a_unit_has_changed() -> None:
    for module, path in MODULES.items():
        found = nodes(path) if room_of(module) == "formats" else []
        names = {node.name for node in found if isinstance(node, ast.FunctionDef)}
        names |= {node.id for node in found if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        assert not names & {"fingerprint", "reads"}, f"{module}: name the files in files(unit); the build does the rest"


def test_sql_is_in_its_rooms_only() -> None:
    rooms = set()
    for name, path in MODULES.items():
        docstrings = {id(node.value) for node in nodes(path) if isinstance(node, ast.Expr)}
        texts = [
            node.value
            for node in nodes(path)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
        ]
        if any(re.search(r"\bSELECT\s", text) for text in texts):
            rooms.add(room_of(name))
    assert rooms == set(SQL)
