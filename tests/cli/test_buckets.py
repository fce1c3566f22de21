"""Sources that were moved to a web server, which stands in for a bucket: what is read, and what is not."""

import gzip
import io
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import imagenet_tools
from imagenet_tools.errors import SourceError, UsageError
from imagenet_tools.index import Index
from imagenet_tools.storage.buckets import place_of, url_of
from tests import s3
from tests.cli.conftest import Run
from tests.conftest import Extracted
from tests.forms.dogs import Dogs
from tests.index.test_build import tables
from tests.index.test_machines import bytes_of

pytest.importorskip("obstore")


class Served:
    """The files of a folder, served below /data by a gate, which counts requests and bytes."""

    def __init__(self, folder: Path, gate: s3.Gate):
        self.folder, self.gate = folder, gate
        self.url = f"{gate.endpoint}/data"

    def answer(self, request: s3.Request) -> s3.Answer:
        path = self.folder / request.path.removeprefix("/data/")
        if not path.is_file():
            return s3.Answer(404)
        data = path.read_bytes()
        headers = {"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT", "ETag": s3.etag_of(data)}
        if request.headers.get("if-none-match") == headers["ETag"]:
            return s3.Answer(304, b"", headers)
        if request.method == "HEAD":
            return s3.Answer(200, b"", headers | {"Content-Length": str(len(data))})
        if asked := request.headers.get("range"):
            first, last = asked.removeprefix("bytes=").split("-")
            part = data[int(first) : int(last) + 1]
            content_range = f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}"
            return s3.Answer(206, part, headers | {"Content-Range": content_range})
        return s3.Answer(200, data, headers)


@pytest.fixture
def served(sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setenv("IMAGENET_CACHE", str(tmp_path / "cache"))
    with s3.running(lambda request: s3.Answer(404)) as gate:
        served = Served(sample, gate)
        gate.answer = served.answer
        yield served


def moved(index: Index, url: str) -> Index:
    """Return the index with all its sources at a URL."""
    return imagenet_tools.open_index(index.path, roots=dict.fromkeys(index.roots, url))


def test_a_subset_is_exported_without_reading_the_rest(index: Index, served: Served, tmp_path: Path) -> None:
    here, there = index.select(under="dog.n.01"), moved(index, served.url).select(under="dog.n.01")
    for to in ("image_folder", "webdataset"):
        imagenet_tools.export(here, tmp_path / "here" / to, to=to, workers=1)
        served.gate.forget()
        imagenet_tools.export(there, tmp_path / "there" / to, to=to, workers=1)
        assert bytes_of(tmp_path / "there" / to) == bytes_of(tmp_path / "here" / to)
        size = sum(len(image.read()) for image in here)
        assert served.gate.sent == size  # of the archives, which are larger, nothing else was read
        assert len(served.gate.requests) == len(here) + 2  # and the size of each archive
    assert served.gate.most_at_once > 1


def test_images_and_a_data_set_are_read_by_range(index: Index, served: Served) -> None:
    there = moved(index, f"{served.url}/")
    assert there.image("ILSVRC2012_val_00000020").read() == index.image("ILSVRC2012_val_00000020").read()
    data = there.select(under="cat.n.01").dataset("val")
    assert [data.read(n) for n in range(len(data))] == [
        index.select(under="cat.n.01").dataset("val").read(n) for n in range(len(data))
    ]


def test_requests_that_fail_are_repeated(index: Index, served: Served, tmp_path: Path) -> None:
    served.gate.faults.refused = 3
    imagenet_tools.export(moved(index, served.url).select(under="dog.n.01"), tmp_path / "x", to="csv")
    there = moved(index, served.url).select(under="cat.n.01", from_="val")
    imagenet_tools.export(there, tmp_path / "there", to="webdataset", workers=1)
    imagenet_tools.export(index.select(under="cat.n.01", from_="val"), tmp_path / "here", to="webdataset", workers=1)
    assert bytes_of(tmp_path / "there") == bytes_of(tmp_path / "here")


def test_a_file_that_is_gone_or_changed_is_told_by_its_url(
    index: Index, served: Served, sample: Path, tmp_path: Path
) -> None:
    served.folder = tmp_path
    with pytest.raises(SourceError, match=f"Found no file {served.url}/ILSVRC2012_img_val.tar"):
        moved(index, served.url).image("ILSVRC2012_val_00000020").read()
    (tmp_path / "ILSVRC2012_img_val.tar").write_bytes((sample / "ILSVRC2012_img_val.tar").read_bytes()[:-512])
    with pytest.raises(SourceError, match=f"{served.url}/ILSVRC2012_img_val.tar: found .* bytes, expected"):
        moved(index, served.url).image("ILSVRC2012_val_00000020").read()


def test_relocate_and_check_know_urls(index: Index, served: Served, tmp_path: Path) -> None:
    shutil.copytree(index.path, tmp_path / "x.index")
    imagenet_tools.relocate(dict.fromkeys(index.roots, served.url), tmp_path / "x.index")
    there = imagenet_tools.open_index(tmp_path / "x.index")
    assert there.image("ILSVRC2012_val_00000020").read() == index.image("ILSVRC2012_val_00000020").read()
    assert imagenet_tools.check(tmp_path / "x.index").ok


def test_a_pair_in_the_environment_may_have_a_url(
    index: Index, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGENET_ROOTS", f"ILSVRC2012_img_val.tar={served.url}:ILSVRC2012_img_train.tar={tmp_path}")
    there = imagenet_tools.open_index(index.path)
    assert there.roots["ILSVRC2012_img_train.tar"] == tmp_path
    assert url_of(there.roots["ILSVRC2012_img_val.tar"]) == served.url
    assert there.image("ILSVRC2012_val_00000020").read()


@pytest.mark.parametrize("url", ["s3://bucket/a/b", "gs://bucket/", "https://host:8080/a", "az://account/container"])
def test_a_url_is_a_path_and_back(url: str) -> None:
    assert url_of(place_of(url)).rstrip("/") == url.rstrip("/")
    assert url_of(place_of(url) / "x.tar") == f"{url.rstrip('/')}/x.tar"


@pytest.mark.parametrize(
    "url", ["ftp://host/a", "https://me:secret@host/a", "https://host/a?sig=secret", "s3://", "s3://a/../b"]
)
def test_other_urls_are_refused_without_their_secrets(url: str) -> None:
    with pytest.raises(UsageError, match="expected a URL of") as raised:
        place_of(url)
    assert "secret" not in str(raised.value)


def test_tars_are_indexed_where_they_are(index: Index, sample: Path, served: Served, tmp_path: Path) -> None:
    names = ["ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"]
    imagenet_tools.build_index([sample / name for name in names], tmp_path / "here.index")
    report = imagenet_tools.build_index([f"{served.url}/{name}" for name in names], tmp_path / "there.index")
    assert tables(tmp_path / "there.index") == tables(tmp_path / "here.index")
    assert report.units["scanned"] == 15
    there = imagenet_tools.open_index(tmp_path / "there.index")
    assert there.image("ILSVRC2012_val_00000020").read() == index.image("ILSVRC2012_val_00000020").read()
    again = imagenet_tools.build_index([f"{served.url}/{name}" for name in names], tmp_path / "there.index")
    assert again.units["unchanged"] == 15


def test_the_command_line_takes_urls(served: Served, tmp_path: Path, run: Run) -> None:
    done = run("build-index", f"{served.url}/ILSVRC2012_img_val.tar", "-o", str(tmp_path / "x.index"))
    assert done.code == 0, done.err
    assert "52 images" in done.out
    assert served.url in run("info", "-i", str(tmp_path / "x.index")).out
    done = run("detect", f"{served.url}/ILSVRC2012_img_val.tar", f"{served.url}/ILSVRC2012_bbox_val_v3.tgz")
    assert done.out.count("; read by byte range") == done.out.count("; read whole, from a copy") == 1
    done = run("build-index", f"{served.url}/nothing.tar", "-o", str(tmp_path / "y.index"))
    assert "Found no file" in done.err


def test_hash_compares_all_bytes(sample: Path, served: Served, tmp_path: Path) -> None:
    name = "ILSVRC2012_img_val.tar"
    served.folder = tmp_path
    shutil.copy(sample / name, tmp_path)
    for state in ("scanned", "unchanged"):
        report = imagenet_tools.build_index(f"{served.url}/{name}", tmp_path / "x.index", by_hash=True)
        assert report.units[state] == 1
    data = bytearray((tmp_path / name).read_bytes())
    data[data.index(b"\xff\xd8") + 200] ^= 1  # a byte of an image, and neither the size nor the time
    (tmp_path / name).write_bytes(data)
    report = imagenet_tools.build_index(f"{served.url}/{name}", tmp_path / "x.index", by_hash=True)
    assert report.units["scanned"] == 1


def test_chains_of_headers_are_begun_first(served: Served, tmp_path: Path) -> None:
    names = ("ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar")
    urls = [f"{served.url}/{name}" for name in names]
    for url in urls:
        imagenet_tools.detect(url)
    served.gate.forget()
    imagenet_tools.build_index(urls, tmp_path / "x.index", workers=1)
    gets = [request.rpartition("/")[2] for request in served.gate.requests if request.startswith("GET")]
    assert max(n for n, name in enumerate(gets) if name == names[1]) < len(gets) - 130  # the class tars' images follow


BESIDE = ("ILSVRC2012_devkit_t12.tar.gz", "ILSVRC2012_bbox_train_v2.tar.gz", "LOC_val_solution.csv")


def test_boxes_and_labels_are_copied_once(sample: Path, served: Served, tmp_path: Path) -> None:
    names = ["ILSVRC2012_img_val.tar", *BESIDE]
    imagenet_tools.build_index([sample / name for name in names], tmp_path / "here.index")
    urls = [f"{served.url}/{name}" for name in names]
    imagenet_tools.build_index(urls, tmp_path / "there.index", workers=1)
    assert tables(tmp_path / "there.index") == tables(tmp_path / "here.index")
    there = imagenet_tools.open_index(tmp_path / "there.index")
    assert {url_of(root) for root in there.roots.values()} == {served.url}
    assert imagenet_tools.check(tmp_path / "there.index").ok
    n_labelled = "SELECT count(*) FROM images JOIN labels USING (image_id) WHERE label_set = 'devkit'"
    assert there.sql(n_labelled).fetchall() == [(52,)]
    served.gate.forget()
    again = imagenet_tools.build_index(urls, tmp_path / "there.index", workers=1)
    assert again.units["unchanged"] == len(names)
    assert served.gate.sent < (sample / BESIDE[0]).stat().st_size


def test_boxes_whose_reader_reads_images_too_are_copied(extracted: Extracted, served: Served, tmp_path: Path) -> None:
    served_dogs = Dogs(extracted.data)
    served.folder = served_dogs.write_tars(tmp_path / "dogs")
    imagenet_tools.build_index(served.folder / "annotation.tar", tmp_path / "here.index")
    imagenet_tools.build_index(f"{served.url}/annotation.tar", tmp_path / "there.index", workers=1)
    n_boxes = "SELECT count(*) FROM unused_boxes"  # the images are not there
    assert imagenet_tools.open_index(tmp_path / "there.index").sql(n_boxes).fetchall() == [(len(served_dogs.stems),)]
    assert tables(tmp_path / "there.index") == tables(tmp_path / "here.index")


def test_a_copy_is_as_new_as_the_file(sample: Path, served: Served, tmp_path: Path) -> None:
    served.folder = tmp_path
    shutil.copy(sample / BESIDE[2], tmp_path)
    url = f"{served.url}/{BESIDE[2]}"
    assert imagenet_tools.build_index(url, tmp_path / "x.index").rows["labels"] == 52
    lines = (tmp_path / BESIDE[2]).read_text().splitlines(keepends=True)
    (tmp_path / BESIDE[2]).write_text("".join(lines[:-1]))
    served.gate.faults.cut = 2
    assert imagenet_tools.build_index(url, tmp_path / "x.index").rows["labels"] == 51
    assert not [*(tmp_path / "cache").rglob("*.partial")]


def test_what_is_refused_is_told_with_what_to_do(sample: Path, served: Served, tmp_path: Path) -> None:
    served.folder = tmp_path
    (tmp_path / "images.tar.gz").write_bytes(gzip.compress((sample / "ILSVRC2012_img_val.tar").read_bytes()))
    (tmp_path / "x.parquet").write_bytes(b"PAR1" + bytes(100_000))
    (tmp_path / "notes.txt").write_text("nothing of ImageNet")
    with tarfile.open(tmp_path / "shard-0000.tar", "w") as shard:
        for name in ("n01440764_1.cls", "n01440764_1.jpg", "n01440764_1.json"):
            member = tarfile.TarInfo(name)
            member.size = 50_000
            shard.addfile(member, io.BytesIO(bytes(member.size)))
    found = {
        "images.tar.gz": "images in one gzip stream|a tar of images",
        "shard-0000.tar": "found a tar with n01440764_1.jpg among other files",
        "x.parquet": "found a binary file of 100,004 bytes",
        "notes.txt": "begins with b'nothing '",
    }
    for name, words in found.items():
        served.gate.forget()
        with pytest.raises(SourceError, match=rf"{name}: .*(?:{words}).*Copy it to a folder and index it there"):
            imagenet_tools.detect(f"{served.url}/{name}")
        if name in ("x.parquet", "shard-0000.tar"):
            assert served.gate.sent < 10_000  # it is not downloaded
    with pytest.raises(SourceError, match=f"Found no file {served.url}, expected one: name the archives of a folder"):
        imagenet_tools.build_index(served.url, tmp_path / "x.index")


def test_a_source_at_another_url_is_another_source(sample: Path, served: Served, tmp_path: Path) -> None:
    served.folder = tmp_path
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        shutil.copy(sample / BESIDE[2], tmp_path / folder)
    imagenet_tools.build_index(f"{served.url}/a/{BESIDE[2]}", tmp_path / "x.index")
    (tmp_path / "a").rename(tmp_path / "c")
    with pytest.raises(SourceError, match=f"relocate {BESIDE[2]}={served.url}/b"):
        imagenet_tools.build_index(f"{served.url}/b/{BESIDE[2]}", tmp_path / "x.index")
    (tmp_path / "c").rename(tmp_path / "a")
    imagenet_tools.build_index(f"{served.url}/b/{BESIDE[2]}", tmp_path / "x.index")
    assert len(imagenet_tools.open_index(tmp_path / "x.index").roots) == 2


def test_a_long_tar_is_detected_by_its_first_members(index: Index, served: Served, tmp_path: Path) -> None:
    served.folder = tmp_path
    data = index.image("ILSVRC2012_val_00000020").read()
    with tarfile.open(tmp_path / "long.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
        for n in range(1, 101):
            member = tarfile.TarInfo(f"ILSVRC2012_val_{n:08}.JPEG")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    imagenet_tools.build_index(f"{served.url}/long.tar", tmp_path / "x.index", workers=1)
    assert imagenet_tools.open_index(tmp_path / "x.index").n_images == 100
    assert (
        len(served.gate.requests) <= 64 + 2 * 100 + 12
    )  # 64 headers to detect it; a header and the facts of each image
    (tmp_path / "long.tar").write_bytes(gzip.compress((tmp_path / "long.tar").read_bytes()))
    with pytest.raises(SourceError, match=r"not compressed|must not be compressed"):
        imagenet_tools.build_index(f"{served.url}/long.tar", tmp_path / "y.index", workers=1)
