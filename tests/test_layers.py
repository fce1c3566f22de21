"""A module imports only from layers below its own, and each heavy library has one home."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "imagenet_tools"

# From the ground up; a module may import those of lower rows. CONTRIBUTING.md draws the same.
LAYERS = [
    {"errors", "schema", "words", "units"},
    {
        "wnid",
        "bbox",
        "blob",
        "files",
        "tar_header",
        "gzip_stream",
        "forward",
        "jpeg",
        "columns",
        "graph",
        "mat5",
        "draws",
        "disjoint",
        "thrift",
        "crc32c",
    },
    {
        "tar",
        "layout",
        "parts",
        "wordnet",
        "list_files",
        "annotation",
        "gate",
        "seek_points",
        "parquet_pages",
        "tfrecords",
    },
    {"lists"},
    {"probe", "labels", "image_lists", "class_orders", "nltk_bridge", "payload", "tf_example"},
    {"hierarchy", "label_orders", "numbering", "reencoded", "metadata_table"},
    {"releases", "identification"},
    {"rows", "annotation_rows"},
    {
        "terms",
        "samples",
        "wordnet_tables",
        "outline",
        "drawing",
        "svg",
        "similarity",
        "superclasses",
        "containers",
        "annotation_files",
        "class_order",
        "sources",
        "stage",
    },
    {"superclass_file", "cuts", "exclusive_tree"},
    {"image_archives", "class_maps", "class_folders", "image_sets"},
    {"selection", "merge_images", "merge_boxes", "merge_points", "connection"},
    {"merge", "index", "query"},
    {"work"},
    {"like"},
    {"build"},
    {"plan", "summary", "sums"},
    {"exporter"},
    {"formats"},
    {"__init__"},
    {"cli"},
]
HOMES = {
    "nltk": {"nltk_bridge"},
    "PIL": {"probe"},
    "duckdb": {"selection", "stage", "connection", "query"},
    "click": {"cli"},
    "indexed_gzip": {"gzip_stream"},
}


def layer_of(module: str) -> int:
    return next(n for n, names in enumerate(LAYERS) if module in names)


def imports(path: Path) -> set[str]:
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


MODULES = sorted(path for path in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_module_imports_only_from_layers_below(path: Path) -> None:
    place = path.relative_to(PACKAGE)
    module = place.parts[0].removesuffix(".py")
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "imagenet_tools" or len(parts) < 2 or parts[1].startswith("__"):
            continue
        inside = (PACKAGE / parts[1]).is_dir() or (PACKAGE / f"{parts[1]}.py").is_file()
        if not inside or (module == "cli" and parts[1] == "cli"):
            continue
        assert layer_of(parts[1]) < layer_of(module), f"{place} imports {name}, which lies beside or above it"


@pytest.mark.parametrize("library", HOMES)
def test_a_heavy_library_is_imported_in_its_home_alone(library: str) -> None:
    users = {
        path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for path in MODULES
        if any(name.split(".")[0] == library for name in imports(path))
    }
    assert users == HOMES[library]


def test_every_module_has_its_layer() -> None:
    found = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in MODULES}
    assert found == set().union(*LAYERS)
