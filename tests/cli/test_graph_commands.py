"""The commands classes cut, classes tree and tree: output, files and exit codes."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from imagenet_tools.catalogue import labels
from imagenet_tools.superclasses import exclusive_tree, superclasses
from tests.cli.conftest import Run


def test_cut_writes_a_file_and_reports_what_is_not_covered_and_ambiguous(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "pets.toml"
    ran = run("classes", "cut", "--at", "dog,domestic_animal,bird", "-o", str(path))
    assert (ran.code, ran.out) == (0, "")
    assert "3 superclasses of 182 of 1,000 classes, 5 to 118 each" in ran.err
    assert "uncovered: 818 classes at or below none: tench.n.01" in ran.err
    assert "ambiguous: 118 classes at or below several: chihuahua.n.03" in ran.err
    made = superclasses.read(path)
    assert len(made.superclass_of()) == 182 and not made.edited
    assert run("classes", "cut", "--at", "dog,domestic_animal,bird").out == path.read_text()
    assert run("classes", "cut", "--at", "dog", "-o", str(path)).code == 4
    said = json.loads(run("classes", "cut", "--k", "3", "--balanced", "--json").out)
    assert [one["name"] for one in said["superclasses"]] and len(said["superclasses"]) == 3
    assert said["rule"]["k"] == 3 and said["ambiguous"] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no way to choose; expected one of depth, k, at"),
        (["--k", "3", "--depth", "2"], "depth and k"),
        (["--depth", "2", "--balanced"], "--balanced needs --k"),
        (["--k", "2000"], "only 1,000"),
        (["--at", "crane"], "crane.n.05"),
        (["--k", "2", "--under", "doggg"], "doggg"),
        (["--k", "2", "--classes", "no/such.txt"], "no such file"),
    ],
)
def test_cut_says_what_is_wrong(run: Run, arguments: list[str], message: str) -> None:
    ran = run("classes", "cut", *arguments)
    assert ran.code in (1, 2) and ran.out == "" and message in ran.err


def test_tree_of_classes_is_a_file_that_tree_draws(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "tree.toml"
    ran = run("classes", "tree", "--rule", "max-depth", "-o", str(path))
    assert ran.code == 0 and "38 of them classes" in ran.err
    tree = exclusive_tree.read(path)
    drawn = json.loads(
        run("tree", "--exclusive", str(path), "--depth", "99", "--all", "--classes", "ilsvrc2012", "--json").out
    )
    assert {(one["target"], one["source"]) for one in drawn["edges"]} == set(tree.hypernyms.items())
    assert set(labels.ilsvrc2012_sorted()) < {one["id"] for one in drawn["nodes"]}
    assert run("classes", "tree").code == 2
    ran = run("classes", "tree", "--rule", "tallest")
    assert ran.code == 2 and "expected one of first, min-depth" in ran.err
    ran = run("tree", "--exclusive", "tallest")
    assert ran.code == 2 and "or a file" in ran.err


def test_tree_by_most_images_counts_those_of_the_index(run: Run) -> None:
    ran = run("classes", "tree", "--rule", "most-images", "--classes", "n02123045,n02085620,n02088364")
    assert ran.code == 0 and "images" in ran.out


def test_tree_is_written_as_what_the_suffix_says(run: Run, tmp_path: Path) -> None:
    for suffix in ("svg", "dot", "json", "txt"):
        path = tmp_path / f"dogs.{suffix}"
        ran = run("tree", "dog", "--classes", "n02085620,n02123045", "--collapse", "-o", str(path))
        assert (ran.code, ran.out) == (0, "") and "n02085620" in path.read_text()
    assert ET.parse(tmp_path / "dogs.svg").getroot().tag.endswith("svg")
    assert run("tree", "dog", "-o", str(tmp_path / "dogs.png")).code == 2
    assert run("tree", "dog", "-o", str(tmp_path / "dogs.svg")).code == 4


def test_find_says_what_a_number_is_in_every_label_space(run: Run) -> None:
    found = {one["wnid"]: one["why"] for one in json.loads(run("find", "281", "--json").out)}
    assert found["n02123045"].startswith("index 281 of ilsvrc2012 in sorted order")
    assert "ILSVRC id 281" in found["n03930630"]
    assert "from 1" in found["n02120505"]
    said = "; ".join(found.values())
    for space in (
        "ILSVRC2010",
        "fall11",
        "imagenet21k-goog",
        "imagenet22k-ms",
        "imagenet12k",
        "imagenet21k-p-winter21",
    ):
        assert space in said
