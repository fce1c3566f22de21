"""A selection is a table of its images, and takes tables in memory beside it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from imagenet_tools.errors import QueryError, UsageError
from imagenet_tools.index import Index
from imagenet_tools.selection import selection
from imagenet_tools.selection.selection import Selection

SELECTIONS = {
    "all": lambda index: index.select(),
    "dogs": lambda index: index.select(under="dog", split="train=0.7,val=0.3", per_class=4),
    "superclasses": lambda index: index.select(superclasses="dog.n.01,cat.n.01", from_="train"),
}


def keys(chosen: Selection) -> list[tuple[str, str]]:
    return [(row["dataset"], row["image_id"]) for batch in chosen.batches() for row in batch.to_pylist()]


@pytest.mark.parametrize("name", SELECTIONS)
def test_a_selection_is_a_sequence_of_images_in_the_order_of_its_rows(name: str, index: Index) -> None:
    chosen = SELECTIONS[name](index)
    rows = keys(chosen)
    images = list(chosen)
    assert len(chosen) == len(images) == len(rows) > 10
    assert [(image.dataset, image.image_id) for image in images] == rows
    for part in (slice(3, 9), slice(-4, None), slice(None, None, -7), slice(5, 5), slice(len(rows) - 1, 2, -3)):
        assert chosen[part] == images[part]
    assert chosen[0] == images[0] and chosen[-1] == images[-1]
    for place in (len(rows), -len(rows) - 1):
        with pytest.raises(IndexError):
            chosen[place]


def test_a_pinned_selection_is_one_too(index: Index, tmp_path: Path) -> None:
    from imagenet_tools.index import pin

    chosen = index.select(under="dog", per_class=3)
    chosen.lock(tmp_path / "dogs.lock.toml")
    pinned = pin(index, tmp_path / "dogs.lock.toml")
    assert list(pinned) == list(chosen) and pinned[2:4] == chosen[2:4]


def test_images_have_the_class_of_the_selection_and_can_be_read(index: Index) -> None:
    images = index.select(superclasses="dog.n.01,cat.n.01", from_="train")[:]
    assert {image.wnid for image in images} == {"n02084071", "n02121620"}
    assert all(image.read() == index.image(image.image_id).read() for image in images[::20])


def test_iterating_takes_a_query_a_part(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = index.select()
    chosen.counts()
    queries = []
    run = Selection._execute
    monkeypatch.setattr(Selection, "_execute", lambda self, sql: queries.append(sql) or run(self, sql))
    assert len(list(chosen)) == len(chosen)
    assert len(queries) == 2  # train and val
    monkeypatch.setattr(selection, "_IMAGES_AT_ONCE", 50)
    assert [image.image_id for image in chosen] == [image_id for _, image_id in keys(chosen)]


def test_all_rows_as_a_table(index: Index) -> None:
    chosen = index.select(under="dog")
    rows = chosen.arrow()
    assert rows.num_rows == len(chosen)
    assert {"image_id", "split", "official_wnid"} <= set(rows.column_names)
    pd.testing.assert_frame_equal(chosen.df(), rows.to_pandas())
    nothing = index.select(where="width < 0")
    assert len(nothing) == 0 and list(nothing) == [] and nothing[:3] == []
    assert nothing.arrow().schema == rows.schema and nothing.df().empty


def test_all_rows_as_polars(index: Index) -> None:
    polars = pytest.importorskip("polars")
    assert isinstance(index.select(under="dog").pl(), polars.DataFrame)


# ---- Tables in memory


class Stream:
    """A table as another library has it: nothing but Arrow's C stream."""

    def __init__(self, rows: pa.Table) -> None:
        self._rows = rows

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._rows.__arrow_c_stream__(requested_schema)


ROWS = {
    "dataset": ["ilsvrc2012"] * 3,
    "image_id": [f"ILSVRC2012_val_{n:08d}" for n in (20, 389, 413)],
    "score": [1, 2, 3],
}
FRAMES = {"pandas": pd.DataFrame(ROWS), "arrow": pa.table(ROWS), "other": Stream(pa.table(ROWS))}


@pytest.mark.parametrize("name", FRAMES)
def test_a_table_in_memory_joins_a_selection(name: str, index: Index) -> None:
    chosen = index.select(with_={"preds": FRAMES[name]}, where="preds.score > 1")
    assert [image.image_id for image in chosen] == sorted(ROWS["image_id"][1:])
    assert len(index.images.join(preds=FRAMES[name]).where("preds.score > 2")) == 1
    assert "preds=a table in memory of 3 rows" in repr(chosen)


def test_a_table_in_memory_is_copied_when_it_is_passed(index: Index) -> None:
    frame = pd.DataFrame(ROWS)
    chosen = index.select(with_={"preds": frame}, where="preds.score > 1")
    frame["score"] = 0
    assert len(chosen) == 2


def test_a_recipe_of_a_table_in_memory_is_refused(index: Index, tmp_path: Path) -> None:
    chosen = index.select(with_={"preds": FRAMES["pandas"]}, where="preds.score > 1")
    with pytest.raises(UsageError, match="The table preds is in memory"):
        chosen.save(tmp_path / "x.toml")
    assert not (tmp_path / "x.toml").exists()
    assert chosen.lock().n_images == 2
    assert chosen == index.select(with_={"preds": pd.DataFrame(ROWS)}, where="preds.score > 1")


def test_a_table_in_memory_that_joins_nothing_is_an_error(index: Index) -> None:
    with pytest.raises(UsageError, match="--with preds: none of its 1 rows joins"):
        index.select(with_={"preds": pd.DataFrame({"photo": ["x"], "score": [1]})}, where="preds.score > 1").counts()
    with pytest.raises(UsageError, match="the table preds: found the columns a; expected dataset"):
        index.select(with_={"preds": pd.DataFrame({"a": [1]})}, where="preds.a > 1").counts()


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("method", ["sql", "query"])
def test_sql_reads_a_table_in_memory(name: str, method: str, index: Index) -> None:
    query = "SELECT sum(score) FROM images JOIN preds USING (dataset, image_id) WHERE score > $least"
    assert getattr(index, method)(query, preds=FRAMES[name], least=1).fetchall() == [(5,)]


def test_a_table_in_memory_hides_no_table_of_the_index(index: Index) -> None:
    with pytest.raises(UsageError, match="'images', which is a table of the index"):
        index.sql("FROM images", images=FRAMES["pandas"])
    index.sql("FROM preds", preds=FRAMES["pandas"])
    with pytest.raises(QueryError, match="preds does not exist"):
        index.query("FROM preds")


@pytest.mark.parametrize(
    "query",
    [
        "FROM read_csv('{path}')",
        "FROM '{path}'",
        "COPY images TO '{path}.csv'",
        "CREATE TABLE x (a INT)",
        "SET a",
    ],
)
def test_query_is_contained(query: str, index: Index, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a\n1\n")
    with pytest.raises(QueryError):
        index.query(query.format(path=tmp_path / "x.csv")).fetchall()
    assert [path.name for path in tmp_path.iterdir()] == ["x.csv"]


# ---- Images


@pytest.mark.parametrize(
    "text",
    [
        "ILSVRC2012_val_00000020",
        "ILSVRC2012_val_00000020.JPEG",
        "val/n01440764/ILSVRC2012_val_00000020.jpg",
        "ilsvrc2012/ILSVRC2012_val_00000020",
    ],
)
def test_an_image_is_found_by_its_id_and_its_file_name(text: str, index: Index) -> None:
    assert index[text] == index.image("ILSVRC2012_val_00000020", dataset="ilsvrc2012")


def test_an_unknown_image_is_an_error(index: Index) -> None:
    with pytest.raises(UsageError, match="No image other/ILSVRC2012_val_00000020"):
        index["other/ILSVRC2012_val_00000020"]


def test_an_image_has_pixels_and_boxes(index: Index) -> None:
    boxed = index.select(boxed=True, from_="train")[0]
    picture = boxed.pil()
    assert boxed.array().shape == (picture.height, picture.width, 3) and boxed.array().dtype == np.uint8
    expected = index.select(boxed=True, from_="train").dataset("train", fields=("boxes", "image_id"))[0]
    assert expected[1] == boxed.image_id
    edges = np.array([box[2:] for box in boxed.boxes], np.float32)
    np.testing.assert_array_equal(edges, expected[0])
    assert {box.wnid for box in boxed.boxes} == {boxed.wnid}
    assert index.select(where="n_boxes = 0")[0].boxes == ()


def test_an_image_shows_itself(index: Index) -> None:
    image = index["ILSVRC2012_val_00000020"]
    assert repr(image).startswith("Image: ilsvrc2012/ILSVRC2012_val_00000020; n")
    shown = image._repr_jpeg_()
    assert shown.startswith(b"\xff\xd8\xff") and len(shown) < 100_000


def test_an_index_closes(index: Index) -> None:
    with Index.open(index.path) as opened:
        opened.query("SELECT 1").fetchall()
        image = opened["ILSVRC2012_val_00000020"]
    assert image.read()
    with pytest.raises(Exception, match="closed"):
        opened.sql("SELECT 1").fetchall()


def test_a_notebook_shows_the_steps_and_a_contact_sheet(index: Index) -> None:
    shown = index.select(under="dog")._repr_html_()
    assert "not below the synsets asked for" in shown
    assert '<img src="data:image/jpeg;base64,' in shown
    assert "<img" not in index.select(under="plant.n.02")._repr_html_()
