"""What others get wrong: validation images in training, unboxed images as background, synsets with one parent."""

import itertools
from pathlib import Path

import pytest

import imagenet_tools
from imagenet_tools import hierarchy
from imagenet_tools.errors import ExportError
from imagenet_tools.index.opened import Index

SPLITS = (None, "official", "train=0.9,val=0.1", "train=0.5", "val=3/class", "train=2/class,val=2/class", "a=0.3,b=0.7")


@pytest.mark.parametrize("split", SPLITS)
def test_no_official_validation_image_reaches_a_training_split(split: str | None, index: Index) -> None:
    choices = itertools.product(((), "dog"), (None, 4), (None, 30), (0, 7), (False, True))
    for under, per_class, limit, seed, boxed in choices:
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


def test_a_synset_keeps_all_its_parents(index: Index) -> None:
    # A dog is a canine, and a domestic animal.
    assert hierarchy.hypernyms("dog.n.01") == ("n02083346", "n01317541")
    rows = index.sql("SELECT hypernym FROM hypernyms WHERE wnid = 'n02084071' ORDER BY 1").fetchall()
    assert rows == [("n01317541",), ("n02083346",)]
    both = index.select(under="canine.n.02").counts(), index.select(under="domestic_animal.n.01").counts()
    dogs = index.select(under="dog").counts()
    for split, found in dogs.items():
        assert all(found.items() <= wide[split].items() for wide in both)
