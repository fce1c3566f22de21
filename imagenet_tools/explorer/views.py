"""The views: from the counts and images of an index to the values that a page shows, without HTTP and HTML."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from imagenet_tools.catalogue import image_lists, labels, terms
from imagenet_tools.errors import UsageError
from imagenet_tools.explorer import filters as filtering
from imagenet_tools.explorer.counts import IndexCounts, Level, Levels, label
from imagenet_tools.explorer.image_pages import ImagePages, NumberedImage
from imagenet_tools.wordnet import hierarchy, wordnet
from imagenet_tools.wordnet.wnid import keeps_imagenet_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy.typing as npt

    from imagenet_tools.explorer.addresses import Address
    from imagenet_tools.explorer.filters import Filters
    from imagenet_tools.explorer.predictions import Model
    from imagenet_tools.store.store import Store

_MAX_CHILDREN = 150  # of a node of the tree; the page of the synset has them all
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

    def __init__(self, index: Store, models: Sequence[Model] = ()) -> None:
        self.index = index
        self.counts = IndexCounts(index)
        self.pages = ImagePages(index)
        self.models = models

    @functools.cached_property
    def top(self) -> int:
        """The row of the lowest synset above all images; the root if there are none, as in an index of labels alone."""
        inclusive = self.counts.inclusive(filtering.Filters())
        if not inclusive.any():
            return wordnet.row_of(hierarchy.ROOT)
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

    def synset(self, text: str) -> str:
        """Return the wnid that a text names: only a lemma needs the counts of its senses."""
        row = wordnet.find_row(text)
        return self.index.synset(text) if row is None else wordnet.wnid_at(row)

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
        if not text.isdecimal() or len(text) > 3 or not least <= int(text) <= most:
            raise UsageError(f"level={text}: expected a depth from {least} to {most}.")
        return self.levels.at(int(text))


def open_site(path: Path | None, roots: Mapping[str, Path]) -> Site:
    """Open an index, and count its images by synset, which every page needs."""
    from imagenet_tools.store.store import Store

    site = Site(Store.open(path, roots=roots))
    site.counts.inclusive(filtering.Filters())
    return site


# ---- tree


def tree(site: Site, address: Address, current: int | None) -> dict[str, Any]:
    """Return the tree from the lowest synset above all images, open down to one synset."""
    path = [site.top]
    if current is not None:
        paths = hierarchy.hypernym_paths(wordnet.wnid_at(current))
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
        kids = counted_children(row, inclusive)
        while (
            parent is not None and row != current and len(kids) == 1 and not direct[row]
            and inclusive[kids[0]] == inclusive[row]
        ):  # fmt: skip
            skipped.append(label(row))
            parent, row = row, int(kids[0])
            kids = counted_children(row, inclusive)
        others = [up for up in hierarchy.edges_up().of(row).tolist() if up != parent and inclusive[up] > 0]
        shown = kids[np.argsort(-inclusive[kids], kind="stable")][:_MAX_CHILDREN].tolist() if is_open else []
        on_path = {place for place in path if place in set(kids.tolist())}
        shown += [place for place in on_path if is_open and place not in shown]
        return TreeNode(
            wordnet.wnid_at(row),
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


def counted_children(row: int, inclusive: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    """Return the rows of the hyponyms of a synset that have images at or below them."""
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


# ---- images


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


def whole_number(address: Address, name: str, default: int) -> int:
    """Return a parameter of an address that counts from 1. UsageError: it is no such number."""
    text = address.parameters.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text)):
        raise UsageError(f"{name}={text}: expected a whole number from 1.")
    return int(text)


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
    if labels.validation_wnid(facts["image_id"]):
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
            {"model": model.name, **predicted}
            for model in site.models
            if _may_be_predicted(facts) and (predicted := model.of_image(facts["image_id"]))
        ],
    }
    rows = [(name, None if value is None else str(value)) for name, value in facts.items()]
    return View("image.html", str(facts["image_id"]), data, (("fact", "value"), rows))


def predictions(site: Site, address: Address) -> View:
    """Return the page of a file of predictions: its measures, its confusions, and where its mistakes meet."""
    number, model = _model(site, address)
    aligned = model.scores.aligned
    below = address.parameters.get("below", "")
    if below and wordnet.find_row(below) is None:
        raise UsageError(f"below={below}: expected a wnid.")
    level = site.level(address)
    confusions = model.confusions(below or None)
    data = {
        "models": [one.name for one in site.models],
        "model": number,
        "name": model.name,
        "about": aligned.about,
        "measures": model.measures(),
        "below": below,
        "confusions": confusions,
        "common": model.mistakes()[:_N_COMMON],
        "accuracy_at_level": model.at_level(level) if level else None,
        "is_sorted": model.is_sorted,
        "notes": [*aligned.evidence, *aligned.notes],
    }
    head = ("wnid", "predicted", "common", "n")
    return View("predictions.html", "Predictions", data, (head, [[one[name] for name in head] for one in confusions]))


def predicted_images(site: Site, address: Address) -> View:
    """Return the page of the images of one class that a model takes for another."""
    _, model = _model(site, address)
    label_wnid, predicted = address.parameters.get("label", ""), address.parameters.get("predicted", "")
    ids = model.images(label_wnid, predicted)[:_MAX_PREDICTED]
    images = [image for image in site.pages.of_ids(ids) if _may_be_predicted(image.facts)]
    return several(images, f"{wordnet.label_of(label_wnid)} taken for {wordnet.label_of(predicted)}: {len(ids)}")


def _may_be_predicted(facts: Mapping[str, Any]) -> bool:
    """Return False for an image of another data set under ImageNet's name, as ImageNet-C's: predictions name the id."""
    return facts["photo"] == facts["image_id"] or not keeps_imagenet_name(facts["image_id"])


def _model(site: Site, address: Address) -> tuple[int, Model]:
    if not site.models:
        raise UsageError("No predictions are loaded. Start with `imagenet-tools explore --predictions FILE`.")
    number = whole_number(address, "model", 0) if address.parameters.get("model") not in (None, "0") else 0
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
    ids = {f"{image.facts['dataset']}/{image.facts['image_id']}" for image in images}
    return "".join(f"{image_id}\n" for image_id in sorted(ids))
