"""Kaggle's tables of boxes give boxes and labels; a bad row costs itself alone, and is reported."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagenet_tools import schema
from imagenet_tools.catalogue import labels
from imagenet_tools.formats import loc_csv
from tests.examples import examples

HEADER = "ImageId,PredictionString\n"
GOOD = "ILSVRC2012_val_00008726,n02119789 255 142 454 329 n02119789 44 21 322 295 \n"


def table(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def read(path):
    """{table: rows as dicts} of a file."""
    tables = {"boxes": [], "labels": [], "problems": []}
    for found in loc_csv.detect(path):
        for unit in loc_csv.units(found, "kaggle", path.parent):
            for name, batch in loc_csv.scan(unit):
                assert batch.schema.equals(schema.arrow_schema(name))
                batch.validate(full=True)
                tables[name] += batch.to_pylist()
    return tables


def edges(tables):
    return [
        (box["image_id"], box["name"], *(box[e] for e in ("xmin", "ymin", "xmax", "ymax"))) for box in tables["boxes"]
    ]


def test_a_row_gives_its_boxes_and_one_label(tmp_path):
    tables = read(table(tmp_path / "a.csv", HEADER + GOOD))
    assert edges(tables) == [
        ("ILSVRC2012_val_00008726", "n02119789", 255, 142, 454, 329),
        ("ILSVRC2012_val_00008726", "n02119789", 44, 21, 322, 295),
    ]
    box, (label,) = tables["boxes"][0], tables["labels"]
    assert (box["wnid"], box["file"], box["source"], box["flags"]) == ("n02119789", "a.csv", "kaggle", [])
    assert (box["stated_width"], box["stated_height"], box["nxmin"], box["truncated"]) == (None,) * 4
    del label["unit"]
    assert label == {
        "dataset": "ilsvrc2012",
        "image_id": "ILSVRC2012_val_00008726",
        "label_set": "loc_csv",
        "wnid": "n02119789",
        "source": "kaggle",
    }
    assert tables["problems"] == []


@pytest.mark.long
def test_the_published_validation_table_is_read_whole(real):
    path = real / "ilsvrc2012" / "LOC_val_solution.csv"
    (found,) = loc_csv.detect(path)
    assert (found.dataset, found.splits, found.missing) == ("ilsvrc2012", ("val",), "")
    tables = read(path)
    assert [len(rows) for rows in tables.values()] == [80_477, 50_000, 0]
    assert {row["image_id"]: row["wnid"] for row in tables["labels"]} == {
        f"ILSVRC2012_val_{n:08d}": wnid for n, wnid in enumerate(labels.validation_wnids(), 1)
    }
    numbers = [box[edge] for box in tables["boxes"] for edge in ("xmin", "ymin", "xmax", "ymax")]
    written = [
        float(n) for line in path.read_text().splitlines()[1:] for n in line.split(",")[1].split() if n[0] != "n"
    ]
    assert numbers == written


def test_training_rows_are_told_by_their_names(tmp_path):
    path = table(tmp_path / "a.csv", HEADER + "n02017213_4263,n02017213 355 155 430 273 n02018207 178 123 290 332\n")
    (found,) = loc_csv.detect(path)
    assert (found.splits, found.missing) == (("train",), "")
    boxes = read(path)["boxes"]
    assert [(box["wnid"], box["flags"]) for box in boxes] == [("n02017213", []), ("n02018207", ["name_differs"])]


@pytest.mark.parametrize(
    "text",
    [
        "ImageId,PredictionString\r\n" + GOOD.replace("\n", "\r\n"),
        HEADER + GOOD.rstrip(),
        HEADER + "\n" + GOOD + "\n\n",
        '"ImageId","PredictionString"\n' + '"' + GOOD.strip().replace(",", '","') + '"\n',
        "\ufeff" + HEADER + GOOD,
    ],
)
def test_other_line_ends_quotes_and_a_mark_change_nothing(tmp_path, text):
    tables = read(table(tmp_path / "a.csv", text))
    assert [len(rows) for rows in tables.values()] == [2, 1, 0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ImageId\n",
        HEADER,
        HEADER + "ILSVRC2012_test_00000001,1 0 0 10 10 2 0 0 10 10\n",
        "filename,label\nn0153282900000005.jpg,n01532829\n",
        "ImageId,Label\n" + GOOD,
    ],
)
def test_other_tables_are_not_taken_for_one(tmp_path, text):
    assert loc_csv.detect(table(tmp_path / "LOC_val_solution.csv", text)) == []
    assert loc_csv.detect(tmp_path) == []


def test_missing_rows_of_the_validation_table_are_counted(tmp_path):
    (found,) = loc_csv.detect(table(tmp_path / "a.csv", HEADER + GOOD * 3))
    assert found.missing == "49,997 of the 50,000 rows"


@pytest.mark.parametrize(
    ("row", "code", "n_boxes", "n_labels"),
    [
        ("ILSVRC2012_val_00000001,n01751748 1 2 3 4 n01751748 5 6 7\n", "csv_bad_box", 1, 1),
        ("ILSVRC2012_val_00000001,n01751748 1 2 3 n01751748 5 6 7 8\n", "csv_bad_box", 1, 1),
        ("ILSVRC2012_val_00000001,n01751748 1 2 3 4 5 n01751748 5 6 7 8\n", "csv_bad_box", 1, 1),
        ("ILSVRC2012_val_00000001,n01751748 1 2 x 4 n01751748 5 6 7 8\n", "csv_bad_box", 1, 1),
        ("ILSVRC2012_val_00000001,viper 1 2 3 4 n01751748 5 6 7 8\n", "csv_bad_box", 1, 1),
        ("ILSVRC2012_val_00000001,n01751748 1 2 3\n", "csv_bad_box", 0, 0),
        ("ILSVRC2012_val_00000001,n00007846 1 2 3 4 n01751748 5 6 7 8\n", "csv_unknown_class", 1, 1),
        ("ILSVRC2012_val_00000001,n01751748 1 2 3 4 n02119789 5 6 7 8\n", "csv_two_classes", 2, 0),
        ("ILSVRC2012_val_00000001,\n", "csv_no_box", 0, 0),
        ("ILSVRC2012_val_00000001\n", "csv_bad_row", 0, 0),
        ("a photograph,n01751748 1 2 3 4\n", "csv_bad_row", 0, 0),
        ("\x00\x01\n", "csv_bad_row", 0, 0),
    ],
)
def test_a_bad_row_is_reported_with_its_line_and_its_good_boxes_kept(tmp_path, row, code, n_boxes, n_labels):
    tables = read(table(tmp_path / "a.csv", HEADER + GOOD + row + GOOD))
    (problem,) = tables["problems"]
    assert (problem["code"], problem["member"], problem["file"]) == (code, "line 3", "a.csv")
    assert (len(tables["boxes"]) - 4, len(tables["labels"]) - 2) == (n_boxes, n_labels)
    assert code in loc_csv.READS.problems


def test_a_row_that_is_no_utf_8_costs_itself_alone(tmp_path):
    tables = read(table(tmp_path / "a.csv", HEADER + GOOD + "ILSVRC2012_val_00000001,é\n" + GOOD, "latin-1"))
    assert [len(rows) for rows in tables.values()] == [4, 2, 1]


@examples(40, many=200)
@given(st.lists(st.sampled_from(["n01751748", "n00007846", "1", "-2.5", "nan", "x", ","]), max_size=20))
def test_every_word_of_a_row_ends_in_a_box_or_in_a_bad_stretch(words):
    boxes, bad = loc_csv._split_boxes(" ".join(words))
    kept = [word for wnid, _ in boxes for word in (wnid, 0, 0, 0, 0)]
    assert len(kept) + sum(len(part.split()) for part in bad) == len(words)
    assert all(len(edges) == 4 for _, edges in boxes)
