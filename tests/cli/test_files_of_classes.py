"""Files of classes are read whole or refused, and a complete list decides which classes its names mean."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from imagenet_tools import identify
from imagenet_tools.catalogue import given_lists, lists, terms, user_files
from imagenet_tools.catalogue.identify_classes import ClassesFound
from imagenet_tools.catalogue.identify_labels import LabelsFound
from imagenet_tools.errors import AmbiguousSynsetError, UsageError
from imagenet_tools.wordnet import wordnet
from tests.cli.conftest import Run
from tests.parameters import short_list

IMAGENETTE = (
    "tench", "English springer", "cassette player", "chain saw", "church",
    "French horn", "garbage truck", "gas pump", "golf ball", "parachute",
)  # fmt: skip
BY_INDEX = dict(enumerate(IMAGENETTE))
BY_NAME = {name: n for n, name in enumerate(IMAGENETTE)}
NUMBERED = "".join(f"{n}, {name.replace(' ', '_')}\n" for n, name in enumerate(IMAGENETTE))
ILSVRC = lists.get("ilsvrc2012").wnids


def resolve(text: str) -> str:
    return terms.resolve(text).wnid


def written(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def names_of(wnids: tuple[str, ...]) -> list[str]:
    return [wordnet.synset(wnid).lemmas[0].replace("_", " ") for wnid in wnids]


# ---- forms

FORMS = {
    "dict.txt": "{" + ",\n ".join(f"{n}: {name!r}" for n, name in BY_INDEX.items()) + "}",
    "list.py": repr(IMAGENETTE[:9]).replace("(", "[").replace(")", ", 'parachute']"),
    "config.json": json.dumps({"model_type": "vit", "id2label": BY_INDEX, "label2id": BY_NAME}),
    "label2id.json": json.dumps({"label2id": dict(reversed(BY_NAME.items()))}),
    "heading.txt": "Numbers and names of the classes\n\nTaken from https://example.org/classes.json\n\n" + NUMBERED,
    "from_1.txt": "Classes\n" + "".join(f"{n}: {name}\n" for n, name in enumerate(IMAGENETTE, 1)),
    "by_name.json": json.dumps(dict(zip(IMAGENETTE, lists.get("imagenette").wnids, strict=True))),
    "one_line.txt": ", ".join(IMAGENETTE),
    "two_lines_of_wnids.txt": "{} {} {},{}\n{}\t{} {} {} {} {}\n".format(*lists.get("imagenette").wnids),
    "dict.yaml": "path: .\ntrain: train\nnc: 10\nnames:\n" + "".join(f"  {n}: {c}\n" for n, c in BY_INDEX.items()),
    "unsorted.yaml": "names:\n" + "".join(f"  {n}: {c}\n" for n, c in reversed(BY_INDEX.items())) + "nc: 10\n",
    "items.yml": "names: # classes\n" + "".join(f"- {name}  # a class\n" for name in IMAGENETTE) + "download: |\n  x\n",
    "quoted.yaml": "names:\n" + "".join(f"  - {json.dumps(name)} # a class\n" for name in IMAGENETTE),
    "list.yaml": f"nc: 10\nnames: {list(IMAGENETTE)}  # classes\n",
    "lines.yaml": "names: [" + ",\n  ".join(IMAGENETTE) + ",\n]\nnc: 10\n",
    "flow.yaml": "names: {" + ", ".join(f"{n}: '{name}'" for n, name in BY_INDEX.items()) + "}\n",
    "bom.txt": "\ufeff" + "\r\n".join(IMAGENETTE),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_imagenette_in_order(form: str, tmp_path: Path) -> None:
    path = written(tmp_path / form, FORMS[form])
    found = identify(path)
    assert isinstance(found, ClassesFound)
    assert "imagenette" in found.equal, found.why
    assert given_lists.read_list(str(path), resolve) == list(lists.get("imagenette").wnids)


def test_names_with_apostrophes_and_commas_in_yaml_are_one_class_each(tmp_path: Path) -> None:
    names = ["jack-o'-lantern", "potter's wheel", "it's, two", "tench"]
    wanted = ("jack-o'-lantern", "potter's wheel", "it's, two", "tench")
    for text in (
        """names: [jack-o'-lantern, potter's wheel, 'it''s, two', "tench"]""",
        "names:\n- " + "\n- ".join(names),
        """names: {3: tench, 0: jack-o'-lantern, 1: "potter's wheel", 2: 'it''s, two'}""",
    ):
        found = user_files.read(written(tmp_path / "data.yaml", text))
        assert isinstance(found, tuple)
        assert found == wanted


@pytest.mark.parametrize(
    "text",
    [
        "names:\n  0: &a tench\n",
        "names:\n  0: [tench]\n",
        "names:\n  0: |\n    tench\n",
        "names:\n  0: a: b\n",
        'names:\n  0: "te\\x6ech"\n',
        "names:\n  0: tench\n  0: goldfish\n",
        "names:\n  - tench\n  1: goldfish\n",
        "names: [tench, [goldfish]]\n",
        "names: [tench, 'goldfish]\n",
        "names: [tench, goldfish\n",
        "names: [tench,, goldfish]\n",
        "names: *others\n",
        "names: tench\n",
        "names:\n",
        "train: train\n",
    ],
)
def test_other_yaml_is_refused_and_never_read_in_part(text: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"data\.yaml: .*Expected a file of classes"):
        user_files.read(written(tmp_path / "data.yaml", text))


def test_an_lst_of_mxnet_holds_the_labels_of_its_images(tmp_path: Path) -> None:
    index = lists.index_of("ilsvrc2012")
    lines = [f"{n}\t{index[w]}.000000\tval set/{w}/{w}_{n}.JPEG\n" for n, w in enumerate(ILSVRC[::9])]
    found = identify(written(tmp_path / "train.lst", "".join(lines)))
    assert isinstance(found, LabelsFound) and found.numbering is not None
    assert (found.numbering.space, found.numbering.base) == ("ilsvrc2012", 0)
    boxes = written(tmp_path / "boxes.lst", "0\t2\t5\t281\t0.1\tn01440764_1.JPEG\n")
    with pytest.raises(UsageError, match="has 4 labels; expected index, label, path"):
        user_files.read(boxes)


# ---- several on a line


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("a.txt", "tench, goldfish\ngreat white shark\n", "'tench, goldfish' names 2 classes"),
        ("a.json", '["tench, goldfish", "hen"]', "'tench, goldfish' names 2 classes"),
        ("a.json", '[["tench", "goldfish"], ["hen"]]', "'tench, goldfish' names 2 classes"),
        ("a.txt", "n01440764 n01443537 tench\nn01484850\n", "names 2 wnids; expected one a line"),
        ("a.csv", "0,n01440764,n01443537\n1,n01484850,n01491361\n", "names 2 wnids; expected one a line"),
        ("a.txt", "n01440764 n01443537\nn01440764 n01484850\n", "n01440764 more than once"),
        ("a.json", '{"tench": 0, "tench": 1}', "gives 'tench' twice"),
        ("a.txt", "{0: 'tench', 0: 'goldfish'}", "gives 0 twice"),
        ("a.json", '{"tench": 0, "goldfish": 0}', "gives 0 to two classes: 'tench' and 'goldfish'"),
        ("a.json", '{"model_type": "vit", "hidden_size": 768}', "its keys are 'model_type', 'hidden_size'"),
    ],
)
def test_what_would_be_read_in_part_is_refused(name: str, text: str, why: str, tmp_path: Path) -> None:
    path = written(tmp_path / name, text)
    with pytest.raises(UsageError, match=why):
        identify(path)
    with pytest.raises(UsageError, match=why):
        given_lists.read_list(str(path), resolve)


def test_words_of_one_class_are_one_class_and_a_superclass_beside_each_is_none(tmp_path: Path) -> None:
    path = written(tmp_path / "a.txt", "tench, Tinca tinca\ngoldfish, Carassius auratus\n")
    assert given_lists.read_list(str(path), resolve) == ["n01440764", "n01443537"]
    written(path, "tench, Tinca tinca\n")
    assert given_lists.read_list(str(path), resolve) == ["n01440764"]
    written(path, "n02099267,n02098550\nn02099429,n02098550\n")  # retrievers; sporting dog is above both
    assert given_lists.read_list(str(path), resolve) == ["n02099267", "n02099429"]


# ---- what names mean


def test_a_whole_list_decides_what_its_names_mean(tmp_path: Path) -> None:
    """`crane` and `maillot` name two classes each. In the complete list, their positions decide."""
    path = written(tmp_path / "names.txt", "\n".join(names_of(ILSVRC)))
    assert given_lists.read_list(str(path), resolve) == list(ILSVRC)
    written(path, "tench\ncrane\n")
    with pytest.raises(AmbiguousSynsetError, match=r"names\.txt: 'crane' names (?s:.*)crane\.n\.04"):
        given_lists.read_list(str(path), resolve)


def test_the_list_decides_though_another_sense_alone_has_images() -> None:
    """An index may have images of other senses of `church` and `chain saw`. Imagenette decides the sense."""

    def of_another_index(text: str) -> str:
        raise AssertionError(text)

    shuffled = [*IMAGENETTE[5:], *IMAGENETTE[:5]]
    wnids = lists.get("imagenette").wnids
    assert given_lists.read_list(",".join(shuffled), of_another_index) == [*wnids[5:], *wnids[:5]]
    assert given_lists.resolve_all(list(IMAGENETTE), of_another_index) == list(wnids)


def test_in_another_order_two_classes_of_one_name_are_not_guessed(tmp_path: Path) -> None:
    names = names_of(ILSVRC)
    shuffled = [names[n] for n in np.random.default_rng(0).permutation(1_000)]
    path = written(tmp_path / "names.txt", "\n".join(shuffled))
    assert "ilsvrc2012" in identify(path).same_set  # type: ignore[union-attr]
    with pytest.raises(AmbiguousSynsetError, match=r"'(Cardigan|cardigan|crane|maillot)' names"):
        given_lists.read_list(str(path), resolve)


def test_identify_names_the_classes_that_differ(tmp_path: Path, run: Run) -> None:
    path = written(tmp_path / "lost.json", json.dumps({name: n for n, name in enumerate(names_of(ILSVRC))}))
    found = identify(path)
    assert isinstance(found, ClassesFound)
    assert found.ambiguous == {
        "crane": ("n02012849 crane.n.05", "n03126707 crane.n.04"),
        "maillot": ("n03710637 maillot.n.02", "n03710721 maillot.n.01"),
    }
    assert (found.missing, found.extra) == ((), ())
    ran = run("classes", "identify", str(path))
    assert "crane may be n02012849 crane.n.05 or n03126707 crane.n.04: use the wnid" in ran.out
    names = [name for name in names_of(ILSVRC) if name not in ("tench", "hen")]
    found = identify(written(tmp_path / "names.txt", "\n".join([*names, "unicorn"])))
    assert isinstance(found, ClassesFound)
    assert (found.missing, found.extra) == (("n01440764 tench.n.01", "n01514859 hen.n.02"), ("unicorn",))
    wnids = [*ILSVRC[1:], "n00001740"]
    ran = run("classes", "identify", str(written(tmp_path / "wnids.txt", "\n".join(wnids))))
    assert "missing: n01440764 tench.n.01" in ran.out and "not in it: n00001740" in ran.out


# ---- numbers, and names of lists


@pytest.mark.parametrize("given", ["0,1,2", "281", "FILE", "ARRAY", "100"])
def test_class_numbers_are_explained(given: str, tmp_path: Path, run: Run) -> None:
    if given == "FILE":
        given = str(written(tmp_path / "numbers.txt", "0\n1\n2\n"))
    elif given == "ARRAY":
        np.save(tmp_path / "numbers.npy", np.arange(3))
        given = str(tmp_path / "numbers.npy")
    for words in (["tree", "--classes", given], ["classes", "show", given], ["export", "x", "--classes", given]):
        ran = run(*words, *(["--to", "csv", "--dry-run"] if words[0] == "export" else []))
        assert ran.code == 2 and "Found the class number" in ran.err
        assert "`imagenet-tools classes show ilsvrc2012`" in ran.err and "in sorted order" in ran.err
        assert ("n02123045 tabby.n.01" if given == "281" else "n01") in ran.err


@pytest.mark.parametrize("words", short_list(["tree --classes", "classes show", "info --classes"], "classes show"))
def test_a_list_that_is_not_there_gets_the_nearest_with_the_reason(run: Run, words: str) -> None:
    ran = run(*words.split(), "imagenet100")
    assert ran.code == 2 and "different lists bear this name" in ran.err and "imagenet100-cmc" in ran.err
    assert "Here its classes are those of ilsvrc2012" in run(*words.split(), "ImageNet-1k").err
    assert "Close to it are imagenette" in run(*words.split(), "imagenete").err
    assert "Close to it is" in (said := run(*words.split(), "tenhc").err) and "tench" in said


def test_a_list_of_a_thousand_wnids_with_commas_is_no_file_name(run: Run) -> None:
    for words in (["tree", "--classes"], ["classes", "show"]):
        ran = run(*words, ",".join(ILSVRC), "--json")
        assert (ran.code, ran.err) == (0, "") or "File name too long" not in ran.err
        assert ran.code == 0


# ---- hostile files


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 30)


HOSTILE: dict[str, tuple[bytes | Callable[[Path], None], str]] = {
    "deep.json": (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
    "deep.txt": (b"{0: " * 100_000, "no JSON, nor a Python dict or list"),
    "deep_names.json": (b'{"id2label": ' * 100_000 + b"0" + b"}" * 100_000, "nested too deeply"),
    "not.txt": (b"{0: " + b"-" * 100_000 + b"1}", "no JSON, nor a Python dict or list"),
    "sum.txt": (b"{0: " + b"1+" * 100_000 + b"1}", "no JSON, nor a Python dict or list"),
    "call.txt": (b"{0: __import__('os').getpid()}", "no JSON, nor a Python dict or list"),
    "digits.json": (b"[" + b"9" * 5_000 + b"]", "no JSON, nor a Python dict or list"),
    "set.txt": (b"{'tench', 'hen'}", "no list of classes"),
    "unhashable.txt": (b"{[]: 'tench'}", "no JSON, nor a Python dict or list"),
    "float_keys.json": (b'{"0.": "tench", "x": "hen"}', "its keys are '0.', 'x'"),
    "lines.jsonl": (b"{1}\n{2}\n", "its lines are no JSON objects"),
    "large.txt": (sparse, "larger than 64 MiB"),
    "many.txt": (b"\n" * 5_000_000, "4,000,000 lines"),
    "utf16.txt": ("tench\nhen\n".encode("utf-16"), "in UTF-16: save it as UTF-8"),
    "latin1.txt": ("p\xe2t\xe9\n".encode("latin-1"), "byte 1 is 0xe2"),
    "nul.txt": (b"tench\0\n", "it holds NUL"),
    "zip.npy": (b"PK\x03\x04" + bytes(30), "numpy cannot read it"),
    "huge.npy": (
        b"\x93NUMPY\x01\x00\x76\x00"
        + b"{'descr': '<i8', 'fortran_order': False, 'shape': (10000000000000000000000,), }".ljust(117)
        + b"\n",
        "numpy cannot read it",
    ),
    "spaces.yaml": (b"names:\n  0: a" + b" " * 200_000 + b": b", "YAML that is not read here"),
    "quotes.yaml": (b"names: [" + b"'a " * 200_000 + b"]", "pair of brackets"),
}


@pytest.mark.parametrize("name", short_list(HOSTILE, *[*HOSTILE][::3]))
def test_a_hostile_file_is_one_clear_error(name: str, tmp_path: Path, run: Run) -> None:
    data, why = HOSTILE[name]
    path = tmp_path / name
    path.write_bytes(data) if isinstance(data, bytes) else data(path)
    with warnings.catch_warnings(), pytest.raises(UsageError, match=why):
        warnings.simplefilter("error")
        user_files.read(path)
    ran = run("tree", "--classes", str(path))
    assert ran.code == 2 and ran.out == "" and len(ran.err.splitlines()) == 1
    assert ran.err.startswith(f"error: {path}: ")
