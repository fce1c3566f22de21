"""A source that changed after indexing is an error at its first opening, with the command that refreshes."""

import gzip
import io
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from PIL import Image

import imagenet_tools
from imagenet_tools import api
from imagenet_tools.errors import SourceError
from imagenet_tools.index import Index
from tests.parameters import short_list

TENCH, CRANE = "n01440764", "n02012849"
IDS = [f"{wnid}_{n}" for wnid in (TENCH, CRANE) for n in (1, 2)]
HOLDING = [
    name
    for name, module in api._formats().items()
    if hasattr(module, "WRITES")
    and module.WRITES.holds_bytes
    and not name.startswith("yolo")
    and not module.WRITES.detection  # those want val
]


def drawn(stem: str, form: str = "JPEG") -> bytes:
    """An image of noise."""
    out = io.BytesIO()
    Image.frombytes("RGB", (40, 30), Random(stem).randbytes(3600)).save(out, form)
    return out.getvalue()


def tree(root: Path) -> Path:
    for stem in IDS:
        path = root / "train" / stem.partition("_")[0] / f"{stem}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(drawn(stem))
    return root / "train"


def archive(root: Path) -> Path:
    """A tar of class tars."""
    root.mkdir(exist_ok=True)
    with tarfile.open(root / "train.tar", "w") as outer:
        for wnid in (TENCH, CRANE):
            with tarfile.open(root / f"{wnid}.tar", "w") as inner:
                for stem in IDS:
                    if stem.startswith(wnid):
                        data = drawn(stem)
                        info = tarfile.TarInfo(f"{stem}.JPEG")
                        info.size = len(data)
                        inner.addfile(info, io.BytesIO(data))
            outer.add(root / f"{wnid}.tar", f"{wnid}.tar")
            (root / f"{wnid}.tar").unlink()
    return root / "train.tar"


def indexed(source: Path, index: Path) -> Index:
    imagenet_tools.build_index([source], index, dataset="ilsvrc2012", workers=1)
    return imagenet_tools.open_index(index)


def replaced(path: Path, data: bytes, *, same_time: bool = False) -> None:
    """Other bytes in a file, some time later, or with the time of the file before."""
    status = path.stat()
    path.write_bytes(data)
    later = status.st_mtime_ns + (0 if same_time else 5_000_000_000)
    os.utime(path, ns=(later, later))


def shifted(data: bytes) -> bytes:
    """A file of the same size in which every byte lies elsewhere."""
    return data[777:] + data[:777]


USES: dict[str, Callable[[Index, Path], object]] = {
    "export": lambda index, dest: imagenet_tools.export(index.select(), dest, to="image_folder", workers=1),
    "dataset": lambda index, dest: index.select().dataset("train")[0],
    "image": lambda index, dest: index.image(IDS[0]).read(),
}


@pytest.mark.parametrize("same_time", [False, True])
def test_a_tar_replaced_by_one_of_the_same_size_is_an_error(same_time: bool, tmp_path: Path) -> None:
    source = archive(tmp_path / "source")
    index = indexed(source, tmp_path / "x.index")
    replaced(source, shifted(source.read_bytes()), same_time=same_time)
    for use in USES.values():
        with pytest.raises(SourceError) as caught:
            use(index, tmp_path / "out")
        said = str(caught.value)
        assert f"{source}: found {'bytes that begin' if same_time else 'mtime_ns'}" in said
        assert "expected" in said and f"`imagenet-tools build-index {source} -o {index.path}`" in said
        assert not (tmp_path / "out").exists()


def test_a_tar_that_has_grown_is_an_error_though_its_time_is_the_same(tmp_path: Path) -> None:
    source = archive(tmp_path / "source")
    index = indexed(source, tmp_path / "x.index")
    size = source.stat().st_size
    replaced(source, source.read_bytes() + bytes(512), same_time=True)
    for use in USES.values():
        with pytest.raises(SourceError, match=rf"found {size + 512:,} bytes, expected {size:,} bytes"):
            use(index, tmp_path / "out")


@pytest.mark.parametrize(
    ("data", "same_time", "found"),
    [(drawn("another"), False, "mtime_ns"), (drawn("another") + b"!", True, "bytes"), (None, True, "bytes that begin")],
)
def test_a_loose_image_that_has_changed_is_an_error(
    data: bytes | None, same_time: bool, found: str, tmp_path: Path
) -> None:
    source = tree(tmp_path / "source")
    index = indexed(source, tmp_path / "x.index")
    path = source / TENCH / f"{IDS[0]}.JPEG"
    before = path.read_bytes()
    changed = (data + bytes(len(before)))[: len(before) + data.endswith(b"!")] if data else b"<html>" + before[6:]
    replaced(path, changed, same_time=same_time)
    for use in USES.values():
        with pytest.raises(SourceError, match=rf"{path.name}: found .*{found}.* build-index {source} "):
            use(index, tmp_path / "out")


@pytest.fixture(scope="module")
def garbage(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """An index whose tar has other bytes since."""
    root = tmp_path_factory.mktemp("garbage")
    source = archive(root / "source")
    index = indexed(source, root / "x.index")
    replaced(source, shifted(source.read_bytes()), same_time=True)
    return index


@pytest.mark.parametrize("target", short_list(HOLDING, "hf_parquet", "image_folder", "webdataset"))
@pytest.mark.parametrize("options", short_list([{}, {"resize": 20}], {}))
def test_every_target_refuses_garbage_of_the_same_size_and_time(
    target: str, options: dict[str, int], garbage: Index, tmp_path: Path
) -> None:
    if options and api._formats()[target].WRITES.remade_bytes:
        pytest.skip("it takes no other changes")
    with pytest.raises(SourceError, match="has changed since it was indexed"):
        imagenet_tools.export(garbage.select(), tmp_path / "out", to=target, workers=1, **options)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_a_link_is_made_to_no_other_image(tmp_path: Path) -> None:
    source = tree(tmp_path / "source")
    index = indexed(source, tmp_path / "x.index")
    path = source / CRANE / f"{IDS[-1]}.JPEG"
    replaced(path, b"<html>" + path.read_bytes()[6:], same_time=True)
    for link in ("hard", "sym", "copy"):
        with pytest.raises(SourceError, match=r"found bytes that begin b'<html>.* expected a jpeg"):
            imagenet_tools.export(index.select(), tmp_path / link, to="image_folder", link=link, workers=1)  # type: ignore[arg-type]


def test_a_wrapped_image_is_compared_when_it_is_unwrapped(tmp_path: Path) -> None:
    source = tree(tmp_path / "source")
    path = source / TENCH / f"{IDS[0]}.JPEG"
    path.write_bytes(gzip.compress(drawn(IDS[0]), 0))
    index = indexed(source, tmp_path / "x.index")
    assert index.image(IDS[0]).read() == drawn(IDS[0])
    data = gzip.compress(b"<html>" + drawn(IDS[0])[6:], 0)
    assert len(data) == path.stat().st_size
    replaced(path, data, same_time=True)
    with pytest.raises(SourceError, match="expected a jpeg"):
        index.image(IDS[0]).read()


def test_an_image_that_was_not_probed_must_be_some_image(tmp_path: Path) -> None:
    source = tree(tmp_path / "source")
    path = source / TENCH / f"{IDS[0]}.JPEG"
    path.write_bytes(drawn(IDS[0], "PNG"))
    imagenet_tools.build_index([source], tmp_path / "x.index", dataset="ilsvrc2012", workers=1, probe=False)
    index = imagenet_tools.open_index(tmp_path / "x.index")
    assert index.image(IDS[0]).read() == path.read_bytes()
    replaced(path, b"<html>" + path.read_bytes()[6:], same_time=True)
    with pytest.raises(SourceError, match="expected an image of a known encoding"):
        index.image(IDS[0]).read()


def test_an_image_with_a_problem_is_given_as_it_is(tmp_path: Path) -> None:
    source = tree(tmp_path / "source")
    (source / TENCH / f"{IDS[0]}.JPEG").write_bytes(b"<html>no photo</html>")
    index = indexed(source, tmp_path / "x.index")
    assert index.image(IDS[0]).read() == b"<html>no photo</html>"


# ---- another place


def copied(source: Path, root: Path) -> Path:
    """A copy with other times."""
    root.mkdir()
    if source.is_file():
        shutil.copy(source, root)
    else:
        shutil.copytree(source, root / source.name, copy_function=shutil.copyfile)
    place = root / source.name
    for path in [place, *place.rglob("*")]:
        if path.is_file():
            os.utime(path, ns=(9_000_000_000, path.stat().st_mtime_ns + 7_000_000_000))
    return place


@pytest.mark.parametrize("make", [tree, archive])
@pytest.mark.parametrize("how", short_list(["roots", "relocate"], "relocate"))
def test_a_copy_with_other_times_is_read(make: Callable[[Path], Path], how: str, tmp_path: Path) -> None:
    source = make(tmp_path / "source")
    path = indexed(source, tmp_path / "x.index").path
    place = copied(source, tmp_path / "new")
    root = place if place.is_dir() else place.parent
    roots = {source.name: root}
    if how == "relocate":
        imagenet_tools.relocate(roots, path)
    index = imagenet_tools.open_index(path, roots=roots if how == "roots" else None)
    assert index.image(IDS[0]).read() == drawn(IDS[0])
    file = place if place.is_file() else place / TENCH / f"{IDS[0]}.JPEG"
    replaced(file, file.read_bytes())
    if how == "roots":  # times are not compared there
        assert index.image(IDS[0]).read() == drawn(IDS[0])
    else:
        with pytest.raises(SourceError, match="found mtime_ns"):
            index.image(IDS[0]).read()
    replaced(file, file.read_bytes() + b"!")
    with pytest.raises(SourceError, match=r"found [\d,]+ bytes, expected [\d,]+ bytes") as caught:
        index.image(IDS[0]).read()
    command = f"build-index {place} -o {path}" + (f" --root {source.name}={root}" if how == "roots" else "")
    assert f"`imagenet-tools {command}`" in str(caught.value)


def test_the_command_that_is_named_refreshes(tmp_path: Path) -> None:
    source = tree(tmp_path / "source")
    index = indexed(source, tmp_path / "x.index")
    path = source / TENCH / f"{IDS[0]}.JPEG"
    replaced(path, drawn("another"))
    with pytest.raises(SourceError):
        index.image(IDS[0]).read()
    index = indexed(source, tmp_path / "x.index")
    assert index.image(IDS[0]).read() == drawn("another")


def test_a_refresh_by_bytes_takes_over_new_times(tmp_path: Path) -> None:
    source = archive(tmp_path / "source")
    path = tmp_path / "x.index"
    imagenet_tools.build_index([source], path, dataset="ilsvrc2012", workers=1, by_hash=True)
    replaced(source, source.read_bytes())
    report = imagenet_tools.build_index([source], path, dataset="ilsvrc2012", workers=1, by_hash=True)
    assert report.units["unchanged"] and not report.units["scanned"]
    assert imagenet_tools.open_index(path).image(IDS[0]).read() == drawn(IDS[0])
