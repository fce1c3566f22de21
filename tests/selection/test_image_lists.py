"""Lists of images and tables of one's own: labels are no part of an id, and what matches nothing is said."""

from pathlib import Path

import pytest

import imagenet_tools
from imagenet_tools.cli import run
from imagenet_tools.errors import UsageError
from imagenet_tools.index import Index
from tests.forms.written_index import image
from tests.selection.conftest import Written

A, B = "n01440764", "n01443537"


@pytest.fixture(scope="module")
def small(written: Written) -> Index:
    rows = [image(f"{wnid}_{n}", wnid) for wnid in (A, B) for n in (1, 2)]
    own = [image(name, B, dataset="own", photo=f"own/{name}") for name in ("my cat", "my cat 3", "art_0", "7")]
    return written([*rows, image("ILSVRC2012_val_00000001", A, "val"), *own])


def chosen(index: Index, path: Path, **words: str) -> list[str]:
    rows = index.select(images=str(path), **words).run(  # type: ignore[arg-type]
        "SELECT image_id FROM made WHERE left_out IS NULL ORDER BY ALL"
    )
    return [image_id for (image_id,) in rows.fetchall()]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"train/{A}/{A}_1.JPEG 0", f"{A}_1"),  # ImageNet-LT, Caffe, DALI
        (f"{A}/{A}_1 1", f"{A}_1"),  # ImageSets
        (f"{A}/{A}_1", f"{A}_1"),
        (f"train/{A}_1", f"{A}_1"),
        (f"{A}_1\t17", f"{A}_1"),
        (f"{A}_1,17", f"{A}_1"),
        (f"./train/{A}/{A}_1.JPEG  0  1 0.5", f"{A}_1"),
        (f"{A}_1 -1", f"{A}_1"),
        (f"{A}_1.JPEG {A}", f"{A}_1"),
        (f"{A}_1.JPEG tench", f"{A}_1"),
        ("ILSVRC2012_val_00000001 490", "ILSVRC2012_val_00000001"),
        (f"ilsvrc2012/{A}_1 0", f"{A}_1"),
        ("own/art_0 3", "art_0"),
        ("own/my cat", "my cat"),
        ("own/my cat.jpg", "my cat"),
        ("own/my cat 3", "my cat 3"),  # the whole line is an image
        ("own/my cat 4", "my cat"),
        ("own/my cat.jpg 3", "my cat"),
    ],
)
def test_a_label_behind_an_image_is_no_part_of_its_id(small: Index, tmp_path: Path, line: str, expected: str) -> None:
    path = tmp_path / "list.txt"
    path.write_text(f"{line}\n")
    assert chosen(small, path) == [expected]
    assert small.select(exclude=str(path)).left_out() == {"exclude": 1}
    assert small.select(images=str(path)).notes() == ()


def test_of_a_single_data_set_its_own_ids_are_enough(small: Index, written: Written, tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("my cat\n7 0\n")
    assert chosen(small, path, dataset="own") == ["7", "my cat"]
    alone = written([image("7", B, dataset="own", photo="own/7"), image("8", B, dataset="own", photo="own/8")])
    assert chosen(alone, path) == ["7"]
    with pytest.raises(UsageError, match="none of its 2 images is in the index"):
        small.select(images=str(path)).counts()


def test_ids_that_match_nothing_are_counted_and_the_first_is_named(
    small: Index, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "partly.txt"
    path.write_text(f"{A}_1.JPEG\n{A}_2.JPEG\n{A}_777.JPEG\ntrain/{A}/{A[:7]}\nn0153282900000005.jpg\n")
    for word in ("images", "exclude"):
        said = f"--{word} partly.txt: 3 of its 5 images are not in the index, '{A}_777.JPEG' first"
        assert said in small.select(**{word: str(path)}).notes()  # type: ignore[arg-type]
        assert (
            run(["-i", str(small.path), "subset", str(tmp_path / "x.toml"), f"--{word}", str(path), "--dry-run"]) == 0
        )
        assert f"note: {said}\n" in capsys.readouterr().err
        assert run(["-i", str(small.path), "info", f"--{word}", str(path)]) == 0
        assert said in capsys.readouterr().err


@pytest.mark.parametrize("word", ["images", "exclude"])
def test_a_list_that_matches_nothing_is_an_error(
    small: Index, tmp_path: Path, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "none.txt"
    path.write_text("n99999999_1 0\n# nothing\nn99999999_2 0\n")
    said = f"--{word} none.txt: none of its 2 images is in the index (data sets: ilsvrc2012, own); its first is"
    with pytest.raises(UsageError, match="none of its 2 images"):
        small.select(**{word: str(path)}).counts()  # type: ignore[arg-type]
    recipe = tmp_path / "x.toml"
    assert run(["-i", str(small.path), "subset", str(recipe), f"--{word}", str(path), "--lock"]) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [path]
    recipe.write_text(f'[images]\n{word} = "none.txt"\n')
    assert run(["-i", str(small.path), "subset", str(recipe), "--lock"]) == 2
    assert run(["-i", str(small.path), "export", str(tmp_path / "out"), "--to", "csv", "--recipe", str(recipe)]) == 2
    assert sorted(tmp_path.iterdir()) == [path, recipe]


def test_a_published_list_that_is_excluded_may_match_nothing_with_a_note(small: Index, written: Written) -> None:
    index_without = written([image("7", B, dataset="own", photo="own/7")])
    assert (
        small.select(exclude="blacklist")
        .notes()[0]
        .startswith("--exclude blacklist: 1,762 of its 1,762 images are not in the index")
    )
    with pytest.raises(UsageError, match="--images simclr-1pct: none of its 12,811 images"):
        index_without.select(images="simclr-1pct").counts()


def test_the_lists_of_an_export_choose_its_images(index: Index, tmp_path: Path) -> None:
    imagenet_tools.export(index.select(under="dog", per_class=3), tmp_path / "x", to="csv", workers=1)
    path = tmp_path / "x" / "train.csv"
    lines = [line.split(",") for line in path.read_text().splitlines()[1:]]
    (tmp_path / "list.txt").write_text("".join(f"{stem}.JPEG {n}\n" for n, (_, stem, *_) in enumerate(lines)))
    assert chosen(index, tmp_path / "list.txt") == sorted(stem for _, stem, *_ in lines)


# ---- tables of one's own


def test_a_table_that_joins_nothing_is_an_error_and_rows_that_join_nothing_are_said(
    small: Index, tmp_path: Path
) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(f"photo,score,group\nx_1,1,a\nx_2,1,a\n{A}_1,1,b\n")
    notes = small.select(with_={"mine": path}, where="mine.score > 0").notes()
    assert notes == ("--with mine=mine.csv: 2 of its 3 rows join no image of the index, x_1 first",)
    notes = small.select(groups=path, split="folds=2").notes()
    assert "--groups mine.csv: 2 of its 3 rows join no image of the index, x_1 first" in notes
    path.write_text("photo,score,group\nx_1,1,a\nx_2,1,a\n")
    said = "mine.csv: none of its 2 rows joins an image of the index by photo, x_1 first"
    with pytest.raises(UsageError, match=f"--with mine={said}"):
        small.select(with_={"mine": path}).counts()
    with pytest.raises(UsageError, match=f"--groups {said}"):
        small.select(groups=path, split="folds=2").counts()
    path.write_text(f"dataset,image_id\nilsvrc2012,{A}_1\nown,{A}_1\n")
    notes = small.select(with_={"mine": path}).notes()
    assert notes == (f"--with mine=mine.csv: 1 of its 2 rows join no image of the index, own/{A}_1 first",)


def test_groups_without_their_column_are_refused(small: Index, tmp_path: Path) -> None:
    path = tmp_path / "groups.csv"
    path.write_text(f"photo,group_id\n{A}_1,1\n")
    message = (
        r"--groups .*groups\.csv: found the columns group_id, photo; expected group, and dataset and image_id, or photo"
    )
    with pytest.raises(UsageError, match=message):
        small.select(groups=path, split="folds=2").counts()
