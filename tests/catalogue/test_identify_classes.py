"""A file of classes is identified by set and by order, from wnids and from names."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from imagenet_tools import identify
from imagenet_tools.catalogue import given_lists, lists, user_files
from imagenet_tools.catalogue.identify_classes import ClassesFound
from imagenet_tools.errors import UsageError
from imagenet_tools.wordnet import wordnet
from tests.parameters import short_list

PUBLISHED = [name for name in lists.names(parts=True) if name != "ilsvrc2012-slim"]  # that has ilsvrc2012's classes
OF_SYNSETS = ("voc20", "coco80", "cifar10", "cifar100", "cifar100-coarse")


def found_in(path: Path, text: str) -> ClassesFound:
    path.write_text(text)
    found = identify(path)
    assert isinstance(found, ClassesFound)
    return found


@pytest.mark.parametrize(
    "name",
    short_list(
        (name for name in PUBLISHED if not name.startswith("cifar100")), "ilsvrc2012", "ilsvrc2010", "imagenet-r"
    ),
)
def test_a_published_list_is_told_in_order_and_in_set(name: str, tmp_path: Path) -> None:
    wnids = list(lists.get(name).wnids)
    found = found_in(tmp_path / "classes.txt", "\n".join(wnids))
    assert name in found.equal and not found.near
    shuffled = np.random.default_rng(0).permutation(wnids).tolist()
    found = found_in(tmp_path / "classes.txt", "\n".join(shuffled))
    told = "ilsvrc2012" if name == "imagenet-x17" else name  # which groups all of its classes
    assert told in found.same_set and name not in found.equal
    assert found.told and "in another order" in found.why


def test_ilsvrc2012_in_the_devkit_s_order_is_the_same_set(tmp_path: Path) -> None:
    found = found_in(tmp_path / "classes.txt", "\n".join(lists.get("ilsvrc2012-id").wnids))
    assert (found.equal, found.same_set) == (("ilsvrc2012-id",), ("ilsvrc2012",))


def test_what_comes_close_is_named_with_the_difference(tmp_path: Path) -> None:
    wnids = [*lists.get("imagenet-a").wnids[:-3], "n00001740", "n99999999", "n01440764", "n01440764"]
    path = tmp_path / "classes.csv"
    path.write_text("\n".join(f"{place},{wnid}" for place, wnid in enumerate(dict.fromkeys(wnids))))
    found = identify(path)
    assert isinstance(found, ClassesFound) and not found.told
    assert found.near[0] == ("imagenet-a", 197, 3, 3)
    assert found.unknown == ("n99999999",)


FORMS = {
    "wnids": "\n".join,
    "wnids and words": lambda wnids: "\n".join(f"{w} {', '.join(wordnet.synset(w).lemmas)}" for w in wnids),
    "map_clsloc": lambda wnids: "\n".join(f"{w} {n} word" for n, w in enumerate(wnids, 1)),
    "csv": lambda wnids: "index,wnid,name\n" + "\n".join(f'{n},"{w}","a, b"' for n, w in enumerate(wnids)),
    "class_index": lambda wnids: json.dumps({str(n): [w, "word"] for n, w in enumerate(wnids)}),
    "class_to_idx": lambda wnids: json.dumps({w: n for n, w in reversed(list(enumerate(wnids)))}),
    "list": lambda wnids: json.dumps(list(wnids)),
    "classes.json": lambda wnids: json.dumps({"classes": [{"wnid": w, "index": n} for n, w in enumerate(wnids)]}),
    "lemmas": lambda wnids: "\n".join(wordnet.synset(w).lemmas[0].replace("_", " ") for w in wnids),
    "all lemmas": lambda wnids: json.dumps([", ".join(wordnet.synset(w).lemmas).replace("_", " ") for w in wnids]),
    "numbered names": lambda wnids: "\n".join(f"{n}: {wordnet.synset(w).lemmas[-1]}" for n, w in enumerate(wnids)),
    "names": lambda wnids: "# names\n" + "\n".join(wordnet.synset(w).name for w in wnids),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["ilsvrc2012", "imagenet100-cmc", "mini-imagenet/test"])
def test_every_form_of_a_list_is_read(form: str, name: str, tmp_path: Path) -> None:
    found = found_in(tmp_path / f"classes.{'json' if 'class' in form else 'txt'}", FORMS[form](lists.get(name).wnids))
    assert name in found.equal, found.why


@pytest.mark.parametrize("name", OF_SYNSETS)
def test_categories_are_told_by_their_names(name: str, tmp_path: Path) -> None:
    names = lists.get(name).classes
    assert name in found_in(tmp_path / "names.txt", "\n".join(names)).equal
    assert name in found_in(tmp_path / "names.txt", "\n".join(names[::-1])).same_set
    assert found_in(tmp_path / "names.txt", "\n".join(names[1:])).near[0].name == name


def test_two_classes_of_one_name_are_told_apart_by_their_places(tmp_path: Path) -> None:
    """`crane` and `maillot` name two classes each: a set of names holds 998."""
    names = [wordnet.synset(wnid).lemmas[0] for wnid in lists.get("ilsvrc2012").wnids]
    found = found_in(tmp_path / "names.txt", "\n".join(names))
    assert found.equal == ("ilsvrc2012",) and len(found.repeated) == 2
    found = found_in(tmp_path / "names.txt", "\n".join(dict.fromkeys(names)))
    assert not found.told and found.near[0] == ("ilsvrc2012", 998, 2, 0)


def test_published_files_are_told(real: Path) -> None:
    for file, name in {
        "ilsvrc2012/map_clsloc.txt": "ilsvrc2012-id",
        "ilsvrc2012/LOC_synset_mapping.txt": "ilsvrc2012",
        "lists/imagenet100_cmc.txt": "imagenet100-cmc",
        "lists/fall11_classes.csv": "fall11",
        "lists/tieredImageNet/val.csv": "tieredimagenet/val",
        "tiny-imagenet-200/wnids.txt": "tiny-imagenet-200",
    }.items():
        found = identify(real / file)
        assert isinstance(found, ClassesFound) and name in found.equal, file


# ---- what a file may be


def test_a_list_for_a_command_is_a_published_name_a_file_or_synsets(tmp_path: Path) -> None:
    def resolve(text: str) -> str:
        return wordnet.synset(text).wnid

    assert given_lists.read_list(" ImageNette ", resolve) == list(lists.get("imagenette").wnids)
    assert given_lists.read_list("breeds-living17", resolve) == list(lists.get("breeds-living17").wnids)
    path = tmp_path / "mine.txt"
    path.write_text("dog.n.01  # the first line is a class, and no head\nn02123045 tabby\nn02123159\n")
    wanted = ["n02084071", "n02123045", "n02123159"]
    assert given_lists.read_list(str(path), resolve) == wanted
    path.write_text("wnid,name\n" + "".join(f'{wnid},"a, b"\n' for wnid in wanted))
    assert given_lists.read_list(str(path), resolve) == wanted
    path.write_text(json.dumps({"classes": [{"index": n, "wnid": wnid} for n, wnid in enumerate(wanted)]}))
    assert given_lists.read_list(str(path), resolve) == wanted
    assert given_lists.read_list("dog.n.01, n02123045", resolve) == wanted[:2]


def test_what_is_no_list_for_a_command_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    for text in ("5\n6\n5\n", "ILSVRC2012_val_00000001 n01751748\nILSVRC2012_val_00000002 n09193705\n"):
        path.write_text(text)
        with pytest.raises(UsageError, match="it holds labels"):
            given_lists.read_list(str(path), str)
    with pytest.raises(UsageError, match="no such file"):
        given_lists.read_list("none.txt", str)
    with pytest.raises(UsageError, match=r"it is a folder\. Expected a published list"):
        given_lists.read_list(str(tmp_path), str)
    with pytest.raises(UsageError, match="coco80 are categories"):
        given_lists.read_list("coco80", str)


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("empty.txt", b"", "it holds nothing"),
        ("image.jpg", b"\xff\xd8\xff\xe0", "it is no text"),
        ("broken.json", b'{"a": ', "it is no JSON"),
        ("mixed.json", b'["a", 1]', "mixes numbers and texts"),
        ("nothing.json", b"{}", "no list of classes or labels"),
        ("odd.csv", b"ILSVRC2012_val_00000001,5\nILSVRC2012_val_00000002,five\n", "row 2 of the labels is 'five'"),
        ("odd.txt", b"5\n6\nseven\n8\n9\n", "line 3 of 5 is 'seven'"),
        ("odd.npy", b"no array", "numpy cannot read it"),
        ("deep.json", b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
        ("truth.json", b"[true, false]", "its JSON mixes"),
        ("half.json", b"[1.0, 2.5]", "not all of them whole"),
        ("nul.txt", b"\0\0\0", "it is no text"),
    ],
)
def test_a_file_of_neither_is_refused_with_what_was_found(name: str, data: bytes, why: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UsageError, match=why):
        user_files.read(tmp_path / name)


@pytest.mark.parametrize(
    "values",
    [np.full(9, np.nan), np.full(9, 1e30), np.full(9, 2**64 - 1, np.uint64), np.ones(9, bool), np.array(["a"] * 9)],
    ids=lambda values: str(values.dtype),
)
def test_an_array_that_numbers_no_classes_is_refused(values: npt.NDArray[Any], tmp_path: Path) -> None:
    np.save(tmp_path / "odd.npy", values)
    with pytest.raises(UsageError, match="that number no classes"):
        user_files.read(tmp_path / "odd.npy")


def test_a_file_that_is_not_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        identify(tmp_path / "none.txt")
