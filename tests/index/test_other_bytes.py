"""Images of one key with other bytes: no name decides which is kept, the others are named, and many stop the build."""

import functools
import gzip
import hashlib
import io
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image

import imagenet_tools
from imagenet_tools.build.build import Report
from imagenet_tools.errors import SourceError
from tests.cli.conftest import Run
from tests.cli.conftest import run as run  # noqa: PLC0414 (a fixture)
from tests.forms import webdataset, whole
from tests.index.test_build import tables
from tests.parameters import short_list

TENCH, GOLDFISH, SHARK = "n01440764", "n01443537", "n01484850"
ONE = f"{TENCH}_7"

Images = Mapping[str, bytes]


@functools.cache
def picture(number: int, size: tuple[int, int] = (40, 30), encoding: str = "JPEG") -> bytes:
    """A drawn image, another one for each number."""
    pixels = bytes((x * (number + 3) + number * 41) % 256 for x in range(size[0] * size[1] * 3))
    data = io.BytesIO()
    Image.frombytes("RGB", size, pixels).save(data, encoding)
    return data.getvalue()


def official(n: int = 120, wnid: str = TENCH) -> dict[str, bytes]:
    """The images of a class by their stems: enough that one of them is less than 1 %."""
    return {f"{wnid}_{number}": picture(number) for number in range(n)}


def tree(root: Path, images: Images, *, suffix: str = ".JPEG") -> Path:
    """Class folders of train."""
    for stem, data in images.items():
        folder = root / "train" / stem.partition("_")[0]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{stem}{suffix}").write_bytes(data)
    return root


def build(paths: list[Path], index: Path, **options: object) -> Report:
    return imagenet_tools.build_index(paths, index, **{"workers": 1, **options})  # type: ignore[arg-type]


def kept(index: Path, stem: str = ONE) -> bytes:
    return imagenet_tools.open_index(index).image(stem, dataset="ilsvrc2012").read()


def flagged(index: Path) -> list[tuple[str, str]]:
    rows = imagenet_tools.open_index(index).sql("SELECT source, image_id FROM copies WHERE other_bytes ORDER BY ALL")
    return [(str(source), str(image_id)) for source, image_id in rows.fetchall()]


def reasons(index: Path) -> list[str]:
    found = imagenet_tools.open_index(index).sql("SELECT reason FROM problems WHERE code = 'other_bytes' ORDER BY ALL")
    return [str(reason) for (reason,) in found.fetchall()]


LARGE = picture(7, (80, 60))
CUT = LARGE[: len(LARGE) * 2 // 3]
PNG = picture(7, (80, 60), "PNG")


# What is kept, and what is not, by the number of the image.
PAIRS = {
    7: (picture(7), CUT),  # whole before larger
    8: (picture(8), PNG[: len(PNG) // 2]),
    9: (LARGE, picture(9)),  # the larger raster
    10: (picture(10) + b"more", picture(10)),  # of one raster the longer one
}


@pytest.mark.parametrize("turn", short_list([1, -1], -1))
@pytest.mark.parametrize("names", short_list([("a", "b"), ("b", "a")], ("b", "a")))
def test_no_name_and_no_order_decides_which_image_is_kept(names: tuple[str, str], turn: int, tmp_path: Path) -> None:
    first, second = ({f"{TENCH}_{n}": pair[place] for n, pair in PAIRS.items()} for place in (0, 1))
    # Each source has two of the images that are kept.
    mixed = [first | dict(list(second.items())[::2]), second | dict(list(first.items())[::2])]
    paths = [tree(tmp_path / name, official(500) | images) for name, images in zip(names, mixed, strict=True)]
    report = build(paths[::turn], tmp_path / "x.index")
    assert report.problems == {"other_bytes": 4}
    assert report.rows["copies"] == 500
    assert {stem: kept(tmp_path / "x.index", stem) for stem in first} == first
    others = {
        stem: next(n for n, images in zip(names, mixed, strict=True) if images[stem] == second[stem]) for stem in first
    }
    assert flagged(tmp_path / "x.index") == sorted((name, stem) for stem, name in others.items())
    for stem, reason in zip(sorted(first), sorted(reasons(tmp_path / "x.index"), key=by_stem), strict=True):
        there = names[1 - names.index(others[stem])]
        assert f"found {len(second[stem]):,} bytes" in reason
        assert f" in {others[stem]}, train/{TENCH}/{stem}.JPEG; kept the {len(first[stem]):,} bytes, " in reason
        assert reason.endswith(f" in {there}, train/{TENCH}/{stem}.JPEG")


def by_stem(reason: str) -> str:
    return reason.rpartition("/")[2]


def test_the_image_that_is_indexed_stays_before_a_larger_one_but_not_before_a_whole_one(tmp_path: Path) -> None:
    small = tree(tmp_path / "b", official())
    large = tree(tmp_path / "a", official() | {ONE: LARGE})
    build([small], tmp_path / "x.index")
    report = build([large], tmp_path / "x.index")
    assert (kept(tmp_path / "x.index"), flagged(tmp_path / "x.index")) == (picture(7), [("a", ONE)])
    assert report.problems == {"other_bytes": 1}
    cut = tree(tmp_path / "cut", official() | {ONE: CUT})
    build([cut], tmp_path / "y.index")
    build([small], tmp_path / "y.index")
    assert (kept(tmp_path / "y.index"), flagged(tmp_path / "y.index")) == (picture(7), [("cut", ONE)])


def test_an_image_that_cannot_be_opened_any_more_is_judged_by_the_other_rules(tmp_path: Path) -> None:
    cut = tree(tmp_path / "cut", official() | {ONE: CUT})
    build([cut], tmp_path / "x.index")
    shutil.rmtree(cut)
    build([tree(tmp_path / "whole", official())], tmp_path / "x.index")
    index = imagenet_tools.open_index(tmp_path / "x.index")
    assert index.sql("SELECT source FROM images WHERE image_id = $id", id=ONE).fetchall() == [("cut",)]
    assert flagged(tmp_path / "x.index") == [("whole", ONE)]


def test_a_cut_image_in_a_gzip_stream_is_found_too(tmp_path: Path) -> None:
    images = official()
    tar = whole.winter21_whole(tmp_path / "winter21_whole.tar.gz", {TENCH: images | {ONE: CUT}})
    shutil.move(tree(tmp_path / "plain", images) / "train", tmp_path / "winter21")
    report = build([tar, tmp_path / "winter21"], tmp_path / "x.index", dataset="winter21")
    assert report.problems == {"other_bytes": 1}
    assert flagged(tmp_path / "x.index") == [(tar.name, ONE)]


def test_more_than_one_percent_stop_the_build_and_leave_the_index_as_it_was(tmp_path: Path) -> None:
    build([tree(tmp_path / "official", official())], tmp_path / "x.index")
    manifest = (tmp_path / "x.index" / "manifest.json").read_bytes()
    others = {f"{TENCH}_{number}": picture(number, (20, 16)) for number in (3, 5, 7, 9)}
    resized = tree(tmp_path / "a_resized", official() | others)
    with pytest.raises(SourceError) as raised:
        build([resized], tmp_path / "x.index")
    message = str(raised.value)
    assert "More than 1 % of the 120 images of the source a_resized" in message
    for number in (3, 5, 7):
        small, large = picture(number, (20, 16)), picture(number)
        assert f"  {TENCH}_{number}: {len(small):,} bytes, 20 x 16 in a_resized, train/{TENCH}/" in message
        assert f"but {len(large):,} bytes, 40 x 30 in official, train/{TENCH}/{TENCH}_{number}.JPEG" in message
    assert f"{TENCH}_9" not in message
    assert "--dataset NAME" in message
    assert (tmp_path / "x.index" / "manifest.json").read_bytes() == manifest
    assert kept(tmp_path / "x.index") == picture(7)
    report = build([resized], tmp_path / "x.index", dataset="resized")  # the way out
    assert (report.rows["images"], report.rows.get("copies", 0), report.problems) == (240, 0, {})


def test_the_share_is_of_all_images_of_a_source_and_exactly_one_percent_is_no_stop(tmp_path: Path) -> None:
    whole_class = {stem: data for wnid in (TENCH, SHARK) for stem, data in official(50, wnid).items()}
    first = tree(tmp_path / "first", whole_class)
    second = tree(tmp_path / "second", whole_class | {ONE: LARGE})
    assert build([first, second], tmp_path / "x.index").problems == {"other_bytes": 1}
    (second / "train" / SHARK / f"{SHARK}_0.JPEG").unlink()
    with pytest.raises(SourceError, match="More than 1 % of the 99 images of the source second"):
        build([second], tmp_path / "x.index")


def test_images_of_three_parts_are_named_where_each_has_one(tmp_path: Path) -> None:
    wnids = ("n01440764", "n02084071", "n04399382")
    for name, size in (("a", (20, 16)), ("b", (40, 30))):
        tree(tmp_path / name, {f"{wnid}_1": picture(1, size) for wnid in wnids})
    with pytest.raises(SourceError, match="of the 3 images of the source a ") as raised:
        build([tmp_path / "b", tmp_path / "a"], tmp_path / "x.index")
    assert all(f"{wnid}_1: " in str(raised.value) for wnid in wnids)
    assert not (tmp_path / "x.index").exists()


def test_sets_of_the_same_names_in_one_source_stop_the_build(tmp_path: Path) -> None:
    """Two copies of one set, which are no ImageNet-C, lie beside each other."""
    for severity in (1, 2):
        for number, wnid in ((1, "n01751748"), (2, "n09193705"), (3, "n02105855")):
            folder = tmp_path / "twice" / f"copy{severity}" / wnid
            folder.mkdir(parents=True)
            (folder / f"ILSVRC2012_val_{number:08d}.JPEG").write_bytes(picture(severity, (20 * severity, 16)))
    with pytest.raises(SourceError, match="More than 1 % of the 6 images of the source twice"):
        build([tmp_path / "twice"], tmp_path / "x.index")


def test_two_encodings_of_one_name_in_one_folder_are_a_problem_and_no_stop(tmp_path: Path) -> None:
    folder = tree(tmp_path / "mine", {f"{TENCH}_1": picture(1)})
    (folder / "train" / TENCH / f"{TENCH}_1.png").write_bytes(PNG)
    report = build([folder], tmp_path / "x.index")
    assert report.problems == {"other_bytes": 1}
    assert kept(tmp_path / "x.index", f"{TENCH}_1") == PNG


# ---- what comes later


def test_a_refresh_keeps_the_choice_and_the_problems_and_a_source_less_clears_them(tmp_path: Path) -> None:
    small = tree(tmp_path / "b", official())
    large = tree(tmp_path / "a", official() | {ONE: LARGE})
    index = tmp_path / "x.index"
    build([small], index)
    build([large], index)
    before, said = tables(index), reasons(index)
    assert build([large, small], index).problems == {"other_bytes": 1}
    assert tables(index) == before
    # The part is written again for another reason, and one of the two is read again.
    for path in (tree(tmp_path / "b", official(5, GOLDFISH)), tree(tmp_path / "b", {f"{TENCH}_500": picture(1)})):
        assert build([path], index).problems == {"other_bytes": 1}
        assert (kept(index), reasons(index), flagged(index)) == (picture(7), said, [("a", ONE)])
    shutil.rmtree(large / "train" / TENCH)
    tree(large, official(5, GOLDFISH))
    assert build([large], index).problems == {}
    assert (kept(index), flagged(index)) == (picture(7), [])


def test_a_file_that_becomes_like_the_others_is_no_problem_any_more(tmp_path: Path) -> None:
    small, large = tree(tmp_path / "b", official()), tree(tmp_path / "a", official() | {ONE: LARGE})
    build([small, large], tmp_path / "x.index")
    assert kept(tmp_path / "x.index") == LARGE
    tree(large, {ONE: picture(7)})
    assert build([large], tmp_path / "x.index").problems == {}


def test_workers_and_the_order_of_paths_change_no_byte(tmp_path: Path) -> None:
    paths = [tree(tmp_path / "b", official()), tree(tmp_path / "a", official() | {ONE: LARGE})]
    for wnid in (GOLDFISH, SHARK, "n02084071"):
        tree(tmp_path / "a", official(3, wnid))
    build(paths, tmp_path / "x.index")
    build(paths[::-1], tmp_path / "y.index", workers=2)
    assert tables(tmp_path / "x.index") == tables(tmp_path / "y.index")


# ---- by their bytes


@pytest.mark.parametrize("names", short_list([("a", "b"), ("b", "a")], ("b", "a")))
def test_other_bytes_of_the_same_size_are_found_by_hash(names: tuple[str, str], tmp_path: Path) -> None:
    alike = [picture(7) + b"1", picture(7) + b"2"]
    paths = [tree(tmp_path / name, official() | {ONE: data}) for name, data in zip(names, alike, strict=True)]
    index = tmp_path / "x.index"
    assert build(paths, index).problems == {}
    assert build(paths, index, by_hash=True, fresh=True).problems == {"other_bytes": 1}
    one = kept(index)
    assert one == min(alike, key=lambda data: hashlib.sha256(data).digest())
    # Written again without --hash, it is not forgotten.
    tree(paths[0], {f"{TENCH}_500": picture(1)})
    assert build([paths[0]], index).problems == {"other_bytes": 1}
    assert kept(index) == one
    shutil.rmtree(paths[1])
    tree(paths[0], {f"{TENCH}_501": picture(1)})
    assert build([paths[0]], index).problems == {"other_bytes": 1}


# ---- what is no contradiction


def test_the_same_images_in_other_forms_are_copies_without_a_problem(tmp_path: Path) -> None:
    images = {TENCH: official(4), GOLDFISH: official(4, GOLDFISH)}
    wrapped = {wnid: {stem: gzip.compress(data) for stem, data in some.items()} for wnid, some in images.items()}
    whole.fall11_whole(tmp_path / "fall11_whole.tar", wrapped)
    folders = tree(tmp_path / "plain", whole.flat(images))
    shutil.move(folders / "train", tmp_path / "fall11")
    for by_hash in (False, True):
        report = build(
            [tmp_path / "fall11_whole.tar", tmp_path / "fall11"], tmp_path / "x.index",
            dataset="fall11", by_hash=by_hash, fresh=True,
        )  # fmt: skip
        assert report.problems == {}
        assert (report.rows["images"], report.rows["copies"]) == (8, 8)


def test_a_wrapped_image_that_is_another_one_is_found(tmp_path: Path) -> None:
    images = {TENCH: official()}
    whole.fall11_whole(
        tmp_path / "fall11_whole.tar", {TENCH: images[TENCH] | {ONE: gzip.compress(picture(7) + b"more")}}
    )
    folders = tree(tmp_path / "plain", images[TENCH])
    shutil.move(folders / "train", tmp_path / "fall11")
    report = build([tmp_path / "fall11", tmp_path / "fall11_whole.tar"], tmp_path / "x.index", dataset="fall11")
    assert report.problems == {"other_bytes": 1}


def test_of_images_that_were_not_probed_the_lengths_are_compared(tmp_path: Path) -> None:
    small, large = tree(tmp_path / "b", official()), tree(tmp_path / "a", official() | {ONE: LARGE})
    report = build([small, large], tmp_path / "x.index", probe=False)
    assert report.problems == {"other_bytes": 1}
    assert len(LARGE) > len(picture(7))
    assert kept(tmp_path / "x.index") == LARGE
    assert " x " not in reasons(tmp_path / "x.index")[0]


def test_what_a_converter_encoded_again_does_not_replace_the_original(tmp_path: Path) -> None:
    png = "n02105855_2933"
    images = official() | {png: picture(1, encoding="PNG")}
    again = picture(1) + b"\0" * 5000  # longer, as a JPEG of high quality is
    paths = [
        tree(tmp_path / "z", images),
        webdataset.write_1k(tmp_path / "a", images | {png: again}),
    ]
    report = build(paths, tmp_path / "x.index")
    assert report.problems == {"other_bytes": 1, "reencoded": 1}
    assert kept(tmp_path / "x.index", png) == images[png]


def test_a_misfiled_image_is_compared_with_the_one_in_its_own_class(tmp_path: Path) -> None:
    images = {TENCH: official(), "n02084071": official(120, "n02084071")}
    home = whole.tree(tmp_path / "fall11", images)
    stray = home / "n02084071" / f"{ONE}.JPEG"
    stray.write_bytes(picture(7))
    assert build([home], tmp_path / "x.index").problems == {"class_differs": 1}
    (home / TENCH / f"{ONE}.JPEG").write_bytes(CUT)
    assert build([home], tmp_path / "x.index").problems == {"class_differs": 1, "other_bytes": 1}
    index = imagenet_tools.open_index(tmp_path / "x.index")
    assert index.image(ONE).wnid == TENCH
    assert index.image(ONE).read() == CUT
    (home / TENCH / f"{ONE}.JPEG").write_bytes(picture(7))
    assert build([home], tmp_path / "x.index").problems == {"class_differs": 1}


def test_the_command_line_says_what_has_other_bytes_and_how_to_go_on(run: Run, tmp_path: Path) -> None:
    tree(tmp_path / "b", official())
    tree(tmp_path / "a", official() | {ONE: LARGE})
    done = run("build-index", str(tmp_path / "b"), str(tmp_path / "a"), "-o", str(tmp_path / "x.index"))
    assert done.code == 3
    assert "1 image in a second place with other bytes than the one that is kept: copies.other_bytes" in done.err
    assert "1 problem: 1 other_bytes" in done.err
    told = run("-i", str(tmp_path / "x.index"), "info")
    assert "120 images also in a second place (table copies), 1 of them with other bytes" in told.out
    assert re.search(r"^other_bytes +1  found [\d,]+ bytes", told.out, re.MULTILINE)
    tree(tmp_path / "c", {stem: picture(1, (20, 16)) for stem in official()})
    stopped = run("build-index", str(tmp_path / "c"), "-o", str(tmp_path / "x.index"))
    assert (stopped.code, stopped.out) == (1, "")
    assert "imagenet-tools build-index PATH --dataset NAME" in stopped.err
