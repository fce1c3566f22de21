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
    from imagenet_tools.api import *

__version__ = "0.1.0"

__all__ = [
    "build_index",
    "check",
    "class_map",
    "classes",
    "detect",
    "export",
    "find",
    "identify",
    "is_a",
    "open_index",
    "plan_export",
    "relocate",
    "synset",
]


def __getattr__(name: str) -> object:
    """Import a public function, or a module of the package, when it is first used."""
    if name in __all__:
        from imagenet_tools import api

        globals().update({function: getattr(api, function) for function in __all__})
        return globals()[name]
    if not name.startswith("_"):
        from importlib import import_module

        try:
            return import_module(f"imagenet_tools.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"imagenet_tools.{name}":
                raise
    raise AttributeError(f"module 'imagenet_tools' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
