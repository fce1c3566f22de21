"""The page of a synset: its facts, its place in the hierarchy, its histograms and treemap, and pages of its images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from imagenet_tools.catalogue import lists, terms
from imagenet_tools.display import charts
from imagenet_tools.errors import UsageError
from imagenet_tools.explorer import filters as filtering
from imagenet_tools.explorer.counts import BOX_AREA_BINS, BOX_AREA_STEP, SUMS, label
from imagenet_tools.explorer.image_pages import PAGE_IMAGES
from imagenet_tools.explorer.views import View, counted_children, tiles, whole_number
from imagenet_tools.images.probe import PROBLEMS
from imagenet_tools.wordnet import graph, hierarchy, nltk_bridge, wordnet

if TYPE_CHECKING:
    import numpy.typing as npt

    from imagenet_tools.explorer.addresses import Address
    from imagenet_tools.explorer.counts import Level
    from imagenet_tools.explorer.filters import Filters
    from imagenet_tools.explorer.views import Site

_TREEMAP_PIXELS = 220


def synset(site: Site, address: Address, text: str, *, wait: bool = True) -> View:
    """Return the page of a synset: its facts, what is above and below it, its histograms, and a page of its images.

    Without `wait`, a page that comes while the images are still counted has no facets, histograms and boxes.
    """
    wnid = site.synset(text)
    row = wordnet.row_of(wnid)
    facts = wordnet.synset_at(row)
    chosen, level = site.filters(address), site.level(address)
    mask = wordnet.mask_of(graph.reach(hierarchy.edges_down(), [row]))
    direct, inclusive = site.counts.direct(chosen), site.counts.inclusive(chosen)
    grid = image_grid(site, address, wnid)
    counted = wait or chosen != filtering.Filters() or site.counts.is_ready(chosen)
    below = counted_children(row, inclusive)
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
        "boxed": sum(_boxes(site, chosen, mask)[1:]) if counted else None,
        "counted": counted,
        "classes_inclusive": int((mask & (direct > 0)).sum()),
        "ilsvrc2012_classes": int(terms.ilsvrc2012_below()[row]),
        "paths": [[(step, wordnet.label_of(step)) for step in path] for path in hierarchy.hypernym_paths(wnid)],
        "hyponyms": hyponyms,
        "hyponyms_without_images": n_empty,
        "numbers": lists.numbers_of(wnid) if counted else {},
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
    page = whole_number(address, "page", 1)
    n_pages = -(-n_images // PAGE_IMAGES)
    if order := filtering.read_order(address.parameters.get("sort", "")):
        images = site.pages.sorted_page(mask & (direct > 0), chosen, order, page - 1)
    else:
        images = site.pages.page(direct, mask, chosen, page - 1)
    return {
        "wnid": wordnet.wnid_at(row),
        "shown": tiles(images, level),
        "page": page,
        "pages": n_pages,
    }


def _gloss(site: Site, wnid: str) -> str:
    rows = site.index.cursor().execute("SELECT gloss FROM glosses WHERE wnid = $wnid", {"wnid": wnid}).fetchall()
    return str(rows[0][0]) if rows else nltk_bridge.glosses_at_hand([wnid]).get(wnid, "")


def _boxes(site: Site, chosen: Filters, mask: npt.NDArray[np.bool_]) -> list[int]:
    """Return the number of images with no box, one box, and so on."""
    return site.counts.histogram(chosen, "boxes").of(mask, filtering.MEASURES["boxes"].n_bins)


def _counted(row: int, direct: npt.NDArray[np.int64], inclusive: npt.NDArray[np.int64]) -> dict[str, Any]:
    wnid = wordnet.wnid_at(row)
    return {"wnid": wnid, "label": label(row), "images": int(direct[row]), "images_inclusive": int(inclusive[row])}


def _histograms(site: Site, chosen: Filters, mask: npt.NDArray[np.bool_]) -> list[dict[str, Any]]:
    """Return the histograms of a synset; a bin has its ends, its images, and the filter that a click sets."""
    shown = []
    for name, measure in filtering.MEASURES.items():
        counts = site.counts.histogram(chosen, name).of(mask, measure.n_bins)
        bins = []
        for n, count in enumerate(counts):
            low, high = n * measure.step, None if n == measure.n_bins - 1 else (n + 1) * measure.step
            filter_text = f"{low:g}-" if high is None else f"{low:g}-{high:g}"
            bins.append({"low": low, "high": high, "n": count, "filter": filter_text})
        shown.append({"name": name, "title": measure.title, "unit": measure.unit, "bins": _trimmed(bins)})
    counts = site.counts.histogram(chosen, "box_area").of(mask, BOX_AREA_BINS)
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
        {"wnid": wordnet.wnid_at(row), "label": label(row), "images": n, "classes": n_classes,
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
        link = address.to(f"/synset/{wordnet.wnid_at(place)}")
        return charts.Branch(label(place), value, parts, link, colour)

    if level is not None:
        parts = [part(group, n, level.colours[group]) for group, n, _ in level.totals(direct, mask)]
    else:
        parts = []
        for kid in counted_children(row, inclusive).tolist():
            below = [part(low, int(inclusive[low]), "bar") for low in counted_children(kid, inclusive).tolist()]
            fits = sum(one.value for one in below) <= int(inclusive[kid])  # else some are below several
            parts.append(part(kid, int(inclusive[kid]), "bar", tuple(below) if fits else ()))
    if not parts or (len(parts) == 1 and not parts[0].parts):
        return ""  # one rectangle says nothing
    total = max(int(inclusive[row]), sum(one.value for one in parts))
    about = f"{int(inclusive[row]):,} {by} at or below {label(row)}"
    if total > int(inclusive[row]):
        about += "; a synset under several parents is in each"
    root = charts.Branch(label(row), total, tuple(parts))
    return charts.treemap(f"{label(row)} by {by}", about, root, height=_TREEMAP_PIXELS).svg(style=False)
