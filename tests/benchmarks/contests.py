"""The works that are measured: ours, the peers', and the limit of the machine, on the same data in turn."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.data import Data

OURS, PEERS = "tests.benchmarks.ours", "tests.benchmarks.peers"


@dataclass(frozen=True)
class Run:
    """A work in a process: the module and the function, its arguments, and where its libraries are."""

    module: str
    name: str
    arguments: tuple[str, ...] = ()
    group: str = ""  # of requirements-GROUP.txt; "" for the project's own environment
    made: tuple[Path, ...] = ()  # what a run leaves, removed before the next
    cold: tuple[Path, ...] = ()  # what is put out of the page cache before it


@dataclass(frozen=True)
class Contest:
    """A row of the table: our work, the peers' and the limit, and what was aimed at."""

    work: str
    unit: str
    ours: Run
    peers: dict[str, Run] = field(default_factory=dict)
    limit: tuple[str, Run] | None = None
    aim: str = ""  # in words, as performance aims are written: a ratio to a peer, or to the limit

    def runs(self) -> Iterator[tuple[str, Run]]:
        """Every run, ours first, by the name that the table gives it."""
        yield "ours", self.ours
        yield from self.peers.items()
        if self.limit:
            yield self.limit


def contests(data: Data, scratch: Path) -> list[Contest]:
    """The contests on a set of data; what they write goes below `scratch`."""
    made, index = scratch / "made", scratch / "built.index"
    folders, whole, boxes = str(data.folders), str(data.whole), str(data.boxes)
    limits = str(data.limits)
    n_folders = str(data.n_folders)

    def ours(name: str, *arguments: object, cold: tuple[Path, ...] = ()) -> Run:
        return Run(OURS, name, tuple(map(str, arguments)), made=(made, index), cold=cold)

    def peer(name: str, *arguments: object, group: str = "", cold: tuple[Path, ...] = ()) -> Run:
        return Run(PEERS, name, tuple(map(str, arguments)), group, made=(made,), cold=cold)

    def limit(name: str, *arguments: object, cold: tuple[Path, ...] = ()) -> Run:
        return Run(limits, name, tuple(map(str, arguments)), made=(made,), cold=cold)

    found = [
        Contest(
            "index class folders, facts of every image",
            "images",
            ours("build_index", index, data.folders.parent),
            {
                "Pillow, 2 processes": peer("pillow_two_processes", folders),
                "datumaro": peer("datumaro_folders", folders, group="datumaro"),
                "HF imagefolder": peer("datasets_imagefolder", folders, made, group="datasets"),
                "torchvision, opens no file": peer("torchvision_folders", folders, group="torchvision"),
            },
            ("C: open, fstat, pread, close", limit("stat", folders)),
            "4x Pillow in 2 processes, 10x datumaro, 100x HF imagefolder",
        ),
        Contest(
            "index a tar of class tars, facts of every image",
            "images",
            ours("build_index", index, whole),
            {"tarfile, nested, no facts": peer("tarfile_nested", whole)},
            ("C: pread of 512 + 4096 a member", limit("walk", whole)),
            "200,000 images/s, 8x tarfile",
        ),
        Contest(
            "the same, --no-probe",
            "images",
            ours("build_index_unprobed", index, whole),
            {"tarfile, nested, no facts": peer("tarfile_nested", whole)},
        ),
        Contest(
            "the same from a cold cache",
            "images",
            ours("build_index", index, whole, cold=(data.whole,)),
            {},
            ("C: pread of 512 + 4096 a member", limit("walk", whole, cold=(data.whole,))),
            "within 10 % of what the disk gives",
        ),
        Contest(
            "box XML out of the nested .tar.gz",
            "boxes",
            ours("build_index", index, boxes),
            {
                "tarfile + ElementTree": peer("etree_boxes", boxes),
                "tarfile + lxml": peer("lxml_boxes", boxes, group="lxml"),
            },
            aim="60,000 XML/s, quirks handled",
        ),
        Contest(
            "count the images under dog.n.01",
            "queries",
            ours("query", data.index),
            {
                "polars, same Parquet": peer("polars_query", data.index, group="polars"),
                "pandas, loaded before": peer("pandas_query", data.index),
            },
            ("DuckDB, own tables", peer("duckdb_native", data.index)),
            "under 20 ms on 14.2 million images",
        ),
        Contest("inclusive counts of all synsets", "synsets", ours("inclusive_counts", data.index), aim="under 200 ms"),
        Contest("draw every image into a split", "images", ours("split", data.index), aim="under 1 s for 14.2 million"),
        Contest(
            "image_folder by hard link",
            "images",
            ours("export", data.folders_index, made, "image_folder", "hard"),
            {"cp -al": peer("command", n_folders, "cp", "-al", folders, made)},
            ("C: link", limit("link", folders, made)),
            "1.5x cp -al",
        ),
        Contest(
            "image_folder by copy",
            "images",
            ours("export", data.folders_index, made, "image_folder", "copy"),
            {"cp -r": peer("command", n_folders, "cp", "-r", "--reflink=never", folders, made)},
            ("C: sendfile", limit("copy", folders, made)),
            "1.5x cp -r",
        ),
        Contest(
            "webdataset shards",
            "images",
            ours("export", data.folders_index, made, "webdataset"),
            {
                "tar c": peer("command", n_folders, "tar", "--create", "--file", made, folders),
                "webdataset ShardWriter": peer("webdataset_shards", folders, made, group="webdataset"),
                "MDSWriter": peer("mds_shards", folders, made, group="streaming"),
            },
            ("C: sendfile, a file an image", limit("copy", folders, made)),
            "1.5x tar c, 5x ShardWriter",
        ),
        Contest(
            "hf_parquet shards",
            "images",
            ours("export", data.folders_index, made, "hf_parquet"),
            {"datasets to_parquet": peer("datasets_parquet", folders, made, group="datasets")},
            ("pyarrow, one process", peer("pyarrow_parquet", folders, made)),
            "90 % of pyarrow",
        ),
    ]
    if os.environ.get("WORDNET_DICT"):
        found.append(
            Contest(
                "WordNet, everything under entity.n.01",
                "synsets",
                ours("wordnet"),
                {"NLTK": peer("nltk_wordnet")},
                aim="under 100 ms",
            )
        )
    return found


def clean(run: Run) -> None:
    """Remove what a run would find in its way, and put what it should find cold out of the page cache."""
    for path in run.made:
        shutil.rmtree(path, ignore_errors=True)
        path.unlink(missing_ok=True)
    for path in run.cold:
        fd = os.open(path, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)
