"""Bundled Parquet files of the tables of WordNet, which are the same in every index.

data/make_index_tables.py makes them from the bundled WordNet 3.0 and class lists.
"""

from __future__ import annotations

from pathlib import Path

from imagenet_tools.tables import columns

FOLDER = columns.TABLES / "index"
CONSTANT = ("synset_facts", "synset_terms", "hypernyms", "closure")


def path_of(table: str) -> Path:
    """Return the bundled file of one of the CONSTANT tables."""
    return FOLDER / f"{table}.parquet"
