"""Index ImageNet into Parquet, query it with SQL over the WordNet graph, and export subsets for training.

    import imagenet_tools as imt

    imt.find("tabby")                                       # needs no data
    imt.build_index(["ILSVRC2012_img_train.tar"], "imagenet.index")
    index = imt.open_index("imagenet.index")
    index.sql("SELECT count(*) FROM images WHERE is_a(wnid, 'dog.n.01')")
    dogs = index.select(under="dog", without="toy_dog", per_class={"train": 300, "val": 50})
    imt.export(dogs, "dogs", to="yolo")
    dogs.dataset("train", transform=transform)              # or train without exporting

Importing the package loads nothing heavy: each function imports what it needs when it is called.
"""

from __future__ import annotations

# ruff: noqa: F403, F405

TYPE_CHECKING = False  # importing typing would take half of the package's import time
if TYPE_CHECKING:
    from imagenet_tools import errors as errors
    from imagenet_tools.api import *
    from imagenet_tools.exports.plan import Plan as Plan
    from imagenet_tools.index import Index as Index
    from imagenet_tools.selection.selection import Selection as Selection

__version__ = "0.1.0"

__all__ = [
    "Index",
    "Plan",
    "Selection",
    "build_index",
    "check",
    "class_map",
    "classes",
    "cut",
    "detect",
    "diff",
    "errors",
    "evaluate",
    "export",
    "export_shard",
    "find",
    "identify",
    "is_a",
    "merge",
    "open_index",
    "plan_export",
    "relocate",
    "subset",
    "synset",
    "tree",
]

# The classes among them; errors is a module, and the others are functions of api.
_CLASSES = {
    "Index": "imagenet_tools.index",
    "Plan": "imagenet_tools.exports.plan",
    "Selection": "imagenet_tools.selection.selection",
}


def __getattr__(name: str) -> object:
    """Import a public function or class, or a module of the package, when it is first used."""
    from importlib import import_module

    if name in _CLASSES:
        globals()[name] = getattr(import_module(_CLASSES[name]), name)
        return globals()[name]
    if name in __all__ and name != "errors":
        from imagenet_tools import api

        globals().update({function: getattr(api, function) for function in api.FUNCTIONS})
        return globals()[name]
    if not name.startswith("_"):
        try:
            return import_module(f"imagenet_tools.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"imagenet_tools.{name}":
                raise
    raise AttributeError(f"module 'imagenet_tools' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
