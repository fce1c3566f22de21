"""--layout and --empty-classes: class folders nested as the hierarchy is, and without those of empty classes."""

import doctest
from itertools import pairwise
from pathlib import Path

import pytest

import imagenet_tools
from imagenet_tools.catalogue.export_classes import order_classes
from imagenet_tools.errors import ExportError, UsageError
from imagenet_tools.exports.layout import nested, tree_of
from imagenet_tools.formats import image_folder
from imagenet_tools.index import Index
from imagenet_tools.superclasses import exclusive_tree
from imagenet_tools.wordnet import wordnet
from tests.exports.odd import SPANIEL

DOG, CANINE, DOMESTIC, CHIHUAHUA, TABBY = "n02084071", "n02083346", "n01317541", "n02085620", "n02123045"


def folders(wnids: list[str], layout: str = "tree") -> dict[str, str]:
    return {cls.wnid: cls.folder for cls in nested(order_classes(wnids), tree_of(wnids, layout))}


def test_each_folder_is_a_hypernym_of_the_one_in_it_and_they_begin_below_the_lowest_shared_one() -> None:
    found = folders([CHIHUAHUA, TABBY])
    for wnid, folder in found.items():
        path = folder.split("/")
        assert path[-1] == wnid
        for above, below in pairwise(path):
            assert above in wordnet.synset(below).hypernyms
    assert found[CHIHUAHUA].split("/")[0] != found[TABBY].split("/")[0]
    assert DOG in found[CHIHUAHUA]


def test_the_example_of_the_docstring() -> None:
    names = {"order_classes": order_classes, "nested": nested, "tree_of": tree_of}
    [test] = doctest.DocTestFinder(recurse=False).find(nested, "nested", globs=names)
    assert doctest.DocTestRunner().run(test).failed == 0


def test_a_class_above_others_has_a_folder_of_its_own_inside() -> None:
    found = folders([DOG, CHIHUAHUA, TABBY])
    assert found[DOG].endswith(f"/{DOG}/{DOG}")
    assert found[CHIHUAHUA].startswith(found[DOG].removesuffix(DOG))
    assert folders([DOG, CHIHUAHUA])[DOG] == DOG  # beside the folders of the other classes
    assert folders([CHIHUAHUA]) == {CHIHUAHUA: CHIHUAHUA}


def test_a_file_says_where_a_synset_with_several_hypernyms_is(index: Index, tmp_path: Path) -> None:
    file = tmp_path / "tree.toml"
    selection = index.select(classes=f"{CHIHUAHUA},{TABBY}")
    made = exclusive_tree.text(tree_of([CHIHUAHUA, TABBY], "tree"))
    before, after = made.split(f'synset = "{DOG} dog.n.01"', 1)
    file.write_text(f'{before}synset = "{DOG} dog.n.01"{after.replace(f"{CANINE} canine.n.02", DOMESTIC, 1)}')
    plan = imagenet_tools.plan_export(selection, to="image_folder", layout=str(file))
    assert f"{DOMESTIC}/{DOG}" in plan.classes[0].folder
    assert any("dog.n.01 is below domestic_animal.n.01, not canine.n.02" in hazard for hazard in plan.hazards)
    result = imagenet_tools.export(selection, tmp_path / "x", to="image_folder", layout=str(file))
    assert (tmp_path / "x" / "recipe.toml").read_text().count('layout = "tree.toml"') == 1  # no folder of this machine
    assert tree_of([CHIHUAHUA], str(tmp_path / "x" / "tree.toml")).hypernyms[DOG] == DOMESTIC
    assert all(checked.ok for checked in result.check())


def test_a_tree_that_changes_during_the_export_stops_it(index: Index, tmp_path: Path) -> None:
    file = tmp_path / "tree.toml"
    wnids = [CHIHUAHUA, TABBY]
    exclusive_tree.write(tree_of(wnids, "tree"), file)

    def change(stage: str, done: int, total: int) -> None:
        file.write_text(exclusive_tree.text(exclusive_tree.exclusive_tree(wnids, rule="min-depth")))

    with pytest.raises(ExportError, match="the file was changed since the export began"):
        imagenet_tools.export(
            index.select(classes=",".join(wnids)), tmp_path / "x", to="image_folder", layout=str(file), progress=change
        )
    assert not (tmp_path / "x").exists()


def test_nested_folders_keep_the_indices_and_are_indexed_again(index: Index, tmp_path: Path) -> None:
    flat = imagenet_tools.plan_export(index.select(), to="image_folder")
    result = imagenet_tools.export(index.select(), tmp_path / "x", to="image_folder", layout="tree")
    assert [cls.wnid for cls in result.classes] == [cls.wnid for cls in flat.classes]
    assert all(checked.ok and checked.compared == 182 for checked in result.check())
    imagenet_tools.build_index(tmp_path / "x", tmp_path / "x.index", workers=1)
    facts = "SELECT image_id, wnid, split, length, width FROM images WHERE wnid IS NOT NULL ORDER BY ALL"
    assert imagenet_tools.open_index(tmp_path / "x.index").sql(facts).fetchall() == index.sql(facts).fetchall()


def test_a_level_without_the_export_s_files_is_indexed_by_the_innermost_folders(index: Index, tmp_path: Path) -> None:
    imagenet_tools.export(index.select(from_="train"), tmp_path / "x", to="image_folder", layout="tree")
    [dogs] = (tmp_path / "x").rglob(DOG)
    dogs.rename(tmp_path / "dogs")
    imagenet_tools.build_index(tmp_path / "dogs", tmp_path / "x.index", workers=1)
    query = "SELECT wnid, count(*) FROM images WHERE split = 'train' GROUP BY ALL ORDER BY ALL"
    found = imagenet_tools.open_index(tmp_path / "x.index").sql(query.replace("split = 'train'", "true")).fetchall()
    assert found == [row for row in index.sql(query).fetchall() if DOG in wordnet_above(row[0])]


def wordnet_above(wnid: str) -> set[str]:
    return set(tree_of([wnid], "tree").path(wnid))


def test_a_folder_with_images_of_its_own_is_one_class_folder(index: Index, tmp_path: Path) -> None:
    imagenet_tools.export(index.select(classes=CHIHUAHUA, from_="val"), tmp_path / "x", to="image_folder")
    outer = tmp_path / "y" / "train" / DOG
    (tmp_path / "x" / "val" / CHIHUAHUA).rename((outer.mkdir(parents=True), outer / CHIHUAHUA)[1])
    image = next((outer / CHIHUAHUA).iterdir())
    image.rename(outer / image.name)
    [detection] = image_folder.detect(tmp_path / "y")
    assert [unit.wnid for unit in image_folder.units(detection, "s", tmp_path / "y")] == [DOG]  # as ImageFolder has it


@pytest.mark.parametrize("target", ["image_folder", "zip", "yolo_classify"])
def test_folders_of_empty_classes_are_left_out_on_request(target: str, odd: Index, tmp_path: Path) -> None:
    result = imagenet_tools.export(odd.select(), tmp_path / "x", to=target, empty_classes="drop")
    assert any(
        f"have no image in val ({SPANIEL}); they have no folder there" in hazard for hazard in result.plan.hazards
    )
    assert all(checked.ok for checked in result.check())
    if target != "zip":
        for split in ("train", "val"):
            assert {path.name for path in (tmp_path / "x" / split).iterdir()} == set(result.tallies[split])


@pytest.mark.parametrize("target", ["image_folder", "zip"])
def test_classes_keep_their_index_where_one_has_a_folder_in_no_split(target: str, odd: Index, tmp_path: Path) -> None:
    chosen = odd.select(classes=["n01440764", "n01443537", "n02012849"])  # no goldfish is in the index
    result = imagenet_tools.export(chosen, tmp_path / "x", to=target, empty_classes="drop")
    assert len(result.classes) == 3
    assert all(checked.ok for checked in result.check())


def test_a_loader_s_other_indices_are_told(index: Index) -> None:
    selection = index.select(under="dog.n.01", where=f"NOT (wnid = '{CHIHUAHUA}' AND split = 'val')")
    plan = imagenet_tools.plan_export(selection, to="image_folder", empty_classes="drop")
    assert any("calls n02086079 class 0 in val, and classes.json calls it 1" in hazard for hazard in plan.hazards)
    without = index.select(under="dog.n.01", where=f"NOT (wnid = '{CHIHUAHUA}' AND split = 'train')")
    with pytest.raises(ExportError, match="train has no image of 1 class, n02085620 first"):
        imagenet_tools.plan_export(without, to="yolo_classify", empty_classes="drop")


@pytest.mark.parametrize(
    ("to", "options", "message"),
    [
        ("coco", {"layout": "tree"}, "it applies to class folders, which --to coco does not write"),
        ("yolo,csv", {"empty_classes": "drop"}, "which --to yolo,csv does not write"),
        ("image_folder", {"layout": "no.toml"}, "--layout no.toml: no.toml: No such file"),
        ("image_folder", {"layout": "tree", "names": "lemma"}, "--names lemma: expected wnid beside --layout"),
    ],
)
def test_wrong_options_are_refused(index: Index, to: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        imagenet_tools.plan_export(index.select(), to=to, **options)  # type: ignore[arg-type]


def test_a_tree_that_lacks_a_class_is_refused(index: Index, tmp_path: Path) -> None:
    exclusive_tree.write(tree_of([TABBY], "tree"), tmp_path / "tree.toml")
    with pytest.raises(UsageError, match="n01531178 is not in the tree"):
        imagenet_tools.plan_export(index.select(), to="image_folder", layout=str(tmp_path / "tree.toml"))
