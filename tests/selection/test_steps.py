"""The steps: what each leaves out and leaves adds up, and is what the words alone leave; conditions are just that."""

import csv
import pickle
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from imagenet_tools.catalogue import image_lists
from imagenet_tools.errors import QueryError, UsageError
from imagenet_tools.index import Index
from imagenet_tools.selection import recipe
from imagenet_tools.selection.selection import Selection
from imagenet_tools.selection.steps import REASONS, Step
from imagenet_tools.selection.words import SELECTION
from tests.examples import examples
from tests.forms.written_index import image
from tests.selection.conftest import Written

few = examples(2, many=80)

WORDS: dict[str, st.SearchStrategy[Any]] = {
    "dataset": st.just("ilsvrc2012"),
    "from_": st.sampled_from(["train", "val", "train,val"]),
    "under": st.sampled_from(["dog.n.01", ["cat.n.01", "dog.n.01"], "entity.n.01"]),
    "also_under": st.sampled_from(["domestic_animal.n.01", "carnivore.n.01"]),
    "without": st.sampled_from(["toy_dog.n.01", "cat.n.01"]),
    "classes": st.sampled_from(["ilsvrc2012", "imagenet100-cmc", "n02085620,n02123045"]),
    "class_where": st.just("max_depth > 12"),
    "nested": st.sampled_from(["keep", "leaves", "merge"]),
    "superclasses": st.sampled_from(["dog.n.01,cat.n.01", "breeds-living17"]),
    "images": st.sampled_from(["simclr-10pct", "ilsvrc2012-val-blacklist"]),
    "where": st.sampled_from(["hash32 % 3 > 0", "split = 'val' OR length > 5"]),
    "exclude": st.sampled_from(["defects", "blacklist", "simclr-1pct"]),
    "min_images": st.integers(1, 2000),
    "max_images": st.integers(1, 2100),
    "split": st.sampled_from(["official", "train=0.5,val=0.3", "val=50/class", "folds=3", "val=5/class,test=5/class"]),
    "per_class": st.sampled_from([5, "train=7", "train=100,val=20"]),
    "limit": st.integers(1, 5000),
    "seed": st.integers(0, 9),
}


def steps_if_allowed(chosen: Selection, words: dict[str, Any]) -> list[Step]:
    """Return the steps; reject words that do not go together, if the error says so."""
    try:
        return chosen.steps()
    except UsageError as error:
        if words.get("split") == "folds=3" and "val" in str(words.get("per_class")):
            assert "--per-class val: no split is called so" in str(error)
        else:
            assert "it leaves no image for train" in str(error)
        reject()


@few
@given(words=st.fixed_dictionaries({}, optional=WORDS))
def test_what_every_step_leaves_out_and_leaves_adds_up(many: Index, words: dict[str, Any]) -> None:
    chosen = many.select(**words)
    steps = steps_if_allowed(chosen, words)
    assert steps[0] == ("index", 0, 12_300)
    for before, after in pairwise(steps):
        assert after.left == before.left - after.left_out
    assert all(step.name in REASONS for step in steps[1:])
    assert steps[-1].left == sum(sum(one.values()) for one in chosen.counts().values())
    assert sum(chosen.left_out().values()) + steps[-1].left == 12_300
    assert sum(batch.num_rows for batch in chosen.batches()) == steps[-1].left


@few
@given(words=st.fixed_dictionaries({}, optional=WORDS))
def test_what_a_step_leaves_is_what_the_words_up_to_it_leave(many: Index, words: dict[str, Any]) -> None:
    left = {step.name: step.left for step in steps_if_allowed(many.select(**words), words)}
    if words.get("split", "official") != "official":  # which makes train the default of from
        words.setdefault("from_", "train")
    asked: dict[str, Any] = {}
    for word in SELECTION[: [word.keyword for word in SELECTION].index("split")]:
        if word.keyword in words:
            asked[word.keyword] = words[word.keyword]
            if word.key in left:
                assert many.select(**asked).steps()[-1].left == left[word.key], word.key


def test_an_image_is_left_out_by_the_first_step_that_does(written: Written) -> None:
    index = written([image("n02085620_1", "n02085620", "val", width=3), image("n02085620_2", "n02085620", width=3)])
    assert index.select(from_="train", where="width > 5").left_out() == {"from": 1, "where": 1}


# ---- lists of images


def test_a_published_list_means_photos_of_every_release_that_keeps_their_names(written: Written) -> None:
    one, two, three = image_lists.get("simclr-1pct").images[:3]
    index = written(
        [
            image(one, "n01440764"),
            image(two, "n01440764", dataset="fall11"),
            image(three, "n01440764", dataset="tiny", photo=f"tiny/{three}"),
            image("n01440764_99999999", "n01440764"),
        ]
    )
    rows = index.select(images="simclr-1pct").run("SELECT image_id FROM made WHERE left_out IS NULL ORDER BY 1")
    assert rows.fetchall() == sorted([(one,), (two,)])
    assert index.select(exclude="simclr-1pct").left_out() == {"exclude": 2}
    assert index.select(images="simclr-1pct", dataset="tiny").counts() == {"train": {"n01440764": 1}}


def test_a_file_of_ids_names_photos_files_and_images(written: Written, tmp_path: Path) -> None:
    ids = tmp_path / "ids.txt"
    ids.write_text(
        "# mine\nn01440764_1\ntrain/n01440764/n01440764_2.JPEG\nfall11/n01440764_3\n\nILSVRC2012_val_00000004.JPEG\n"
    )
    wnid = "n01440764"
    rows = [image(f"{wnid}_{n}", wnid, dataset=dataset) for n in (1, 2, 3) for dataset in ("ilsvrc2012", "fall11")]
    index = written([*rows, image("ILSVRC2012_val_00000004", wnid, "val")])
    found = index.select(images=str(ids)).run("SELECT dataset, image_id FROM made WHERE left_out IS NULL ORDER BY ALL")
    assert [f"{dataset}/{image_id[-1]}" for dataset, image_id in found.fetchall()] == [
        "fall11/1", "fall11/2", "fall11/3", "ilsvrc2012/4", "ilsvrc2012/1", "ilsvrc2012/2",
    ]  # fmt: skip
    for wrong in ("nothing.txt", "overlap-v2", "defects"):
        with pytest.raises(UsageError, match=f"--images {wrong}: no "):
            index.select(images=wrong)
    ids.write_text("# nothing\n")
    with pytest.raises(UsageError, match="found no ids"):
        index.select(images=str(ids)).counts()


def test_the_blacklist_and_defects_are_excluded(written: Written) -> None:
    listed = image_lists.get("ilsvrc2012-val-blacklist").images
    assert len(listed) == 1762
    rows = [
        image(listed[0], "n01440764", "val"),
        image("n01440764_1", "n01440764", problem="damaged"),
        image("n01440764_2", "n01440764", mode="CMYK"),
        image("n01440764_3", "n01440764", encoding="png"),
        image("n01440764_4", "n01440764", encoding="png", file="n01440764_4.png"),
        image("n01440764_5", "n01440764", mode=None, encoding=None),
    ]
    index = written(rows)
    assert index.select(exclude="blacklist").left_out() == {"exclude": 1}
    assert index.select(exclude=["defects"]).left_out() == {"exclude": 3}


# ---- tables of one's own, and conditions


def test_a_table_of_ones_own_is_joined_by_its_key(many: Index, tables: Path) -> None:
    path = tables / "scores.csv"
    with path.open("w", newline="") as out:
        rows = [("n02085620_%d" % n, n / 100, 7) for n in range(100)]  # noqa: UP031
        csv.writer(out).writerows([("photo", "score", "width"), *rows])
    chosen = many.select(with_={"preds": path}, where="preds.score >= $least", parameter={"least": 0.9})
    assert chosen.counts() == {"train": {"n02085620": 10}}
    # A column that both have is told apart by the table's name; a target's own conditions mean the image's.
    assert chosen.demand("small", "width > 50").counts() == chosen.counts()
    with pytest.raises(QueryError, match=r"--where width > 3: .*[Aa]mbiguous"):
        many.select(with_={"preds": path}, where="width > 3").counts()
    assert pickle.loads(pickle.dumps(chosen)).counts() == chosen.counts()
    path.write_text("photo,score\nn02085620_1,1\nn02085620_1,2\n")
    with pytest.raises(UsageError, match="it has several rows for n02085620_1"):
        many.select(with_={"preds": path}, where="preds.score > 0").counts()
    path.write_text("name,score\nn02085620_1,1\n")
    with pytest.raises(UsageError, match="expected dataset and image_id, or photo"):
        many.select(with_={"preds": path}, where="preds.score > 0").counts()
    with pytest.raises(QueryError, match="found the table preds"):
        many.select(where="photo IN (SELECT photo FROM preds)")


@pytest.mark.parametrize(
    "wrong",
    [
        "true; DROP TABLE images",
        "true); DELETE FROM closure; --",
        "true) UNION SELECT 1 --",
        "1) FROM images WHERE (true",
        "false) OR (true",
        "1), (2",
        "true) AS x, (false",
        "true /*",
        "wnid IN (FROM read_csv('/etc/passwd'))",
        "(SELECT count(*) FROM '/etc/passwd.csv') > 0",
        "EXISTS (FROM _classes)",
        "EXISTS (FROM duckdb_settings())",
        "(WITH a AS (COPY images TO '/tmp/x') SELECT true)",
        "",
    ],
)
@pytest.mark.parametrize("word", ["where", "class_where"])
def test_a_condition_is_one_condition_over_the_tables_of_the_index(many: Index, word: str, wrong: str) -> None:
    with pytest.raises(QueryError):
        many.select(**{word: wrong})


def test_conditions_may_ask_the_tables_and_macros(many: Index) -> None:
    assert many.select(where="is_a(wnid, 'dog.n.01') -- dogs").steps()[-1].left == 3 * 2050
    assert many.select(where="wnid IN (FROM under('cat.n.01'))").steps()[-1].left == 2 * 2050
    assert many.select(where="wnid = $w", parameter={"w": "n02085620' OR true --"}).steps()[-1].left == 0
    own = "photo IN (WITH mine AS (SELECT photo FROM images LIMIT 0) FROM mine)"
    assert many.select(where=own).steps()[-1].left == 0


def test_a_parameter_has_one_value_in_all_conditions(many: Index, tables: Path) -> None:
    wide = many.images.where("width >= $n", n=np.int64(100))
    assert wide.where("height >= $n", n=100).steps()[-1].left == 0
    with pytest.raises(UsageError, match=r"\$n is .*100.* in a condition before, and 50 here"):
        wide.where("height >= $n", n=50)
    assert recipe.read(wide.save(tables / "wide.toml")).words["parameter"] == {"n": 100}


def test_a_parameter_is_a_number_if_it_is_spelled_as_one(many: Index) -> None:
    assert many.select(where="width >= $n", parameter={"n": np.float32(0.5)}).steps()[-1].left == 12_300
    texts = {"a": "12", "b": "-1.5", "c": "1e3", "d": "007", "e": "nan", "f": "1_000", "g": "n02085620"}
    plain = {"a": 12, "b": -1.5, "c": 1000.0}
    assert many.select(parameter=texts).choice.parameter == texts | plain


def test_a_superclass_without_images_has_too_few(many: Index) -> None:
    assert many.select(superclasses="dog.n.01,bird.n.01").wnids() == ("n02084071", "n01503061")
    assert many.select(superclasses="dog.n.01,bird.n.01", min_images=1).wnids() == ("n02084071",)


# ---- lazy and repeatable


def test_a_selection_shows_its_words_and_counts_in_a_line(many: Index) -> None:
    chosen = many.select(under="dog.n.01", without=["toy_dog.n.01"], per_class={"train": 5})
    words = "under dog.n.01, without toy_dog.n.01, per_class train=5"
    assert repr(chosen).startswith(f"Selection: {words}; ")
    assert repr(many.images).startswith("Selection: all; 12,300 images, 6 classes, train 12,000, val 300")
    assert len(repr(many.select(classes="ilsvrc2012", where=["width > 3"] * 50))) < 250
    assert "it leaves no image for train" in repr(many.select(split="val=5000/class"))


def test_a_selection_opens_nothing_until_it_is_asked_and_streams_in_order(many: Index) -> None:
    chosen = many.select(under="dog.n.01", split="train=0.5,val=0.5", seed=3)
    assert "_prepared" not in vars(chosen)
    rows = [
        row for batch in chosen.batches() for row in batch.select(["split", "wnid", "dataset", "image_id"]).to_pylist()
    ]
    ordered = [tuple(row.values()) for row in rows]
    assert ordered == sorted(ordered)
    assert len(ordered) == 6000
    again = pickle.loads(pickle.dumps(chosen))
    assert [batch.to_pydict() for batch in again.batches()] == [batch.to_pydict() for batch in chosen.batches()]


@pytest.mark.parametrize(
    ("split", "name", "expected"),
    [
        ("official", "trian", "Did you mean train? Expected train or val or test."),
        ("official", "foo", "Expected train or val or test."),
        ("train=0.5,dev=0.5", "val", "Expected train or dev."),
        ("val=1/class", "test", "Expected val or train."),
    ],
)
def test_a_number_for_a_split_that_is_not_there_is_an_error(index: Index, split: str, name: str, expected: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"--per-class {name}: no split is called so. {expected}")):
        index.select(split=split, per_class={"train": 2, name: 2}).counts()
