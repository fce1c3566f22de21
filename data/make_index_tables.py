#!/usr/bin/env python3
"""Make imagenet_tools/tables/index: the tables that are equal in every index.

    synset_facts    a row a noun synset of WordNet 3.0, with its number in every class list that has a column
    synset_terms    a row a text and a synset that it names
    hypernyms       a row an edge of the graph
    closure         a row a synset and one of its ancestors

    python data/make_index_tables.py

They follow from the bundled WordNet and class lists. A build copies the files, which takes 10 ms; writing these tables
takes 800 ms. tests/test_index_tables.py compares each with what this script makes.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imagenet_tools.catalogue import lists, terms
from imagenet_tools.schema import arrow_schema
from imagenet_tools.store.layout import CONSTANT_FOLDER, write_table
from imagenet_tools.wordnet import graph, hierarchy, wordnet


def closure() -> pa.Table:
    """Return each synset with each of its ancestors: 825,356 rows sorted by (ancestor, descendant)."""
    below, above, distances = graph.pairs(hierarchy.edges_up(), np.arange(len(wordnet.wnids()), dtype=np.int32))
    wnids = pa.array(wordnet.wnids(), pa.string())
    columns = [wnids.take(pa.array(above)), wnids.take(pa.array(below)), pa.array(distances)]
    return pa.table(columns, schema=arrow_schema("closure"))


def hypernyms() -> pa.Table:
    """Return the 84,427 edges sorted by wnid, kinds before instances, in WordNet's order."""
    kinds = wordnet.load().hypernyms
    edges = hierarchy.edges_up()
    sources = graph.sources_of(edges)
    place = np.arange(len(sources)) - edges.starts[sources]
    wnids = pa.array(wordnet.wnids(), pa.string())
    instance = pa.array(place >= kinds.degrees()[sources])
    columns = [wnids.take(pa.array(sources)), wnids.take(pa.array(edges.targets)), instance]
    return pa.table(columns, schema=arrow_schema("hypernyms"))


def synset_facts() -> pa.Table:
    """Return the 82,115 synsets sorted by wnid, with the facts of WordNet and the class lists about each."""
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
    schema = arrow_schema("synset_facts")
    return pa.table([columns[name] for name in schema.names], schema=schema)


def synset_terms() -> pa.Table:
    """Return every wnid, name and lemma with the synsets that it names: rows sorted by (term, wnid)."""
    wnids, names = pa.array(wordnet.wnids(), pa.string()), pa.array(wordnet.names(), pa.string())
    texts, rows = terms.lemmas()
    lemmas = pc.replace_substring(pa.array(texts), "_", " ").dictionary_encode()
    # A synset can have two spellings of one lemma: each pair once.
    pairs = np.unique(np.from_dlpack(lemmas.indices).astype(np.int64) * len(wnids) + rows)
    lemma, row = np.divmod(pairs, len(wnids))
    several = np.bincount(lemma)[lemma] > 1
    nameless = pa.nulls(len(wnids), pa.string())
    columns = [
        [wnids, names, lemmas.dictionary.take(pa.array(lemma))],
        [wnids, wnids, wnids.take(pa.array(row))],
        [nameless, nameless, names.take(pa.array(row, mask=~several))],
    ]
    table = pa.table([pa.chunked_array(column) for column in columns], schema=arrow_schema("synset_terms"))
    return table.sort_by([("term", "ascending"), ("wnid", "ascending")])


MAKERS = {"synset_facts": synset_facts, "synset_terms": synset_terms, "hypernyms": hypernyms, "closure": closure}


def main() -> None:
    """Write the tables into the package."""
    CONSTANT_FOLDER.mkdir(exist_ok=True)
    for name, make in MAKERS.items():
        (entry,) = write_table(CONSTANT_FOLDER, name, "all", make().to_batches())
        (CONSTANT_FOLDER / entry.file).rename(CONSTANT_FOLDER / f"{name}.parquet")
        (CONSTANT_FOLDER / name).rmdir()
        print(f"{CONSTANT_FOLDER / name}.parquet: {entry.rows:,} rows, {entry.bytes:,} bytes")


if __name__ == "__main__":
    main()
