"""Without an index, a query reads the bundled tables of WordNet, and says which tables need an index."""

from pathlib import Path

import pytest

from imagenet_tools import cli
from imagenet_tools.catalogue import lists
from imagenet_tools.cli import query as cli_query
from imagenet_tools.errors import QueryError
from imagenet_tools.schema import TABLES
from imagenet_tools.store import query
from imagenet_tools.store.connection import WORDNET
from imagenet_tools.wordnet import hierarchy, wordnet


def ask(text: str) -> list[tuple[object, ...]]:
    return list(query.run(query.connect_contained(None), text).rows)


def test_the_graph_is_wordnets() -> None:
    assert ask("SELECT count(*), sum(n_images) FROM synsets") == [(82_115, 0)]
    assert ask("SELECT wnid FROM under('dog.n.01') ORDER BY ALL") == [(w,) for w in hierarchy.descendants("dog.n.01")]
    assert len(ask("FROM hypernyms")) == sum(
        len(wordnet.synset_at(n)[4] + wordnet.synset_at(n)[5]) for n in range(82_115)
    )
    order = "SELECT wnid FROM synsets WHERE ilsvrc2012_index IS NOT NULL ORDER BY ilsvrc2012_index"
    assert [wnid for (wnid,) in ask(order)] == list(lists.get("ilsvrc2012").wnids)


def test_a_lemma_is_resolved_by_classes() -> None:
    assert ask("SELECT synset('dog'), is_a('n02085620', 'dog')") == [("n02084071", True)]
    with pytest.raises(QueryError, match=r"crane.n.05 \(n02012849, 1 ILSVRC2012 class\), .* 0 ILSVRC2012 classes"):
        ask("SELECT synset('crane')")


@pytest.mark.parametrize("table", [table for table in TABLES if table not in WORDNET])
def test_a_table_of_images_needs_an_index(table: str) -> None:
    with pytest.raises(QueryError, match=f"The table {table} needs an index; .* build-index"):
        ask(f"FROM {table}")


def test_it_is_contained(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a\n1\n")
    for text in (f"FROM '{tmp_path}/x.csv'", "FROM read_csv('x.csv')", "COPY synsets TO 'x.csv'"):
        with pytest.raises(QueryError):
            ask(text)
    rows = query.run(query.connect_contained(None, {"mine": tmp_path / "x.csv"}), "FROM mine").rows
    assert list(rows) == [(1,)]


def test_the_command_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IMAGENET_INDEX", raising=False)
    monkeypatch.setattr(cli_query, "in_child", lambda work, **_: work())
    assert cli.run(["query", "SELECT name FROM synsets WHERE wnid = synset('tench')"]) == 0
    out, err = capfd.readouterr()
    assert out.split() == ["name", "-" * 10, "tench.n.01"]
    assert "reads the bundled tables of WordNet" in err
    assert cli.run(["query", "FROM images"]) == 1
    assert "The table images needs an index" in capfd.readouterr().err
    (tmp_path / "imagenet.index").mkdir()
    assert cli.run(["query", "SELECT 1"]) == 1  # a folder that is no index is an error
    assert "No index at imagenet.index" in capfd.readouterr().err
