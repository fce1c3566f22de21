"""Tars in a bucket of an S3 server of its own: indexed there, and a subset of them exported there, by ranges alone."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
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
            for name in TARS:
                _put(store, f"imagenet/{name}", SAMPLE / name)
            yield "s3://lab/imagenet"
            for name in environment:
                del os.environ[name]
        finally:
            server.kill()


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
