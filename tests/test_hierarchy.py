"""The graph has the published counts, and ILSVRC's official costs and heights."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagenet_tools.catalogue import labels, lists, terms
from imagenet_tools.errors import UnknownSynsetError, UsageError
from imagenet_tools.schema import arrow_schema
from imagenet_tools.store import layout
from imagenet_tools.wordnet import graph, hierarchy, wordnet

INSTANCES = ["n09450163", "n10994097", "n11196627", "n11318824"]  # sun, Genet, Munro, Stoker: classes of fall11


@pytest.fixture(scope="module")
def closure() -> pa.Table:
    return pq.read_table(layout.constant_file("closure"))


def below(synset: str, classes: tuple[str, ...]) -> int:
    return len(set(hierarchy.descendants(synset)) & set(classes))


def test_parents_stand_in_wordnet_s_order_kinds_first() -> None:
    assert hierarchy.hypernyms("dog.n.01") == ("n02083346", "n01317541")
    assert hierarchy.hypernyms("n09450163") == ("n09444100",)
    assert hierarchy.hypernyms("n09450163", instances=False) == ()
    assert hierarchy.hypernyms("entity.n.01") == ()


def test_children_are_sorted_and_lead_back() -> None:
    children = hierarchy.hyponyms("dog.n.01")
    assert len(children) == 18
    assert children == tuple(sorted(children))
    assert all("n02084071" in hierarchy.hypernyms(child) for child in children)
    assert "n09450163" in hierarchy.hyponyms("star.n.01")
    assert "n09450163" not in hierarchy.hyponyms("star.n.01", instances=False)


def test_ancestors_and_descendants_hold_the_synset_itself_unless_told_not_to() -> None:
    assert hierarchy.ancestors("entity.n.01") == ("n00001740",)
    assert hierarchy.ancestors("entity.n.01", itself=False) == ()
    assert set(hierarchy.descendants("dog.n.01")) - set(hierarchy.descendants("dog.n.01", itself=False)) == {
        "n02084071"
    }
    assert hierarchy.descendants("entity.n.01") == tuple(wordnet.wnids())


def test_is_a_follows_every_path_and_holds_for_the_synset_itself() -> None:
    assert hierarchy.is_a("dog.n.01", "domestic_animal.n.01")
    assert hierarchy.is_a("dog.n.01", "carnivore.n.01")
    assert hierarchy.is_a("dog.n.01", "dog.n.01")
    assert not hierarchy.is_a("domestic_animal.n.01", "dog.n.01")
    assert hierarchy.is_a("n11318824", "person.n.01")
    assert not hierarchy.is_a("n11318824", "person.n.01", instances=False)


def test_a_lemma_is_no_synset() -> None:
    with pytest.raises(UnknownSynsetError, match="'dog'"):
        hierarchy.hypernyms("dog")


@pytest.mark.long  # a proof of the whole
def test_counts_of_the_whole_graph(closure: pa.Table) -> None:
    up = wordnet.load()
    has_child = np.zeros(82_115, bool)
    has_child[up.hypernyms.targets] = has_child[up.instance_hypernyms.targets] = True
    assert (~has_child).sum() == 64_958
    assert hierarchy.max_depths().max() == hierarchy.heights().max() == hierarchy.heights()[0] == 19
    assert hierarchy.min_depths().min() == 0  # everything lies below the root
    # A direct edge is redundant where the parent lies above another parent too.
    wnids = wordnet.wnids()
    several = wnids[hierarchy._up(True).degrees() > 1]
    redundant = [
        wnid
        for wnid in several
        if any(
            parent in hierarchy.ancestors(other, itself=False)
            for parent in hierarchy.hypernyms(wnid)
            for other in hierarchy.hypernyms(wnid)
        )
    ]
    assert len(redundant) == 61


@pytest.mark.parametrize(
    ("synset", "n"),
    [
        *[("dog.n.01", 118), ("bird.n.01", 59), ("mammal.n.01", 218), ("domestic_animal.n.01", 123)],
        *[("domestic_cat.n.01", 5), ("motor_vehicle.n.01", 22), ("fruit.n.01", 16), ("vegetable.n.01", 13)],
        *[("car.n.01", 10), ("structure.n.01", 58), ("vertebrate.n.01", 337), ("carnivore.n.01", 158)],
        *[("canine.n.02", 130), ("placental.n.01", 212), ("container.n.01", 100), ("entity.n.01", 1_000)],
    ],
)
def test_ilsvrc2012_classes_below_a_synset(synset: str, n: int) -> None:
    assert below(synset, labels.ilsvrc2012_sorted()) == n
    assert terms.ilsvrc2012_below()[wordnet.row_of(synset)] == n


def test_persons_of_fall11() -> None:
    fall11 = set(labels.fall11())
    assert len(fall11 & set(hierarchy.descendants("person.n.01", instances=False))) == 2_833
    assert len(fall11 & set(hierarchy.descendants("person.n.01"))) == 2_836
    assert len(fall11 & set(hierarchy.descendants("dog.n.01"))) == 190


def n_paths(rows: graph.Ints) -> np.ndarray:
    """Return the number of paths from each row to the root."""
    paths: dict[int, int] = {}

    def count(row: int) -> int:
        if row not in paths:
            paths[row] = sum(map(count, hierarchy._up(True).of(row).tolist())) or 1
        return paths[row]

    return np.array([count(row) for row in rows.tolist()])


@pytest.mark.parametrize(
    ("order", "nodes", "edges", "several_parents", "several_paths", "max_depth"),
    [("ilsvrc2012", 1_860, 1_937, 38, 304, 18), ("fall11", 23_546, 24_048, 453, 5_744, 19)],
)
def test_closure_of_a_class_set(
    order: str, nodes: int, edges: int, several_parents: int, several_paths: int, max_depth: int
) -> None:
    classes = wordnet.rows_of(lists.get(order).wnids)
    up = hierarchy._up(True)
    closure = graph.reach(up, classes)
    assert len(closure) == nodes
    assert up.degrees()[closure].sum() == edges
    assert (up.degrees()[classes] > 1).sum() == several_parents
    assert (n_paths(classes) > 1).sum() == several_paths
    assert hierarchy.max_depths()[classes].max() == max_depth


@pytest.mark.parametrize(
    ("name", "nodes", "edges"), [("imagenet12k", 13_636, 13_998), ("imagenet21k-p-winter21", 11_979, 12_292)]
)
def test_closure_of_the_lists_between(name: str, nodes: int, edges: int) -> None:
    up = hierarchy.edges_up()
    closure = graph.reach(up, wordnet.rows_of(lists.get(name).wnids))
    assert (len(closure), up.degrees()[closure].sum()) == (nodes, edges)


def test_paths_to_the_root_in_the_whole_graph() -> None:
    paths = n_paths(np.arange(82_115, dtype=np.int32))
    assert ((paths > 1).sum(), paths.max()) == (21_524, 12)


def test_nesting_in_fall11() -> None:
    classes = wordnet.rows_of(labels.fall11())
    row, node, distance = graph.pairs(hierarchy._up(True), classes)
    above = np.unique(node[(distance > 0) & np.isin(node, classes)])
    assert len(above) == 4_588
    ilsvrc = wordnet.rows_of(labels.ilsvrc2012_sorted())
    assert len(np.unique(row[(distance > 0) & np.isin(node, ilsvrc)])) == 1_245


def test_no_ilsvrc2012_class_lies_below_another() -> None:
    assert (terms.ilsvrc2012_below()[wordnet.rows_of(labels.ilsvrc2012_sorted())] == 1).all()


# ---- tables


def test_closure_table_is_sorted_whole_and_of_its_schema(closure: pa.Table) -> None:
    assert closure.schema == arrow_schema("closure")
    assert closure.num_rows == 825_356
    assert closure.sort_by([("ancestor", "ascending"), ("descendant", "ascending")]).equals(closure)
    itself = closure.filter(pc.equal(closure["distance"], 0))
    assert itself["ancestor"].equals(itself["descendant"])
    assert itself.num_rows == 82_115
    dog = closure.filter(pc.equal(closure["descendant"], "n02084071"))
    assert tuple(dog["ancestor"].to_pylist()) == hierarchy.ancestors("dog.n.01")
    assert dict(zip(*dog.select([0, 2]).to_pydict().values(), strict=True))["n00001740"] == 8


def test_hypernyms_table_is_every_edge_in_its_order() -> None:
    table = pq.read_table(layout.constant_file("hypernyms"))
    assert table.schema == arrow_schema("hypernyms")
    assert (table.num_rows, pc.sum(table["instance"]).as_py()) == (84_427, 8_577)
    dog = table.filter(pc.equal(table["wnid"], "n02084071"))
    assert dog["hypernym"].to_pylist() == ["n02083346", "n01317541"]
    sun = table.filter(pc.equal(table["wnid"], "n09450163"))
    assert sun.to_pylist() == [{"wnid": "n09450163", "hypernym": "n09444100", "instance": True}]


def test_synsets_table_holds_what_wordnet_and_the_class_lists_give() -> None:
    table = pq.read_table(layout.constant_file("synset_facts"))
    assert table.num_rows == 82_115
    assert table["wnid"].to_pylist() == list(wordnet.wnids())
    [tabby] = table.filter(pc.equal(table["name"], "tabby.n.01")).to_pylist()
    assert {name: tabby[name] for name in list(tabby)[:10]} == (
        {
            "wnid": "n02123045",
            "name": "tabby.n.01",
            "lemmas": ["tabby", "tabby_cat"],
            "lexfile": "noun.animal",
            "min_depth": 9,
            "max_depth": 15,
            "height": 0,
            "ilsvrc_id": 174,
            "ilsvrc2012_index": 281,
            "ilsvrc2012_slim_id": 282,
        }
    )
    assert tabby["fall11_index"] == labels.fall11().index("n02123045")
    classes = table.filter(pc.is_valid(table["ilsvrc_id"]))
    assert tuple(classes["wnid"].to_pylist()) == labels.ilsvrc2012_sorted()
    assert classes["ilsvrc2012_index"].to_pylist() == list(range(1_000))
    assert tuple(classes.sort_by("ilsvrc_id")["wnid"].to_pylist()) == labels.ilsvrc2012_ids()


# ---- counts


@settings(deadline=None, max_examples=20)
@given(st.dictionaries(st.integers(0, 82_114), st.integers(1, 10**12), max_size=20), st.integers(0, 82_114))
def test_inclusive_counts_are_the_sum_over_distinct_descendants(direct: dict[int, int], row: int) -> None:
    counts = np.zeros(82_115, np.int64)
    counts[list(direct)] = list(direct.values())
    inclusive = hierarchy.inclusive(counts)
    for synset in [0, row, *direct]:
        distinct = wordnet.rows_of(hierarchy.descendants(wordnet.wnids()[synset]))
        assert inclusive[synset] == counts[distinct].sum()


@pytest.mark.parametrize("counts", [np.ones(5, int), np.ones(82_115)])
def test_counts_that_are_not_whole_numbers_by_row_are_refused(counts: Any) -> None:
    with pytest.raises(UsageError, match="82,115 whole numbers"):
        hierarchy.inclusive(counts)


# ---- costs


def test_costs_equal_the_official_ones_of_ilsvrc2010(real: Path) -> None:
    loadmat = pytest.importorskip("scipy.io").loadmat
    meta = loadmat(real / "oracles/ilsvrc2010_meta.mat", squeeze_me=True)
    synsets = meta["synsets"]
    wnids = [str(row["WNID"]) for row in synsets]
    heights = hierarchy.heights()[wordnet.rows_of(wnids)]
    assert (heights == [int(row["wordnet_height"]) for row in synsets]).sum() == 1_676
    costs = hierarchy.cost_matrix(wnids[:1_000])
    assert (costs == meta["cost_matrix"]).sum() == 1_000_000


def test_a_cost_is_the_least_height_among_common_ancestors() -> None:
    classes = [*labels.ilsvrc2012_sorted()[::83], *INSTANCES, "dog.n.01", "person.n.01"]
    costs = hierarchy.cost_matrix(classes)
    for i, a in enumerate(classes):
        for j, b in enumerate(classes):
            common = set(hierarchy.ancestors(a)) & set(hierarchy.ancestors(b))
            expected = 0 if i == j else min(hierarchy.heights()[wordnet.rows_of(sorted(common))])
            assert costs[i, j] == expected


def test_costs_follow_the_order_of_the_classes() -> None:
    classes = list(labels.ilsvrc2012_sorted()[:50])
    assert (hierarchy.cost_matrix(classes[::-1]) == hierarchy.cost_matrix(classes)[::-1, ::-1]).all()
    assert hierarchy.cost_matrix([]).shape == (0, 0)
    assert hierarchy.cost_matrix(["dog.n.01"]).tolist() == [[0]]


def test_a_class_that_stands_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="n02084071 appears twice in the list"):
        hierarchy.cost_matrix(["dog.n.01", "cat.n.01", "n02084071"])


def test_costs_come_in_blocks_of_rows_or_into_an_array_that_is_given(tmp_path: Path) -> None:
    classes = [*labels.ilsvrc2012_sorted()[::7], *INSTANCES]
    costs = hierarchy.cost_matrix(classes)
    for block in (1, 7, len(classes), 10_000):
        blocks = list(hierarchy.cost_blocks(classes, block=block))
        assert [start for start, _ in blocks] == list(range(0, len(classes), block))
        assert (np.concatenate([rows for _, rows in blocks]) == costs).all()
    out = np.lib.format.open_memmap(tmp_path / "costs.npy", "w+", np.uint8, costs.shape)
    hierarchy.cost_matrix(classes, out=out)
    out.flush()
    assert (np.load(tmp_path / "costs.npy") == costs).all()
    with pytest.raises(UsageError, match=r"out is int64 of shape \(2, 2\); expected uint8 of shape"):
        hierarchy.cost_matrix(classes, out=np.zeros((2, 2), np.int64))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="block = 0"):
        next(hierarchy.cost_blocks(classes, block=0))


def peak_of(code: str) -> tuple[list[str], int]:
    """Return the output of a new process, and its peak memory in bytes."""
    # Not ru_maxrss, which a process inherits from the one that started it.
    tail = "\nimport re\nprint(re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())[1])\n"
    done = subprocess.run([sys.executable, "-c", code + tail], capture_output=True, text=True, check=True)
    *said, peak = done.stdout.split()
    return said, int(peak) * 1024


@pytest.mark.long
def test_costs_of_all_of_fall11_take_little_more_than_the_matrix() -> None:
    head = "from imagenet_tools.wordnet import hierarchy\nfrom imagenet_tools.catalogue import labels\n"
    whole, peak = peak_of(head + "costs = hierarchy.cost_matrix(labels.fall11())\nprint(*costs.shape, costs.dtype)")
    assert whole == ["21841", "21841", "uint8"]
    assert 21_841**2 < peak < 700 << 20
    blocks, peak = peak_of(head + "print(sum(len(rows) for _, rows in hierarchy.cost_blocks(labels.fall11())))")
    assert blocks == ["21841"]
    assert peak < 300 << 20


@pytest.mark.parametrize("n", [-1, 3])
def test_more_rows_than_synsets_are_refused(n: int) -> None:
    with pytest.raises(UsageError, match=f"n = {n}; expected a number of rows from 0 to 2"):
        hierarchy.deepest_common_hypernyms(["dog.n.01", "cat.n.01"], n)
