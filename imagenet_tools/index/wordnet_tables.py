"""WordNet's facts as tables of an index: the closure of its graph, its edges, its synsets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from imagenet_tools import graph, hierarchy, wordnet
from imagenet_tools.class_lists import lists
from imagenet_tools.schema import arrow_schema

if TYPE_CHECKING:
    import pyarrow as pa


def closure_table() -> pa.Table:
    """The table closure: each synset with each of its ancestors, 825,356 rows sorted by (ancestor, descendant)."""
    import pyarrow as pa

    below, above, distances = graph.pairs(hierarchy.edges_up(), np.arange(len(wordnet.wnids()), dtype=np.int32))
    wnids = pa.array(wordnet.wnids(), pa.string())
    columns = [wnids.take(pa.array(above)), wnids.take(pa.array(below)), pa.array(distances)]
    return pa.table(columns, schema=arrow_schema("closure"))


def hypernyms_table() -> pa.Table:
    """The table hypernyms: 84,427 edges sorted by wnid, kinds before instances, in WordNet's order."""
    import pyarrow as pa

    kinds = wordnet.load().hypernyms
    edges = hierarchy.edges_up()
    sources = graph.sources_of(edges)
    place = np.arange(len(sources)) - edges.starts[sources]
    wnids = pa.array(wordnet.wnids(), pa.string())
    instance = pa.array(place >= kinds.degrees()[sources])
    columns = [wnids.take(pa.array(sources)), wnids.take(pa.array(edges.targets)), instance]
    return pa.table(columns, schema=arrow_schema("hypernyms"))


def synsets_table() -> pa.Table:
    """The columns of the table synsets that WordNet and the class lists give (no counts): 82,115 rows by wnid."""
    import pyarrow as pa
    import pyarrow.compute as pc

    facts = wordnet.load()
    columns = {
        "wnid": pa.array(wordnet.wnids(), pa.string()),
        "name": pa.array(wordnet.names(), pa.string()),
        "lemmas": pc.split_pattern(pa.array(facts.lemmas), " "),
        "lexfile": pa.array(wordnet.LEXFILES).take(pa.array(facts.lexfiles)),
        "min_depth": pa.array(hierarchy.min_depths()),
        "max_depth": pa.array(hierarchy.max_depths()),
        "height": pa.array(hierarchy.heights()),
    }
    for name, space in lists.SPACES.items():
        listed = lists.get(name)
        column = np.full(len(facts.offsets), -1, np.int16)
        column[wordnet.rows_of(listed.wnids)] = np.arange(listed.base, listed.base + len(listed))
        columns[space] = pa.array(column, mask=column < 0)
    schema = arrow_schema("synsets")
    given = [name for name in schema.names if name in columns]
    return pa.table([columns[name] for name in given], schema=pa.schema([schema.field(name) for name in given]))
