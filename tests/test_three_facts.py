"""What others get wrong: validation images in training, unboxed images as background, synsets with one parent."""

import itertools
from pathlib import Path

import pytest
from PIL import Image

import imagenet_tools
from imagenet_tools.errors import ExportError, UsageError
from imagenet_tools.index import Index, by_recipe
from imagenet_tools.wordnet import hierarchy
from tests.forms.annotations import xml
from tests.parameters import short_list

SPLITS = (None, "official", "train=0.9,val=0.1", "train=0.5", "val=3/class", "train=2/class,val=2/class", "a=0.3,b=0.7")


@pytest.mark.parametrize("split", short_list(SPLITS, None, "official", "train=0.9,val=0.1", "val=3/class"))
def test_no_official_validation_image_reaches_a_training_split(split: str | None, index: Index) -> None:
    # Each split tries another third of the 32 combinations.
    choices = itertools.product(((), "dog"), (None, 4), (None, 30), (0, 7), (False, True))
    for under, per_class, limit, seed, boxed in itertools.islice(choices, SPLITS.index(split) % 3, None, 3):
        chosen = index.select(
            under=under, split=split, per_class=per_class, limit=limit, seed=seed, boxed=boxed, where="width > 0"
        )
        rows = chosen.run("SELECT split, official_split, count(*) FROM made WHERE left_out IS NULL GROUP BY ALL")
        found = rows.fetchall()
        assert found
        if split in (None, "official"):
            assert all(now == before for now, before, _ in found)
        else:
            assert {before for _, before, _ in found} == {"train"}


# Every way to choose, each alone and some together; none of them says --from.
CHOICES: dict[str, list[dict[str, object]]] = {
    "images": [{}, {"images": "VAL"}, {"images": "ALL"}],
    "classes": [{}, {"under": "dog", "nested": "merge"}, {"superclasses": "dog,cat"}, {"classes": "ilsvrc2012"}],
    "more": [
        *({}, {"boxed": True}, {"where": "split = 'val' OR true"}, {"exclude": ["defects", "blacklist"]}),
        *({"min_images": 2, "max_images": 10}, {"per_class": 3, "order": "ilsvrc-id"}, {"limit": 20, "seed": 5}),
        *({"dataset": "ilsvrc2012", "class_where": "true"}, {"with_": "TABLE", "where": "mine.side = 'train'"}),
    ],
    "groups": [{}, {"groups": "GROUPS"}],
}
NEW = ("train=0.9,val=0.1", "train=1", "val=2/class", "train=2/class,val=1/class", "folds=3", "classes:train=2,val=1")


@pytest.fixture(scope="module")
def own(index: Index, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files that try: lists of the validation images and of all, a table, and groups across the official splits."""
    home = tmp_path_factory.mktemp("own")
    rows = index.sql("SELECT photo, split FROM images ORDER BY photo").fetchall()
    texts = {
        "VAL": "".join(f"{photo}\n" for photo, split in rows if split == "val"),
        "ALL": "".join(f"{photo}\n" for photo, _ in rows),
        "TABLE": "photo,side\n" + "".join(f"{photo},train\n" for photo, _ in rows),
        "GROUPS": "photo,group\n" + "".join(f"{photo},{n % 9}\n" for n, (photo, _) in enumerate(rows)),
    }
    for name, text in texts.items():
        (home / f"{name}.csv").write_text(text)
    return {name: home / f"{name}.csv" for name in texts}


def filled(words: dict[str, object], own: dict[str, Path]) -> dict[str, object]:
    paths = {name: str(path) for name, path in own.items()}
    found = {key: paths.get(value, value) if isinstance(value, str) else value for key, value in words.items()}
    return found | ({"with_": {"mine": found["with_"]}} if "with_" in found else {})


@pytest.mark.parametrize("split", short_list(NEW, "train=0.9,val=0.1", "folds=3"))
def test_no_way_to_choose_lets_a_validation_image_into_a_new_split(
    split: str, index: Index, own: dict[str, Path], tmp_path: Path
) -> None:
    tried = 0
    # Each split tries others of the 216 combinations; the steps of a selection do not depend on each other's words.
    some = itertools.islice(itertools.product(*CHOICES.values()), NEW.index(split), None, 13)
    for n, parts in enumerate(some):
        words = filled({key: value for part in parts for key, value in part.items()} | {"split": split}, own)
        try:
            chosen = index.select(**words)  # type: ignore[arg-type]
            found = chosen.run("SELECT DISTINCT official_split, split FROM made WHERE left_out IS NULL").fetchall()
        except UsageError as error:  # too few classes to part
            assert "classes are asked for" in str(error) or "no way was found" in str(error)
            continue
        assert {before for before, _ in found} <= {"train"}, words
        tried += bool(found)
        if n % 8 == 0 and found:  # as a recipe, and as a lock, it is the same
            home = tmp_path / str(n)
            home.mkdir()
            chosen.save(home / "x.toml")
            chosen.lock(home / "x.lock.toml")
            for file in ("x.toml", "x.lock.toml"):
                again = by_recipe(index, home / file)
                assert again.counts() == chosen.counts()
                rows = again.run("SELECT DISTINCT official_split FROM made WHERE left_out IS NULL").fetchall()
                assert rows == [("train",)]
    assert tried > 5


@pytest.mark.parametrize("choice", short_list(CHOICES["classes"], *CHOICES["classes"][:2]))
def test_under_the_official_split_an_image_stays_where_it_is_however_it_is_chosen(
    choice: dict[str, object], index: Index, own: dict[str, Path]
) -> None:
    for images, more in itertools.islice(itertools.product(CHOICES["images"], CHOICES["more"]), 0, None, 2):
        chosen = index.select(**filled({**choice, **images, **more}, own))  # type: ignore[arg-type]
        rows = chosen.run("SELECT DISTINCT split, official_split FROM made WHERE left_out IS NULL").fetchall()
        assert all(now == before for now, before in rows)


def test_official_validation_images_are_split_anew_only_where_from_says_so(index: Index) -> None:
    rows = index.select(split="train=0.5,val=0.5", from_="train,val").run(
        "SELECT split, official_split, count(*) FROM made WHERE left_out IS NULL GROUP BY ALL ORDER BY ALL"
    )
    found = rows.fetchall()
    assert sum(n for _, _, n in found) == 182
    assert len(found) == 4


def test_an_image_without_boxes_is_in_no_detection_export_unless_it_is_asked_for(index: Index, tmp_path: Path) -> None:
    unboxed = {image_id for (image_id,) in index.sql("SELECT image_id FROM images WHERE n_boxes = 0").fetchall()}
    plan = imagenet_tools.export(index.select(), tmp_path / "yolo", to="yolo")
    written = {path.stem for path in (tmp_path / "yolo" / "images").rglob("*.JPEG")}
    assert unboxed
    assert not unboxed & written
    assert plan.left_out["unboxed"] == len(unboxed)
    assert all(path.read_text() for path in (tmp_path / "yolo" / "labels").rglob("*.txt"))
    plan = imagenet_tools.export(index.select(), tmp_path / "background", to="yolo", unboxed="background")
    empty = {path.stem for path in (tmp_path / "background" / "labels").rglob("*.txt") if not path.read_text()}
    assert empty == unboxed
    assert any("background" in hazard for hazard in plan.hazards)
    with pytest.raises(ExportError, match=f"{len(unboxed)} images have no boxes"):
        imagenet_tools.plan_export(index.select(), to="yolo", unboxed="error")


def test_an_image_whose_boxes_cannot_be_used_is_background_under_no_option(index: Index, tmp_path: Path) -> None:
    unusable = index.sql("SELECT image_id FROM boxes GROUP BY image_id HAVING count(nxmin) = 0").fetchall()
    for unboxed in ("skip", "background"):
        plan = imagenet_tools.plan_export(index.select(), to="yolo", unboxed=unboxed)
        assert plan.left_out.get("bad_boxes", 0) == len(unusable)


def test_an_image_whose_boxes_are_all_of_other_classes_is_no_background(tmp_path: Path) -> None:
    for stem, name in (("n01440764_1", "n01440764"), ("n01440764_2", "n02012849")):
        folder = tmp_path / "train" / "n01440764"
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30)).save(folder / f"{stem}.JPEG")
        (tmp_path / "boxes" / "n01440764").mkdir(parents=True, exist_ok=True)
        text = xml(stem, "n01440764", [(name, (5, 5, 20, 20))], size=(40, 30))
        (tmp_path / "boxes" / "n01440764" / f"{stem}.xml").write_text(text)
    sources = [tmp_path / "train", tmp_path / "boxes"]
    imagenet_tools.build_index(sources, tmp_path / "x.index", workers=1, dataset="mine")
    chosen = imagenet_tools.open_index(tmp_path / "x.index").select(classes="n01440764")
    for unboxed in ("skip", "background"):
        data = chosen.dataset("train", fields=("image_id", "boxes"), unboxed=unboxed)
        assert [(image_id, len(boxes)) for image_id, boxes in data] == [("n01440764_1", 1)]
        assert data.left_out["bad_boxes"] == 1
        assert imagenet_tools.plan_export(chosen, to="coco", unboxed=unboxed).left_out["bad_boxes"] == 1
    joined = imagenet_tools.open_index(tmp_path / "x.index").select(superclasses="animal.n.01")
    assert len(joined.dataset("train", fields="boxes")) == 1  # the crane is no class of an image
    # Images of cranes are in the index, and none is chosen.
    (tmp_path / "train" / "n02012849").mkdir()
    Image.new("RGB", (40, 30)).save(tmp_path / "train" / "n02012849" / "n02012849_1.JPEG")
    imagenet_tools.build_index(sources, tmp_path / "y.index", workers=1, dataset="mine")
    index = imagenet_tools.open_index(tmp_path / "y.index")
    result = imagenet_tools.export(index.select(where="wnid = 'n01440764'"), tmp_path / "coco", to="coco")
    assert (result.images(), result.boxes(), result.left_out["bad_boxes"]) == (1, 1, 1)
    assert result.check()[0].ok


def test_a_synset_keeps_all_its_parents(index: Index) -> None:
    # A dog is a canine, and a domestic animal.
    assert hierarchy.hypernyms("dog.n.01") == ("n02083346", "n01317541")
    rows = index.sql("SELECT hypernym FROM hypernyms WHERE wnid = 'n02084071' ORDER BY 1").fetchall()
    assert rows == [("n01317541",), ("n02083346",)]
    both = index.select(under="canine.n.02").counts(), index.select(under="domestic_animal.n.01").counts()
    dogs = index.select(under="dog").counts()
    for split, found in dogs.items():
        assert all(found.items() <= wide[split].items() for wide in both)
