"""A module imports only from rooms below its own, nothing imports in a circle, and each heavy library has one home."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "imagenet_tools"

# From the ground up. A room is a folder or a module; where a folder stands beside one of its modules, it means the
# others. A module may import from the rows below, and from its own room. CONTRIBUTING.md draws the same.
LAYERS = [
    {"errors", "schema", "system", "units", "selection.words", "images.signatures"},
    {"wnid", "files", "processes", "graph", "tables", "arguments", "selection.draws"}
    | {"annotations.bbox", "images.jpeg"},
    {"containers", "links", "images.probe"},
    {"images.transform"},
    {"wordnet"},
    {"class_lists"},
    {"hierarchy", "nltk_bridge"},
    {"terms", "similarity", "published"},
    {"class_lists.class_maps", "drawing", "superclasses"},
    {"annotations", "images"},
    {"annotations.annotation_files"},
    {"annotations.image_sets", "training"},
    {"selection"},
    {"index"},
    {"exports"},
    {"formats"},
    {"api"},
    {"__init__"},
    {"cli"},
    {"__main__"},
]
HOMES = {
    "nltk": {"nltk_bridge"},
    "PIL": {"images.probe", "images.transform"},
    "duckdb": {
        "selection.queryable",
        "index.stage",
        "index.connection",
        "index.query",
        "index.gate",
        "index.own_tables",
        "index.differences",
    },
    "click": {"cli"},
    "indexed_gzip": {"containers.gzip_stream"},
}


def name_of(path: Path) -> str:
    """A module as it is imported, less the package's name."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def room_of(module: str) -> str:
    folder = module.partition(".")[0]
    return module if any(module in row for row in LAYERS) else folder


def layer_of(module: str) -> int:
    return next(n for n, row in enumerate(LAYERS) if room_of(module) in row)


def imported(path: Path) -> set[str]:
    """What a module imports when it runs; what stands under TYPE_CHECKING is for the type checker alone."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


def own(path: Path) -> set[str]:
    """The modules of this package that a module imports; its public names, such as __version__, are nobody's."""
    names = {name.removeprefix("imagenet_tools.") for name in imported(path) if name.startswith("imagenet_tools.")}
    return {name for name in names if name in MODULES and MODULES[name].name != "__init__.py"}


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_from_rooms_below(module: str) -> None:
    for other in own(MODULES[module]):
        if room_of(other) != room_of(module):
            assert layer_of(other) < layer_of(module), f"{module} imports {other}, which lies beside or above it"


def test_no_modules_import_in_a_circle() -> None:
    TopologicalSorter({module: own(path) for module, path in MODULES.items()}).prepare()


@pytest.mark.parametrize("library", HOMES)
def test_a_heavy_library_is_imported_in_its_home_alone(library: str) -> None:
    users = {name for name, path in MODULES.items() if any(one.split(".")[0] == library for one in imported(path))}
    assert {name if name in HOMES[library] else name.partition(".")[0] for name in users} == HOMES[library]


def test_every_room_is_somewhere() -> None:
    assert {room_of(module) for module in MODULES} == set().union(*LAYERS)


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("formats.")])
def test_no_format_tells_by_itself_whether_a_unit_has_changed(module: str) -> None:
    tree = ast.parse(MODULES[module].read_text())
    names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    names |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    assert not names & {"fingerprint", "reads"}, f"{module}: name the files in files(unit); the build makes the rest"
