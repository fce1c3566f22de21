"""ILSVRC2012 in a bucket of an S3 server of its own: indexed there, and a subset exported there by ranges alone."""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import obstore
import pytest
import webdataset
from obstore.store import S3Store

import imagenet_tools
from imagenet_tools.errors import ExistsError
from tests import s3

ROOT = Path(__file__).resolve().parent.parent.parent
SAMPLE = ROOT / "data" / "sample"
TARS = ("ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar")
BESIDE = ("ILSVRC2012_devkit_t12.tar.gz", "ILSVRC2012_bbox_train_v2.tar.gz", "ILSVRC2012_bbox_val_v3.tgz")
NESTED = "bboxes_annotations.tar.gz"  # as of the whole ImageNet: an archive of an archive for each class
LABELLED = "image_id IN (SELECT image_id FROM labels WHERE label_set = 'devkit' AND is_a(wnid, 'dog.n.01'))"
KEY = "the-key-of-a-test"
SECRET = "the-secret-of-a-test"
START_SECONDS = 60

EXPORT = {"to": "webdataset", "shard_size": "20KB", "workers": 1}

pytestmark = pytest.mark.proof(target="sources, index, webdataset", loader="SeaweedFS's S3")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def proxy() -> Iterator[s3.Gate]:
    """A proxy before the server, which counts requests and answers some wrongly."""
    with s3.running(lambda _: s3.Answer(503)) as gate:
        yield gate


@pytest.fixture(scope="module")
def bucket(proxy: s3.Gate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a bucket with the tars of the sample. The server says nothing to anybody, and is killed in the end."""
    folder = tmp_path_factory.mktemp("s3")
    actions = ["Read", "Write", "List", "Tagging", "Admin"]
    identity = {"name": "test", "credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": actions}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    ports = {name: free_port() for name in ("master", "volume", "filer", "s3")}
    (folder / "data").mkdir()
    command = [str(Path(sys.executable).with_name("weed")), "server", f"-dir={folder / 'data'}", "-ip=127.0.0.1"]
    command += ["-ip.bind=127.0.0.1", "-master.telemetry=false", "-master.volumeSizeLimitMB=64", "-volume.max=40"]
    command += [f"-{name}.port={port}" for name, port in ports.items()]
    command += [f"-{name}.port.grpc={free_port()}" for name in ports]
    command += ["-s3", f"-s3.config={folder / 's3.json'}"]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        try:
            environment = s3.environment(proxy, KEY, SECRET) | {"IMAGENET_CACHE": str(folder / "cache")}
            os.environ |= environment
            proxy.answer = s3.forward(f"http://127.0.0.1:{ports['s3']}")
            store = S3Store("lab")
            write_nested(folder / NESTED)
            for path in (folder / NESTED, *(SAMPLE / name for name in (*TARS, *BESIDE))):
                _put(store, f"imagenet/{path.name}", path)
            yield "s3://lab/imagenet"
            for name in environment:
                del os.environ[name]
        finally:
            server.kill()


def write_nested(path: Path) -> None:
    """Write the boxes of the sample's train images as the whole ImageNet's are archived."""
    inner: dict[str, io.BytesIO] = {}
    with tarfile.open(SAMPLE / BESIDE[1]) as boxes, tarfile.open(path, "w:gz") as outer, ExitStack() as open_tars:
        tars: dict[str, tarfile.TarFile] = {}
        for member in filter(tarfile.TarInfo.isfile, boxes):
            wnid = Path(member.name).parent.name
            if wnid not in tars:
                inner[wnid] = io.BytesIO()
                tars[wnid] = open_tars.enter_context(tarfile.open(fileobj=inner[wnid], mode="w:gz"))
            member.name = f"Annotation/{wnid}/{Path(member.name).name}"
            tars[wnid].addfile(member, boxes.extractfile(member))
        open_tars.close()
        for wnid, archive in inner.items():
            info = tarfile.TarInfo(f"{wnid}.tar.gz")
            info.size = len(archive.getvalue())
            outer.addfile(info, io.BytesIO(archive.getvalue()))


def _put(store: S3Store, key: str, path: Path) -> None:
    """Upload a file once the server takes files."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            store.put(key, path)
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            return


def test_a_subset_comes_out_of_a_bucket(bucket: str, tmp_path: Path) -> None:
    imagenet_tools.build_index([SAMPLE / name for name in TARS], tmp_path / "here.index")
    imagenet_tools.build_index([f"{bucket}/{name}" for name in TARS], tmp_path / "there.index")
    manifests = [json.loads((tmp_path / name / "manifest.json").read_text()) for name in ("here.index", "there.index")]
    assert manifests[0] == manifests[1]
    for place in ("here", "there"):
        dogs = imagenet_tools.open_index(tmp_path / f"{place}.index").select(under="dog.n.01")
        imagenet_tools.export(dogs, tmp_path / place, to="webdataset")
    shutil.rmtree(tmp_path / "here.index")
    for path in (tmp_path / "here").rglob("*.tar"):
        assert (tmp_path / "there" / path.relative_to(tmp_path / "here")).read_bytes() == path.read_bytes()


def test_labels_and_boxes_come_out_of_a_bucket(bucket: str, proxy: s3.Gate, tmp_path: Path) -> None:
    names = (*TARS, *BESIDE)
    imagenet_tools.build_index([SAMPLE / name for name in names], tmp_path / "here.index")
    here = imagenet_tools.open_index(tmp_path / "here.index")
    urls = [f"{bucket}/{name}" for name in names]
    imagenet_tools.build_index(urls, f"{bucket}/whole.index")
    there = imagenet_tools.open_index(f"{bucket}/whole.index")
    for table in ("images", "boxes", "labels", "problems", "unused_boxes"):
        rows = [index.sql(f"SELECT * FROM {table} ORDER BY ALL").fetchall() for index in (here, there)]
        assert rows[0] == rows[1]
    assert there.sql("SELECT count(*) FROM labels WHERE label_set = 'devkit'").fetchall() == [(50_000,)]
    for place, index in (("here", here), ("there", there)):
        dogs = index.select(where=LABELLED, from_="val", boxed=True)
        assert len(dogs) == 20
        imagenet_tools.export(dogs, tmp_path / place, to="coco", workers=1)
    files = [path for path in (tmp_path / "here").rglob("*") if path.is_file()]
    assert len(files) > 20
    for path in files:
        assert (tmp_path / "there" / path.relative_to(tmp_path / "here")).read_bytes() == path.read_bytes()
    proxy.forget()
    again = imagenet_tools.build_index(urls, f"{bucket}/whole.index")
    assert again.units["scanned"] == 0
    copied = sum((SAMPLE / name).stat().st_size for name in BESIDE)
    print(f"labels and boxes: {copied:,} bytes copied once; again {len(proxy.requests)} requests, {proxy.sent:,} bytes")


def test_nested_archives_of_boxes_are_read_in_a_bucket(bucket: str, tmp_path: Path) -> None:
    write_nested(tmp_path / NESTED)
    imagenet_tools.build_index([SAMPLE / TARS[0], tmp_path / NESTED], tmp_path / "here.index", dataset="ilsvrc2012")
    urls = [f"{bucket}/{name}" for name in (TARS[0], NESTED)]
    imagenet_tools.build_index(urls, tmp_path / "there.index", dataset="ilsvrc2012")
    boxes = [
        imagenet_tools.open_index(tmp_path / f"{place}.index").sql("SELECT * FROM boxes ORDER BY ALL").fetchall()
        for place in ("here", "there")
    ]
    assert boxes[0] == boxes[1]
    assert len(boxes[0]) == 76


def test_a_wrong_key_is_an_error_without_the_key(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = "import sys, imagenet_tools\nimagenet_tools.build_index(sys.argv[1], sys.argv[2])\n"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-secret")
    command = [sys.executable, "-c", script, f"{bucket}/{TARS[1]}", str(tmp_path / "x.index")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "SourceError" in done.stderr
    assert f"{bucket}/{TARS[1]} cannot be read" in done.stderr
    assert "another-secret" not in done.stderr
    assert not (tmp_path / "x.index").exists()


def test_no_key_is_in_an_index(bucket: str, tmp_path: Path) -> None:
    imagenet_tools.build_index(f"{bucket}/{TARS[1]}", tmp_path / "x.index")
    for path in (tmp_path / "x.index").rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert SECRET.encode() not in data
            assert KEY.encode() not in data


FAULTS = {
    "none": s3.Faults(),
    "refused": s3.Faults(refused=7),
    "cut": s3.Faults(cut=7),
    "delayed": s3.Faults(delay_seconds=0.02),
}


@pytest.mark.parametrize("name", FAULTS)
def test_nothing_is_lost_if_requests_fail(
    name: str, bucket: str, proxy: s3.Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGENET_CACHE", str(tmp_path / "cache"))
    imagenet_tools.build_index([SAMPLE / tar for tar in TARS], tmp_path / "here.index")
    here = imagenet_tools.open_index(tmp_path / "here.index").select(under="dog.n.01")
    imagenet_tools.export(here, tmp_path / "here", **EXPORT)
    proxy.forget()
    proxy.faults = FAULTS[name]
    try:
        imagenet_tools.build_index([f"{bucket}/{tar}" for tar in TARS], f"{bucket}/{name}.index")
        there = imagenet_tools.open_index(f"{bucket}/{name}.index")
        assert there.sql("SELECT count(*) FROM images").fetchall() == [(182,)]
        before = len(proxy.requests), proxy.sent
        imagenet_tools.export(there.select(under="dog.n.01"), f"{bucket}/{name}", **EXPORT)
        print(f"{name}: index {before}, export {len(proxy.requests) - before[0]}, {proxy.sent - before[1]}")
    finally:
        proxy.faults = s3.Faults()
    assert bool(proxy.n_faults) == (name in ("refused", "cut"))
    store = S3Store("lab")
    prefix = f"imagenet/{name}/"
    listed = {row["path"].removeprefix(prefix): row["size"] for batch in store.list(prefix) for row in batch}
    files = [path for path in (tmp_path / "here").rglob("*") if path.is_file()]
    assert listed == {path.relative_to(tmp_path / "here").as_posix(): path.stat().st_size for path in files}
    for path in files:
        assert bytes(store.get(prefix + path.relative_to(tmp_path / "here").as_posix()).bytes()) == path.read_bytes()
    shards = sorted(key for key in listed if key.endswith(".tar"))
    urls = [obstore.sign(store, "GET", prefix + key, timedelta(minutes=5)) for key in shards]
    read = [sample["jpg"] for sample in webdataset.WebDataset(urls, shardshuffle=False)]
    assert sorted(read) == sorted(image.read() for image in here)


def test_two_exports_do_not_mix(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGENET_CACHE", str(tmp_path / "cache"))
    imagenet_tools.build_index(SAMPLE / TARS[1], tmp_path / "x.index")
    index = imagenet_tools.open_index(tmp_path / "x.index")
    imagenet_tools.export_shard(index.select(under="dog.n.01"), f"{bucket}/two", "0/2", **EXPORT)
    monkeypatch.setenv("IMAGENET_CACHE", str(tmp_path / "another"))
    with pytest.raises(ExistsError, match="half of another export"):
        imagenet_tools.export(index.select(under="cat.n.01"), f"{bucket}/two", **EXPORT)


def test_no_key_is_in_the_bucket(bucket: str) -> None:
    store = S3Store("lab")
    for path in [row["path"] for batch in store.list("imagenet/") for row in batch]:
        data = bytes(store.get(path).bytes())
        assert SECRET.encode() not in data
        assert KEY.encode() not in data
