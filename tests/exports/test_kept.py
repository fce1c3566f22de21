"""Recipe and lock in an export: they say all of how it was chosen, nothing of the machine, and make it again."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

import imagenet_tools
from imagenet_tools import api
from imagenet_tools.cli import USAGE, run
from imagenet_tools.errors import ExportError
from imagenet_tools.index import Index, by_recipe
from imagenet_tools.selection import lock, recipe
from tests.exports.odd import CRANE, TENCH, make_odd, sources
from tests.exports.test_contract import TARGETS, content, words
from tests.forms.annotations import xml
from tests.parameters import short_list

KEPT = ("recipe.toml", "lock.toml", "lock.ids")
WORDS = ["--under", "n00015388", "--order", "wnid", "--split", "train=0.7,val=0.3", "--seed", "5", "--per-class", "9"]


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """The same images in another place, in another order, with more images beside them."""
    root = tmp_path_factory.mktemp("elsewhere")
    make_odd(root / "moved")
    more = root / "moved" / "train" / "n02123045"
    more.mkdir()
    shutil.copy(next((root / "moved" / "train" / "n01440764").iterdir()), more / "n02123045_1.JPEG")
    imagenet_tools.build_index(sources(root / "moved")[::-1], root / "y.index", dataset="ilsvrc2012", workers=1)
    return imagenet_tools.open_index(root / "y.index")


def codes(root: Path) -> set[str]:
    (found,) = imagenet_tools.check(root)
    return {one.code for one in found.findings}


@pytest.mark.parametrize("target", short_list(TARGETS, "coco", "webdataset"))
def test_every_export_is_made_again_from_its_lock_in_another_index(
    target: str, odd: Index, elsewhere: Index, tmp_path: Path
) -> None:
    first, again = tmp_path / "a" / "first", tmp_path / "b" / "again"
    chosen = [] if target in ("timm_class_map", "dinov2") else WORDS  # they take images as they lie
    options = ["--shuffle", "full", "--shard-size", "8KB"] if words(target) else ["--hash"]
    done = 3 if api._formats()[target].WRITES.remade_bytes else 0  # an image cannot be decoded
    assert run(["-i", str(odd.path), "export", str(first), "--to", target, *chosen, *options]) == done
    asked = ["--to", target, "--recipe", str(first / "lock.toml")]
    assert run(["-i", str(elsewhere.path), "export", str(again), *asked]) == 0
    made, remade = content(first), content(again)
    differ = {name for name in made | remade if made.get(name) != remade.get(name)}
    if api._formats()[target].WRITES.holds_bytes:  # else it names where the images lie
        assert differ <= {"manifest.json", "README.md"}  # which say why images were left out
    said = json.loads((first / "manifest.json").read_text())
    assert {name: said["files"][name]["sha256"] for name in KEPT} == {name: made[name] for name in KEPT}
    rows = pq.read_table(first / "lock.ids").to_pylist()
    lines = sorted(f"{row['dataset']}/{row['image_id']}\t{row['wnid']}\t{row['split']}\n" for row in rows)
    made_lock = lock.read(first / "lock.toml")
    lines += [f"class\t{one.wnid}\t{one.name}\t{one.folder}\t{one.display}\n" for one in made_lock.named]
    lines += [f"count\t{split}\t{wnid}\t{n}\n" for split, one in made_lock.counts.items() for wnid, n in one.items()]
    assert said["sha256_of_lock"] == hashlib.sha256("".join(lines).encode()).hexdigest()
    splits = {"train"} if target == "dinov2" else {"train", "val"}  # it cannot name the images of val
    assert len(rows) == said["images"] and {row["split"] for row in rows} == splits
    for name in KEPT:
        assert str(tmp_path).encode() not in (first / name).read_bytes()
    # The recipe chooses the same where the same images are there, and has the options.
    assert recipe.read(first / "recipe.toml").export[target] == lock.read(first / "lock.toml").recipe["export"][target]
    asked = ["--to", target, "--recipe", str(first / "recipe.toml")]
    assert run(["-i", str(odd.path), "export", str(tmp_path / "third"), *asked]) == done
    assert content(tmp_path / "third") == made


def test_superclasses_and_their_order_are_kept_by_a_lock(odd: Index, elsewhere: Index, tmp_path: Path) -> None:
    imagenet_tools.export(odd.select(superclasses="n02084071,n00015388"), tmp_path / "x", to="yolo")
    assert json.loads((tmp_path / "x" / "classes.json").read_text())["order"] == "listed"
    imagenet_tools.export(by_recipe(elsewhere, tmp_path / "x" / "lock.toml"), tmp_path / "y", to="yolo")
    made, remade = content(tmp_path / "x"), content(tmp_path / "y")
    assert {name for name in made if made[name] != remade.get(name)} == {"manifest.json"}


def test_files_of_export_options_are_relative_to_the_recipe(
    odd: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "names.txt").write_text(f"{TENCH} Tench\n{CRANE} Crane\nn02102040 Spaniel\n")
    (home / "x.toml").write_text('format = 1\n[export.image_folder]\nnames = "names.txt"\n')
    monkeypatch.chdir(tmp_path)
    asked = ["-i", str(odd.path), "export", "x", "--to", "image_folder", "--recipe", "home/x.toml"]
    assert run(asked) == 0
    assert sorted(path.name for path in Path("x/train").iterdir()) == ["Crane", "Spaniel", "Tench"]
    # The tree of an export lies beside its lock.
    assert run(["-i", str(odd.path), "export", "t", "--to", "image_folder", "--layout", "tree"]) == 0
    assert run(["-i", str(odd.path), "export", "u", "--to", "image_folder", "--layout", "t/tree.toml"]) == 0
    assert run(["-i", str(odd.path), "export", "v", "--to", "image_folder", "--recipe", "u/lock.toml"]) == 0
    made, again = content(Path("u")), content(Path("v"))
    assert made.pop("manifest.json") != again.pop("manifest.json") and made == again  # which names the lock


def test_a_lock_keeps_boxes_of_a_listed_class_without_images(tmp_path: Path) -> None:
    for home, wnid in (("train", TENCH), ("train", CRANE), ("boxes", TENCH)):
        (tmp_path / home / wnid).mkdir(parents=True)
    for wnid in (TENCH, CRANE):
        Image.new("RGB", (40, 30)).save(tmp_path / "train" / wnid / f"{wnid}_1.JPEG")
    both = xml(f"{TENCH}_1", TENCH, [(wnid, (5, 5, 20, 20)) for wnid in (TENCH, CRANE)], size=(40, 30))
    (tmp_path / "boxes" / TENCH / f"{TENCH}_1.xml").write_text(both)
    sources = [tmp_path / "train", tmp_path / "boxes"]
    imagenet_tools.build_index(sources, tmp_path / "x.index", workers=1, dataset="mine")
    index = imagenet_tools.open_index(tmp_path / "x.index")
    chosen = index.select(classes=[TENCH, CRANE], where=f"wnid = '{TENCH}'")
    imagenet_tools.export(chosen, tmp_path / "x", to="coco")
    again = imagenet_tools.export(by_recipe(index, tmp_path / "x" / "lock.toml"), tmp_path / "y", to="coco")
    assert again.boxes() == 2 and not again.boxes_left_out
    labels = "annotations/instances_train.json"
    assert content(tmp_path / "x")[labels] == content(tmp_path / "y")[labels]


def test_an_image_that_cannot_be_decoded_is_not_in_the_lock_and_ends_with_3_or_1(
    odd: Index, elsewhere: Index, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--to", "image_folder", "--resize", "24"]
    assert run(["-i", str(odd.path), "export", str(tmp_path / "x"), *asked, "--json"]) == 3
    said = json.loads(capsys.readouterr().out)
    assert said["left_out"]["undecodable"] == 1
    assert list(json.loads((tmp_path / "x" / "manifest.json").read_text())["undecodable"]) == [
        "ilsvrc2012/n01440764_22"
    ]
    assert "n01440764_22" not in pq.read_table(tmp_path / "x" / "lock.ids")["image_id"].to_pylist()
    assert codes(tmp_path / "x") == {"W301"}
    assert run(["-i", str(odd.path), "export", str(tmp_path / "strict"), *asked, "--strict"]) == 1
    assert content(tmp_path / "strict") == content(tmp_path / "x")  # it is whole all the same
    assert "1 image could not be decoded" in capsys.readouterr().err
    # What its lock pins can be decoded.
    again = ["--to", "image_folder", "--recipe", str(tmp_path / "x" / "lock.toml")]
    assert run(["-i", str(elsewhere.path), "export", str(tmp_path / "y"), *again]) == 0
    made, remade = content(tmp_path / "x"), content(tmp_path / "y")
    assert {name for name in made | remade if made.get(name) != remade.get(name)} == {"manifest.json"}


def test_no_split_has_the_name_of_the_lock(odd: Index) -> None:
    with pytest.raises(ExportError, match="A split is called lock"):
        imagenet_tools.plan_export(odd.select(split={"train": 0.5, "lock": 0.5}), to="image_folder")


@pytest.mark.parametrize("target", ["hf_parquet", "tfrecord", "webdataset"])
def test_no_split_has_the_name_of_the_files_of_val(target: str, odd: Index) -> None:
    with pytest.raises(ExportError, match=f"A split is called validation, as {target} calls the files of val"):
        imagenet_tools.plan_export(odd.select(split="train=0.4,val=0.3,validation=0.3"), to=target)


def test_no_split_has_a_name_that_datasets_refuses(odd: Index) -> None:
    with pytest.raises(ExportError, match="A split is called train-dev; Hugging Face's datasets takes letters"):
        imagenet_tools.plan_export(odd.select(split="train=0.5,train-dev=0.5"), to="hf_parquet")


@pytest.mark.parametrize("target", ["yolo", "yolo_classify"])
def test_a_split_that_ultralytics_does_not_read_is_said(target: str, odd: Index) -> None:
    plan = imagenet_tools.plan_export(odd.select(split="train=0.6,val=0.2,calibration=0.2"), to=target)
    assert "Ultralytics reads train, val and test: it does not read calibration" in plan.hazards


def test_a_recipe_with_options_of_no_target_is_refused(
    odd: Index, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.toml"
    path.write_text("format = 1\n[export.imagefolder]\nhash = true\n")
    asked = ["export", str(tmp_path / "x"), "--to", "image_folder", "--recipe", str(path)]
    assert run(["-i", str(odd.path), *asked]) == USAGE
    assert "[export.imagefolder]: found no such target. Did you mean image_folder?" in capsys.readouterr().err


def test_each_of_several_targets_has_its_own_and_their_options_must_agree(
    odd: Index, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = ["-i", str(odd.path)]
    assert run([*index, "export", str(tmp_path / "x"), "--to", "image_folder,yolo", "--min-box", "10"]) == 0
    locks = {name: lock.read(tmp_path / "x" / name / "lock.toml") for name in ("image_folder", "yolo")}
    assert locks["image_folder"].n_images > locks["yolo"].n_images > 0
    for name in locks:
        assert recipe.read(tmp_path / "x" / name / "recipe.toml").export == {name: {"min_box": 10}}
    both = ["--to", "image_folder,yolo", "--recipe", str(tmp_path / "x" / "yolo" / "recipe.toml")]
    capsys.readouterr()
    assert run([*index, "export", str(tmp_path / "y"), *both]) == 2
    assert "Export them one by one" in capsys.readouterr().err
    assert not (tmp_path / "y").exists()


def test_check_finds_a_lock_or_recipe_that_is_not_that_of_the_export(odd: Index, tmp_path: Path) -> None:
    imagenet_tools.export(odd.select(), tmp_path / "x", to="image_folder", link="copy")
    imagenet_tools.export(odd.select(limit=9), tmp_path / "less", to="image_folder", link="copy")

    def changed(name: str, *, said: bool) -> set[str]:
        """The codes where files are those of the smaller export, and the manifest says so."""
        root = tmp_path / name
        shutil.copytree(tmp_path / "x", root)
        manifest: dict[str, Any] = json.loads((root / "manifest.json").read_text())
        other = json.loads((tmp_path / "less" / "manifest.json").read_text())
        for file in ("recipe.toml",) if name == "recipe" else ("lock.toml", "lock.ids"):
            shutil.copy(tmp_path / "less" / file, root / file)
            manifest["files"][file] = other["files"][file]
        if said:
            (root / "manifest.json").write_text(json.dumps(manifest))
        found = codes(root)
        shutil.rmtree(root)
        return found

    assert codes(tmp_path / "x") == {"W301"}
    for name in ("recipe", "lock"):
        other = {"E311"} if name == "lock" else set()  # what is read back has more images than the lock
        assert changed(name, said=True) == {"E309", "W301", *other}
        assert {"E309", "E303"} & changed(name, said=False) and "E309" in changed(name, said=False)
    (tmp_path / "x" / "lock.ids").unlink()
    assert codes(tmp_path / "x") == {"E302", "E309", "W301"}
