"""What a format's module offers to be exported to, and what it is given: the whole contract of a writer.

A module of imagenet_tools.formats is a target when it has `open_shard`. It is found by its file's name; nothing
registers it, and tests/exports/test_contract.py runs over it by itself. It offers, as module-level names, what Writer
lists below. The work is done like this:

    plan        hazards(plan) may refuse (ExportError), or yield notes; nothing is written
    shards      the chosen images, in order, are cut into shards by split and size. In one worker process a shard:
                    sink = open_shard(job, shard)
                    sink.add(row, picture)      for each image: its facts and boxes, and its bytes when asked for
                    sink.close()                gives Written: the files that it made, and a note for finish()
    finish      finish(job), once, when every shard is there: what is about all of them (data.yaml, an index of shards)
                from job.rows(), streamed, and job.notes()

A file an image: `return FilePerImage(job, path_of)` of exports.sinks, with `beside` for label files. Shards: write with
`job.create(name)`, an OutFile, whose `send(picture)` has the kernel move the bytes; one file for all is put together in
finish() from pieces that shards made in `job.scratch`, a folder that is gone in the end. What a shard writes must
depend on (job.plan, shard, rows) alone: then bytes are the same with any number of workers, and a shard that was
interrupted is written again. classes.json, manifest.json, the digests, locks, resuming and publishing are none of a
writer's business.

Boxes are fractions of the frame that the target's loader sees, `turned` or not; pixels are bbox.to_pixels() with
`row.box_width` and `row.box_height`. With `--to a,b` a shard's images are read once and handed to the sink of each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from imagenet_tools.exports.job import Job
    from imagenet_tools.exports.pictures import Picture
    from imagenet_tools.exports.plan import Plan


class Box(NamedTuple):
    """A box of an image: its class, its edges as fractions of the image in the loader's frame, and its remarks."""

    class_index: int
    left: float
    top: float
    right: float
    bottom: float
    pose: str | None = None
    truncated: bool | None = None
    difficult: bool | None = None


class Origin(NamedTuple):
    """Where the bytes of an image lie in the sources, in the words of the table images."""

    source: str
    file: str  # relative to the root of the source, '/' between
    member: str | None
    offset: int | None  # bytes
    length: int  # bytes
    position: int | None
    compression: str | None

    @property
    def alone(self) -> bool:
        """Whether it is a file of its own, which a path names."""
        return self.offset == 0 and self.compression is None


class Row(NamedTuple):
    """An image of an export as it will be there, repairs and resizing done."""

    number: int  # 0-based among all images of this target, in their order; a number that an id can be made of
    dataset: str
    image_id: str
    photo: str
    wnid: str  # of its class in the export
    official_wnid: str  # its own, where classes are joined; else the same
    class_index: int
    split: str
    official_split: str | None
    stem: str  # image_id, fit to be a file's name: unique in its class and split, '/' replaced
    suffix: str  # .JPEG for what ImageNet calls so, else what its own file or its encoding says
    width: int  # pixels of the raster as stored
    height: int
    mode: str
    encoding: str
    orientation: int | None  # the EXIF tag that the bytes carry
    box_width: int  # pixels of the frame that the boxes are fractions of: turned where the target's loader turns
    box_height: int
    boxes: tuple[Box, ...]
    first_box: int  # the number of boxes[0] among all boxes of this target, 0-based
    fields: Mapping[str, object]  # --field, by key
    origin: Origin

    @property
    def name(self) -> str:
        """Its file name."""
        return self.stem + self.suffix


class Shard(NamedTuple):
    """A piece of an export: images of one split that one worker writes."""

    number: int  # 0-based among the shards of its split
    of: int  # how many shards the split has
    split: str
    images: int
    boxes: int
    first: int  # the number of its first image among all images of this target
    first_box: int
    piece: int  # which piece of the whole work it is


class ImageFile(NamedTuple):
    """A file that holds one image, or stands beside one: its path below the export, its bytes, their SHA-256."""

    path: str
    size: int
    sha256: str = ""  # of an image only where --hash asks for it


class SinkOutput(NamedTuple):
    """What a sink made: files that hold many images, by name; files of one image each; a note for finish()."""

    files: Sequence[str] = ()
    images: Sequence[ImageFile] = ()
    note: Mapping[str, object] = {}  # plain values, as JSON has them


class Sink(Protocol):
    """What takes the images of one shard."""

    def add(self, row: Row, picture: Picture) -> None:
        """Take an image."""

    def close(self) -> SinkOutput:
        """Make what was taken complete; called once, when every image of the shard was added."""


class ReadBack(NamedTuple):
    """An image of an export as it is read again from there, by read_back()."""

    stem: str  # as Row.stem: a format that has to spell it otherwise keeps the stem besides
    split: str
    class_index: int | None  # None where the format has no class of an image
    boxes: tuple[tuple[int, float, float, float, float], ...] | None  # class and edges, as Box; None: it has none
    read: Callable[[], bytes] | None  # its bytes; None where the format holds none


class Loaded(NamedTuple):
    """What a framework's own loader makes of an export."""

    loader: str  # its name and version
    classes: tuple[str, ...] | None  # in its order, as `called` says; None where it has none
    called: str  # what its classes are called by: folder, display or wnid
    images: Mapping[str, Mapping[int, int]]  # images by split and class index; -1 where it gives no class
    boxes: Mapping[str, int] | None = None  # boxes by split; None where it has none


@dataclass(frozen=True)
class Writes:
    """What a target holds, and what its loader expects.

    Attributes:
        keeps: The columns of images (and "boxes") that read_back() gives again.
        by_folder: Its loader numbers the classes by the sorted names of their folders.
        detection: Its loader takes an image without boxes for background: --unboxed, --bad-boxes and --min-box apply.
        boxes: It holds boxes.
        turned: Its loader applies the EXIF orientation, so its boxes are fractions of the turned image.
        whole_pixels: Its boxes are whole pixels, so what is read back can be one pixel off.
        demands: (reason of selection.REASONS, SQL condition) pairs: images that its loader cannot read are left out.
        files_per_image: Files for each image; 0 where shards or lists hold the images.
        shard_bytes: Bytes of images in a shard, if the user does not say; None where it has no shards.
        ordered: The order of images can be seen in it, so --shuffle applies.
        fields: It takes --field.
        holds_bytes: It holds the images; else it says where they are.
        names_images: read_back() gives its images; False where it lists classes alone.
    """

    keeps: tuple[str, ...]
    by_folder: bool = False
    detection: bool = False
    boxes: bool = False
    turned: bool = False
    whole_pixels: bool = False
    demands: tuple[tuple[str, str], ...] = ()
    files_per_image: int = 0
    shard_bytes: int | None = None
    ordered: bool = False
    fields: bool = False
    holds_bytes: bool = True
    names_images: bool = True


class Writer(Protocol):
    """What a module of imagenet_tools.formats offers if it writes."""

    WRITES: Writes

    def hazards(self, plan: Plan) -> Iterator[str]:
        """What may go wrong with this export in its loader. ExportError: what must."""

    def open_shard(self, job: Job, shard: Shard) -> Sink:
        """The sink for a shard's images; called in a worker process."""

    def finish(self, job: Job) -> None:
        """Write, with job.write(), what is about the whole export."""

    def read_back(self, root: Path) -> Iterator[ReadBack]:
        """The images of an export, read again from its files alone; FormatError where they are not as written."""

    # May be there too: load(root) -> Loaded, by the framework's own loader; ImportError where it is not installed.
