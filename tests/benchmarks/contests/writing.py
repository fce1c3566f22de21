"""Contests of exports: placed, in shards, and made anew."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from tests.benchmarks.contest import Aim, Contest, Run
from tests.benchmarks.contests import runs
from tests.benchmarks.data import Data

_CAT = 'find "$1" -type f -print0 | xargs -0 cat > "$2"'


def contests(data: Data, scratch: Path) -> list[Contest]:
    """Exports of class folders of images of some 55 KB."""
    made, folders, index = runs.made(scratch), data.folders, data.folders_index

    def command(*words: object) -> Run:
        return runs.peer(scratch, "writing.command", data.n_folders, *words)

    def export(index: Path, *words: object) -> Run:
        return runs.ours(scratch, "export", index, made, *words)

    def peer(name: str, group: str = "", rounds: int = 0) -> Run:
        return runs.peer(scratch, f"writing.{name}", folders, made, group=group, rounds=rounds)

    cat = {"cat into one file": command("sh", "-c", _CAT, "sh", folders, made)}
    on_disk = _on_disk(data, scratch, 1)
    copy = {"C: sendfile, a file an image": runs.limit(scratch, data.limits, "copy", folders, made)}
    tar = {"tar c": command("tar", "--create", "--file", made, folders)}

    def hard_links(n: int, index: Path, train: Path) -> Contest:
        return Contest(
            f"image_folder by hard link, {n:,} images",
            "images",
            export(index, "image_folder", "hard"),
            {"cp -al": runs.peer(scratch, "writing.command", n, "cp", "-al", train, made)},
            {"C: link, one thread": runs.limit(scratch, data.limits, "link", train, made)},
            {"cp -al": Aim(0.8)},
        )

    return [
        Contest(
            "export one image",
            "exports",
            runs.ours(scratch, "export_of_one_image", data.few_indexes[min(data.few)], made),
            cpu=0.25,
            note="a process from its start to its end, with Python, numpy, pyarrow and DuckDB",
        ),
        *(hard_links(n, data.few_indexes[n], data.few[n]) for n in sorted(data.few)),
        hard_links(data.n_many, data.many_index, data.many),
        Contest(
            "image_folder by copy",
            "images",
            export(index, "image_folder", "copy"),
            {"cp -r": command("cp", "-r", "--reflink=never", folders, made)},
            copy | cat,
            {"cp -r": Aim(1.5)},
            reads=(folders,),
        ),
        Contest(
            "webdataset shards, from files",
            "images",
            export(index, "webdataset"),
            tar
            | {
                "tarfile": peer("tarfile_shard"),
                "webdataset ShardWriter": peer("webdataset_shards", "webdataset"),
                "MDSWriter": peer("mds_shards", "streaming"),
            },
            cat | on_disk,
            {"tar c": Aim(1.0), "webdataset ShardWriter": Aim(5)},
            reads=(folders,),
        ),
        Contest(
            "webdataset shards, from the nested tar",
            "images",
            export(data.nested_index, "webdataset"),
            {"ours, from files": export(index, "webdataset")} | tar,
            cat,
            {"ours, from files": Aim(1.0), "tar c": Aim(1.0)},
            reads=(folders, data.nested),
        ),
        Contest(
            "hf_parquet shards",
            "images",
            export(index, "hf_parquet"),
            {"datasets to_parquet": peer("datasets_parquet", "datasets", rounds=2)},
            {"pyarrow, one process": peer("pyarrow_parquet", rounds=2)} | on_disk,
            {"pyarrow, one process": Aim(0.9)},
            reads=(folders,),
        ),
        *(
            Contest(
                f"{target} shards",
                "images",
                export(index, target),
                {"ours, webdataset": export(index, "webdataset")} | tar | peers,
                limits=on_disk,
                aims={"ours, webdataset": Aim(0.9)},
                reads=(folders,),
            )
            for target, peers in (
                ("tfrecord", {}),
                ("mds", {"MDSWriter": peer("mds_shards", "streaming")}),
                ("litdata", {}),
                ("array_record", {}),
            )
        ),
        *_one_pass(data, scratch),
        _resize(data, scratch),
    ]


def _on_disk(data: Data, scratch: Path, writes: Literal[1, 3]) -> dict[str, Run]:
    """Return the limit of shards: as ours, its files are on the disk at the end; those of the peers are in memory."""
    count = "one write" if writes == 1 else "three writes"
    tee = runs.limit(scratch, data.limits, "tee", data.folders, runs.made(scratch), writes)
    return {f"C: one read, {count}, fsync": tee}


def _one_pass(data: Data, scratch: Path) -> list[Contest]:
    """Three targets at once, and each alone: bytes that are copied, images that are made anew, and links."""
    made = runs.made(scratch)
    limits = _on_disk(data, scratch, 1) | _on_disk(data, scratch, 3)

    def contest(what: str, index: Path, slowest: str, others: tuple[str, str], *words: object) -> Contest:
        targets = (slowest, *others)
        return Contest(
            f"three targets in one pass, {what}: {', '.join(targets)}",
            "images",
            runs.ours(scratch, "export", index, made, ",".join(targets), *words),
            {f"ours, {target} alone": runs.ours(scratch, "export", index, made, target, *words) for target in targets},
            limits if index == data.folders_index else {},
            aims={f"ours, {slowest} alone": Aim(1 / 1.3, "1.3 times the time")},
            reads=(data.folders,) if index == data.folders_index else (),
        )

    containers = ("webdataset", "mds")
    split = "train=0.9,val=0.1"  # yolo needs both
    return [
        # C, too, takes three times the time for three copies: the disk sets the pace.
        contest("bytes copied", data.folders_index, "hf_parquet", ("tfrecord", "webdataset")),
        contest("resized to 224", data.photos_index, "litdata", containers, "auto", 224),
        contest("made anew and copied", data.photos_index, "edm", containers),
        contest("by hard link", data.voc_index, "coco", ("image_folder", "yolo"), "hard", "", split),
    ]


def _resize(data: Data, scratch: Path) -> Contest:
    made = runs.made(scratch)
    peers = {
        "Pillow, draft of twice the size": "pillow_twice",  # equal work
        "Pillow, draft": "pillow",  # less work: 37.6 dB to a full decode, where twice the size has 45.4 dB
        "OpenCV": "opencv",
        "simplejpeg + OpenCV": "simplejpeg",
        "pyvips": "pyvips",
    }
    return Contest(
        "resize to 224, short side, two processes each",
        "images",
        runs.ours(scratch, "export", data.photos_index, made, "image_folder", "auto", 224),
        {
            name: runs.peer(scratch, f"resizing.{function}", data.photos, made, group="resizing")
            for name, function in peers.items()
        },
        aims=dict.fromkeys(peers, Aim(0.9))
        | dict.fromkeys(("Pillow, draft of twice the size", "Pillow, draft"), Aim(0.95)),
        reads=(data.photos,),
    )
