"""The DuckDB file of an export, opened by DuckDB alone: its tables, its macros, and that its bytes do not change."""

import json
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

import imagenet_tools
from imagenet_tools.index import Index

# In a process without this package: no module of it is found.
_ALONE = """
import json, sys
import duckdb
sys.path.clear()
with duckdb.connect(sys.argv[1], read_only=True) as sql:
    print(json.dumps([sql.execute(query).fetchall() for query in sys.argv[2:]]))
assert not any(name.startswith("imagenet_tools") for name in sys.modules)
"""


def asked(path: Path, *queries: str) -> list[list[list[object]]]:
    """Return the rows of queries, from a process that has DuckDB alone."""
    command = [sys.executable, "-c", _ALONE, str(path), *queries]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, cwd=path.parent)
    return json.loads(answer.stdout)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def file(index: Index, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of an export of the whole sample."""
    root = tmp_path_factory.mktemp("duckdb") / "x"
    imagenet_tools.export(index.select(), root, to="duckdb")
    return root / "imagenet.duckdb"


# Queries that have one answer in the index and in the file.
SAME = (
    'SELECT dataset, image_id, photo, wnid, split, file, "offset", length, width FROM images WHERE wnid IS NOT NULL '
    "ORDER BY ALL",
    "SELECT image_id, wnid, nxmin, nymin, nxmax, nymax, truncated FROM boxes WHERE nxmin IS NOT NULL ORDER BY ALL",
    "SELECT dataset, image_id, label_set, wnid FROM labels SEMI JOIN images USING (dataset, image_id) ORDER BY ALL",
    "SELECT count(*), sum(n_images_inclusive), sum(n_photos_inclusive), sum(hash(name) % 1000) FROM synsets",
    "SELECT wnid, n_images, n_images_inclusive, n_photos_inclusive FROM synsets WHERE n_images_inclusive > 0 "
    "ORDER BY wnid",
    "SELECT count(*), sum(distance) FROM closure",
    "SELECT count(*) FROM hypernyms",
    "SELECT term, n, wnid, candidates FROM terms WHERE term[:3] = 'cat' ORDER BY term",
    "SELECT count(*) FROM images WHERE is_a(wnid, 'dog')",
    "SELECT count(*) FROM images WHERE wnid IN (FROM under('bird.n.01'))",
    "SELECT wnid FROM above('n02085620') ORDER BY wnid",
    "SELECT synset('Toy Dog'), synset('n02084071'), synset('dog.n.1')",
)


def test_duckdb_alone_answers_as_the_index_does(file: Path, index: Index) -> None:
    for query, answer in zip(SAME, asked(file, *SAME), strict=True):
        assert [tuple(row) for row in answer] == index.sql(query).fetchall(), query


def test_boxes_are_counted_at_each_synset(file: Path) -> None:
    """Those of the table, which has no unusable box."""
    boxes, direct, inclusive = asked(
        file,
        "SELECT wnid, count(*) FROM boxes GROUP BY wnid ORDER BY wnid",
        "SELECT wnid, n_boxes FROM synsets WHERE n_boxes > 0 ORDER BY wnid",
        "SELECT n_boxes_inclusive FROM synsets WHERE name = 'entity.n.01'",
    )
    assert direct == boxes and inclusive == [[sum(n for _, n in boxes)]]  # type: ignore[misc]


def test_an_unknown_word_is_an_error(file: Path) -> None:
    with duckdb.connect(file, read_only=True) as sql, pytest.raises(duckdb.Error, match=r"No synset is called 'xyzzy'"):
        sql.execute("SELECT synset('xyzzy')").fetchall()


def test_classes_are_those_of_classes_json(file: Path) -> None:
    [rows] = asked(file, "SELECT class_index, wnid, display, folder FROM classes ORDER BY class_index")
    listed = json.loads((file.parent / "classes.json").read_text())["classes"]
    assert rows == [[one["index"], one["wnid"], one["display"], one["folder"]] for one in listed]


def test_counts_labels_and_lemmas_are_those_of_the_selection(index: Index, tmp_path: Path) -> None:
    imagenet_tools.export(index.select(under="dog", from_="val"), tmp_path / "x", to="duckdb")
    images, dogs, others, labels = asked(
        tmp_path / "x" / "imagenet.duckdb",
        "SELECT count(*), count(DISTINCT split) FROM images",
        "SELECT n_images_inclusive, n_photos_inclusive FROM synsets WHERE name = 'dog.n.01'",
        "SELECT count(*) FROM synsets WHERE n_images > 0 AND NOT is_a(wnid, 'dog.n.01')",
        "SELECT count(*) FROM labels ANTI JOIN images USING (dataset, image_id)",
    )
    assert images == [[20, 1]] and dogs == [[20, 20]] and others == [[0]] and labels == [[0]]


def test_a_shuffle_orders_the_rows(file: Path, index: Index, tmp_path: Path) -> None:
    query = "SELECT image_id FROM images WHERE split = 'train'"
    imagenet_tools.export(index.select(), tmp_path / "full", to="duckdb", shuffle="full")
    orders = [asked(path, query)[0] for path in (file, tmp_path / "full" / "imagenet.duckdb")]
    assert orders[0] != orders[1] and sorted(orders[0]) == sorted(orders[1])


def test_the_file_is_of_the_storage_version_that_duckdb_1_0_reads(file: Path) -> None:
    with duckdb.connect() as sql:
        sql.execute(f"ATTACH '{file}' AS x (READ_ONLY)")
        [(tags,)] = sql.execute("SELECT tags FROM duckdb_databases() WHERE database_name = 'x'").fetchall()
    assert tags["storage_version"] == "v1.0.0+"
