"""Views compare with SQL over the index: counts, filters, histograms, pages of images, levels and the tree."""

import itertools
import re
from collections import Counter

import numpy as np
import pytest

from imagenet_tools.errors import UsageError
from imagenet_tools.explorer import filters, synset_page, views
from imagenet_tools.explorer.addresses import Address
from imagenet_tools.explorer.filters import Filters
from imagenet_tools.explorer.image_pages import PAGE_IMAGES, turns_of
from imagenet_tools.explorer.views import Site, TreeNode
from imagenet_tools.wordnet import hierarchy, wordnet
from tests.parameters import short_list

DOG = wordnet.row_of("dog.n.01")


def address(path: str = "/synset/n02084071", **parameters: str) -> Address:
    return Address(path, parameters)


def nodes(node: TreeNode) -> list[TreeNode]:
    return [node, *itertools.chain.from_iterable(map(nodes, node.children))]


@pytest.mark.parametrize(
    ("chosen", "where"),
    [
        (Filters(), "true"),
        (Filters(split="val"), "split = 'val'"),
        (Filters(dataset="ilsvrc2012", problem="any"), "problem IS NOT NULL"),
        (Filters(problem="none"), "problem IS NULL"),
        (Filters(labels="devkit"), "image_id IN (SELECT image_id FROM labels WHERE label_set = 'devkit')"),
        (Filters(ranges=(("side", 64, 96),)), "least(width, height) BETWEEN 64 AND 95"),
        (Filters(split="train", ranges=(("boxes", 1, None),)), "split = 'train' AND n_boxes >= 1"),
        (Filters(ranges=(("aspect", None, 1.0),)),
         "CASE WHEN orientation >= 5 THEN height / width ELSE width / height END < 1"),
    ],
)  # fmt: skip
def test_counts_and_pages_are_those_of_sql(site: Site, chosen: Filters, where: str) -> None:
    query = f"SELECT count(*), sum(n_boxes), sum(length) FROM images WHERE is_a(wnid, 'dog.n.01') AND ({where})"
    ((n, n_boxes, n_bytes),) = site.index.sql(query).fetchall()
    found = [int(site.counts.inclusive(chosen, by)[DOG]) for by in ("images", "boxes", "bytes")]
    assert found == [n, n_boxes or 0, n_bytes or 0]
    mask = wordnet.mask_of(wordnet.rows_of(hierarchy.descendants("dog.n.01")))
    direct = site.counts.direct(chosen)
    numbers = [image.number for page in range(3) for image in site.pages.page(direct, mask, chosen, page)]
    assert len(numbers) == len(set(numbers)) == n
    ids = {site.pages.image(number).facts["image_id"] for number in numbers}
    assert ids == {
        row[0] for row in site.index.sql(query.replace("count(*), sum(n_boxes), sum(length)", "image_id")).fetchall()
    }
    for name, measure in filters.MEASURES.items():
        assert sum(site.counts.histogram(chosen, name).of(mask, measure.n_bins)) == n


@pytest.mark.parametrize(
    "sort", short_list([sign + name for name in filters.MEASURES for sign in ("", "-")], "side", "-boxes")
)
def test_sorted_pages_are_those_of_sql(site: Site, sort: str) -> None:
    name, descending = sort.removeprefix("-"), sort.startswith("-")
    query = f"""SELECT {filters.MEASURES[name].sql} FROM images WHERE is_a(wnid, 'animal.n.01') AND split = 'train'
                ORDER BY 1 {"DESC" if descending else ""}"""
    expected = [value for (value,) in site.index.sql(query).fetchall()]
    shown = [
        image
        for page in ("1", "2", "3")
        for image in synset_page.image_grid(site, address(sort=sort, split="train", page=page), "animal.n.01")["shown"]
    ]
    numbers = [image["number"] for image in shown]
    assert len(set(numbers)) == len(expected) > PAGE_IMAGES
    order = f"SELECT {filters.MEASURES[name].sql} FROM images WHERE image_id = $id AND dataset = $dataset"
    values = {image["number"]: {"id": image["image_id"], "dataset": image["dataset"]} for image in shown}
    assert [site.index.sql(order, **values[n]).fetchall()[0][0] for n in numbers] == expected


def test_images_without_a_size_come_last_whatever_the_order() -> None:
    assert filters.read_order("side").endswith("ASC NULLS LAST")
    assert filters.read_order("-side").endswith("DESC NULLS LAST")
    assert filters.read_order("") == ""
    for wrong in ("size", "--side", "-", "side;DROP"):
        with pytest.raises(UsageError, match="expected one of side, aspect, boxes"):
            filters.read_order(wrong)


def test_a_bin_of_a_histogram_is_the_filter_of_its_link(site: Site) -> None:
    data = synset_page.synset(site, address(), "dog").data
    for chart in data["histograms"]:
        for one in chart["bins"]:
            if one["filter"]:
                shown = synset_page.synset(site, address(**{chart["name"]: one["filter"]}), "dog").data
                assert shown["images_inclusive"] == one["n"], (chart["name"], one)


def test_facets_count_what_a_click_shows(site: Site) -> None:
    data = synset_page.synset(site, address(), "animal").data
    for name, values in data["facets"].items():
        for value, n in values:
            assert synset_page.synset(site, address(**{name: value}), "animal").data["images_inclusive"] == n


@pytest.mark.parametrize("counts", [[], [0], [3], [9], [5, 0, 1, 9], [4, 4, 4], [1] * 30])
def test_turns_have_every_image_once_in_one_order(counts: list[int]) -> None:
    array = np.array(counts, np.int64)

    def places(start: int, n: int) -> list[tuple[int, int]]:
        return [(row, place) for row, first, last in turns_of(array, start, n) for place in range(first, last)]

    whole = places(0, 10_000)
    assert sorted(whole) == [(row, place) for row, n in enumerate(counts) for place in range(n)]
    for size in (1, 3, 7):
        assert [image for start in range(0, len(whole), size) for image in places(start, size)] == whole
    assert len({row for row, _ in whole[: 4 * 4]}) == min(4, sum(n > 0 for n in counts)) or max(counts, default=0) < 4


def test_an_image_has_one_number(site: Site) -> None:
    n = site.index.n_images
    keys = {tuple(site.pages.image(number).facts[name] for name in ("dataset", "image_id")) for number in range(n)}
    assert keys == set(site.index.sql("SELECT dataset, image_id FROM images").fetchall())
    for number in (-1, n):
        with pytest.raises(UsageError):
            site.pages.image(number)


def test_a_synset_stands_below_each_of_its_parents(site: Site) -> None:
    dog = "n02084071"
    assert hierarchy.hypernyms(dog) == ("n02083346", "n01317541")  # canine, domestic animal
    below = {
        parent: [node.wnid for node in views.branch(site, address(), parent)] for parent in hierarchy.hypernyms(dog)
    }
    assert all(dog in wnids for wnids in below.values())
    (node,) = (node for node in views.branch(site, address(), "n02083346") if node.wnid == dog)
    assert node.also == [("n01317541", "domestic animal")]
    assert (node.direct, node.inclusive) == (0, 70)


def test_the_tree_is_open_down_to_the_synset(site: Site) -> None:
    root = views._branch(site, address(), site.top, [site.top], site.top)
    assert (root.label, root.inclusive) == ("whole", 182)
    tree = views.tree(site, address(), wordnet.row_of("n02085620"))["node"]
    shown = nodes(TreeNode(**tree))
    assert [node.wnid for node in shown if node.is_current] == ["n02085620"]
    assert all(node.percent <= 100 for node in shown)
    above = views.tree(site, address(), wordnet.row_of("entity.n.01"))["node"]
    assert above["wnid"] == "n00001740"


def test_a_level_counts_every_image_and_colours_every_class(site: Site) -> None:
    classes = np.flatnonzero(site.counts.direct(Filters()))
    for depth in range(site.levels.least, site.levels.most + 1):
        level = site.levels.at(depth)
        assert all(level.of(int(row)) for row in classes), depth
        deep = [row for row in level.colours if hierarchy.min_depths()[row] == depth]
        names = wordnet.wnids_of(deep)
        assert not any(hierarchy.is_a(a, b) for a in names for b in names if a != b), "a group is below another"
        data = synset_page.synset(site, address(level=str(depth)), "whole").data
        groups = data["level"]["groups"]
        several = sum((len(level.of(int(row))) - 1) * int(site.counts.direct(Filters())[row]) for row in classes)
        assert sum(group["images"] for group in groups) == 182 + several
        assert {image["colour"] for image in data["shown"]} <= {group["colour"] for group in groups}
    with pytest.raises(UsageError, match="expected a depth"):
        synset_page.synset(site, address(level="99"), "whole")


@pytest.mark.parametrize(
    ("text", "first"),
    [("tabby", "n02123045"), ("n02123045", "n02123045"), ("tabby.n.01", "n02123045"), ("281", "n02123045"),
     ("school bus", "n04146614")],
)  # fmt: skip
def test_a_synset_is_found_by_word_name_wnid_and_index(text: str, first: str) -> None:
    assert first in [row["wnid"] for row in views.search(text).data["found"][:5]]


def test_an_image_has_its_facts_boxes_and_labels(site: Site) -> None:
    (found,) = site.pages.of_ids(["ILSVRC2012_val_00000020"])
    data = views.image(site, found.number).data
    assert data["image_id"] == "ILSVRC2012_val_00000020"
    assert {one["label_set"] for one in data["labels"]} >= {"devkit", "real"}
    assert len(data["boxes"]) == data["n_boxes"]
    (moved,) = site.pages.of_ids(["n02099601_19831"])
    assert views.image(site, moved.number).data["boxes"][0]["flags"]


def test_pages_take_classes_in_turns(site: Site) -> None:
    shown = synset_page.synset(site, address(), "whole").data["shown"]
    assert len(shown) == PAGE_IMAGES
    assert set(Counter(image["wnid"] for image in shown).values()) == {4}


def test_links_keep_the_filters_and_the_subset() -> None:
    here = Address("/synset/x", {"split": "val", "page": "3", "under": "a,b", "q": "z", "level": ""})
    assert here.to("/sql") == "/sql?split=val&under=a,b"
    assert here.here(split="") == "/synset/x?under=a,b&q=z"
    assert here.as_file(".csv") == "/synset/x.csv?split=val&page=3&under=a,b&q=z"
    assert here.to_subset_with("c") == "/subset?split=val&under=a,b,c"
    assert Address("/", {"under": "a&x=,", "without": "b"}).to_subset_with("c") == "/subset?without=b&under=a%26x%3D,c"
    assert (here.added("under", "c"), here.removed("under", "a")) == ("a,b,c", "b")
    assert re.fullmatch(r"/x\?q=%3Cscript%3E%26", Address("/", {}).to("/x", q="<script>&"))


@pytest.mark.parametrize(
    "parameters",
    [
        *({"split": "x"}, {"side": "a"}, {"side": "-"}, {"boxes": "1-2-3"}, {"page": "0"}, {"by": "x"}),
        *({"level": "x"}, {"level": "0055"}, {"level": "0" * 5_000}),
    ],
)
def test_wrong_parameters_are_errors(site: Site, parameters: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="expected"):
        synset_page.synset(site, address(**parameters), "dog")
