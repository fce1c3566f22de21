"""Indexes and exports in a bucket of a small S3 server: whole or not there, also if requests fail or a command ends."""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import imagenet_tools
from imagenet_tools.cli import PROBLEMS, USAGE
from imagenet_tools.errors import ExistsError, ExportError, ImagenetToolsError, NoIndexError, UsageError
from imagenet_tools.exports import in_bucket, pieces
from imagenet_tools.index import Index
from imagenet_tools.storage import buckets
from tests import s3
from tests.cli.conftest import Run
from tests.index.test_machines import bytes_of
from tests.parameters import short_list

pytest.importorskip("obstore")

TRAIN = "ILSVRC2012_img_train.tar"
VAL = "ILSVRC2012_img_val.tar"
EXPORT: dict[str, Any] = {"to": "webdataset", "shard_size": "20KB", "workers": 1}


@pytest.fixture
def memory() -> s3.Memory:
    return s3.Memory()


@pytest.fixture
def gate(memory: s3.Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[s3.Gate]:
    with s3.running(memory) as gate:
        for name, value in s3.environment(gate).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("IMAGENET_CACHE", str(tmp_path / "cache"))
        buckets._store.cache_clear()
        yield gate
        buckets._store.cache_clear()


def below(memory: s3.Memory, prefix: str) -> dict[str, bytes]:
    return {
        path.removeprefix(f"{prefix}/"): data for path, data in memory.objects.items() if path.startswith(f"{prefix}/")
    }


# ---- exports


def test_an_export_has_the_bytes_of_one_in_a_folder(
    index: Index, memory: s3.Memory, gate: s3.Gate, tmp_path: Path
) -> None:
    dogs = index.select(under="dog.n.01")
    imagenet_tools.export(dogs, tmp_path / "here", **EXPORT)
    result = imagenet_tools.export(dogs, "s3://lab/dogs", **EXPORT)
    assert result.images() == len(dogs)
    assert repr(result).endswith("; s3://lab/dogs")
    with pytest.raises(UsageError, match="is read from a disk"):
        result.check()
    assert below(memory, "/lab/dogs") == bytes_of(tmp_path / "here")
    writes = [
        request.partition("?")[0] for request in gate.requests if request.startswith("PUT") and ".work" not in request
    ]
    assert writes[-1] == "PUT /lab/dogs/manifest.json"
    assert len(writes) == len(memory.objects)  # each file once
    assert not any(path.is_file() for path in (tmp_path / "cache").rglob("*"))
    with pytest.raises(ExistsError, match="s3://lab/dogs exists: found a complete export"):
        imagenet_tools.export(dogs, "s3://lab/dogs", **EXPORT)


@pytest.mark.parametrize("to", ["hf_parquet", "tfrecord", "csv,mds"])
@pytest.mark.long
def test_other_shards_go_to_a_bucket_too(
    to: str, index: Index, memory: s3.Memory, gate: s3.Gate, tmp_path: Path
) -> None:
    options = EXPORT | {"to": to, "workers": 2}
    imagenet_tools.export(index.select(under="dog.n.01"), tmp_path / "here", **options)
    imagenet_tools.export(index.select(under="dog.n.01"), "s3://lab/dogs", **options)
    assert below(memory, "/lab/dogs") == bytes_of(tmp_path / "here")


def test_an_export_that_was_interrupted_goes_on_from_another_machine(
    index: Index, memory: s3.Memory, gate: s3.Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dogs = index.select(under="dog.n.01")
    upload, left = in_bucket.upload, [3]

    def killed(*arguments: Any) -> None:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        upload(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(in_bucket, "upload", killed)
        with pytest.raises(KeyboardInterrupt):
            imagenet_tools.export(dogs, "s3://lab/dogs", **EXPORT)
    assert "/lab/dogs/manifest.json" not in memory.objects
    done = [path for path in memory.objects if path.endswith(".tar")]
    assert len(done) == 2
    with pytest.raises(ExistsError, match="s3://lab/dogs is half of another export"):
        monkeypatch.setenv("IMAGENET_CACHE", str(tmp_path / "another"))
        imagenet_tools.export(index.select(under="cat.n.01"), "s3://lab/dogs", **EXPORT)
    monkeypatch.setenv("IMAGENET_CACHE", str(tmp_path / "third"))
    gate.forget()
    imagenet_tools.export(dogs, "s3://lab/dogs", **EXPORT)
    assert not any(request == f"PUT {path}" for request in gate.requests for path in done)
    imagenet_tools.export(dogs, tmp_path / "here", **EXPORT)
    assert below(memory, "/lab/dogs") == bytes_of(tmp_path / "here")


def test_the_parts_of_new_images_are_made_again_on_another_machine(
    index: Index, memory: s3.Memory, gate: s3.Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "_PIECE", 2 << 20)
    options: dict[str, Any] = {"to": "cifar", "workers": 1}
    dogs = index.select(under="dog.n.01")

    def stop(stage: str, done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        imagenet_tools.export(dogs, "s3://lab/dogs", progress=stop, **options)
    monkeypatch.setenv("IMAGENET_CACHE", str(tmp_path / "another"))
    imagenet_tools.export(dogs, "s3://lab/dogs", **options)
    imagenet_tools.export(dogs, tmp_path / "here", **options)
    assert below(memory, "/lab/dogs") == bytes_of(tmp_path / "here")


def test_an_export_that_was_not_tidied_up_is_taken_up_again(
    index: Index, memory: s3.Memory, gate: s3.Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(buckets.Remote, "remove", interrupt)
        with pytest.raises(KeyboardInterrupt):
            imagenet_tools.export(index.select(under="dog.n.01"), "s3://lab/dogs", **EXPORT)
    assert "/lab/dogs/manifest.json" in memory.objects
    imagenet_tools.export(index.select(under="dog.n.01"), "s3://lab/dogs", **EXPORT)
    assert not any("/.work/" in path for path in memory.objects)


def test_places_and_targets_that_are_refused(index: Index, memory: s3.Memory, gate: s3.Gate) -> None:
    memory.objects["/lab/mine/notes.txt"] = b"mine"
    export = partial(imagenet_tools.export, index.select(under="dog.n.01"))
    with pytest.raises(ExistsError, match="s3://lab/mine exists: found 1 file, expected nothing there"):
        export("s3://lab/mine", **EXPORT)
    with pytest.raises(ExportError, match="yolo has a file for each image"):
        export("s3://lab/dogs", to="webdataset,yolo")
    with pytest.raises(UsageError, match="web servers take no files"):
        export(f"{gate.endpoint}/dogs", **EXPORT)
    assert memory.objects == {"/lab/mine/notes.txt": b"mine"}


def test_shares_of_an_export_are_merged(index: Index, memory: s3.Memory, gate: s3.Gate, tmp_path: Path) -> None:
    dogs = index.select(under="dog.n.01")
    for shard in ("1/2", "0/2"):
        imagenet_tools.export_shard(dogs, "s3://lab/dogs", shard, **EXPORT)
    imagenet_tools.merge("s3://lab/dogs")
    imagenet_tools.export(dogs, tmp_path / "here", **EXPORT)
    assert below(memory, "/lab/dogs") == bytes_of(tmp_path / "here")


# ---- indexes


def test_an_index_is_built_asked_and_added_to(
    sample: Path, memory: s3.Memory, gate: s3.Gate, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = imagenet_tools.build_index(sample / VAL, "s3://lab/x.index", workers=1)
    assert repr(report).startswith("Report: s3://lab/x.index; 52 images")
    files = len(memory.objects)
    assert gate.requests[-1] == "PUT /lab/x.index/manifest.json"
    monkeypatch.setenv("IMAGENET_CACHE", str(tmp_path / "another"))
    gate.forget()
    assert Index.open("s3://lab/x.index").sql("SELECT count(*) FROM images").fetchall() == [(52,)]
    assert len(gate.requests) == files
    gate.forget()
    done = run("query", "-i", "s3://lab/x.index", "SELECT count(*) AS n FROM images", "--format", "csv")
    assert (done.code, done.out) == (0, "n\n52\n")
    assert len(gate.requests) == 2  # the manifest and the table sources, by their ETags
    assert gate.sent == 0
    done = run("info", "-i", "s3://lab/x.index")
    assert done.out.startswith("s3://lab/x.index\n")

    old = set(memory.objects)
    imagenet_tools.build_index(sample / TRAIN, "s3://lab/x.index", workers=1)
    assert old < set(memory.objects)  # the generation before stays, for those who read it
    index = Index.open("s3://lab/x.index")
    imagenet_tools.export(index.select(under="dog.n.01"), tmp_path / "there", **EXPORT)
    imagenet_tools.build_index([sample / VAL, sample / TRAIN], tmp_path / "x.index", workers=1)
    imagenet_tools.export(Index.open(tmp_path / "x.index").select(under="dog.n.01"), tmp_path / "here", **EXPORT)
    assert bytes_of(tmp_path / "there") == bytes_of(tmp_path / "here")


def test_a_copy_that_another_version_made_is_no_hindrance(
    sample: Path, memory: s3.Memory, gate: s3.Gate, tmp_path: Path
) -> None:
    imagenet_tools.build_index(sample / VAL, "s3://lab/x.index", workers=1)
    Index.open("s3://lab/x.index")
    copy = tmp_path / "cache" / "read" / "s3" / "lab" / "x.index" / "manifest.json"
    copy.write_text(re.sub(r'"schema": \d+', '"schema": 1', copy.read_text()))
    assert Index.open("s3://lab/x.index").n_images == 52


def test_of_two_builds_at_once_one_is_told(
    sample: Path, memory: s3.Memory, gate: s3.Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = "/lab/x.index/manifest.json"

    def build(name: str) -> None:
        imagenet_tools.build_index(sample / name, "s3://lab/x.index", workers=1)

    build(VAL)
    write, other = buckets.Remote.write, memory.objects[manifest] + b"\n"

    def meanwhile(self: buckets.Remote, content: Path | bytes) -> None:
        memory.objects[manifest] = other
        write(self, content)

    with monkeypatch.context() as patch:
        patch.setattr(buckets.Remote, "write", meanwhile)
        with pytest.raises(ExistsError, match="found another version, expected the one that was read"):
            build(TRAIN)
    assert memory.objects[manifest] == other
    gate.forget()
    build(TRAIN)
    assert Index.open("s3://lab/x.index").n_images == 182


def test_an_upload_that_was_interrupted_is_not_scanned_again(
    sample: Path, memory: s3.Memory, gate: s3.Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(buckets.Remote, "create", interrupt)
        with pytest.raises(KeyboardInterrupt):
            imagenet_tools.build_index(sample / VAL, "s3://lab/x.index", workers=1)
    with pytest.raises(NoIndexError, match=r"No index at s3://lab/x\.index"):
        Index.open("s3://lab/x.index")
    report = imagenet_tools.build_index(sample / VAL, "s3://lab/x.index", workers=1)
    assert report.units["unchanged"] == 1
    assert Index.open("s3://lab/x.index").n_images == 52


def test_shares_of_a_build_are_merged(sample: Path, memory: s3.Memory, gate: s3.Gate) -> None:
    for shard in ("0/2", "1/2"):
        imagenet_tools.build_index(sample / TRAIN, "s3://lab/x.index", shard=shard, workers=1)
    assert not memory.objects
    imagenet_tools.merge("s3://lab/x.index")
    assert Index.open("s3://lab/x.index").n_images == 130


COMMANDS = ("info", "show", "explore", "query", "report", "diff", "relocate", "check", "detect")


@pytest.mark.parametrize("command", short_list(COMMANDS, "info", "diff", "check", "detect"))
def test_each_command_takes_a_url_or_says_that_it_does_not(
    command: str, index: Index, sample: Path, memory: s3.Memory, gate: s3.Gate, tmp_path: Path, run: Run
) -> None:
    for path in (path for path in index.path.rglob("*") if path.is_file()):
        memory.objects[f"/lab/x.index/{path.relative_to(index.path).as_posix()}"] = path.read_bytes()
    put_sources(memory, sample)
    url, out = "s3://lab/x.index", str(tmp_path / "out.html")
    done = run(
        command,
        *{
            "info": ("-i", url),
            "show": ("-i", url, "--under", "beagle", "-o", out),
            "explore": (url, "--export", str(tmp_path / "site"), "--under", "beagle"),
            "query": ("-i", url, "SELECT 1"),
            "report": (url, "-o", out),
            "diff": (url, str(index.path)),
            "relocate": ("-i", url, f"{VAL}={sample}"),
            "check": (f"s3://lab/{VAL}",),
            "detect": (f"s3://lab/{VAL}",),
        }[command],
    )
    if command in ("diff", "relocate", "check"):
        assert done.code == USAGE
        assert re.search(r"s3://lab/.*: .* is read from a disk, and found a URL", done.err)
    else:
        assert done.code in (0, PROBLEMS), done.err  # some images of the sample cannot be shown


# ---- requests that fail


def put_sources(memory: s3.Memory, sample: Path) -> None:
    for name in (VAL,):
        memory.objects[f"/lab/{name}"] = (sample / name).read_bytes()


def all_of_it(index_url: str, export_url: str) -> None:
    """Build an index of tars in a bucket, in the bucket, and export a subset of it there."""
    imagenet_tools.build_index(f"s3://lab/{VAL}", index_url, workers=1)
    imagenet_tools.export(Index.open(index_url).select(under="dog.n.01"), export_url, **EXPORT)


@pytest.mark.parametrize(
    "faults",
    [
        s3.Faults(refused=19, cut=23),
        pytest.param(s3.Faults(refused=3), marks=pytest.mark.long),
        pytest.param(s3.Faults(cut=3), marks=pytest.mark.long),
        pytest.param(s3.Faults(delay_seconds=0.05), marks=pytest.mark.long),
    ],
    ids=["refused and cut", "refused", "cut", "delayed"],
)
def test_nothing_is_lost_if_requests_fail(
    faults: s3.Faults, sample: Path, memory: s3.Memory, gate: s3.Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_sources(memory, sample)
    all_of_it("s3://lab/right.index", "s3://lab/right")
    monkeypatch.setenv("IMAGENET_CACHE", str(tmp_path / "another"))
    gate.faults = faults
    gate.forget()
    seen: list[set[str]] = []
    answer = gate.answer

    def watch(request: s3.Request) -> s3.Answer:
        answered = answer(request)
        seen.append({path for path in memory.objects if path.startswith("/lab/x")})
        return answered

    gate.answer = watch
    all_of_it("s3://lab/x.index", "s3://lab/x")
    assert gate.n_faults >= bool(faults.refused or faults.cut)
    assert below(memory, "/lab/x") == below(memory, "/lab/right")
    tables = [{n: d for n, d in below(memory, f"/lab/{i}.index").items() if "sources" not in n} for i in ("x", "right")]
    assert tables[0] == tables[1]
    for there in seen:  # a manifest is never there before its files
        for name in ("x", "x.index"):
            if f"/lab/{name}/manifest.json" in there:
                assert {path for path in memory.objects if path.startswith(f"/lab/{name}/")} <= there


def test_a_bucket_that_answers_no_more_is_an_error_and_the_next_run_goes_on(
    index: Index, memory: s3.Memory, gate: s3.Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, left = gate.answer, [12]

    def forbidden(request: s3.Request) -> s3.Answer:
        left[0] -= 1
        return s3.Answer(403, b"<Error><Code>AccessDenied</Code></Error>") if left[0] < 0 else answer(request)

    gate.answer = forbidden
    with pytest.raises(
        ImagenetToolsError, match=r"s3://lab/dogs.* cannot be written: .* AWS_ACCESS_KEY_ID and"
    ) as caught:
        imagenet_tools.export(index.select(under="dog.n.01"), "s3://lab/dogs", **EXPORT)
    assert "a-secret" not in str(caught.value)
    gate.answer = answer
    imagenet_tools.export(index.select(under="dog.n.01"), "s3://lab/dogs", **EXPORT)
    assert "/lab/dogs/manifest.json" in memory.objects


def test_bytes_and_requests_of_an_image(sample: Path, memory: s3.Memory, gate: s3.Gate, index: Index) -> None:
    put_sources(memory, sample)
    imagenet_tools.build_index(f"s3://lab/{VAL}", "s3://lab/x.index", workers=1)
    reads = [request for request in gate.requests if VAL in request]
    assert len(reads) <= 2.3 * 52 + 8  # a header to detect the tar, then a header and the image's first bytes
    dogs = Index.open("s3://lab/x.index").select(under="dog.n.01")
    gate.forget()
    imagenet_tools.export(dogs, "s3://lab/dogs", **EXPORT)
    reads = [request for request in gate.requests if VAL in request]
    pieces = sum(path.endswith(".tar") for path in memory.objects if "/lab/dogs/" in path)
    assert len(reads) == len(dogs) + pieces  # one an image, and the size of the archive for each shard
    assert gate.sent < sum(len(image.read()) for image in dogs) + 2_000  # and listings
    writes = [request for request in gate.requests if request.startswith(("PUT", "POST"))]
    assert (
        len(writes) == 2 * pieces + 9
    )  # shards and their records; the claim, six files about the export, two removals
