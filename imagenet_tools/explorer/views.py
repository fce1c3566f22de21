"""The views: from the counts and images of an index to the values that a page shows, without HTTP and HTML."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from imagenet_tools.catalogue import image_lists, labels, lists, terms
from imagenet_tools.display import charts
from imagenet_tools.errors import UsageError
from imagenet_tools.explorer import filters as filtering
from imagenet_tools.explorer.counts import BOX_AREA_STEP, SUMS, IndexCounts
from imagenet_tools.explorer.image_pages import PAGE_IMAGES, ImagePages, NumberedImage
from imagenet_tools.explorer.levels import Level, Levels, label
from imagenet_tools.images.probe import PROBLEMS
from imagenet_tools.wordnet import graph, hierarchy, nltk_bridge, wordnet

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from imagenet_tools.explorer.addresses import Address
    from imagenet_tools.explorer.filters import Filters
    from imagenet_tools.explorer.predictions import Model
    from imagenet_tools.index import Index

_MAX_CHILDREN = 150  # of a node of the tree; the page of the synset has them all
_MAX_SKIPPED = 20
_TREEMAP_PIXELS = 220
_N_FOUND = 60
_N_COMMON = 30
_MAX_PREDICTED = 200

Rows = tuple[Sequence[str], Sequence[Sequence[object]]]


class View(NamedTuple):
    """A page: the values it shows, its rows for CSV and Parquet, and markup that was drawn for it."""

    template: str
    title: str
    data: dict[str, Any]  # plain values, which are also the JSON of the page
    rows: Rows
    drawn: Mapping[str, str] = {}  # SVG by name


class TreeNode(NamedTuple):
    """A synset in the tree. It appears below each of its hypernyms."""

    wnid: str
    label: str
    direct: int
    inclusive: int
    percent: float  # of the top's images: the length of its bar
    also: list[tuple[str, str]]  # (wnid, label) of its other hypernyms with images
    skipped: list[str]  # labels of the chain above it that counts the same
    has_children: bool
    is_current: bool
    colour: str
    accuracy: float | None
    children: list[TreeNode]


class Site:
    """The index, the counts and the models that views are made of. Threads may share it."""

    def __init__(self, index: Index, models: Sequence[Model] = ()) -> None:
        self.index = index
        self.counts = IndexCounts(index)
        self.pages = ImagePages(index)
        self.models = models

    @functools.cached_property
    def top(self) -> int:
        """The row of the lowest synset above all images."""
        inclusive = self.counts.inclusive(filtering.Filters())
        whole = np.flatnonzero(inclusive == inclusive.max())
        return int(whole[np.argmax(hierarchy.max_depths()[whole])])

    @functools.cached_property
    def unlabelled(self) -> int:
        """The number of images without a class, which no synset has."""
        return self.index.n_images - int(self.counts.direct(filtering.Filters()).sum())

    @functools.cached_property
    def levels(self) -> Levels:
        """The levels of the hierarchy of the classes."""
        nothing = filtering.Filters()
        return Levels(self.counts.direct(nothing), self.counts.inclusive(nothing))

    def filters(self, address: Address) -> Filters:
        """Return the filters of an address."""
        if not address.parameters.keys() & set(filtering.PARAMETERS):
            return filtering.Filters()  # without a look at the choices, which are not known at the start
        return filtering.read(address.parameters, self.counts.choices)

    def level(self, address: Address) -> Level | None:
        """Return the level of an address, if it has one."""
        text = address.parameters.get("level", "")
        if not text:
            return None
        least, most = self.levels.least, self.levels.most
        if not text.isdecimal() or not least <= int(text[:3]) <= most:
            raise UsageError(f"level={text}: expected a depth from {least} to {most}.")
        return self.levels.at(int(text))


# ---- tree


def tree(site: Site, address: Address, current: int | None) -> dict[str, Any]:
    """Return the tree from the lowest synset above all images, open down to one synset."""
    path = [site.top]
    if current is not None:
        paths = hierarchy.hypernym_paths(wordnet.wnids_of([current])[0])
        rows = [[wordnet.row_of(wnid) for wnid in wnids] for wnids in paths]
        below = next((path[path.index(site.top) :] for path in rows if site.top in path), None)
        path = below or rows[0]
    return {"node": _branch(site, address, path[0], path, current)._asdict()}


def branch(site: Site, address: Address, wnid: str) -> list[TreeNode]:
    """Return the children of a synset in the tree."""
    return _branch(site, address, wordnet.row_of(wnid), [wordnet.row_of(wnid)], None).children


def _branch(site: Site, address: Address, row: int, path: Sequence[int], current: int | None) -> TreeNode:
    chosen = site.filters(address)
    direct, inclusive = site.counts.direct(chosen), site.counts.inclusive(chosen)
    level = site.level(address)
    whole = max(int(inclusive[site.top]), 1)
    model = site.models[0] if site.models else None

    def node(row: int, parent: int | None, is_open: bool) -> TreeNode:
        skipped: list[str] = []
        kids = _counted_children(row, inclusive)
        while (
            parent is not None and row != current and len(kids) == 1 and not direct[row]
            and inclusive[kids[0]] == inclusive[row]
        ):  # fmt: skip
            skipped.append(label(row))
            parent, row = row, int(kids[0])
            kids = _counted_children(row, inclusive)
        others = [up for up in hierarchy.edges_up().of(row).tolist() if up != parent and inclusive[up] > 0]
        shown = kids[np.argsort(-inclusive[kids], kind="stable")][:_MAX_CHILDREN].tolist() if is_open else []
        on_path = {place for place in path if place in set(kids.tolist())}
        shown += [place for place in on_path if is_open and place not in shown]
        return TreeNode(
            wordnet.wnids_of([row])[0],
            label(row),
            int(direct[row]),
            int(inclusive[row]),
            100 * int(inclusive[row]) / whole,
            list(zip(wordnet.wnids_of(others), map(label, others), strict=True)) if parent is not None else [],
            skipped,
            len(kids) > 0,
            row == current,
            level.colour(row) if level else "",
            model.accuracy(row) if model else None,
            [node(kid, row, kid in on_path) for kid in shown],
        )

    return node(row, None, True)


def _counted_children(row: int, inclusive: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    below = hierarchy.edges_down().of(row)
    return below[inclusive[below] > 0]


# ---- search


def search(text: str) -> View:
    """Return the synsets that a text may mean: a lemma, a name, a wnid, or a class index of any list."""
    found = terms.find(text, limit=_N_FOUND) if text.strip() else []
    rows = [(s.wnid, s.name, ", ".join(s.lemmas).replace("_", " "), s.ilsvrc2012_index, s.why) for s in found]
    close = terms.close_lemmas(text) if text.strip() and not found else []
    head = ("wnid", "name", "lemmas", "ilsvrc2012_index", "matches")
    data = {"query": text, "found": [dict(zip(head, row, strict=True)) for row in rows], "close": close}
    return View("search.html", f"Search: {text}", data, (head, rows))


# ---- synset


def synset(site: Site, address: Address, text: str, *, wait: bool = True) -> View:
    """Return the page of a synset: its facts, what is above and below it, its histograms, and a page of its images.

    Without `wait`, a page that comes while the images are still counted has no facets, histograms and boxes.
    """
    wnid = site.index.synset(text)
    row = wordnet.row_of(wnid)
    facts = wordnet.synset_at(row)
    chosen, level = site.filters(address), site.level(address)
    mask = wordnet.mask_of(graph.reach(hierarchy.edges_down(), [row]))
    direct, inclusive = site.counts.direct(chosen), site.counts.inclusive(chosen)
    grid = image_grid(site, address, wnid)
    counted = wait or chosen != filtering.Filters() or site.counts.is_ready(chosen)
    below = _counted_children(row, inclusive)
    hyponyms = [_counted(place, direct, inclusive) for place in below[np.argsort(-inclusive[below], kind="stable")]]
    n_empty = len(hierarchy.edges_down().of(row)) - len(below)
    data: dict[str, Any] = {
        "wnid": wnid,
        "name": facts.name,
        "label": label(row),
        "lemmas": [lemma.replace("_", " ") for lemma in facts.lemmas],
        "gloss": _gloss(site, wnid),
        "lexfile": facts.lexfile,
        "images": int(direct[row]),
        "images_inclusive": int(inclusive[row]),
        "boxes_inclusive": int(site.counts.inclusive(chosen, "boxes")[row]) if counted else None,
        "counted": counted,
        "classes_inclusive": int((mask & (direct > 0)).sum()),
        "ilsvrc2012_classes": int(terms.ilsvrc2012_below()[row]),
        "paths": [[(step, wordnet.label_of(step)) for step in path] for path in hierarchy.hypernym_paths(wnid)],
        "hyponyms": hyponyms,
        "hyponyms_without_images": n_empty,
        "numbers": lists.numbers_of(wnid),
        "filters": chosen.parameters(),
        "facets": site.counts.facets(chosen, mask) if counted else {},
        "problems": PROBLEMS,
        "histograms": _histograms(site, chosen, mask) if counted else [],
        "level": _level(site, level, direct, mask),
        **grid,
    }
    head = ("number", "dataset", "image_id", "wnid", "split", "width", "height", "n_boxes", "problem")
    rows = [tuple(image[name] for name in head) for image in grid["shown"]]
    drawn = {"treemap": _treemap(site, address, row, level, mask)}
    return View("synset.html", f"{label(row)} ({facts.name})", data, (head, rows), drawn)


def image_grid(site: Site, address: Address, text: str) -> dict[str, Any]:
    """Return a page of the images at or below a synset."""
    row = wordnet.row_of(text)
    chosen, level = site.filters(address), site.level(address)
    mask = wordnet.mask_of(graph.reach(hierarchy.edges_down(), [row]))
    direct = site.counts.direct(chosen)
    n_images = int(direct[mask].sum())
    page = _whole_number(address, "page", 1)
    n_pages = -(-n_images // PAGE_IMAGES)
    images = site.pages.page(direct, mask, chosen, page - 1)
    return {
        "wnid": wordnet.wnids_of([row])[0],
        "shown": tiles(images, level),
        "page": page,
        "pages": n_pages,
    }


def tiles(images: Sequence[NumberedImage], level: Level | None = None) -> list[dict[str, Any]]:
    """Return what a grid shows of some images."""
    names = ("dataset", "image_id", "wnid", "split", "width", "height", "n_boxes", "problem")
    shown = []
    for number, facts in images:
        row = wordnet.find_row(facts["wnid"]) if facts["wnid"] else None
        groups = level.of(row) if level is not None and row is not None else []
        shown.append(
            {
                "number": number,
                **{name: facts[name] for name in names},
                "label": wordnet.label_of(facts["wnid"]) if facts["wnid"] else "no class",
                "groups": [label(group) for group in groups],
                "colour": level.colours[groups[0]] if level is not None and groups else "",
            }
        )
    return shown


def _whole_number(address: Address, name: str, default: int) -> int:
    text = address.parameters.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text)):
        raise UsageError(f"{name}={text}: expected a whole number from 1.")
    return int(text)


def _gloss(site: Site, wnid: str) -> str:
    rows = site.index.cursor().execute("SELECT gloss FROM glosses WHERE wnid = $wnid", {"wnid": wnid}).fetchall()
    return str(rows[0][0]) if rows else nltk_bridge.glosses_at_hand([wnid]).get(wnid, "")


def _counted(row: int, direct: npt.NDArray[np.int64], inclusive: npt.NDArray[np.int64]) -> dict[str, Any]:
    wnid = wordnet.wnids_of([row])[0]
    return {"wnid": wnid, "label": label(row), "images": int(direct[row]), "images_inclusive": int(inclusive[row])}


def _histograms(site: Site, chosen: Filters, mask: npt.NDArray[np.bool_]) -> list[dict[str, Any]]:
    """Return the histograms of a synset; a bin has its ends, its images, and the filter that a click sets."""
    shown = []
    for name, measure in filtering.MEASURES.items():
        counts = site.counts.histogram(chosen, name).of(mask, measure.n_bins)
        bins = []
        for n, count in enumerate(counts):
            low, last = n * measure.step, n == measure.n_bins - 1
            high = None if last else (n + 1) * measure.step
            filter_text = f"{low:g}-" if high is None else f"{low:g}-{high:g}"
            bins.append({"low": low, "high": high, "n": count, "filter": filter_text})
        shown.append({"name": name, "title": measure.title, "unit": measure.unit, "bins": _trimmed(bins)})
    counts = site.counts.histogram(chosen, "box_area").of(mask, 20)
    bins = [{"low": n * BOX_AREA_STEP, "high": (n + 1) * BOX_AREA_STEP, "n": n_boxes, "filter": ""}
            for n, n_boxes in enumerate(counts)]  # fmt: skip
    shown.append({"name": "box_area", "title": "Area of boxes in their image", "unit": "%", "bins": _trimmed(bins)})
    return shown


def _trimmed(bins: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return bins without the empty ones at both ends."""
    full = [n for n, one in enumerate(bins) if one["n"]]
    return bins[full[0] : full[-1] + 1] if full else []


def _level(
    site: Site, level: Level | None, direct: npt.NDArray[np.int64], mask: npt.NDArray[np.bool_]
) -> dict[str, Any]:
    """Return the slider's range, and the groups at its level with their counts."""
    ends = {"least": site.levels.least, "most": site.levels.most, "depth": level.depth if level else None}
    if level is None:
        return {**ends, "groups": [], "several": 0}
    groups = [
        {"wnid": wordnet.wnids_of([row])[0], "label": label(row), "images": n, "classes": n_classes,
         "colour": level.colours[row]}
        for row, n, n_classes in level.totals(direct, mask)
    ]  # fmt: skip
    several = int((np.bincount(level.members[(mask & (direct > 0))[level.members]], minlength=1) > 1).sum())
    return {**ends, "groups": groups, "several": several}


def _treemap(site: Site, address: Address, row: int, level: Level | None, mask: npt.NDArray[np.bool_]) -> str:
    """Return the treemap of a synset: its hyponyms, or the groups at the level, by what the address asks for."""
    by = address.parameters.get("by", "images")
    if by not in SUMS:
        raise UsageError(f"by={by}: expected one of {', '.join(SUMS)}.")
    chosen = site.filters(address)
    direct, inclusive = site.counts.direct(chosen, by), site.counts.inclusive(chosen, by)

    def part(place: int, value: int, colour: str, parts: tuple[charts.Branch, ...] = ()) -> charts.Branch:
        link = address.to(f"/synset/{wordnet.wnids_of([place])[0]}")
        return charts.Branch(label(place), value, parts, link, colour)

    if level is not None:
        parts = [part(group, n, level.colours[group]) for group, n, _ in level.totals(direct, mask)]
    else:
        parts = []
        for kid in _counted_children(row, inclusive).tolist():
            below = [part(low, int(inclusive[low]), "bar") for low in _counted_children(kid, inclusive).tolist()]
            fits = sum(one.value for one in below) <= int(inclusive[kid])  # else some are below several
            parts.append(part(kid, int(inclusive[kid]), "bar", tuple(below) if fits else ()))
    total = max(int(inclusive[row]), sum(one.value for one in parts))
    if not total:
        return ""
    about = f"{int(inclusive[row]):,} {by} at or below {label(row)}"
    if total > int(inclusive[row]):
        about += "; a synset under several parents is in each"
    root = charts.Branch(label(row), total, tuple(parts))
    if not parts:
        return ""
    return charts.treemap(f"{label(row)} by {by}", about, root, height=_TREEMAP_PIXELS).svg(style=False)


# ---- image


def image(site: Site, number: int) -> View:
    """Return the page of an image: every fact, where its bytes are, its boxes, its labels, and predictions of it."""
    found = site.pages.image(number)
    facts = found.facts
    key = {"dataset": facts["dataset"], "image_id": facts["image_id"]}
    same = "WHERE dataset = $dataset AND image_id = $image_id"
    cursor = site.index.cursor()
    head = ("wnid", "name", "xmin", "ymin", "xmax", "ymax", "nxmin", "nymin", "nxmax", "nymax", "pose", "truncated",
            "difficult", "flags")  # fmt: skip
    boxes = cursor.execute(f"SELECT {', '.join(head)} FROM boxes {same} ORDER BY ALL", key).fetchall()
    labelled = cursor.execute(f"SELECT label_set, wnid FROM labels {same} ORDER BY ALL", key).fetchall()
    if labels.validation_wnid(facts["image_id"]) and facts["image_id"].startswith("ILSVRC2012_val_"):
        real = image_lists.real_labels()[int(facts["image_id"][-8:]) - 1]
        labelled += [("real", wnid) for wnid in real] or [("real", None)]
    copies = cursor.execute(f"SELECT source, file, member FROM copies {same} ORDER BY ALL", key).fetchall()
    problems = cursor.execute(f"SELECT code, reason FROM problems {same} ORDER BY ALL", key).fetchall()
    data = {
        "number": number,
        **facts,
        "label": wordnet.label_of(facts["wnid"]) if facts["wnid"] else "no class",
        "path": str(site.index.place(facts["source"], facts["file"])),
        "boxes": [dict(zip(head, box, strict=True)) for box in boxes],
        "labels": [
            {"label_set": name, "wnid": wnid, "label": wordnet.label_of(wnid) if wnid else "no label"}
            for name, wnid in labelled
        ],
        "copies": [dict(zip(("source", "file", "member"), copy, strict=True)) for copy in copies],
        "problems": [dict(zip(("code", "reason"), problem, strict=True)) for problem in problems],
        "predictions": [
            {"model": model.name, **said} for model in site.models if (said := model.of_image(facts["image_id"]))
        ],
    }
    rows = [(name, None if value is None else str(value)) for name, value in facts.items()]
    return View("image.html", str(facts["image_id"]), data, (("fact", "value"), rows))


def predictions(site: Site, address: Address) -> View:
    """Return the page of a file of predictions: its measures, its confusions, and where its mistakes meet."""
    number, model = _model(site, address)
    below = address.parameters.get("below", "")
    if below and wordnet.find_row(below) is None:
        raise UsageError(f"below={below}: expected a wnid.")
    level = site.level(address)
    confusions = model.confusions(below or None)
    data = {
        "models": [one.name for one in site.models],
        "model": number,
        "name": model.name,
        "about": model.about,
        "measures": model.measures(),
        "below": below,
        "confusions": confusions,
        "common": model.mistakes()[:_N_COMMON],
        "accuracy_at_level": model.at_level(level) if level else None,
        "is_sorted": model.is_sorted,
        "notes": model.notes,
    }
    head = ("wnid", "predicted", "common", "n")
    return View("predictions.html", "Predictions", data, (head, [[one[name] for name in head] for one in confusions]))


def predicted_images(site: Site, address: Address) -> View:
    """Return the page of the images of one class that a model takes for another."""
    _, model = _model(site, address)
    label_wnid, predicted = address.parameters.get("label", ""), address.parameters.get("predicted", "")
    ids = model.images(label_wnid, predicted)[:_MAX_PREDICTED]
    return several(
        site.pages.of_ids(ids), f"{wordnet.label_of(label_wnid)} taken for {wordnet.label_of(predicted)}: {len(ids)}"
    )


def _model(site: Site, address: Address) -> tuple[int, Model]:
    if not site.models:
        raise UsageError("No predictions are loaded. Start with `imagenet-tools explore --predictions FILE`.")
    number = _whole_number(address, "model", 0) if address.parameters.get("model") not in (None, "0") else 0
    if number >= len(site.models):
        raise UsageError(f"model={number}: expected a number from 0 to {len(site.models) - 1}.")
    return number, site.models[number]


def several(images: Sequence[NumberedImage], title: str) -> View:
    """Return a page of some images."""
    shown = tiles(images)
    head = ("number", "dataset", "image_id", "wnid", "split")
    rows = [tuple(image[name] for name in head) for image in shown]
    return View("images.html", title, {"title": title, "shown": shown}, (head, rows))


def image_list(images: Sequence[NumberedImage]) -> str:
    """Return images as the text of an image list file, which --images reads."""
    ids = sorted({f"{image.facts['dataset']}/{image.facts['image_id']}" for image in images})
    return "".join(f"{image_id}\n" for image_id in itertools.chain(ids))
