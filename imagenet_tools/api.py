"""The public functions of the package: each loads what it needs when it is called."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

import imagenet_tools
from imagenet_tools.arguments import checked
from imagenet_tools.selection.words import EXPORT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from concurrent.futures import Executor
    from types import ModuleType

    from imagenet_tools.build.build import Report
    from imagenet_tools.build.survey import Survey
    from imagenet_tools.catalogue.class_maps import ClassMap
    from imagenet_tools.catalogue.identify_classes import ClassesFound
    from imagenet_tools.catalogue.identify_labels import LabelsFound
    from imagenet_tools.catalogue.lists import ClassList
    from imagenet_tools.catalogue.terms import FoundSynset
    from imagenet_tools.exports.checks import CheckResult
    from imagenet_tools.exports.plan import Plan
    from imagenet_tools.index import Index
    from imagenet_tools.selection.selection import Selection
    from imagenet_tools.storage.links import How
    from imagenet_tools.units import Progress, Reader
    from imagenet_tools.wordnet.wordnet import Synset


def find(text: str, *, limit: int | None = 20) -> list[FoundSynset]:
    """Return the synsets that a word, a name, a wnid, a part of one, or a class index may mean: see catalogue.terms."""
    from imagenet_tools.catalogue import terms

    return terms.find(text, limit=limit)


def synset(text: str) -> Synset:
    """The synset of a wnid, a name, or a lemma that one sense alone can mean among ILSVRC2012's classes."""
    from imagenet_tools.catalogue import terms
    from imagenet_tools.wordnet import wordnet

    return wordnet.synset(terms.resolve(text).wnid)


def is_a(narrower: str, broader: str) -> bool:
    """Whether a synset is another or lies below it, over both kinds of hypernym edge.

    A UserWarning says which sense a lemma was taken for, where it has several.
    """
    import warnings

    from imagenet_tools.catalogue import terms
    from imagenet_tools.wordnet import hierarchy

    taken = terms.resolve(narrower), terms.resolve(broader)
    for one in taken:
        if one.guessed:
            warnings.warn(one.note, stacklevel=2)
    return hierarchy.is_a(taken[0].wnid, taken[1].wnid)


def detect(path: str | Path) -> Survey:
    """What lies at a path: form, release, split, labels, evidence, what is missing, what indexing will read.

    Reads headers, no images. SourceError: there is no such path; where nothing is recognised, `found` is empty.
    """
    from imagenet_tools.build.survey import survey

    return survey(Path(path), _readers())


def check(
    paths: str | Path | Iterable[str | Path],
    *,
    index: str | Path | Index | None = None,
    md5: bool = False,
    cache: str | Path | None = None,
    fresh: bool = False,
    read_data: bool = False,
    with_loader: bool = False,
    progress: Progress | None = None,
) -> CheckResult:
    """Check archives, indexes, exports and locks: what a path is, is told by what lies there.

    An archive, or those directly in a folder, is compared with the published sizes, and with `md5` with the sums.
    Finished sums are kept in the file `cache` (default: in the user's cache folder), and not made again while a file
    has the same size and time; `fresh` makes them again. Of an index: its files, its tables, its sources. Of an export:
    its files, what is read back, and a sample of its images with `index` (default: as open_index). With `read_data`
    every image of an index or export is decoded in full, and those of an export are all compared; `with_loader` has
    the framework's own loader read it. A lock is compared with `index`.

    What is wrong are findings with a code; `imagenet-tools check --help` lists them. `result.ok` says whether there
    are none, and something was compared. SourceError: a path is not there, or nothing that can be checked lies there.
    """
    from imagenet_tools.errors import UsageError
    from imagenet_tools.exports import checks

    given = [Path(paths)] if isinstance(paths, (str, Path)) else [Path(path) for path in paths]
    if not given:
        message = "Found no path to check; expected an archive, an index, an export or a lock, one at least."
        raise UsageError(message)
    found = checks.check(
        given,
        index=open_index(index) if isinstance(index, (str, Path)) else index,
        md5=md5,
        cache=Path(cache) if cache is not None else None,
        fresh=fresh,
        read_data=read_data,
        with_loader=with_loader,
        progress=progress,
    )
    return checks.CheckResult(tuple(found))


def classes(name: str) -> ClassList:
    """A published class list, such as imagenet100-cmc: its wnids or categories in order; UsageError: no such list."""
    from imagenet_tools.catalogue import lists

    return lists.get(name)


def class_map(a: str | ClassList, b: str | ClassList, *, ancestors: bool = False) -> ClassMap:
    """The map from one class list to another: `logits[:, m.index]`, `m.target[labels]`, `m.lost`, `m.merged`.

    Each is a published name, a file, a,b,c, or a ClassList. With `ancestors` a class that is not in b goes to the
    nearest one above it. UsageError: no such list.
    """
    from imagenet_tools.catalogue import class_maps

    return class_maps.class_map(a, b, ancestors=ancestors)


def identify(file: str | Path) -> ClassesFound | LabelsFound:
    """Which published list a file of classes equals, or in which order and base a file of labels counts classes.

    Where a file of labels tells nothing, `numbering` is None and `why` says why. UsageError: the file is neither.
    """
    from imagenet_tools.catalogue import identify_classes

    return identify_classes.identify(file)


def build_index(
    paths: str | Path | Iterable[str | Path],
    index: str | Path = "imagenet.index",
    *,
    dataset: str | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    fresh: bool = False,
    glosses: str | None = None,
    like: str | Path | None = None,
    by_hash: bool = False,
    probe: bool = True,
    roots: Mapping[str, str | Path] | None = None,
    progress: Progress | None = None,
) -> Report:
    """Make an index of sources, or add them to the one that is there; what has not changed is not read again.

    `dataset` names the data set where the sources' own names do not; `workers` processes (default: the cores this
    process may use, and more where the disk is slow to answer), or any `executor`; `fresh` forgets what the index
    held; `glosses` is "nltk" or a WordNet dict folder; `like` is the index of somebody who holds the same archives:
    what agrees in size and in a sample of headers is taken over from it. What changed is told by sizes and times, or
    `by_hash` of all bytes, which also compares the bytes of images of one key. Without `probe`, images get names,
    places and lengths alone; a build with it adds their facts later. `roots` say where sources of the index lie now, by
    their names: given there, they are the same sources.

    SourceError: a path is not recognised, or sources contradict each other; ExistsError: another build has the lock.
    An interrupted build goes on when the same call is made again.
    """
    from imagenet_tools.build.build import build_index as build

    given = [paths] if isinstance(paths, (str, Path)) else paths
    return build(
        [Path(path) for path in given],
        Path(index),
        readers=_readers(),
        dataset=dataset,
        workers=workers,
        executor=executor,
        fresh=fresh,
        glosses=glosses,
        like=Path(like) if like is not None else None,
        by_hash=by_hash,
        probe=probe,
        roots={name: Path(root) for name, root in (roots or {}).items()},
        progress=progress,
    )


def relocate(roots: Mapping[str, str | Path], index: str | Path | None = None) -> dict[str, Path]:
    """Write into an index where its sources lie now; gives the new roots. For one call alone: open_index(roots=)."""
    from imagenet_tools.store.layout import default_index
    from imagenet_tools.store.sources import relocate as move

    path = Path(index) if index is not None else default_index()
    return move(path, {name: Path(root) for name, root in roots.items()})


def open_index(path: str | Path | None = None, *, roots: Mapping[str, str | Path] | None = None) -> Index:
    """Open an index: a path, else $IMAGENET_INDEX, else ./imagenet.index; `roots` say where sources lie now."""
    from imagenet_tools.index import Index

    return Index.open(path, roots=roots)


def plan_export(
    selection: Selection,
    *,
    to: str,
    link: How = "auto",
    names: str = "",
    unboxed: str = "skip",
    bad_boxes: str = "clip",
    min_box: int = 0,
    resize: int | None = None,
    fit: str = "short",
    crop: str = "none",
    quality: int = 90,
    repair: str | Iterable[str] = (),
    field: str | Iterable[str] = (),
    shard_size: int | str | None = None,
    shuffle: str = "none",
    side_files: bool = False,
    hash: bool = False,  # noqa: A002 (the word of the command line)
    meta_bin: bool = False,
) -> Plan:
    """What export() would make of a selection: images, boxes, classes, bytes, what is left out and why, hazards."""
    from imagenet_tools.exports.options import make_options
    from imagenet_tools.exports.plan import make_plans

    options = make_options(
        {
            "link": link,
            "names": names,
            "unboxed": unboxed,
            "bad_boxes": bad_boxes,
            "min_box": min_box,
            "resize": resize,
            "fit": fit,
            "crop": crop,
            "quality": quality,
            "repair": repair,
            "field": field,
            "shard_size": shard_size,
            "shuffle": shuffle,
            "side_files": side_files,
            "hash": hash,
            "meta_bin": meta_bin,
        }
    )
    return make_plans(_targets(to), selection, options)


def export(
    selection: Selection,
    dest: str | Path,
    *,
    to: str,
    link: How = "auto",
    names: str = "",
    unboxed: str = "skip",
    bad_boxes: str = "clip",
    min_box: int = 0,
    resize: int | None = None,
    fit: str = "short",
    crop: str = "none",
    quality: int = 90,
    repair: str | Iterable[str] = (),
    field: str | Iterable[str] = (),
    shard_size: int | str | None = None,
    shuffle: str = "none",
    side_files: bool = False,
    hash: bool = False,  # noqa: A002 (the word of the command line)
    meta_bin: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Plan:
    """Export a selection to a training loader's format, whole or not at all; gives the plan that was carried out.

    `to` is a target, or several with ',' between: they lie in folders of their own below `dest`, and each image is read
    once. The options are the words of imagenet_tools.selection.words.EXPORT. ExistsError: something is at `dest`.
    ExportError: the selection is empty, or the target cannot hold it.
    """
    from imagenet_tools import system
    from imagenet_tools.exports.run import make_export

    plan = plan_export(
        selection,
        to=to,
        link=link,
        names=names,
        unboxed=unboxed,
        bad_boxes=bad_boxes,
        min_box=min_box,
        resize=resize,
        fit=fit,
        crop=crop,
        quality=quality,
        repair=repair,
        field=field,
        shard_size=shard_size,
        shuffle=shuffle,
        side_files=side_files,
        hash=hash,
        meta_bin=meta_bin,
    )
    return make_export(plan, Path(dest), workers=workers or system.cores(), progress=progress)


def _targets(to: str) -> list[str]:
    """The targets that a text names; UsageError where one is none."""
    from imagenet_tools.errors import UsageError

    known = [name for name, module in _formats().items() if hasattr(module, "open_shard")]
    named = list(dict.fromkeys(name.strip() for name in to.split(",")))
    for name in named:
        if name not in known:
            message = f"'{name}' is no target: expected one of {', '.join(known)}."
            raise UsageError(message)
    return named


def _readers() -> dict[str, Reader]:
    return {name: module for name, module in _formats().items() if hasattr(module, "scan")}


def _formats() -> dict[str, ModuleType]:
    """Return the formats by name: each is a module or a folder of imagenet_tools.formats, and has its name."""
    from imagenet_tools import formats

    return {name: importlib.import_module(f"imagenet_tools.formats.{name}") for name in formats.names()}


_MEANINGS = {word.keyword: word.help for word in EXPORT}
for _name in imagenet_tools.__all__:
    globals()[_name] = checked(globals()[_name], _MEANINGS if "export" in _name else None)
