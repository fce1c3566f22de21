"""Words that an index cannot mean are errors that name what is there, and no step gives a reason for nothing."""

import shutil
from pathlib import Path

import pytest

import imagenet_tools
from imagenet_tools.cli import run
from imagenet_tools.errors import UsageError
from imagenet_tools.index import Index, by_recipe
from imagenet_tools.selection.steps import REASONS
from tests.cli.conftest import process
from tests.forms.written_index import image
from tests.selection.conftest import Written


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"dataset": "foo"}, "--dataset foo: the index has no image of this data set. Expected ilsvrc2012."),
        ({"dataset": ["ilsvrc2012", "ilsvrc2021"]}, "--dataset ilsvrc2021: .* Did you mean ilsvrc2012[?] Expected"),
        ({"from_": "trian"}, "--from trian: .* no image of this official split. Did you mean train[?] Expected train"),
        ({"from_": "train,test"}, "--from test: the index has no image of this official split. Expected train or val."),
    ],
)
def test_a_name_that_no_image_has_names_those_that_images_have(many: Index, words: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        many.select(**words).counts()  # type: ignore[arg-type]


def test_a_parameter_that_no_condition_has_is_said(many: Index) -> None:
    chosen = many.select(where="width > $low", parameter={"low": 1, "hihg": 5})
    assert chosen.notes() == ("--parameter hihg changes nothing: no condition has $hihg",)


def test_where_no_image_has_a_split_from_says_so(written: Written) -> None:
    index = written([image("n01440764_1", "n01440764", None)])
    with pytest.raises(UsageError, match="No image has any official split: leave --from out"):
        index.select(from_="train").counts()


def test_a_recipe_with_a_word_that_the_index_refuses_is_not_written(many: Index, tmp_path: Path) -> None:
    assert run(["-i", str(many.path), "subset", str(tmp_path / "x.toml"), "--dataset", "foo"]) == 2
    assert list(tmp_path.iterdir()) == []


def test_counts_that_leave_nothing_to_train_are_an_error(many: Index) -> None:
    for split in ("val=1000000/class", "val=2000/class", "val=1000/class,test=1000/class"):
        said = f"--split {split}: it leaves no image for train; the largest class has 2,000 images to split"
        with pytest.raises(UsageError, match=said):
            many.select(split=split).counts()
    assert many.select(split="val=1999/class").counts()["train"]["n02085620"] == 1
    assert "val" not in many.select(split="train=5000/class").counts()
    assert many.select(split="val=5/class", under="n04355933", where="false").counts() == {}


def test_a_step_that_left_out_nothing_gives_no_reason(many: Index, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["-i", str(many.path), "info", "--from", "train,val", "--under", "dog.n.01"]) == 0
    out = capsys.readouterr().out
    assert REASONS["from"] not in out
    assert REASONS["under"] in out


# ---- recipes


def test_a_lock_of_a_recipe_that_is_not_there_wants_words(
    many: Index, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["-i", str(many.path), "subset", str(tmp_path / "x.toml"), "--lock"]
    assert run(asked) == 2
    assert "no such recipe, and nothing is chosen" in capsys.readouterr().err
    assert run([*asked, "--dry-run"]) == 2
    assert list(tmp_path.iterdir()) == []
    assert run([*asked, "--under", "dog.n.01"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"x.toml", "x.lock.toml", "x.lock.parquet"}
    assert run(asked) == 0


def test_a_recipe_without_a_format_is_of_format_1(many: Index, tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text('[classes]\nunder = "dog.n.01"\n')
    assert by_recipe(many, tmp_path / "x.toml").choice == many.select(under="dog.n.01").choice
    assert run(["-i", str(many.path), "subset", str(tmp_path / "x.toml"), "--lock"]) == 0


@pytest.mark.parametrize("value", ["2", '"1"', "[]", "1.5"])
def test_a_recipe_of_another_format_is_refused(many: Index, tmp_path: Path, value: str) -> None:
    (tmp_path / "x.toml").write_text(f"format = {value}\n")
    with pytest.raises(UsageError, match="expected a recipe of format 1"):
        by_recipe(many, tmp_path / "x.toml")


# ---- where the index is, and how images are placed


def test_a_wrong_variable_is_named_as_the_origin_of_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("IMAGENET_INDEX", str(tmp_path / "none.index"))
    said = f"No index at {tmp_path}/none.index, which $IMAGENET_INDEX names: no such"
    for command in (["info"], ["export", str(tmp_path / "x"), "--to", "csv"]):
        assert run(command) == 1
        assert said in capsys.readouterr().err
    ran = process("query", "SELECT 1", index=tmp_path / "none.index")
    assert ran.code == 1 and said in ran.err
    assert run(["-i", str(tmp_path / "other.index"), "info"]) == 1
    assert f"No index at {tmp_path}/other.index: no such folder" in capsys.readouterr().err


def test_links_of_images_in_archives_are_said_to_be_copies(
    index: Index, extracted: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = imagenet_tools.export(index.select(limit=3), tmp_path / "x", to="image_folder", link="hard", workers=1)
    said = "--link hard: all 3 images are in archives, and are copied"
    assert said in plan.hazards
    # The bytes of an export do not depend on how its images are placed.
    assert said not in (tmp_path / "x" / "manifest.json").read_text()
    for target in ("webdataset", "csv"):
        plan = imagenet_tools.export(index.select(limit=3), tmp_path / target, to=target, link="sym", workers=1)
        assert not any("--link" in hazard for hazard in plan.hazards)
    folder = tmp_path / "train" / "n02123045"
    shutil.copytree(extracted.train / "n02123045", folder)  # type: ignore[attr-defined]
    imagenet_tools.build_index(tmp_path / "train", tmp_path / "y.index", workers=1)
    plan = imagenet_tools.export(
        imagenet_tools.open_index(tmp_path / "y.index").select(),
        tmp_path / "y",
        to="image_folder",
        link="sym",
        workers=1,
    )
    assert not any("--link" in hazard for hazard in plan.hazards)
    asked = ["export", str(tmp_path / "z"), "--to", "yolo", "--dry-run", "--link", "reflink"]
    assert run(["-i", str(index.path), *asked]) == 0
    assert "images are in archives, and are copied" in capsys.readouterr().err


def test_a_split_that_is_almost_right_is_corrected(index: Index) -> None:
    with pytest.raises(UsageError, match=r"No images are chosen in split 'trian'. Did you mean train\? The selection"):
        index.select(under="dog").dataset("trian")
