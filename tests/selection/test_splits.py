"""Splits: total and disjoint, unmoved by added images, exact where they count, and the same in Python as in SQL."""

import csv
import math
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagenet_tools.catalogue import lists
from imagenet_tools.errors import UsageError
from imagenet_tools.index import Index
from imagenet_tools.selection.splits import draw, parse_split, thresholds
from imagenet_tools.wordnet import hierarchy
from tests.examples import examples
from tests.forms.written_index import image
from tests.selection.conftest import Written

Sides = dict[str, str | None]

few = examples(3, many=50)

names = st.lists(st.sampled_from(["train", "val", "test", "a", "b"]), min_size=1, max_size=4, unique=True)
seeds = st.integers(-5, 2**40)


@st.composite
def fractions(draw: st.DrawFn) -> str:
    parts = draw(names)
    weights = draw(st.lists(st.integers(1, 20), min_size=len(parts), max_size=len(parts)))
    whole = sum(weights) + draw(st.integers(0, 10))
    return ",".join(f"{name}={weight / whole!r}" for name, weight in zip(parts, weights, strict=True))


@st.composite
def counts(draw: st.DrawFn) -> str:
    parts = draw(names)
    return ",".join(f"{name}={draw(st.integers(1, 60))}/class" for name in parts)


splits = st.one_of(fractions(), counts(), st.integers(2, 9).map(lambda k: f"folds={k}"))


def sides(index: Index, **words: object) -> Sides:
    """The split of each image that was split, None for those in none, by image_id."""
    found = index.select(**words).run(  # type: ignore[arg-type]
        "SELECT image_id, split, left_out FROM made WHERE left_out IS NULL OR left_out = 'split'"
    )
    rows = found.fetchall()
    assert len({image_id for image_id, _, _ in rows}) == len(rows)
    assert all((split is None) == (left_out == "split") for _, split, left_out in rows)
    return {image_id: split for image_id, split, _ in rows}


@few
@given(split=splits, seed=seeds)
def test_a_split_is_total_and_disjoint_and_takes_training_images_alone(many: Index, split: str, seed: int) -> None:
    found = sides(many, split=split, seed=seed)
    assert len(found) == 12_000  # each image once, and so on one side at most
    assert not any(image_id.startswith("ILSVRC2012_val") for image_id in found)
    named = parse_split(split)
    assert {side for side in found.values() if side} <= {name for name, _ in named.amounts} | (
        {"train"} if named.by == "count" else set()
    )
    if named.by != "fraction" or math.isclose(sum(share for _, share in named.amounts), 1):
        assert None not in found.values()


@few
@given(split=st.one_of(fractions(), st.just("folds=5")), seed=seeds)
def test_a_threshold_split_is_within_5_standard_deviations_of_its_fractions_in_each_class(
    many: Index, split: str, seed: int
) -> None:
    counted: dict[str, Counter[str | None]] = defaultdict(Counter)
    for image_id, side in sides(many, split=split, seed=seed).items():
        counted[image_id[:9]][side] += 1
    for found in counted.values():
        for name, share in parse_split(split).amounts:
            assert abs(found[name] - 2000 * share) <= 5 * math.sqrt(2000 * share * (1 - share)) + 1e-6


@few
@given(split=st.one_of(fractions(), st.just("folds=4")), seed=seeds, kept=st.sets(st.integers(0, 1999), min_size=1))
def test_added_images_move_none_of_a_threshold_split(
    many: Index, written: Written, split: str, seed: int, kept: set[int]
) -> None:
    small = written(image(f"n02085620_{n}", "n02085620") for n in kept)
    all_of_them = sides(many, split=split, seed=seed)
    assert all(side == all_of_them[image_id] for image_id, side in sides(small, split=split, seed=seed).items())


@few
@given(split=fractions(), seed=seeds)
def test_python_and_sql_draw_alike(many: Index, split: str, seed: int) -> None:
    bounds = thresholds(parse_split(split))
    rows = many.select(split=split, seed=seed).run(
        f"SELECT hash32, split, draw(hash32, {seed}) FROM made WHERE left_out IS NULL OR left_out = 'split'"
    )
    for hash32, side, drawn_by_macro in rows.fetchall():
        drawn = draw(hash32, seed)
        assert drawn == drawn_by_macro
        assert side == next((name for name, bound in bounds if drawn < bound), None)


@few
@given(n=st.integers(1, 1999), seed=seeds)
def test_a_count_a_class_is_exact_and_takes_the_lowest_draws(many: Index, n: int, seed: int) -> None:
    found = sides(many, split=f"val={n}/class", seed=seed)
    taken = {image_id for image_id, side in found.items() if side == "val"}
    rows = many.sql("SELECT wnid, image_id, hash32 FROM images WHERE split = 'train'").fetchall()
    drawn: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for wnid, image_id, hash32 in rows:
        drawn[wnid].append((draw(hash32, seed), image_id))
    assert taken == {image_id for one in drawn.values() for _, image_id in sorted(one)[:n]}


@pytest.mark.parametrize("n", [2000, 2500, 1_000_000])
def test_a_count_that_leaves_nothing_for_train_is_an_error(many: Index, n: int) -> None:
    with pytest.raises(UsageError, match=f"val={n}/class: it leaves no image for train; the largest class has 2,000"):
        sides(many, split=f"val={n}/class", seed=0)


def test_val_50_a_class_is_exact(many: Index) -> None:
    found = many.select(split="val=50/class").counts()
    assert set(found["val"].values()) == {50}
    assert set(found["train"].values()) == {1950}


@few
@given(low=st.integers(1, 30), more=st.integers(1, 30), split=st.one_of(st.none(), splits), seed=seeds)
def test_few_a_class_lie_inside_more_a_class(many: Index, low: int, more: int, split: str | None, seed: int) -> None:
    def ids(n: int) -> set[tuple[str, str]]:
        found = many.select(split=split, per_class=n, seed=seed).run(
            "SELECT split, image_id FROM made WHERE left_out IS NULL"
        )
        return set(found.fetchall())

    assert ids(low) < ids(low + more) or (split and "/class" in split and ids(low) <= ids(low + more))


@few
@given(limit=st.integers(1, 13_000), seed=seeds)
def test_a_limit_is_exact_and_takes_the_lowest_draws(many: Index, limit: int, seed: int) -> None:
    rows = many.select(limit=limit, seed=seed).run("SELECT hash32, left_out FROM made").fetchall()
    taken = [draw(hash32, seed) for hash32, left_out in rows if left_out is None]
    others = [draw(hash32, seed) for hash32, left_out in rows if left_out == "limit"]
    assert len(taken) == min(limit, 12_300)
    assert not others or max(taken) <= min(others)


# ---- classes apart


def test_classes_apart_share_no_ancestor_below_the_depth_asked_for(fall11: Index) -> None:
    words = {"classes": "ilsvrc2012"}
    chosen_classes = set(lists.get("ilsvrc2012").wnids)
    split = "classes:train=64,val=16,test=20,below=7"
    found = fall11.select(split=split, **words).counts()  # type: ignore[arg-type]
    assert {name: len(one) for name, one in found.items()} == {"train": 64, "val": 16, "test": 20}
    deep = {
        name: {above for wnid in one for above in hierarchy.ancestors(wnid) if hierarchy.max_depth(above) > 7}
        for name, one in found.items()
    }
    assert deep["train"].isdisjoint(deep["val"]) and deep["train"].isdisjoint(deep["test"])
    assert deep["val"].isdisjoint(deep["test"])
    again = fall11.select(split=split, **words)  # type: ignore[arg-type]
    assert again.counts() == found
    n = len(chosen_classes & set(lists.get("fall11").wnids))
    assert any(one.startswith(f"{n - 100:,} of {n:,} classes are in no split") for one in again.notes())
    assert fall11.select(split=split, seed=1, **words).counts() != found  # type: ignore[arg-type]


def test_classes_apart_are_as_many_as_asked_or_an_error(fall11: Index) -> None:
    found = fall11.select(classes="imagenet100-cmc", split="classes:train=64,val=16,test=20").counts()
    assert {name: len(one) for name, one in found.items()} == {"train": 64, "val": 16, "test": 20}
    sets = [set(one) for one in found.values()]
    assert set.union(*sets) == set(lists.get("imagenet100-cmc").wnids)
    with pytest.raises(UsageError, match="101 classes are asked for, found 100"):
        fall11.select(classes="imagenet100-cmc", split="classes:train=80,val=21").counts()
    with pytest.raises(UsageError, match="no way was found"):
        fall11.select(classes="imagenet100-cmc", split="classes:train=50,val=50,below=0").counts()


# ---- groups


def groups(folder: Path, tied: dict[str, str]) -> Path:
    path = folder / f"groups{len(list(folder.iterdir()))}.csv"
    with path.open("w", newline="") as out:
        csv.writer(out).writerows([("photo", "group"), *tied.items()])
    return path


@few
@given(split=splits, seed=seeds, n=st.integers(1, 40))
def test_a_group_falls_to_one_side(many: Index, tables: Path, split: str, seed: int, n: int) -> None:
    # Every third image of three classes is in one of n groups, which lie across the classes.
    tied = {f"{wnid}_{k}": f"g{k % n}" for wnid in ("n02085620", "n02086079", "n02123045") for k in range(0, 2000, 3)}
    found = sides(many, split=split, seed=seed, groups=groups(tables, tied))
    assert len(found) == 12_000
    by_group: dict[str, set[str | None]] = defaultdict(set)
    for photo, group in tied.items():
        by_group[group].add(found[photo])
    assert all(len(one) == 1 for one in by_group.values())
    alone = sides(many, split=split, seed=seed)
    if "/class" not in split:
        assert all(found[image_id] == side for image_id, side in alone.items() if image_id not in tied)


def test_groups_that_classes_apart_would_part_are_left_out_and_counted(many: Index, tables: Path) -> None:
    tied = {f"{wnid}_{k}": "twins" for wnid in ("n02085620", "n04355933") for k in range(2)}
    selection = many.select(
        split="classes:train=3,val=3",
        groups=groups(tables, tied),
        classes="n02085620,n04355933,n02123045,n02088364,n02086079,n02123159",
    )
    side = {wnid: name for name, found in selection.counts().items() for wnid in found}
    expected = 4 if side["n02085620"] != side["n04355933"] else 0
    assert selection.left_out().get("groups", 0) == expected


def test_groups_want_a_new_split_and_a_table_with_one_row_an_image(many: Index, tables: Path) -> None:
    path = groups(tables, {"n02085620_1": "a"})
    with pytest.raises(UsageError, match="--groups keeps groups together in a new split"):
        many.select(groups=path)
    path.write_text("photo,group\nn02085620_1,a\nn02085620_1,b\n")
    with pytest.raises(UsageError, match="several rows for n02085620_1"):
        many.select(groups=path, split="folds=2").counts()


@pytest.mark.parametrize(
    "wrong",
    [
        *("folds=1", "folds=0", "classes:", "classes:train=0", "class:train=3", "classes:train=3,below=x"),
        *("train=1/class,val=.5", "train=0", "val=1.5/class", "=3", "train", ""),
    ],
)
def test_a_split_that_cannot_be_meant_says_what_can(many: Index, wrong: str) -> None:
    with pytest.raises(UsageError, match=r"--split .*Expected official, fractions such as"):
        many.select(split=wrong)


@pytest.mark.parametrize("wrong", ["0", "train=5,train=9", "train=5,", "5,9", "train=x"])
def test_an_amount_that_cannot_be_meant_says_what_can(many: Index, wrong: str) -> None:
    with pytest.raises(UsageError, match=r"--per-class: .*expected a whole number above 0, such as 300, or one for"):
        many.select(per_class=wrong)
