"""An index from somebody else reaches no file outside the roots of its sources, and none outside its own folder."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import imagenet_tools
from imagenet_tools.errors import ImagenetToolsError, SourceError
from imagenet_tools.index import Index
from imagenet_tools.store.layout import FileEntry, read_manifest, write_manifest, write_table
from tests.conftest import Extracted
from tests.parameters import short_list


def changed(index: Path, table: str, values: Mapping[str, str]) -> None:
    """Give every row of a table these values, as somebody who means harm would."""
    manifest = read_manifest(index)
    entries: list[FileEntry] = []
    for entry in manifest.tables[table]:
        rows = pq.ParquetFile(index / entry.file).read()
        for name, value in values.items():
            place = rows.schema.get_field_index(name)
            rows = rows.set_column(place, name, pa.array([value] * rows.num_rows, pa.string()))
        entries += write_table(index, table, entry.part, rows.to_batches())
    manifest.tables[table] = entries
    write_manifest(index, manifest)


@pytest.fixture(scope="module")
def prepared(extracted: Extracted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders, and an index of them."""
    root = tmp_path_factory.mktemp("prepared")
    home = root / "home" / "train" / "n02123045"
    home.mkdir(parents=True)
    for path in sorted((extracted.train / "n02123045").iterdir())[:3]:
        (home / path.name).write_bytes(path.read_bytes())
    (root / "home" / "secret.JPEG").write_bytes(next(iter(extracted.data.values())))
    imagenet_tools.build_index([root / "home" / "train"], root / "x.index", workers=1)
    return root


@pytest.fixture
def root(prepared: Path) -> Path:
    """The root of the index's only source, beside which is a file that nobody should read."""
    return prepared / "home" / "train"


@pytest.fixture
def built(prepared: Path, tmp_path: Path) -> Path:
    """The index, which may be changed."""
    return Path(shutil.copytree(prepared / "x.index", tmp_path / "x.index"))


def image(index: Index, home: Path) -> object:
    (first, *_) = index.sql("SELECT image_id FROM images ORDER BY image_id").fetchall()[0]
    return index.image(first).read()


def items(index: Index, home: Path) -> object:
    data = index.select().dataset("train")
    return [data[n] for n in range(len(data))]


def copied(index: Index, home: Path) -> object:
    return imagenet_tools.export(index.select(), home / "out", to="image_folder")


def linked(index: Index, home: Path) -> object:
    return imagenet_tools.export(index.select(), home / "out", to="image_folder", link="sym")


def listed(index: Index, home: Path) -> object:
    return imagenet_tools.export(index.select(), home / "out", to="file_list")


def tabled(index: Index, home: Path) -> object:
    return imagenet_tools.export(index.select(), home / "out", to="csv")


@pytest.mark.parametrize("use", short_list([image, items, copied, linked, listed, tabled], image, copied))
def test_a_file_outside_the_root_is_refused(
    use: Callable[[Index, Path], object], built: Path, root: Path, tmp_path: Path
) -> None:
    changed(built, "images", {"file": "../secret.JPEG"})
    with pytest.raises(SourceError) as raised:
        use(imagenet_tools.open_index(built), tmp_path)
    message = str(raised.value)
    assert "The index names the file '.." in message
    assert f"which is not below {root}; expected a relative path without '..'" in message
    assert "build-index" in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("file", ["../secret.JPEG", "n02123045/../../secret.JPEG", "..", "/etc/passwd", "a/\0.JPEG"])
def test_every_way_out_of_a_root_is_refused(file: str, built: Path) -> None:
    with pytest.raises(SourceError, match="which is not below"):
        imagenet_tools.open_index(built).place("train", file)


@pytest.mark.parametrize("file", ["a/n02123045_9..JPEG", "..a/b", "a..b/c", "a"])
def test_a_name_with_two_dots_in_it_is_a_name(file: str, built: Path, root: Path) -> None:
    assert imagenet_tools.open_index(built).place("train", file) == root / file


def test_the_data_set_over_the_originals_joins_no_name_that_leaves_its_folder(built: Path, tmp_path: Path) -> None:
    changed(built, "images", {"file": ".."})
    with pytest.raises(SourceError, match=r"names the file '\.\.', which is not below"):
        items(imagenet_tools.open_index(built), tmp_path)


def test_a_source_outside_its_root_is_refused(built: Path, root: Path, tmp_path: Path) -> None:
    changed(built, "sources", {"path": "../.."})
    with pytest.raises(SourceError, match=r"names the file '../..', which is not below"):
        imagenet_tools.relocate({"train": root}, built)
    with pytest.raises(SourceError, match=r"names the file '../..', which is not below"):
        copied(imagenet_tools.open_index(built), tmp_path)


@pytest.mark.parametrize("file", ["../other.index/images/x.parquet", "/etc/passwd"])
def test_a_manifest_that_names_a_file_outside_the_index_is_refused(file: str, built: Path) -> None:
    text = json.loads((built / "manifest.json").read_text())
    text["tables"]["images"][0]["file"] = file
    (built / "manifest.json").write_text(json.dumps(text, indent=1))
    with pytest.raises(ImagenetToolsError, match=f"names the file '{file}', which is not below {built}"):
        imagenet_tools.open_index(built)


def test_an_export_writes_nothing_outside_its_folder(built: Path, tmp_path: Path) -> None:
    changed(built, "images", {"split": "../../evil"})
    with pytest.raises(SourceError, match=r"names the file '../../evil/n02123045/"):
        copied(imagenet_tools.open_index(built), tmp_path)
    with pytest.raises(SourceError, match=r"names the file '../../evil.csv'"):
        tabled(imagenet_tools.open_index(built), tmp_path / "tables")
    assert not list(tmp_path.rglob("evil"))
