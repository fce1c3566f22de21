"""Index ImageNet into Parquet, ask it in SQL over the WordNet graph, and export subsets to training loaders.

    import imagenet_tools as imt

    imt.find("tabby")                                       # no data needed
    imt.build_index(["ILSVRC2012_img_train.tar"], "imagenet.index")
    index = imt.open_index("imagenet.index")
    index.sql("SELECT count(*) FROM images WHERE is_a(wnid, 'dog.n.01')")
    dogs = index.select(under="dog", without="toy_dog", per_class={"train": 300, "val": 50})
    imt.export(dogs, "dogs", to="yolo")

Importing this loads nothing heavy: each function loads what it needs when it is called.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from concurrent.futures import Executor
    from types import ModuleType

    from imagenet_tools.build import Report
    from imagenet_tools.files import How
    from imagenet_tools.index import Index
    from imagenet_tools.plan import Plan
    from imagenet_tools.selection import Selection
    from imagenet_tools.terms import Found
    from imagenet_tools.units import Progress
    from imagenet_tools.wordnet import Synset

__version__ = "0.1.0"

__all__ = ["build_index", "export", "find", "is_a", "open_index", "plan_export", "synset"]


def find(text: str, *, limit: int | None = 20) -> list[Found]:
    """The synsets that a word, a name, a wnid, a part of one, or a class index may mean: see imagenet_tools.terms."""
    from imagenet_tools import terms

    return terms.find(text, limit=limit)


def synset(text: str) -> Synset:
    """The synset of a wnid, a name, or a lemma that one sense alone can mean among ILSVRC2012's classes."""
    from imagenet_tools import terms, wordnet

    return wordnet.synset(terms.resolve(text).wnid)


def is_a(narrower: str, broader: str) -> bool:
    """Whether a synset is another or lies below it, over both kinds of hypernym edge."""
    from imagenet_tools import hierarchy, terms

    return hierarchy.is_a(terms.resolve(narrower).wnid, terms.resolve(broader).wnid)


def build_index(
    paths: str | Path | Iterable[str | Path],
    index: str | Path = "imagenet.index",
    *,
    dataset: str | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    fresh: bool = False,
    glosses: str | None = None,
    progress: Progress | None = None,
) -> Report:
    """Make an index of sources, or add them to the one that is there; what has not changed is not read again.

    `dataset` names the data set where the sources' own names do not; `workers` processes (default: the cores this
    process may use), or any `executor`; `fresh` forgets what the index held; `glosses` is "nltk" or a WordNet dict
    folder. SourceError: a path is not recognised, or sources contradict each other; ExistsError: another build has
    the lock. An interrupted build goes on when the same call is made again.
    """
    from imagenet_tools.build import build_index as build

    given = [paths] if isinstance(paths, (str, Path)) else paths
    return build(
        [Path(path) for path in given],
        Path(index),
        readers={name: module for name, module in _formats().items() if hasattr(module, "scan")},
        dataset=dataset,
        workers=workers,
        executor=executor,
        fresh=fresh,
        glosses=glosses,
        progress=progress,
    )


def open_index(path: str | Path | None = None, *, roots: Mapping[str, str | Path] | None = None) -> Index:
    """Open an index: a path, else $IMAGENET_INDEX, else ./imagenet.index; `roots` say where sources lie now."""
    from imagenet_tools.index import open_index as open_

    return open_(path, roots=roots)


def plan_export(
    selection: Selection,
    *,
    to: str,
    link: How = "auto",
    names: str = "",
    unboxed: str = "skip",
    bad_boxes: str = "clip",
) -> Plan:
    """What export() would make of a selection: images, boxes, classes, bytes, what is left out and why, hazards."""
    from imagenet_tools.errors import UsageError
    from imagenet_tools.plan import Options, make_plan

    writers = {name: module for name, module in _formats().items() if hasattr(module, "write")}
    if to not in writers:
        message = f"'{to}' is no target: expected one of {', '.join(writers)}."
        raise UsageError(message)
    options = Options(link, names, unboxed, bad_boxes)
    return make_plan(to, writers[to], selection.index, selection, options)  # type: ignore[arg-type]


def export(
    selection: Selection,
    dest: str | Path,
    *,
    to: str,
    link: How = "auto",
    names: str = "",
    unboxed: str = "skip",
    bad_boxes: str = "clip",
    workers: int | None = None,
    progress: Progress | None = None,
) -> Plan:
    """Export a selection to a training loader's format, whole or not at all; gives the plan that was carried out.

    ExistsError: something is at `dest`. ExportError: the selection is empty, or the target cannot hold it.
    """
    import os

    from imagenet_tools.exporter import make_export

    plan = plan_export(selection, to=to, link=link, names=names, unboxed=unboxed, bad_boxes=bad_boxes)
    make_export(plan, Path(dest), workers=workers or len(os.sched_getaffinity(0)), progress=progress)
    return plan


def _formats() -> dict[str, ModuleType]:
    """The formats by name: a format is a module of imagenet_tools.formats, and its file's name is its name."""
    folder = Path(__file__).with_name("formats")
    names = sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")
    return {name: importlib.import_module(f"imagenet_tools.formats.{name}") for name in names}
