"""Index ImageNet into Parquet, ask it in SQL over the WordNet graph, and export subsets to training loaders.

    import imagenet_tools as imt

    imt.find("tabby")                                       # no data needed
    imt.build_index(["ILSVRC2012_img_train.tar"], "imagenet.index")
    index = imt.open_index("imagenet.index")
    index.sql("SELECT count(*) FROM images WHERE is_a(wnid, 'dog.n.01')")
    dogs = index.select(under="dog", without="toy_dog", per_class={"train": 300, "val": 50})
    imt.export(dogs, "dogs", to="yolo")
    dogs.dataset("train", transform=transform)              # or train without exporting

Importing this loads nothing heavy: each function loads what it needs when it is called.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing costs half of what it takes to import this
if TYPE_CHECKING:
    from imagenet_tools.api import (
        build_index,
        check,
        class_map,
        classes,
        detect,
        export,
        find,
        identify,
        is_a,
        open_index,
        plan_export,
        relocate,
        synset,
    )

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
    """Return a public function, from the module that has them all; it is imported when the first is asked for."""
    if name not in __all__:
        message = f"module 'imagenet_tools' has no attribute {name!r}"
        raise AttributeError(message)
    from imagenet_tools import api

    globals().update({one: getattr(api, one) for one in __all__})
    return globals()[name]


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
