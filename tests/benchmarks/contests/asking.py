"""Contests of questions to an index, and of starting the command line."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.contest import OURS, Aim, Contest
from tests.benchmarks.contests import runs
from tests.benchmarks.data import Data
from tests.benchmarks.questions import OURS as QUESTIONS

_POLARS = "polars, same Parquet"


def contests(data: Data, scratch: Path) -> list[Contest]:
    """Questions to the index of the set of small images, and to WordNet."""
    found = questions(data.index, scratch)
    if data.wordnet:
        nltk = runs.peer(scratch, "asking.nltk_wordnet", data.wordnet, rounds=2)
        ours = runs.ours(scratch, "wordnet")
        aims = {OURS: Aim(82_115 / 0.1, "open in under 100 ms")}
        found.append(
            Contest("WordNet opened, everything under entity.n.01", "synsets", ours, {"NLTK": nltk}, aims=aims)
        )
    return found


def questions(index: Path, scratch: Path) -> list[Contest]:
    """Questions to an index, of whatever size."""

    def asked(question: str) -> dict[str, object]:
        return {
            "ours": runs.ours(scratch, "ask", index, question),
            "peers": {
                _POLARS: runs.peer(scratch, "asking.polars", index, question, group="polars"),
                "pandas, in memory": runs.peer(scratch, "asking.pandas", index, question, rounds=2),
                "sqlite, in memory, indexed": runs.peer(scratch, "asking.sqlite", index, question, rounds=1),
            },
            "limits": {"DuckDB, own tables": runs.peer(scratch, "asking.duckdb_own_tables", index, question)},
        }

    def contest(work: str, question: str, aims: dict[str, Aim], memory: int = 0) -> Contest:
        ours, peers, limits = (asked(question)[name] for name in ("ours", "peers", "limits"))
        return Contest(work, "queries", ours, peers, limits, aims, memory)  # type: ignore[arg-type]

    under_20_ms, under_200_ms = Aim(1 / 0.020, "in under 20 ms"), Aim(1 / 0.200, "in under 200 ms")
    cli = ("-i", index, "query", QUESTIONS["dogs"])
    split = runs.ours(scratch, "split", index)
    return [
        contest("count the images under dog.n.01", "dogs", {OURS: under_20_ms, _POLARS: Aim(1.0)}),
        contest("count the images under one of three synsets", "several", {_POLARS: Aim(1.0)}),
        contest("count the images under a synset given as a parameter", "parameter", {_POLARS: Aim(1.0)}),
        contest("images of each class, mean width", "classes", {}),
        contest("inclusive counts of all synsets", "inclusive", {OURS: under_200_ms}, 400_000_000),
        Contest(
            "draw every image into a split",
            "images",
            split,
            {
                "DuckDB hash(), same Parquet": runs.peer(scratch, "asking.duckdb_split", index, "hash"),
                "DuckDB md5, same Parquet": runs.peer(scratch, "asking.duckdb_split", index, "md5", rounds=2),
            },
            aims={OURS: Aim(14_197_122, "14.2 million in under 1 s")},
        ),
        Contest(
            "open an index and ask it, in process",
            "answers",
            runs.ours(scratch, "open_and_ask", index),
        ),
        Contest(
            "command line, from its start to the answer",
            "answers",
            runs.ours(scratch, "command_line", *cli),
            {"python -c 'import pandas'": runs.peer(scratch, "asking.python", "import pandas")},
            {"python -c 'import duckdb'": runs.peer(scratch, "asking.python", "import duckdb")},
            {OURS: Aim(1 / 0.35, "in under 0.35 s")},
        ),
    ]
