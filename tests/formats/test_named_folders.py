"""Class folders called by numbers or words: read only as --class-names says, and guessed by detect."""

from pathlib import Path

import pytest
from click.testing import CliRunner

import imagenet_tools
from imagenet_tools.catalogue import lists
from imagenet_tools.cli import group
from imagenet_tools.errors import SourceError
from tests.forms.annotations import write_files
from tests.forms.thousand import drawn
from tests.parameters import short_list

NAMED = {"tench": "n01440764", "English_springer": "n02102040", "chain saw": "n03000684"}


def folders(home: Path, names: list[str]) -> Path:
    return write_files(home, {f"{name}/{n}.jpg": drawn(n) for n, name in enumerate(names)})


def classes(home: Path, index: Path, class_names: str) -> dict[str, str]:
    imagenet_tools.build_index(home, index, class_names=class_names, workers=1)
    rows = imagenet_tools.open_index(index).sql("SELECT file, wnid FROM images").fetchall()
    return {Path(file).parent.name: wnid for file, wnid in rows}


@pytest.mark.parametrize("class_names", short_list(["ilsvrc2012", "ilsvrc2012-id", "file"], "ilsvrc2012-id", "file"))
def test_a_number_is_a_place_in_the_list(class_names: str, tmp_path: Path) -> None:
    home = folders(tmp_path / "pictures" / "val", ["1", "2", "10"]).parent
    if class_names == "file":
        class_names = str(tmp_path / "classes.txt")
        Path(class_names).write_text("\n".join(reversed(lists.get("imagenet-a").wnids)))
        expected = {n: lists.get("imagenet-a").wnids[::-1][int(n)] for n in ("1", "2", "10")}
    else:
        listed = lists.get(class_names)
        expected = {n: listed.wnids[int(n) - listed.base] for n in ("1", "2", "10")}
    assert classes(home, tmp_path / "x.index", class_names) == expected
    rows = imagenet_tools.open_index(tmp_path / "x.index").sql("SELECT DISTINCT dataset, split FROM images").fetchall()
    assert rows == [("pictures", "val")]


def test_another_list_changes_the_classes_of_an_index(tmp_path: Path) -> None:
    home = folders(tmp_path / "pictures", ["1", "2"])
    first = classes(home, tmp_path / "x.index", "ilsvrc2012")
    assert classes(home, tmp_path / "x.index", "ilsvrc2012-id") != first
    with pytest.raises(SourceError, match="called by numbers"):
        imagenet_tools.build_index(home, tmp_path / "x.index", workers=1)


@pytest.mark.parametrize("class_names", ["imagenette", "tench,n03000684,n02102040"])
def test_a_word_is_the_one_class_of_the_list_that_has_it(class_names: str, tmp_path: Path) -> None:
    assert classes(folders(tmp_path / "my", list(NAMED)), tmp_path / "x.index", class_names) == NAMED


@pytest.mark.parametrize(
    ("names", "class_names", "unknown"),
    [
        (["0", "1000"], "ilsvrc2012", "1000"),
        (["0", "1"], "ilsvrc2012-id", "0"),
        (["tench", "crane"], "ilsvrc2012", "crane"),
        (["tench", "kitten"], "imagenette", "kitten"),
    ],
)
def test_a_folder_that_the_list_does_not_tell_is_refused(
    names: list[str], class_names: str, unknown: str, tmp_path: Path
) -> None:
    home = folders(tmp_path / "my", names)
    with pytest.raises(SourceError, match=f"does not tell the class of 1 folder: {unknown}. Expected"):
        imagenet_tools.build_index(home, tmp_path / "x.index", class_names=class_names, workers=1)


@pytest.mark.parametrize(
    ("names", "likely"),
    [(["0", "10", "2"], "ilsvrc2012"), (list(NAMED), "imagenette"), (["tench", "crane"], ""), (["0", "1000"], "")],
)
def test_detect_guesses_and_nothing_is_taken_without_the_option(names: list[str], likely: str, tmp_path: Path) -> None:
    home = folders(tmp_path / "my", names)
    said = imagenet_tools.detect(home).unrecognised
    assert "--class-names FILE|LIST" in said
    assert (f"perhaps --class-names {likely}," in said) == bool(likely)
    with pytest.raises(SourceError, match="--class-names"):
        imagenet_tools.build_index(home, tmp_path / "x.index", workers=1)


def test_the_command_line_has_it(tmp_path: Path) -> None:
    home = folders(tmp_path / "my", list(NAMED))
    done = CliRunner().invoke(
        group, ["build-index", str(home), "-o", str(tmp_path / "x.index"), "--class-names", "imagenette"]
    )
    assert done.exit_code == 0, done.output
    assert "3 class folders called by words" in done.output
