"""A value of a wrong type is an error of one sentence, in each public function and for each word."""

import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import imagenet_tools as imt
from imagenet_tools import api
from imagenet_tools.arguments import fits
from imagenet_tools.errors import UsageError
from imagenet_tools.index import Index
from imagenet_tools.selection.words import EXPORT, SELECTION
from imagenet_tools.wordnet import hierarchy, similarity

# No public argument accepts these.
STRANGE: tuple[object, ...] = (5.5, b"bytes", {1: 2}, [0, 1], object())

CALLS: dict[str, Callable[[Index], object]] = {
    "find": lambda index: imt.find(5),  # type: ignore[arg-type]
    "find limit": lambda index: imt.find("dog", limit="5"),  # type: ignore[arg-type]
    "synset": lambda index: imt.synset(None),  # type: ignore[arg-type]
    "is_a": lambda index: imt.is_a("dog", 5),  # type: ignore[arg-type]
    "detect": lambda index: imt.detect(5),  # type: ignore[arg-type]
    "check": lambda index: imt.check([5]),  # type: ignore[list-item]
    "check index": lambda index: imt.check("x", index=b"x"),  # type: ignore[arg-type]
    "classes": lambda index: imt.classes(5),  # type: ignore[arg-type]
    "class_map": lambda index: imt.class_map("voc", 5),  # type: ignore[arg-type]
    "identify": lambda index: imt.identify(5),  # type: ignore[arg-type]
    "evaluate": lambda index: imt.evaluate(5),  # type: ignore[arg-type]
    "evaluate nothing": lambda index: imt.evaluate([]),
    "build_index nothing": lambda index: imt.build_index(Path("data").glob("*.nothing"), "x.index"),
    "tree depth": lambda index: imt.tree("dog", depth=-1),
    "hypernyms": lambda index: hierarchy.hypernyms(5),  # type: ignore[arg-type]
    "distance": lambda index: similarity.distance("dog.n.01", None),  # type: ignore[arg-type]
    "evaluate labels": lambda index: imt.evaluate("x", labels=5),  # type: ignore[arg-type]
    "build_index": lambda index: imt.build_index(5),  # type: ignore[arg-type]
    "build_index workers": lambda index: imt.build_index("x", workers="2"),  # type: ignore[arg-type]
    "relocate": lambda index: imt.relocate({"a": 5}),  # type: ignore[dict-item]
    "open_index": lambda index: imt.open_index(3),  # type: ignore[arg-type]
    "open_index nul": lambda index: imt.open_index("a\0b"),
    "open_index roots": lambda index: imt.open_index(index.path, roots=["a=b"]),  # type: ignore[arg-type]
    "plan_export": lambda index: imt.plan_export("dog", to="yolo"),  # type: ignore[arg-type]
    "export": lambda index: imt.export("dog", "x", to="yolo"),  # type: ignore[arg-type]
    "export to": lambda index: imt.export(index.select(), "x", to=["yolo"]),  # type: ignore[arg-type]
    "export dest": lambda index: imt.export(index.select(), 5, to="yolo"),  # type: ignore[arg-type]
    "sql": lambda index: index.sql(5),  # type: ignore[arg-type]
    "image": lambda index: index.image(5),  # type: ignore[arg-type]
    "under": lambda index: index.select().under(5),  # type: ignore[arg-type]
    "under also": lambda index: index.select().under("dog", also="pet"),
    "sample": lambda index: index.select().sample(2.5),  # type: ignore[arg-type]
    "limit": lambda index: index.select().limit(True),
    "save": lambda index: index.select().save(5),  # type: ignore[arg-type]
    "plan": lambda index: imt.plan_export(index.select(), to=5),  # type: ignore[arg-type]
    "show": lambda index: index.select().show("12"),  # type: ignore[arg-type]
    "plot": lambda index: index.select().plot(5),  # type: ignore[arg-type]
    "dataset": lambda index: index.select().dataset(5),  # type: ignore[arg-type]
    "dataset loader": lambda index: index.select().dataset("train", loader="pil"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("call", CALLS)
def test_a_wrong_type_is_a_sentence(call: str, index: Index) -> None:
    with pytest.raises(UsageError) as raised:
        CALLS[call](index)
    assert "\n" not in str(raised.value)
    assert ": found " in str(raised.value) and "; expected " in str(raised.value)


@pytest.mark.parametrize("word", SELECTION, ids=lambda word: word.keyword)
def test_every_word_of_a_selection_says_what_it_takes(word: Any, index: Index) -> None:
    for value in STRANGE:
        if word.keyword == "parameter" and isinstance(value, dict):
            continue
        with pytest.raises(UsageError) as raised:
            index.select(**{word.keyword: value})
        assert str(raised.value).startswith(f"{word.keyword}: found ")
        assert word.help in str(raised.value)


@pytest.mark.parametrize("word", EXPORT, ids=lambda word: word.keyword)
def test_every_word_of_an_export_says_what_it_takes(word: Any, index: Index, tmp_path: Path) -> None:
    chosen = index.select()
    for value in STRANGE:
        words = {word.keyword: value}
        for make in (partial(imt.plan_export, chosen), partial(imt.export, chosen, tmp_path / "x")):
            with pytest.raises(UsageError) as raised:
                make(to="yolo", **words)
            assert str(raised.value).startswith(f"{word.keyword}: found ")
            assert word.help in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_what_fits_is_let_through(index: Index, tmp_path: Path) -> None:
    chosen = index.select(
        under=("dog", "cat"),
        classes=np.array(["n02085620"]),
        split={"train": 0.5, "val": 0.5},
        per_class={"train": np.int64(3)},
        groups=None,
    )
    assert sum(chosen.counts()["train"].values()) <= 3
    assert chosen.dataset("train", fields="image").fields == ("image",)
    assert len(imt.find("dog", limit=1)) == 1
    with ThreadPoolExecutor(1) as executor:
        assert fits(executor, "Executor | None") and fits(print, "Progress | None")
    assert fits(iter("ab"), "Iterable[str]") and not fits("ab", "Iterable[str]")
    assert fits({"a": Path("b")}, "Mapping[str, str | Path] | None") and not fits({"a": 5}, "Mapping[str, str | Path]")


def test_a_checked_function_keeps_its_face() -> None:
    for name in api.FUNCTIONS:
        function = getattr(imt, name)
        assert function.__name__ == name and function.__doc__
        assert "args" not in inspect.signature(function).parameters


@pytest.mark.parametrize("workers", [0, -1])
def test_a_number_of_workers_below_1_is_a_sentence(workers: int, index: Index, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"workers: found {workers}; expected a number of processes, at least 1"):
        imt.build_index(tmp_path, tmp_path / "x.index", workers=workers)
    with pytest.raises(UsageError, match=f"workers: found {workers}"):
        imt.export(index.select(), tmp_path / "x", to="csv", workers=workers)


def test_an_unknown_option_of_an_export_lists_the_options(index: Index) -> None:
    with pytest.raises(TypeError, match=r"'qualty' is no option of an export. Expected link, names, .*quality"):
        imt.plan_export(index.select(), to="csv", qualty=3)  # type: ignore[call-arg]


def test_a_plan_and_a_result_show_themselves_in_a_line_a_target(index: Index, tmp_path: Path) -> None:
    chosen = index.select(per_class=1)
    assert repr(imt.plan_export(chosen, to="csv")).startswith("Plan: csv; 26 images, ")
    shown = repr(imt.export(chosen, tmp_path / "x", to="csv,parquet", workers=1))
    assert len(shown.splitlines()) == 2 and len(shown) < 400
