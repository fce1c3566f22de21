"""The rows of a selection of a small index are kept in memory: the same rows, fewer plans, and not for ever."""

import gc
from pathlib import Path
from typing import Any

import pytest

import imagenet_tools
from imagenet_tools.index import Index, by_recipe
from imagenet_tools.selection import query, selection
from imagenet_tools.selection.query import Sql
from tests.parameters import short_list

WORDS: dict[str, dict[str, Any]] = {
    "all": {},
    "official": {"under": "dog.n.01", "from_": "train", "limit": 777, "seed": 3},
    "amounts": {"split": "train=0.8,val=0.2", "per_class": {"train": 30, "val": 7}, "seed": 1},
    "counts": {"split": "val=50/class", "superclasses": "dog.n.01,cat.n.01"},
    "classes": {"split": "classes:train=3,val=2", "where": "width >= $w", "parameter": {"w": 1}},
}


@pytest.mark.parametrize("words", short_list(WORDS.values(), *[*WORDS.values()][::4]), ids=list(WORDS))
def test_rows_in_memory_are_those_of_the_index(
    many: Index, words: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def answers(recipe: Path | None = None) -> tuple[object, ...]:
        chosen = many.select(**words) if recipe is None else by_recipe(many, recipe)
        rows = [batch.to_pylist() for batch in chosen.batches()]
        return chosen.counts(), chosen.left_out(), chosen.wnids(), rows, chosen.lock().sha256

    kept = answers()
    many.select(**words).lock(tmp_path / "some.lock.toml")
    assert answers(tmp_path / "some.lock.toml")[2:] == kept[2:]
    monkeypatch.setattr(selection, "_KEPT_IMAGES", 0)
    assert answers() == kept


def test_tables_of_selections_that_are_gone_are_dropped(many: Index) -> None:
    def tables() -> int:
        return len(many.cursor().execute("SELECT 1 FROM duckdb_tables() WHERE schema_name = '_kept'").fetchall())

    gc.collect()
    for n in range(6):
        many.select(limit=n + 1).counts()
        gc.collect()
        assert tables() <= 2
    assert sum(many.select().counts()["train"].values()) == 12_000


def test_an_export_plans_few_queries_over_the_tables_of_the_index(
    sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planning one takes 15 ms: nearly all the time of a small export."""
    asked: list[str] = []

    def ask(run: Any, sql: Sql, choice: Any) -> Any:
        asked.append(sql.text)
        return query_ask(run, sql, choice)

    query_ask = query.ask
    monkeypatch.setattr(query, "ask", ask)
    imagenet_tools.build_index(sample / "ILSVRC2012_img_val.tar", tmp_path / "x.index", workers=1)
    chosen = imagenet_tools.open_index(tmp_path / "x.index").select(limit=20)
    imagenet_tools.export(chosen, tmp_path / "out", to="image_folder", workers=1)
    over_index = [text for text in asked if "_tested AS" in text]
    # The last image of the limit takes two.
    assert len(over_index) <= 3 and len(asked) <= 14, asked
