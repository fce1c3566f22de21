"""Every word of a selection, typed as a flag, makes the recipe that the same word makes in Python."""

from pathlib import Path
from typing import Any

from imagenet_tools.index import Index
from imagenet_tools.selection.words import BY_KEYWORD, SELECTION
from tests.cli.conftest import Run

DOG, CAT = "dog.n.01", "cat.n.01"


def values(index: Index, home: Path) -> dict[str, tuple[list[str], Any]]:
    """What is typed behind each flag, and the value in Python. A flag of several values is typed several times."""
    image = index.images[0]
    scores, groups, ids, cut = (home / name for name in ("scores.csv", "groups.csv", "ids.txt", "dogs.txt"))
    scores.write_text(f"dataset,image_id,score\n{image.dataset},{image.image_id},1\n")
    groups.write_text(f"photo,group\n{image.image_id},1\n")
    ids.write_text(f"{image.image_id}\n")
    cut.write_text("n02085620\nn02085936\n")
    return {
        "dataset": (["ilsvrc2012"], ["ilsvrc2012"]),
        "from_": (["train,val"], ["train", "val"]),
        "under": ([DOG, CAT], [DOG, CAT]),
        "also_under": ([DOG], [DOG]),
        "without": (["toy_dog"], ["toy_dog"]),
        "classes": ([str(cut)], str(cut)),
        "class_where": (["n_images > 1"], ["n_images > 1"]),
        "nested": (["leaves"], "leaves"),
        "superclasses": (["imagewoof"], "imagewoof"),
        "images": ([str(ids)], [str(ids)]),
        "where": (["width > 1", "height > 1"], ["width > 1", "height > 1"]),
        "parameter": (["low=1", "name=tench"], {"low": 1, "name": "tench"}),
        "with_": ([f"s={scores}"], {"s": scores}),
        "exclude": (["defects", "overlap:imagenette"], ["defects", "overlap:imagenette"]),
        "boxed": ([], True),
        "min_images": (["1"], 1),
        "max_images": (["10000"], 10000),
        "split": (["train=0.75,val=0.25"], {"train": 0.75, "val": 0.25}),
        "groups": ([str(groups)], str(groups)),
        "per_class": (["train=2,val=1"], {"train": 2, "val": 1}),
        "limit": (["5"], 5),
        "order": (["ilsvrc-id"], "ilsvrc-id"),
        "seed": (["7"], 7),
    }


def test_every_word_is_typed_as_it_is_said_in_python(run: Run, index: Index, tmp_path: Path) -> None:
    examples = values(index, tmp_path)
    assert examples.keys() == {word.keyword for word in SELECTION}
    for way in ("by_flag", "by_keyword"):
        (tmp_path / way).mkdir()
    for word in SELECTION:
        words = {word.keyword, "split"} if word.keyword == "groups" else {word.keyword}  # groups part a new split
        by_flag, by_keyword = (tmp_path / way / f"{word.keyword}.toml" for way in ("by_flag", "by_keyword"))
        ran = run("subset", str(by_flag), *(text for name in words for text in flags(name, examples[name][0])))
        assert ran.code == 0, (word.flag, ran.err)
        index.select(**{name: examples[name][1] for name in words}).save(by_keyword)
        assert by_flag.read_text() == by_keyword.read_text(), word.flag


def flags(keyword: str, texts: list[str]) -> list[str]:
    flag = BY_KEYWORD[keyword].flag
    return [part for text in texts for part in (flag, text)] or [flag]


def test_a_value_may_begin_with_a_dash_and_must_be_there(run: Run) -> None:
    ran = run("info", "--where", "-1 < n_boxes", "--seed", "-1")
    assert (ran.code, ran.err) == (0, "")
    for words in (("--under",), ("--where",), ("--limit",)):
        ran = run("info", *words)
        assert ran.code == 2 and f"Option '{words[0]}' requires an argument." in ran.err
    assert "--limit -3: expected a whole number above 0" in run("info", "--limit", "-3").err
