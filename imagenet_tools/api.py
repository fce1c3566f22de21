"""The public functions of the package. Each imports its implementation when it is called."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Unpack

import imagenet_tools
from imagenet_tools.arguments import checked
from imagenet_tools.errors import SourceError, UsageError
from imagenet_tools.exports.options import make_options, with_export_options
from imagenet_tools.selection.words import EXPORT, ExportOptions
from imagenet_tools.storage.buckets import is_remote, on_disk, path_of, place_of, url_of
from imagenet_tools.storage.shares import parse as parse_shard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from concurrent.futures import Executor
    from types import ModuleType

    from imagenet_tools.build.build import Report
    from imagenet_tools.build.survey import Survey
    from imagenet_tools.catalogue.class_maps import ClassMap
    from imagenet_tools.catalogue.identify_classes import ClassesFound
    from imagenet_tools.catalogue.identify_labels import LabelsFound
    from imagenet_tools.catalogue.lists import ClassList
    from imagenet_tools.catalogue.terms import FoundSynset
    from imagenet_tools.evaluation.detections import TrueBoxes
    from imagenet_tools.evaluation.evaluation import Evaluation
    from imagenet_tools.exports.checks import CheckResult
    from imagenet_tools.exports.plan import Plan, Result
    from imagenet_tools.index import Index
    from imagenet_tools.selection.differences import Differences
    from imagenet_tools.selection.selection import Selection
    from imagenet_tools.superclasses.drawing import Outline
    from imagenet_tools.superclasses.superclasses import Superclasses
    from imagenet_tools.units import Progress, Reader
    from imagenet_tools.wordnet.wordnet import Synset


def find(text: str, *, limit: int | None = 20) -> list[FoundSynset]:
    """Return the synsets that a text may name.

    Args:
        text: A word or part of it, a name ("dog.n.01"), a wnid, or a class index.
        limit: The maximum number of synsets; None for all.

    Returns:
        The best matches first. `why` says what matched. Empty if nothing does.

    Raises:
        UsageError: The text is empty, or the limit below 0.

    Example:
        >>> [synset.name for synset in imt.find("tabby")]
        ['tabby.n.01', 'tabby.n.02']
    """
    from imagenet_tools.catalogue import terms

    return terms.find(text, limit=limit)


def synset(text: str) -> Synset:
    """Return the synset of a wnid, a name or a lemma.

    Args:
        text: "n02123045", "tabby.n.01", or a lemma ("tabby") if only one of its senses has ILSVRC2012 classes.

    Raises:
        UnknownSynsetError: No synset has this wnid, name or lemma.
        AmbiguousSynsetError: Several senses of the lemma, or none, have ILSVRC2012 classes.

    Example:
        >>> imt.synset("tabby").wnid
        'n02123045'
    """
    from imagenet_tools.catalogue import terms
    from imagenet_tools.wordnet import wordnet

    return wordnet.synset(terms.resolve(text).wnid)


def is_a(narrower: str, broader: str) -> bool:
    """Return True if a synset is another one or is below it, by hypernym and instance edges.

    A UserWarning says which sense of a lemma was taken if it has several.

    Args:
        narrower: A synset: a wnid, a name or a lemma.
        broader: Another synset.

    Raises:
        UnknownSynsetError: No synset has this wnid, name or lemma.
        AmbiguousSynsetError: Several senses of a lemma, or none, have ILSVRC2012 classes.

    Example:
        >>> imt.is_a("beagle.n.01", "dog.n.01")
        True
    """
    import warnings

    from imagenet_tools.catalogue import terms
    from imagenet_tools.wordnet import hierarchy

    below, above = terms.resolve(narrower), terms.resolve(broader)
    for taken in (below, above):
        if taken.guessed:
            warnings.warn(taken.note, stacklevel=2)
    return hierarchy.is_a(below.wnid, above.wnid)


def detect(path: str | Path) -> Survey:
    """Return the format, release, splits and labels at a path. Reads headers, not images.

    Args:
        path: An archive or a folder, or the URL of a file that build_index reads.

    Returns:
        A survey. `found` has one detection for each source below the path, with its evidence, what is missing, and
        what indexing will read; it is empty if nothing is recognised.

    Raises:
        SourceError: There is no such path.

    Example:
        >>> [detection.form for detection in imt.detect("ILSVRC2012_img_val.tar").found]
        ['image_tars']
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
    shard: str | None = None,
    progress: Progress | bool | None = None,
) -> CheckResult:
    """Verify archives, indexes, exports and locks. The content of a path says which of them it is.

    Archives are compared with the published sizes and sums. The files, tables and sources of an index are verified.
    So are the files of an export, the images that are read back, and a sample of their bytes. A lock is compared with
    the index.

    Args:
        paths: A path or several. Of a folder, the archives directly in it are checked.
        index: The index to compare exports and locks with. Default: as open_index.
        md5: Also compare the MD5 sums of archives.
        cache: The file that keeps MD5 sums. Default: in the user's cache folder. A sum is used again while the file
            has the same size and time.
        fresh: Compute sums again, even if they are in the cache.
        read_data: Decode every image of an index or an export, and compare all images of an export.
        with_loader: Also read an export with the framework's own loader.
        shard: Of an index with `read_data`, decode only a share of the images, "0/3" to "2/3" of three.
        progress: True shows progress on stderr; a function is called with (stage, done, total).

    Returns:
        The results with their findings. Each finding has a code; `imagenet-tools check --help` lists the codes. `ok`
        is True if something was compared and there are no findings.

    Raises:
        SourceError: A path is missing, or holds nothing that can be checked.
        UsageError: No path was named.

    Example:
        >>> [finding.code for finding in imt.check("imagenet.index").findings]
        []
    """
    from imagenet_tools.exports import checks

    path_list = [Path(path) for path in _several(paths)]
    if not path_list:
        raise UsageError("Found no path to check; expected at least one archive, index, export or lock.")
    results = checks.check(
        path_list,
        index=open_index(index) if isinstance(index, (str, Path)) else index,
        md5=md5,
        cache=Path(cache) if cache is not None else None,
        fresh=fresh,
        read_data=read_data,
        with_loader=with_loader,
        shard=parse_shard(shard) if shard is not None else None,
        progress=_progress(progress),
    )
    return checks.CheckResult(tuple(results))


def classes(name: str) -> ClassList:
    """Return a published class list: its wnids or categories, in its order.

    Args:
        name: The name of a list, such as "imagenet100-cmc"; `imagenet-tools classes list` shows all names.

    Raises:
        UsageError: No list has this name.

    Example:
        >>> imt.classes("imagenette").wnids[:2]
        ('n01440764', 'n02102040')
    """
    from imagenet_tools.catalogue import lists

    return lists.get(name)


def class_map(a: str | ClassList, b: str | ClassList, *, ancestors: bool = False) -> ClassMap:
    """Return the map from the classes of one list to those of another.

    Args:
        a: A published name, a file, "a,b,c", or a ClassList.
        b: Another list.
        ancestors: Map a class that is not in b to the nearest class of b above it.

    Returns:
        A map: `m.scores(logits)` converts model outputs, `m.target[labels]` converts labels; `m.lost` and `m.merged`
        name the classes without a source or with several. `logits[:, m.index]` is right only if there are none.

    Raises:
        UsageError: No such list, or a target with a class twice.

    Example:
        >>> imt.class_map("imagenette", "ilsvrc2012").target.tolist()[:3]
        [0, 217, 482]
    """
    from imagenet_tools.catalogue import class_maps

    return class_maps.class_map(a, b, ancestors=ancestors)


def identify(file: str | Path) -> ClassesFound | LabelsFound:
    """Return the published list that a file of classes equals, or the numbering that a file of labels uses.

    Args:
        file: A file of classes, or of labels or predictions for the validation images of ILSVRC2012.

    Returns:
        The result, with `why` in words. `told` is False if the file could not be identified.

    Raises:
        UsageError: The file holds neither classes nor labels.

    Example:
        >>> imt.identify("labels.txt").told
        True
    """
    from imagenet_tools.catalogue import identify_classes

    return identify_classes.identify(file)


def diff(
    a: str | Path, b: str | Path, *, by: Literal["id", "photo", "wnid", "bytes"] | None = None, limit: int = 20
) -> Differences:
    """Return how b differs from a.

    Args:
        a: An index, a lock, a recipe, a published list of classes or images, a release such as "winter21", a file of
            classes or images, or "a,b,c".
        b: Another one.
        by: Compare image ids, photos, classes ("wnid"), or the bytes of images. Default: ids; photos for image lists,
            classes for class lists.
        limit: Examples of each kind of difference.

    Returns:
        The differences: `counts` by kind, examples, and `why`: sentences with the reasons that are known. `counts` is
        empty if nothing differs.

    Raises:
        UsageError: The two cannot be compared in this way.

    Example:
        >>> imt.diff("imagenette", "imagewoof").counts
        {'only_a': 10, 'only_b': 10}
    """
    from imagenet_tools.selection.differences import differences

    return differences(str(a), str(b), by=by, limit=limit)


def evaluate(
    predictions: str | Path | Iterable[str | Path],
    *,
    rows: str | Path | None = None,
    labels: str | None = None,
    truths: str | Path | Iterable[str | Path] = (),
    classes: str | Iterable[str] = (),
    unknown: str | Path | None = None,
    boxes: str | Path | None = None,
    blacklist: str | Path | None = None,
) -> Evaluation:
    """Score files of predictions against every truth that applies, and compare models.

    The order of the rows and the numbering of the classes are detected. Images are ILSVRC2012's validation or training
    images, or those of a data set with its classes: ImageNet-V2, -A, -R, -Sketch, -C, -D and ObjectNet, named with
    their class folders. Detections are scored by ILSVRC's rule and by COCO's.

    Args:
        predictions: Files of classes or of scores, of one model each: npy, npz, csv, Parquet, JSON, an accuracy log
            of MLPerf, or a folder of texts of Ultralytics. Also a file of scores beside its file of classes, and a
            list of the images of the rows. Or detections: the devkit's lines, COCO's results, texts of Ultralytics.
        rows: The order of the rows, if it is not detected: "numbers" (sorted by file name), "folders" (sorted by
            class, then by file name), or a file that lists the images. Of detections: the list that numbers the images.
        labels: The published list that numbers the classes, if it is not detected.
        truths: Files with more labels of the images: ImageNet multilabel, ImageNet-X, or lists of valid labels.
        classes: Lists of classes to score by as well: published names, files of `cut`, files of classes, or a,b,c.
        unknown: Outputs for images of none of the classes, as ImageNet-O's, to score by AUPR.
        boxes: What has the true boxes, to score predicted boxes by: an index, an export, a source, COCO's instances.
        blacklist: Pairs of image index and class that ILSVRC's detection score leaves out: a file of the devkit.

    Returns:
        The scores of each model, with the evidence of the orders; and each later model compared with the first.

    Raises:
        UsageError: A file is none of predictions, or its order is not certain. The message names the options.

    Example:
        >>> imt.evaluate("resnet50.npy")
        Evaluation: resnet50: top-1 70.00%, top-5 90.00%
    """
    from imagenet_tools.evaluation.evaluation import evaluate as score

    def true_boxes(dataset: str) -> TrueBoxes:
        from imagenet_tools.exports import true_boxes

        return true_boxes.read(Path(str(boxes)), _readers(), dataset)

    files = [Path(path) for path in _several(predictions)]
    if not files:
        raise UsageError("predictions: found no file to score; expected at least one.")
    return score(
        files,
        rows=rows,
        space=labels,
        truths=[Path(path) for path in _several(truths)],
        class_lists=[classes] if isinstance(classes, str) else list(classes),
        unknown=None if unknown is None else Path(unknown),
        boxes=None if boxes is None else true_boxes,
        blacklist=None if blacklist is None else Path(blacklist),
    )


def subset(file: str | Path, index: str | Path | Index | None = None) -> Selection:
    """Return the selection that a recipe makes, or the images that a lock pins. Selection.save() writes a recipe.

    Args:
        file: A recipe, or a lock.
        index: The index to choose from. Default: as open_index.

    Raises:
        UsageError: The file is neither.
        SourceError: Images that the lock pins are not in the index, or have another class there.

    Example:
        >>> path = imt.open_index("imagenet.index").select(under="dog.n.01").save("dogs.toml")
        >>> imt.subset(path, "imagenet.index")
        Selection: under dog.n.01; 70 images, 5 classes, train 50, val 20
    """
    from imagenet_tools.index import Index, by_recipe

    return by_recipe(index if isinstance(index, Index) else open_index(index), file)


def cut(
    classes: str | Iterable[str] = "ilsvrc2012",
    *,
    k: int | None = None,
    depth: int | None = None,
    at: str | Iterable[str] | None = None,
    under: str = "entity.n.01",
    balanced: bool = False,
    disjoint: bool = False,
    equal: bool = False,
    measure: Literal["longest", "shortest"] = "longest",
    overlap: Literal["nearest", "first", "largest", "none"] = "nearest",
    min_classes: int = 1,
    max_classes: int | None = None,
    instances: bool = True,
) -> Superclasses:
    """Group classes into superclasses: by number, by depth, or those of a list. Exactly one of k, depth and at is set.

    Args:
        classes: A published list, a file, "a,b,c", or synsets.
        k: Choose this number of superclasses that share no class and hold most classes.
        depth: Choose the synsets this number of edges below `under`.
        at: Choose these synsets: a file, "a,b,c", or synsets.
        under: Use this synset and those below it.
        balanced: With k: make the smallest as large as possible, then hold most classes.
        disjoint: With depth or at: keep those that share no class and hold most.
        equal: Cut each to the number of classes of the smallest.
        measure: Measure depth by the longest or the shortest path.
        overlap: The superclass of a class below several: fewest edges up, first listed, most classes, or none.
        min_classes: Drop those with fewer classes.
        max_classes: Drop those with more classes.
        instances: Also follow instance edges.

    Returns:
        The superclasses, and the classes that are in none.

    Raises:
        UsageError: No such superclasses, or options that contradict each other.

    Example:
        >>> imt.cut("imagenette", at="instrumentality.n.03,animal.n.01")
        Superclasses: 2 superclasses of 9 of 10 classes
    """
    from imagenet_tools.catalogue import terms
    from imagenet_tools.superclasses import cuts

    def resolve(text: str) -> str:
        return terms.resolve(text).wnid

    return cuts.cut(
        _wnids(classes, resolve),
        at=_wnids(at, resolve) if at is not None else None,
        under=resolve(under),
        k=k,
        depth=depth,
        balanced=balanced,
        disjoint=disjoint,
        equal=equal,
        measure=measure,
        overlap=overlap,
        min_classes=min_classes,
        max_classes=max_classes,
        instances=instances,
    )


def _wnids(classes: str | Iterable[str], resolve: Callable[[str], str]) -> list[str]:
    """Return the wnids of a list that is a text, or of synsets."""
    from imagenet_tools.catalogue import given_lists

    if isinstance(classes, str):
        return given_lists.read_list(classes, resolve)
    return given_lists.resolve_all(list(classes), resolve)


def tree(
    synset: str = "entity.n.01",
    *,
    depth: int | None = 3,
    classes: str | Iterable[str] | None = None,
    images: Index | Selection | None = None,
    collapse: bool = False,
) -> Outline:
    """Return the graph below a synset, with the number of classes or images at or below each synset.

    Args:
        synset: A wnid, a name, or a lemma.
        depth: The maximum number of edges down; None for all.
        classes: Draw only these and what is above them: a published list, a file, "a,b,c", or synsets.
        images: An index or a selection, of which images are counted. Default: the classes, or ILSVRC2012's, without
            an index.
        collapse: Skip synsets that count the same as one of their children.

    Returns:
        The tree: print it as text; a notebook draws it.

    Raises:
        UnknownSynsetError: No synset has this name.
        AmbiguousSynsetError: Several senses of a lemma, or none, have ILSVRC2012 classes.

    Example:
        >>> print(imt.tree("domestic_cat", depth=1, classes="tabby,Persian cat"))
        domestic_cat.n.01 n02121808  2
        ├─ tabby.n.01 n02123045  1
        └─ persian_cat.n.01 n02123394  1
    """
    from imagenet_tools.catalogue import labels, terms
    from imagenet_tools.index import Index
    from imagenet_tools.superclasses import drawing
    from imagenet_tools.wordnet import hierarchy, wordnet

    if depth is not None and depth < 0:
        raise UsageError(f"depth: found {depth}; expected a number of edges from 0, or None for all.")

    def resolve(text: str) -> str:
        index = images if images is None or isinstance(images, Index) else images.index
        return terms.resolve(text).wnid if index is None else index.synset(text)

    wnids = None if classes is None else _wnids(classes, resolve)
    if images is None:
        counts = wordnet.mask_of(wordnet.rows_of(wnids or labels.ilsvrc2012_sorted())).astype("int64")
    else:
        counts = images.counts() if isinstance(images, Index) else images.counts_by_row()
    if wnids is not None:
        counts *= wordnet.mask_of(wordnet.rows_of(wnids))
    return drawing.outline(
        resolve(synset),
        depth=depth,
        classes=wnids,
        counts=hierarchy.inclusive(counts),
        counted=True,
        collapse=collapse,
    )


def build_index(
    paths: str | Path | Iterable[str | Path],
    index: str | Path = "imagenet.index",
    *,
    dataset: str | None = None,
    class_names: str | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    fresh: bool = False,
    glosses: str | None = None,
    like: str | Path | None = None,
    by_hash: bool = False,
    probe: bool = True,
    roots: Mapping[str, str | Path] | None = None,
    shard: str | None = None,
    progress: Progress | bool | None = None,
) -> Report:
    """Make an index of sources, or add sources to an existing index. What has not changed is not read again.

    If a build is interrupted, the same call resumes it.

    Args:
        paths: Archives and folders; of tars of images, and of files of boxes or labels, also URLs of buckets and web
            servers.
        index: The folder of the index, or a URL of a bucket.
        dataset: The data set of the sources. Default: detected from them.
        class_names: What the names of class folders mean, if they are numbers or words: a published list, a file of
            classes, or a,b,c. A number is a place in it.
        workers: The number of processes. Default: the cores this process may use, and more if the disk is slow.
        executor: An executor of concurrent.futures that does the work instead of worker processes. Its processes see
            the sources and the index at the same absolute paths.
        fresh: Discard what the index holds.
        glosses: Add WordNet's glosses: "nltk", or a WordNet dict folder.
        like: An index of the same archives. Rows are copied from it where sizes and a sample of headers agree.
        by_hash: Compare all bytes, not sizes and times, to find changed files and images that differ under one key.
        probe: Read the headers of images. Without them, a later build adds their facts.
        roots: Where sources of the index are now, by source name. A source there is the same source.
        shard: Read only a share of the sources, "0/3" to "2/3" of three, on any machine; merge() makes the index then.
        progress: True shows progress on stderr; a function is called with (stage, done, total).

    Returns:
        The number of rows, units and problems, and what each source was recognised as. Of a shard: what it read.

    Raises:
        SourceError: A path is not recognised, or sources contradict each other.
        ExistsError: Another build is writing this index.

    Example:
        >>> imt.build_index("ILSVRC2012_img_val.tar", "val.index").rows["images"]
        52
    """
    from imagenet_tools.build.build import build_in_bucket
    from imagenet_tools.build.build import build_index as build

    _check_workers(workers)
    sources = [place_of(path) for path in _several(paths)]
    if not sources:  # a pattern that matches nothing would make an empty index
        raise UsageError("paths: found no path to index; expected at least one archive or folder.")
    output = path_of(index)
    return (build_in_bucket if is_remote(output) else build)(
        sources,
        output,
        readers=_readers(),
        dataset=dataset,
        class_names=class_names,
        workers=workers,
        executor=executor,
        fresh=fresh,
        glosses=glosses,
        like=Path(like) if like is not None else None,
        by_hash=by_hash,
        probe=probe,
        roots={name: place_of(root) for name, root in (roots or {}).items()},
        shard=parse_shard(shard) if shard is not None else None,
        progress=_progress(progress),
    )


def merge(
    target: str | Path,
    *,
    workers: int | None = None,
    executor: Executor | None = None,
    progress: Progress | bool | None = None,
) -> Report | Result:
    """Make the index, or the export, whose shards were worked on. What no shard has finished is done first.

    Args:
        target: The index or the export, as the shards named it.
        workers: The number of processes. Default: one a core.
        executor: An executor that does the work instead of worker processes.
        progress: True shows progress on stderr; a function is called with (stage, done, total).

    Returns:
        What build_index() or export() return.

    Raises:
        SourceError: There is no shard of this target.
        ExistsError: The target exists, or a shard is being worked on.

    Example:
        >>> for shard in ("0/2", "1/2"):
        ...     report = imt.build_index("ILSVRC2012_img_val.tar", "shards.index", shard=shard)
        >>> imt.merge("shards.index").rows["images"]
        52
    """
    from imagenet_tools.exports.shares import merge_shards
    from imagenet_tools.storage.files import partial_of
    from imagenet_tools.storage.shares import read_command

    _check_workers(workers)
    path = path_of(target)
    partial = partial_of(on_disk(path))
    command = read_command(partial)
    if command is not None:
        return build_index(index=path, workers=workers, executor=executor, progress=progress, **command)
    result = merge_shards(path, workers=workers, executor=executor, progress=_progress(progress))
    if result is None:
        raise SourceError(
            f"{url_of(path)}: found no shards in {partial}; expected what `build-index --shard 0/3` or "
            "`export --shard 0/3` leave there. An index or export that is finished needs no merge."
        )
    return result


def relocate(roots: Mapping[str, str | Path], index: str | Path | None = None) -> dict[str, Path]:
    """Record in an index where its sources are now. For one call only, use open_index(roots=...).

    Args:
        roots: The source, or the folder it is in, by source name; a folder may be a URL.
        index: The index. Default: as open_index.

    Returns:
        The new folder of each source.

    Raises:
        UsageError: No source has this name.
        SourceError: A source is not there, or has another size than when it was indexed.

    Example:
        >>> imt.relocate({"ILSVRC2012_img_val.tar": "moved"})
        {'ILSVRC2012_img_val.tar': PosixPath('.../moved')}
    """
    from imagenet_tools.store.layout import default_index
    from imagenet_tools.store.sources import relocate as move

    path = Path(index) if index is not None else default_index()
    return move(path, {name: place_of(root) for name, root in roots.items()})


def open_index(path: str | Path | None = None, *, roots: Mapping[str, str | Path] | None = None) -> Index:
    """Open an index.

    Args:
        path: The folder of the index, or its URL. Default: $IMAGENET_INDEX, or ./imagenet.index.
        roots: Where sources are now, by source name: folders, or URLs of buckets and web servers.

    Raises:
        NoIndexError: There is no finished index of this version at the path.
        UsageError: No source has a name in `roots`.

    Example:
        >>> index = imt.open_index("imagenet.index")
        >>> index.sql("SELECT count(*) FROM images").fetchall()
        [(182,)]
    """
    from imagenet_tools.index import Index

    return Index.open(path, roots=roots)


@with_export_options
def plan_export(selection: Selection, *, to: str, **options: Unpack[ExportOptions]) -> Plan:
    """Count what export() would write: images, boxes, classes, bytes, what is left out and why, and hazards.

    Args:
        selection: What to export.
        to: A target, or several with ',' between.

    Raises:
        UsageError: An option or a target is wrong.
        ExportError: The selection is empty, or the target cannot hold it.

    Example:
        >>> dogs = imt.open_index("imagenet.index").select(under="dog.n.01")
        >>> imt.plan_export(dogs, to="image_folder").images()
        70
    """
    from imagenet_tools import formats
    from imagenet_tools.exports.plan import make_plans

    return make_plans(formats.parse_targets(to), selection, make_options(options))


@with_export_options
def export(
    selection: Selection,
    dest: str | Path,
    *,
    to: str,
    workers: int | None = None,
    executor: Executor | None = None,
    progress: Progress | bool | None = None,
    **options: Unpack[ExportOptions],
) -> Result:
    """Export a selection to a training loader's format, whole or not at all; return what was written.

    Args:
        selection: What to export.
        dest: A path where nothing is, or a URL of a bucket.
        to: A target, or several with ',' between: each gets a folder below `dest`, and each image is read once.
        workers: Processes that write; default: this one for a small export, else one a core.
        executor: An executor of concurrent.futures that writes instead of worker processes. Its processes see the
            index, the sources and `dest` at the same absolute paths.
        progress: True shows progress on stderr; a function is called with (stage, done, total).

    Raises:
        UsageError: An option or a target is wrong.
        ExistsError: Something is at `dest`.
        ExportError: The selection is empty, or the target cannot hold it.

    Example:
        >>> dogs = imt.open_index("imagenet.index").select(under="dog.n.01")
        >>> result = imt.export(dogs, "dogs", to="image_folder")
        >>> result.images(), result.path
        (70, PosixPath('dogs'))
    """
    from imagenet_tools.exports.run import make_export

    _check_workers(workers)
    plan = plan_export(selection, to=to, **options)
    return make_export(plan, path_of(dest), workers=workers, executor=executor, progress=_progress(progress))


@with_export_options
def export_shard(
    selection: Selection,
    dest: str | Path,
    shard: str,
    *,
    to: str,
    workers: int | None = None,
    executor: Executor | None = None,
    progress: Progress | bool | None = None,
    **options: Unpack[ExportOptions],
) -> tuple[int, int]:
    """Write a share of an export, on any machine; merge() makes the export when all shards are done.

    Args:
        selection: What to export, the same for all shards.
        dest: A path where nothing is, the same for all shards, on a disk that all machines see.
        shard: The share: "0/3" to "2/3" of three.
        to: As for export().
        workers: As for export().
        executor: As for export().
        progress: True shows progress on stderr; a function is called with (stage, done, total).

    Returns:
        The images of this share, and those of the whole export. A target with small images may have one piece alone.

    Raises:
        UsageError: An option, a target or the shard is wrong.
        ExistsError: Something is at `dest`, another process works on this shard, or the shards differ.
        ExportError: The selection is empty, or the target cannot hold it.

    Example:
        >>> dogs = imt.open_index("imagenet.index").select(under="dog.n.01")
        >>> [imt.export_shard(dogs, "shared", shard, to="csv") for shard in ("0/2", "1/2")]
        [(50, 70), (20, 70)]
        >>> imt.merge("shared").images()
        70
    """
    from imagenet_tools.exports.shares import make_shard

    _check_workers(workers)
    return make_shard(
        plan_export(selection, to=to, **options),
        path_of(dest),
        parse_shard(shard),
        workers=workers,
        executor=executor,
        progress=_progress(progress),
    )


def _progress(progress: Progress | bool | None) -> Progress | None:
    """Return what shows progress; True is a bar on stderr."""
    from imagenet_tools.progress import ProgressBar

    return ProgressBar() if progress is True else progress or None


def _check_workers(workers: int | None) -> None:
    if workers is not None and workers < 1:
        raise UsageError(f"workers: found {workers}; expected a number of processes, at least 1.")


def _several(paths: str | Path | Iterable[str | Path]) -> Iterable[str | Path]:
    return [paths] if isinstance(paths, (str, Path)) else paths


def _readers() -> dict[str, Reader]:
    return {name: module for name, module in _formats().items() if hasattr(module, "scan")}


def _formats() -> dict[str, ModuleType]:
    from imagenet_tools import formats

    return {name: importlib.import_module(f"imagenet_tools.formats.{name}") for name in formats.names()}


FUNCTIONS = [name for name in imagenet_tools.__all__ if name[0].islower() and name != "errors"]
_MEANINGS = {word.keyword: word.help for word in EXPORT}
for _name in FUNCTIONS:
    globals()[_name] = checked(globals()[_name], _MEANINGS if "export" in _name else None)
