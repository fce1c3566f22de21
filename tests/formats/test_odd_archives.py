"""What is odd or broken in the archives of the whole ImageNet costs itself alone: the rest is read back to the byte."""

import gzip
import io
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

import imagenet_tools
from imagenet_tools.index import Index
from tests.conftest import Extracted
from tests.forms import whole
from tests.parameters import short_list
from tests.read_back import read_all

Images = dict[str, dict[str, bytes]]
PERSON, DOG, CAT = "n00007846", "n02084071", "n02123045"


@pytest.fixture
def images(extracted: Extracted) -> Images:
    return whole.images(extracted.data.values())


def build(path: Path, index: Path) -> tuple[Index, dict[str, int]]:
    report = imagenet_tools.build_index([path], index, workers=1)
    return imagenet_tools.open_index(index), report.problems


def write_whole(path: Path, members: list[tuple[str, bytes]]) -> Path:
    """A tar of these members, in gzip where the name says so."""
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w", format=tarfile.GNU_FORMAT) as archive:  # type: ignore[call-overload]
        for name, data in members:
            whole.add(archive, name, data)
    return path


def class_tars(images: Images) -> list[tuple[str, bytes]]:
    return [(f"{wnid}.tar", whole.class_tar(inside)) for wnid, inside in images.items()]


def cut_in_third(data: bytes) -> bytes:
    """A class tar that ends inside its third image."""
    with tarfile.open(fileobj=io.BytesIO(data)) as members:
        third = members.getmembers()[2]
    return data[: third.offset_data + third.size // 2]


def flipped(data: bytes) -> bytes:
    """A class tar whose third header is wrong."""
    with tarfile.open(fileobj=io.BytesIO(data)) as members:
        third = members.getmembers()[2]
    return data[: third.offset + 3] + b"?" + data[third.offset + 4 :]


DAMAGES: list[tuple[Callable[[bytes], bytes], str, int]] = [
    (cut_in_third, "tar_truncated", 2),
    (flipped, "tar_damaged", 2),
    (lambda data: b"<html>404 Not Found</html>" * 40, "tar_damaged", 0),
    (lambda data: b"", "tar_truncated", 0),
]


@pytest.mark.parametrize("name", short_list(["fall11_whole.tar", "winter21_whole.tar.gz"], "winter21_whole.tar.gz"))
def test_a_broken_class_tar_inside_the_whole_costs_what_is_behind_its_break(
    name: str, images: Images, tmp_path: Path
) -> None:
    members, lost, said = class_tars(images), set[str](), []
    assert len(members) == len(DAMAGES) + 1  # one is whole, behind them all
    for n, (damage, code, kept) in enumerate(DAMAGES):
        tar, data = members[n]
        members[n] = (tar, damage(data))
        lost |= set(list(images[tar.removesuffix(".tar")])[kept:])
        said.append((code, name, tar))
    index, problems = build(write_whole(tmp_path / name, members), tmp_path / "x.index")
    assert read_all(index) == {stem: data for stem, data in whole.flat(images).items() if stem not in lost}
    assert problems == {"tar_truncated": 2, "tar_damaged": 2}
    assert index.sql("SELECT code, file, member FROM problems ORDER BY member").fetchall() == sorted(
        said, key=lambda one: one[2]
    )


def test_a_class_tar_in_gzip_that_is_cut_keeps_its_whole_images(images: Images, tmp_path: Path) -> None:
    members = [
        (tar, gzip.compress(data)[:-3_000] if tar.startswith(PERSON) else data) for tar, data in class_tars(images)
    ]
    index, problems = build(write_whole(tmp_path / "fall11_whole.tar", members), tmp_path / "x.index")
    found = read_all(index)
    assert all(found[stem] == data for wnid in set(images) - {PERSON} for stem, data in images[wnid].items())
    kept = [stem for stem in images[PERSON] if stem in found]
    assert 0 < len(kept) < 4
    assert all(found[stem] == images[PERSON][stem] for stem in kept)
    assert sum(problems.values()) == 1


def test_a_whole_that_is_cut_keeps_the_images_of_the_class_tar_that_it_is_cut_in(
    images: Images, tmp_path: Path
) -> None:
    path = whole.fall11_whole(tmp_path / "fall11_whole.tar", images)
    with tarfile.open(path) as outer:
        last = outer.getmembers()[-1]
    with tarfile.open(fileobj=io.BytesIO(whole.class_tar(images[CAT]))) as inner:
        third = inner.getmembers()[2]
    path.write_bytes(path.read_bytes()[: last.offset_data + third.offset_data + 10])
    (found,) = imagenet_tools.detect(path).found
    assert "cut short" in found.missing
    index, problems = build(path, tmp_path / "x.index")
    lost = list(images[CAT])[2:]
    assert read_all(index) == {stem: data for stem, data in whole.flat(images).items() if stem not in lost}
    assert problems == {"tar_truncated": 2}  # of the whole, and of the class tar
    assert not any(str(tmp_path) in reason for (reason,) in index.sql("SELECT reason FROM problems").fetchall())


def test_the_text_of_a_problem_names_no_place_of_this_machine(sample: Path, tmp_path: Path) -> None:
    names = {"ILSVRC2012_bbox_val_v3.tgz": 40, "ILSVRC2012_devkit_t12.tar.gz": 40, "ILSVRC2012_img_val.tar": 20_000}
    for name, cut in names.items():
        (tmp_path / name).write_bytes((sample / name).read_bytes()[:-cut])
    report = imagenet_tools.build_index([tmp_path], tmp_path / "x.index", workers=1)
    assert sum(report.problems.values()) == 3
    reasons = imagenet_tools.open_index(tmp_path / "x.index").sql("SELECT reason FROM problems").fetchall()
    assert not any(str(tmp_path) in reason for (reason,) in reasons)


def test_a_class_tar_that_was_added_twice_is_read_twice(images: Images, tmp_path: Path) -> None:
    first, again = dict(list(images[PERSON].items())[:2]), dict(list(images[PERSON].items())[1:])
    members = [*class_tars(images | {PERSON: first}), (f"{PERSON}.tar", whole.class_tar(again))]
    index, problems = build(write_whole(tmp_path / "fall11_whole.tar", members), tmp_path / "x.index")
    assert read_all(index) == whole.flat(images)
    assert index.sql("SELECT image_id FROM copies").fetchall() == [(list(images[PERSON])[1],)]
    assert problems == {}
    assert imagenet_tools.build_index([tmp_path / "fall11_whole.tar"], tmp_path / "x.index").units["scanned"] == 0


@pytest.mark.parametrize("name", short_list(["fall11_whole.tar", "winter21_whole.tar.gz"], "fall11_whole.tar"))
def test_a_stray_before_the_class_tars_is_counted_and_hides_nothing(name: str, images: Images, tmp_path: Path) -> None:
    path = write_whole(tmp_path / name, [("README.txt", b"hello"), *class_tars(images)])
    index, problems = build(path, tmp_path / "x.index")
    assert read_all(index) == whole.flat(images)
    assert problems == {"stray_file": 1}


def test_an_image_in_a_broken_gzip_wrapping_is_a_row_with_a_problem(images: Images, tmp_path: Path) -> None:
    stem = list(images[PERSON])[1]
    wrapped = gzip.compress(images[PERSON][stem])[:-50]
    broken = images | {PERSON: images[PERSON] | {stem: wrapped}}
    for name in ("fall11_whole.tar", "winter21_whole.tar.gz"):
        index, problems = build(write_whole(tmp_path / name, class_tars(broken)), tmp_path / f"{name}.index")
        assert problems == {"gzipped": 1}
        assert read_all(index) == whole.flat(broken)
        rows = index.sql("SELECT image_id, width FROM images WHERE problem = 'gzipped'").fetchall()
        assert rows == [(stem, None)]


# ---- an image in the class tars of two classes


def test_an_image_in_two_classes_is_of_the_one_that_its_name_tells(images: Images, tmp_path: Path) -> None:
    stem = next(iter(images[PERSON]))
    images[DOG][stem] = images[PERSON][stem]
    index, problems = build(whole.fall11_whole(tmp_path / "fall11_whole.tar", images), tmp_path / "x.index")
    assert read_all(index) == whole.flat(images)
    assert index.sql("SELECT wnid FROM images WHERE image_id = $id", id=stem).fetchall() == [(PERSON,)]
    assert index.sql("SELECT image_id, wnid FROM copies").fetchall() == [(stem, DOG)]
    assert problems == {"class_differs": 1}
    assert index.sql("SELECT count(*) FROM images").fetchall() == [(20,)]


def test_an_image_in_the_folder_of_another_class_alone_keeps_that_folders_class(images: Images, tmp_path: Path) -> None:
    stem, data = next(iter(images[PERSON].items()))
    home = whole.tree(tmp_path / "fall11", images)
    shutil.move(home / PERSON / f"{stem}.JPEG", home / DOG)
    index, problems = build(home, tmp_path / "x.index")
    assert index.sql("SELECT wnid FROM images WHERE image_id = $id", id=stem).fetchall() == [(DOG,)]
    assert problems == {"class_differs": 1}
    # Put where it belongs as well, it is of that class, and the old place becomes a copy; and back again.
    (home / PERSON / f"{stem}.JPEG").write_bytes(data)
    index, _ = build(home, tmp_path / "x.index")
    both = "SELECT wnid, 'image' AS kind FROM images WHERE image_id = $id UNION SELECT wnid, 'copy' FROM copies"
    assert sorted(index.sql(both, id=stem).fetchall()) == [(PERSON, "image"), (DOG, "copy")]
    (home / PERSON / f"{stem}.JPEG").unlink()
    index, _ = build(home, tmp_path / "x.index")
    assert index.sql(both, id=stem).fetchall() == [(DOG, "image")]
    assert index.image(stem).read() == data


# ---- what GNU tar itself writes


@pytest.mark.parametrize("form", short_list(["v7", "oldgnu", "gnu", "ustar", "pax"], "gnu"))
def test_every_format_of_gnu_tar_is_read_unsorted_and_with_long_names(
    form: str, images: Images, tmp_path: Path
) -> None:
    """Class tars in a tar, both by GNU tar: folders as members, names in no order, and in pax times of nanoseconds."""
    home = whole.tree(tmp_path / "tree", images)
    names = [f"./{wnid}.tar" for wnid in reversed(images)]
    for wnid in images:
        stems = [f"{stem}.JPEG" for stem in sorted(images[wnid], reverse=True)]
        command = ["tar", f"--format={form}", "-cf", str(home / f"{wnid}.tar"), "-C", str(home / wnid), *stems]
        subprocess.run(command, check=True)
    top = "a" * 60 + "/" + "b" * 60  # ustar's prefix, GNU's long name, pax's path
    transform = [] if form == "v7" else [f"--transform=s,^\\.,{top},"]
    path = tmp_path / "fall11_whole.tar"
    subprocess.run(["tar", f"--format={form}", *transform, "-cf", str(path), "-C", str(home), *names], check=True)
    index, problems = build(path, tmp_path / "x.index")
    assert problems == {}
    assert read_all(index) == whole.flat(images)
    with tarfile.open(path) as outer:  # what another reader finds
        for member in outer:
            stream = outer.extractfile(member)
            assert stream is not None
            with tarfile.open(fileobj=stream) as inner:
                for one in inner:
                    payload = inner.extractfile(one)
                    assert payload is not None
                    assert payload.read() == index.image(Path(one.name).stem).read()


@pytest.mark.parametrize("form", short_list(["gnu", "pax"], "gnu"))
def test_the_unsorted_validation_tar_and_the_test_tar_of_gnu_tar(
    form: str, extracted: Extracted, tmp_path: Path
) -> None:
    for split, arguments in (
        ("val", ["-C", str(extracted.val), *sorted((p.name for p in extracted.val.iterdir()), key=lambda n: n[::-1])]),
        ("test", ["-C", str(extracted.test.parent), "test"]),
    ):
        path = tmp_path / f"{split}.tar"
        subprocess.run(["tar", f"--format={form}", "-cf", str(path), *arguments], check=True)
        index, problems = build(path, tmp_path / f"{split}.index")
        assert problems == {}
        expected = {stem: data for stem, data in extracted.data.items() if f"_{split}_" in stem}
        assert read_all(index) == expected
        assert index.sql("SELECT DISTINCT split FROM images").fetchall() == [(split,)]
        with tarfile.open(path) as members:
            names = [Path(member.name).stem for member in members if member.isfile()]
        assert split == "test" or names != sorted(names)
        order = index.sql('SELECT image_id FROM images ORDER BY "offset"').fetchall()
        assert [image_id for (image_id,) in order] == names
