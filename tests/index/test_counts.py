"""The counts of synsets, compared with sets of names that plain Python fills."""

import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import duckdb

from imagenet_tools.store.counts import class_counts, synset_counts, unknown_classes
from imagenet_tools.wordnet import hierarchy, wordnet

# Builds an index in a process in which DuckDB cannot be imported.
WITHOUT_DUCKDB = """
import sys
sys.modules["duckdb"] = None
import imagenet_tools
print(imagenet_tools.build_index(sys.argv[1], sys.argv[2]).rows["images"])
"""


def test_a_photo_counts_once_at_each_synset_above_its_classes() -> None:
    chance = random.Random(7)
    # Classes above and below each other, in far branches, and no synset.
    below = hierarchy.descendants("dog.n.01")[:40] + hierarchy.descendants("tree.n.01")[:10]
    classes = [*below, *hierarchy.ancestors("beagle.n.01"), "n99999999", "goldfish"]
    images = [(f"photo {chance.randrange(250)}", chance.choice(classes)) for _ in range(500)]
    boxes = [chance.choice(classes) for _ in range(90)]
    several = {photo for photo, n in Counter(photo for photo, _ in set(images)).items() if n > 1}
    table = synset_counts(
        Counter(wnid for _, wnid in images),
        Counter(wnid for _, wnid in set(images)),
        Counter(boxes),
        [pair for pair in sorted(set(images)) if pair[0] in several],
    )
    n, n_inclusive, photos, photos_inclusive, of_boxes, boxes_inclusive = (Counter[str]() for _ in range(6))
    names: dict[str, set[str]] = {}
    for photo, wnid in images:
        n[wnid] += 1
        for above in hierarchy.ancestors(wnid) if wordnet.find_row(wnid) is not None else ():
            n_inclusive[above] += 1
            names.setdefault(above, set()).add(photo)
    photos.update(wnid for _, wnid in set(images))
    photos_inclusive.update({above: len(seen) for above, seen in names.items()})
    for wnid in boxes:
        of_boxes[wnid] += 1
        boxes_inclusive.update(hierarchy.ancestors(wnid) if wordnet.find_row(wnid) is not None else ())
    expected = [
        {
            "wnid": wnid,
            "n_images": n[wnid],
            "n_images_inclusive": n_inclusive[wnid],
            "n_photos": photos[wnid],
            "n_photos_inclusive": photos_inclusive[wnid],
            "n_boxes": of_boxes[wnid],
            "n_boxes_inclusive": boxes_inclusive[wnid],
        }
        for wnid in sorted(n_inclusive | boxes_inclusive)
    ]
    assert several
    assert table.to_pylist() == expected


def test_classes_are_counted_in_all_row_groups_with_and_without_a_class(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    rows = "SELECT CASE WHEN i % 5 > 0 THEN 'n0144076' || i % 7 END AS wnid FROM range(30_000) AS r(i)"
    with duckdb.connect() as sql:
        sql.execute(f"COPY ({rows}) TO '{path}' (FORMAT parquet, ROW_GROUP_SIZE 4096)")
        expected = dict(sql.execute(f"SELECT wnid, count(*) FROM '{path}' GROUP BY wnid").fetchall())
    counts = class_counts([path])
    assert counts == expected
    assert None in counts
    assert set(unknown_classes(counts | {"goldfish": 3})) == (counts.keys() | {"goldfish"}) - {None, "n01440764"}


def test_a_build_of_plain_images_runs_without_duckdb(sample: Path, tmp_path: Path) -> None:
    paths = (str(sample / "ILSVRC2012_img_train.tar"), str(tmp_path / "x.index"))
    script = [sys.executable, "-c", WITHOUT_DUCKDB, *paths]
    result = subprocess.run(script, check=True, capture_output=True, text=True)
    assert int(result.stdout) > 100
