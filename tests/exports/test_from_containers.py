"""An export from the hubs' containers is the export from the official archives: the same files, the same bytes."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

import imagenet_tools
from imagenet_tools.errors import ExportError
from imagenet_tools.index import Index
from tests.conftest import Extracted
from tests.forms import hf_parquet, tfrecord, webdataset
from tests.forms.small import hub_archive
from tests.forms.whole import class_tar
from tests.parameters import short_list

BOXES = ("ILSVRC2012_bbox_train_v2.tar.gz", "ILSVRC2012_bbox_val_v3.tgz")


def parquet(home: Path, data: dict[str, bytes]) -> Path:
    return hf_parquet.write(home, data, None)


def gzip_streams(home: Path, data: dict[str, bytes]) -> Path:
    home.mkdir()
    wnids = {stem: wnid for stem in data if (wnid := hf_parquet.wnid_of(stem))}
    for split in ("train", "val"):
        images = {stem: image for stem, image in data.items() if hf_parquet.split_of(stem) == split}
        hub_archive(home / f"{split}_images{'_0' * (split == 'train')}.tar.gz", images, wnids)
    return home


def shards(home: Path, data: dict[str, bytes]) -> Path:
    return webdataset.write_1k(home, data)


def records(home: Path, data: dict[str, bytes]) -> Path:
    return tfrecord.write_tfds(home, data)


def tree(root: Path) -> dict[str, bytes]:
    """The files of an export by name, without the manifest, which names the sources."""
    files = (path for path in root.rglob("*") if path.is_file() and path.name != "manifest.json")
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def official(index: Index, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """What the official archives give."""
    found = {}
    for target in ("image_folder", "yolo"):
        root = tmp_path_factory.mktemp(target) / "export"
        imagenet_tools.export(index.select(), root, to=target, link="copy", workers=1)
        found[target] = tree(root)
    return found


@pytest.mark.parametrize("form", short_list([parquet, gzip_streams, shards, records], gzip_streams))
def test_an_export_from_a_container_is_that_of_the_official_archives(
    form: Callable[[Path, dict[str, bytes]], Path],
    official: dict[str, dict[str, bytes]],
    extracted: Extracted,
    sample: Path,
    tmp_path: Path,
) -> None:
    sources = [form(tmp_path / "source", extracted.data), *(sample / name for name in BOXES)]
    imagenet_tools.build_index(sources, tmp_path / "x.index", workers=1)
    index = imagenet_tools.open_index(tmp_path / "x.index")
    for target, expected in official.items():
        imagenet_tools.export(index.select(), tmp_path / target, to=target, link="copy", workers=2)
        found = tree(tmp_path / target)
        assert found.keys() == expected.keys()
        assert {name for name in found if found[name] != expected[name]} == set()
        assert sum(name.endswith(".JPEG") for name in found) > 100


def encoded(kind: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (40, 40)).save(out, kind)
    return out.getvalue()


@pytest.mark.parametrize(
    "kinds",
    [
        {"n02105855_1.JPEG": "JPEG", "n02105855_2933.JPEG": "PNG", "n02105855_5.gif": "GIF"},
        {"a.png": "PNG", "b.JPEG": "JPEG", "c.bmp": "BMP"},
    ],
    ids=["ImageNet", "others"],
)
def test_images_of_an_archive_are_named_by_their_bytes(kinds: dict[str, str], tmp_path: Path) -> None:
    """ImageNet calls its one PNG .JPEG; another PNG is called .png, whatever its archive calls it."""
    archive = tmp_path / "n02105855.tar"
    archive.write_bytes(class_tar({Path(name).stem: encoded(kind) for name, kind in kinds.items()}))
    imagenet_tools.build_index([archive], tmp_path / "index")
    with Index(tmp_path / "index") as index:
        imagenet_tools.export(index.select(), tmp_path / "export", to="image_folder", workers=1)
    assert sorted(path.name for path in (tmp_path / "export").rglob("n02105855/*")) == sorted(kinds)


def test_images_whose_headers_nobody_read_are_left_out_with_that_reason(tmp_path: Path) -> None:
    archive = tmp_path / "n02105855.tar"
    archive.write_bytes(class_tar({"n02105855_1": encoded("JPEG")}))
    imagenet_tools.build_index([archive], tmp_path / "index", probe=False)
    with Index(tmp_path / "index") as index, pytest.raises(ExportError, match="indexed with --no-probe"):
        imagenet_tools.plan_export(index.select(), to="image_folder")
