"""What others do to answer questions over the same tables; loading is not counted where they need it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks import timed
from tests.benchmarks.questions import PLAIN, SYNSETS


def _dogs(question: str) -> list[str]:
    """Return the wnids at or below the synsets that a question is about."""
    from imagenet_tools.wordnet import hierarchy

    return sorted({wnid for synset in SYNSETS.get(question, ()) for wnid in hierarchy.descendants(synset)})


def _files(index: str, table: str) -> list[str]:
    return sorted(map(str, Path(index, table).glob("*.parquet")))


def polars(index: str, question: str) -> Callable[[], int]:
    """Polars over the same Parquet, lazily."""
    import polars as pl

    images, closure = pl.scan_parquet(_files(index, "images")), pl.scan_parquet(_files(index, "closure"))
    dogs = _dogs(question)

    def ask() -> object:
        if question in SYNSETS:
            return images.filter(pl.col("wnid").is_in(dogs)).select(pl.len()).collect()
        if question == "classes":
            return images.group_by("wnid").agg(pl.len(), pl.col("width").mean()).collect()
        counts = images.group_by("wnid").agg(pl.len().alias("n"))
        joined = closure.join(counts, left_on="descendant", right_on="wnid")
        return joined.group_by("ancestor").agg(pl.col("n").sum()).collect()

    return timed.repeated(ask)


def pandas(index: str, question: str) -> Callable[[], int]:
    """Pandas, its tables in memory."""
    import pandas as pd

    dogs = _dogs(question)
    images = pd.concat([pd.read_parquet(file, columns=["wnid", "width"]) for file in _files(index, "images")])
    closure = pd.concat([pd.read_parquet(file) for file in _files(index, "closure")])

    def ask() -> object:
        if question in SYNSETS:
            return int(images["wnid"].isin(dogs).sum())
        if question == "classes":
            return images.groupby("wnid")["width"].agg(["size", "mean"])
        counts = images["wnid"].value_counts().rename("n")
        return closure.merge(counts, left_on="descendant", right_index=True).groupby("ancestor")["n"].sum()

    return timed.repeated(ask)


def sqlite(index: str, question: str) -> Callable[[], int]:
    """SQLite, its tables in memory, with an index on what is asked for."""
    import sqlite3

    import pyarrow.parquet as pq

    sql = sqlite3.connect(":memory:")
    tables = {"images": ("wnid", "width"), "closure": ("descendant", "ancestor")}
    for table, columns in tables.items():
        sql.execute(f"CREATE TABLE {table} ({', '.join(columns)})")
        for file in _files(index, table):
            for batch in pq.ParquetFile(file).iter_batches(columns=list(columns)):
                rows = zip(*(batch.column(name).to_pylist() for name in columns), strict=True)
                sql.executemany(f"INSERT INTO {table} VALUES (?, ?)", rows)
        sql.execute(f"CREATE INDEX {table}_all ON {table} ({', '.join(columns)})")
    sql.execute("CREATE TABLE dogs (wnid)")
    sql.executemany("INSERT INTO dogs VALUES (?)", [(wnid,) for wnid in _dogs(question)])
    return timed.repeated(lambda: sql.execute(PLAIN[question]).fetchall())


def duckdb_own_tables(index: str, question: str) -> Callable[[], int]:
    """DuckDB's own tables in memory: the limit."""
    import duckdb

    sql = duckdb.connect()
    sql.execute(f"CREATE TABLE images AS SELECT wnid, width FROM read_parquet({_files(index, 'images')})")
    sql.execute(f"CREATE TABLE closure AS FROM read_parquet({_files(index, 'closure')})")
    # executemany() refuses an empty list, and not every question has dogs.
    sql.execute("CREATE TABLE dogs AS SELECT unnest($wnids::VARCHAR[]) AS wnid", {"wnids": list(_dogs(question))})
    return timed.repeated(lambda: sql.execute(PLAIN[question]).fetchall())


def duckdb_split(index: str, function: str) -> Callable[[], int]:
    """A tenth of the images drawn by a function of DuckDB over their ids, from the same Parquet."""
    import duckdb

    sql = duckdb.connect()
    number = {"hash": "hash(image_id)", "md5": "md5_number(image_id)"}[function]
    asked = f"SELECT count(*), count(*) FILTER ({number} % 10 = 0) FROM read_parquet({_files(index, 'images')})"
    n = int(sql.execute(asked).fetchall()[0][0])
    again = timed.repeated(lambda: sql.execute(asked).fetchall())
    return lambda: again() * n


def started(*arguments: str) -> Callable[[], int]:
    """A command's processes, one after another, each from its start to its end."""
    subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)

    def work() -> int:
        for _ in range(10):
            subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)
        return 10

    return work


def python(*code: str) -> Callable[[], int]:
    """Processes of this python, each from its start to its end."""
    return started(sys.executable, "-c", *code)


def nltk_wordnet(nltk_data: str) -> Callable[[], int]:
    """NLTK's reader of WordNet: opened, and everything below its root."""
    os.environ["NLTK_DATA"] = nltk_data  # read as nltk is imported
    from nltk.corpus import wordnet

    def work() -> int:
        root = wordnet.synset("entity.n.01")
        return 1 + len(set(root.closure(lambda one: one.hyponyms() + one.instance_hyponyms())))

    return work


if __name__ == "__main__":
    timed.run(globals(), __name__)
