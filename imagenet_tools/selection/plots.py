"""Charts of a selection: its tree of classes, and the distributions of classes, sizes, boxes, splits and problems."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from imagenet_tools.annotations.bbox import TRANSPOSED
from imagenet_tools.display import charts
from imagenet_tools.errors import UsageError
from imagenet_tools.schema import TABLES
from imagenet_tools.selection.show import distinct_names
from imagenet_tools.selection.words import Choice
from imagenet_tools.superclasses import drawing
from imagenet_tools.superclasses.exclusive_tree import exclusive_tree
from imagenet_tools.text import count_of
from imagenet_tools.wordnet import graph, wordnet

if TYPE_CHECKING:
    import numpy.typing as npt

    from imagenet_tools.display.charts import Branch, Chart
    from imagenet_tools.selection.selection import Selection

_MOST_BARS = 40  # with more classes, their images are shown as a histogram
_ASPECT_STEP = 0.1
_AREA_STEP_PERCENT = 5.0

_CHOSEN = "FROM made WHERE left_out IS NULL"
_BOXES = "FROM boxes JOIN (SELECT dataset, image_id FROM made WHERE left_out IS NULL) USING (dataset, image_id)"
_NUMBERS = ("int16", "int32", "int64", "uint32", "double")


def plot(selection: Selection, kind: str, *, by: str) -> Chart:
    """Return a chart: see Selection.plot."""
    if kind not in KINDS:
        raise UsageError(f"kind: found {kind!r}; expected one of {', '.join(KINDS)}.")
    if kind == "tree":
        return tree_chart(counts_by_class(selection, by), by)
    if by != "images":
        raise UsageError(f"by: found {by!r} with the kind {kind!r}; expected it with the kind tree only.")
    return KINDS[kind](selection)


# ---- tree


def counts_by_class(selection: Selection, by: str) -> Counter[str]:
    """Return what the chosen images have at each synset itself, by wnid.

    Args:
        selection: The images.
        by: images, boxes, or a number column of images, whose values are summed.

    Raises:
        UsageError: `by` is neither.
    """
    if by == "images":
        return _pairs(selection, f"SELECT official_wnid, count(*) {_CHOSEN} GROUP BY ALL")
    if by == "boxes":
        return _pairs(selection, f"SELECT wnid, count(*) {_BOXES} GROUP BY ALL")
    columns = [column.name for column in TABLES["images"].columns if column.type in _NUMBERS]
    if by not in columns:
        raise UsageError(f"by: found {by!r}; expected images, boxes, or one of {', '.join(columns)}.")
    return _pairs(selection, f'SELECT official_wnid, coalesce(sum("{by}"), 0)::BIGINT {_CHOSEN} GROUP BY ALL')


def by_row(counts: Mapping[str, int]) -> npt.NDArray[np.int64]:
    """Return counts by wnid as an array by row of wordnet: (82,115,). Classes outside WordNet are left out."""
    known = [wnid for wnid in counts if wordnet.find_row(wnid) is not None]
    return wordnet.sums_of(wordnet.rows_of(known), [counts[wnid] for wnid in known])


def tree_chart(counts: Mapping[str, int], by: str = "images", *, right: Mapping[str, int] | None = None) -> Chart:
    """Return a treemap of counts by wnid: from the lowest synset above all of them, each synset once.

    Args:
        counts: What is counted, by wnid.
        by: Its name.
        right: How many of these are right, by wnid: the colour of each part is their share.
    """
    direct = by_row(counts)
    rows = np.flatnonzero(direct > 0)
    if not len(rows):
        return charts.bars(f"Classes by {by}", f"no {by}", [])
    tree = exclusive_tree(wordnet.wnids_of(rows), rule="most-images", images=direct)
    edges = tree.edges_down()
    inclusive = graph.inclusive(graph.reverse(edges), direct)
    inclusive_right = None if right is None else graph.inclusive(graph.reverse(edges), by_row(right))
    outline = drawing.outline(counts=inclusive, counted=True, collapse=True, edges=edges)
    below = outline.below()

    def branch(wnid: str) -> Branch:
        parts = [branch(link.lower) for link in below[wnid]]
        if any(part.parts for part in parts):  # a class alone below a hypernym has a heading as its siblings have
            for n, (link, part) in enumerate(zip(below[wnid], parts, strict=True)):
                if link.skipped and not part.parts:
                    parts[n] = charts.Branch(wordnet.label_of(link.skipped[0]), part.value, (part,), share=part.share)
        row = wordnet.row_of(wnid)
        share = None if inclusive_right is None else float(inclusive_right[row] / inclusive[row])
        return charts.Branch(wordnet.label_of(wnid), int(inclusive[row]), tuple(parts), share=share)

    root = branch(outline.nodes[0].wnid)
    while len(root.parts) == 1 and root.parts[0].value == root.value:
        root = root.parts[0]
    about = f"{root.value:,} {by} of {len(rows):,} classes"
    if right is not None:
        low, *_, high = charts.SHADE_LIMITS
        about += f"; orange: less than {low:.0%} right, blue: {high:.0%} or more"
    if tree.choices:
        about += "; a synset with several hypernyms is in the largest"
    return charts.treemap(f"Classes below {root.name}, by {by}", about, root)


# ---- distributions


def _pairs(selection: Selection, query: str) -> Counter[Any]:
    """Return the counts of a query of values and their number, without null."""
    return Counter({value: n for value, n in selection.run(query).fetchall() if value is not None})


def _classes(selection: Selection) -> Chart:
    counts: Counter[str] = Counter()
    for counted in selection.counts().values():
        counts.update(counted)
    return class_chart({wnid: (wordnet.label_of(wnid), n) for wnid, n in counts.items()})


def class_chart(classes: dict[str, tuple[str, int]]) -> Chart:
    """Return the images of each class, given by (name, images); of many classes, how many have how many."""
    title, total = "Images a class", sum(n for _, n in classes.values())
    if len(classes) > _MOST_BARS:
        sizes = Counter(float(n) for _, n in classes.values())
        return charts.histogram(title, "", sizes, of="classes")
    names = distinct_names({wnid: name for wnid, (name, _) in classes.items()})
    rows = [(names[wnid], n) for wnid, (_, n) in classes.items()]
    rows.sort(key=lambda row: (-row[1], row[0]))
    return charts.bars(title, f"{total:,} images of {len(classes):,} classes", rows)


def _sizes(selection: Selection) -> Chart:
    counts = _pairs(selection, f"SELECT least(width, height), count(*) {_CHOSEN} GROUP BY ALL")
    return charts.histogram("Shorter side", " px", counts, of="images")


def _aspect(selection: Selection) -> Chart:
    turned = f"orientation IN {TRANSPOSED}"
    ratio = f"CASE WHEN {turned} THEN height / width ELSE width / height END"
    counts = _pairs(selection, f"SELECT round({ratio}, 2), count(*) {_CHOSEN} GROUP BY ALL")
    return charts.histogram("Width over height, as shown", "", counts, of="images", step=_ASPECT_STEP)


def _box_area(selection: Selection) -> Chart:
    area = "round(100 * (nxmax - nxmin) * (nymax - nymin), 1)"
    counts = _pairs(selection, f"SELECT {area}, count(*) {_BOXES} GROUP BY ALL")
    ((n_boxes,),) = selection.run(f"SELECT count(*) {_BOXES}").fetchall()
    all_can = n_boxes == counts.total()
    return box_chart(counts, "boxes" if all_can else f"of {count_of(n_boxes, 'box')} can be used")


def box_chart(counts: Counter[float], of: str) -> Chart:
    """Return the percent of its image that a box covers, by how often each occurs."""
    return charts.histogram("Area of boxes in their image", " %", counts, of=of, step=_AREA_STEP_PERCENT)


def _splits(selection: Selection) -> Chart:
    rows = [(split, sum(counted.values())) for split, counted in selection.counts().items()]
    return charts.bars("Images of each split", f"{sum(n for _, n in rows):,} images", rows)


def _problems(selection: Selection) -> Chart:
    query = f"SELECT problem, count(*) {_CHOSEN} GROUP BY ALL"
    of = "of chosen images"
    if selection.pinned is None and selection.choice == Choice():
        query, of = "SELECT code, count(*) FROM problems GROUP BY ALL", "of the index"
    counts = _pairs(selection, query)
    rows = sorted(counts.items(), key=lambda row: (-row[1], row[0]))
    return charts.bars("Problems", f"{of}: {sum(counts.values()):,}", rows)


KINDS: dict[str, Callable[[Selection], Chart]] = {
    "tree": lambda selection: tree_chart(counts_by_class(selection, "images")),
    "classes": _classes,
    "sizes": _sizes,
    "aspect": _aspect,
    "boxes": _box_area,
    "splits": _splits,
    "problems": _problems,
}
