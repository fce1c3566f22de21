"""The contract of a writer: what a format's module offers to be a target of an export, and what it is given.

A module or folder of imagenet_tools.formats is a target if it has `open_shard`. Its name is the name of the target, and
nothing registers it; tests/exports/test_contract.py runs over every target. `Writer`, at the end of this module, lists
what it offers; tests/formats/example/example_format.py is a complete one.

The steps of an export
    plan        hazards(plan) yields sentences for the user, or raises ExportError. Nothing is written.
    shards      The images of a split, in order, are cut into shards. For each shard, in one of several processes:
                    sink = open_shard(job, shard)
                    sink.add(row, picture)      once an image: its facts and boxes, and its bytes if asked for
                    sink.close()                returns a SinkOutput: the files it wrote, and a note for finish()
    finish      finish(job), once, when all shards are complete. It writes what describes the whole export (data.yaml,
                an index of shards) from job.rows(), which streams, and from job.notes().

Ways to write files
    one file an image       return FilePerImage(job, path_of, beside=...) of exports.job from open_shard
    shards                  out = job.create(name); out.write(data); out.send(picture), where the kernel copies the
                            bytes; name the file in SinkOutput.files
    in finish()             job.write(name, data) or job.writing(name)

Rules
    - The files of a shard depend on (job.plan, shard, rows) alone. The bytes of an export are then the same with any
      number of workers, and a shard that was interrupted is written again.
    - Boxes are fractions of the frame that the target's loader sees: see Writes.turned. Pixels come from
      annotations.bbox.to_pixels() with row.box_width and row.box_height.
    - An image that is not added could not be decoded; job.rows() leaves it out too.
    - classes.json, manifest.json, digests, locks, resuming and publishing are done by the export, not by a writer.
    - With --to a,b each image is read once, and its picture is given to the sinks of both targets.
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
    """A box of an image. The edges are fractions, 0 to 1, of the image as the target's loader sees it."""

    class_index: int
    left: float
    top: float
    right: float
    bottom: float
    pose: str | None = None  # pose, truncated and difficult as the annotation states them
    truncated: bool | None = None
    difficult: bool | None = None


class Origin(NamedTuple):
    """The place of an image's bytes in the sources, by the columns of the table images."""

    source: str
    file: str  # relative to the root of the source, with '/'
    member: str | None
    offset: int | None  # bytes; None if the image has no byte range, as in a Parquet page
    length: int  # bytes
    position: int | None
    compression: str | None

    @property
    def alone(self) -> bool:
        """Return True if the image is a file of its own, to which a path leads."""
        return self.offset == 0 and self.compression is None


class Row(NamedTuple):
    """An image as it will be in the export, after repairs and resizing."""

    number: int  # 0-based among all images of the target, in order; fit for an id
    dataset: str
    image_id: str
    photo: str
    wnid: str  # of its class in the export
    official_wnid: str  # its label in the data set; differs from wnid if classes are joined
    class_index: int
    split: str
    official_split: str | None
    stem: str  # image_id as a file name without suffix ('/' is '_'); unique in its class and split
    suffix: str  # .JPEG for images of ImageNet's archives, else that of its file or encoding
    width: int  # pixels of the raster as stored
    height: int
    mode: str
    encoding: str
    orientation: int | None  # the EXIF orientation in the exported bytes
    box_width: int  # pixels of the frame of the boxes: exchanged with box_height if the loader turns the image
    box_height: int
    boxes: tuple[Box, ...]
    first_box: int  # the 0-based number of boxes[0] among all boxes of the target
    fields: Mapping[str, object]  # the values of --field by key
    origin: Origin

    @property
    def name(self) -> str:
        """Return the file name."""
        return self.stem + self.suffix


class Shard(NamedTuple):
    """The images of one split that one process writes."""

    number: int  # 0-based among the shards of the split
    of: int  # the number of shards of the split
    split: str
    first: int  # Row.number of its first image
    first_box: int  # Row.first_box of its first image
    piece: int  # the number of its piece: see exports.pieces


class ImageFile(NamedTuple):
    """A file with one image, or a label file beside one."""

    path: str  # below the export, with '/'
    size: int  # bytes
    sha256: str = ""  # of images only with --hash


class SinkOutput(NamedTuple):
    """The files that a sink wrote."""

    files: Sequence[str] = ()  # paths of files with many images
    images: Sequence[ImageFile] = ()  # files with one image, and label files
    note: Mapping[str, object] = {}  # JSON values for finish(): see job.notes()
    parts: Sequence[str] = ()  # names of files in job.done, which finish() reads


class Sink(Protocol):
    """A receiver of the images of a shard."""

    def add(self, row: Row, picture: Picture) -> None:
        """Take an image."""

    def close(self) -> SinkOutput:
        """Complete the files; called once, after all images were added."""


# The class index of an image whose class, or class folder, is none of the export. (-1: a loader gives no class.)
NO_CLASS = -2


class ReadBack(NamedTuple):
    """An image that read_back() finds in an export."""

    stem: str  # as Row.stem; a format that cannot spell it keeps it beside the image
    split: str
    class_index: int | None  # None if the format has no class of an image
    boxes: tuple[tuple[int, float, float, float, float], ...] | None  # class and edges as in Box; None: no boxes
    read: Callable[[], bytes] | None  # returns the bytes; None if the format does not hold them


class Loaded(NamedTuple):
    """The classes, images and boxes that the framework's own loader finds in an export."""

    loader: str  # its name and version
    classes: tuple[str, ...] | None  # in the loader's order; None if it has no names
    called: str  # the key of classes.json that these names are of: folder, display or wnid
    images: Mapping[str, Mapping[int, int]]  # images by split and class index; -1 if it gives no class
    boxes: Mapping[str, int] | None = None  # boxes by split; None if it has none


KEPT = ("image_id", "wnid", "split", "length", "width", "height", "mode", "encoding", "orientation")


@dataclass(frozen=True)
class Writes:
    """The content of a target, and the expectations of its loader.

    Attributes:
        keeps: The columns of images that an index of the export has unchanged, if the format holds images.
        by_folder: The loader numbers the classes by the sorted names of their folders: --empty-classes applies.
        nested: It takes --layout: class folders may be nested.
        detection: The loader takes an image without boxes for background: --unboxed, --bad-boxes and --min-box apply.
        boxes: It holds boxes.
        turned: The loader applies the EXIF orientation, so that boxes are fractions of the turned image.
        whole_pixels: Boxes are whole pixels: what is read back may differ by one pixel.
        demands: (step of selection.steps.REASONS, SQL condition) pairs. Images that fail a condition are left out,
            because the loader cannot read them.
        files_per_image: Files of each image; 0 if shards or lists hold the images.
        shard_bytes: The default for bytes of images in a shard; None if it has no shards.
        ordered: The order of images can be seen in it: --shuffle applies.
        fields: It takes --field.
        holds_bytes: It holds the images; else it lists them, with or without their places.
        remade_bytes: Bytes of each image in it, if it always makes new images of the pixels; else 0, and it holds the
            original bytes. --resize and --repair do not apply. add() raises FormatError with the code undecodable,
            before it writes anything, for an image that it cannot decode: the image is left out.
        sides: The sides in pixels that its square images can have, as --side chooses them, the default first; () if
            --side does not apply. The remade_bytes are those of the default, and grow with the area.
        names_images: read_back() gives its images; False if it lists only classes.
    """

    keeps: tuple[str, ...] = KEPT
    by_folder: bool = False
    nested: bool = False
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
    remade_bytes: int = 0
    sides: tuple[int, ...] = ()
    names_images: bool = True


class Writer(Protocol):
    """The names that a module of imagenet_tools.formats has if it is a target.

    It may also have load(root) -> Loaded, which reads an export with the framework's own loader and raises ImportError
    if the framework is not installed.
    """

    WRITES: Writes

    def hazards(self, plan: Plan) -> Iterator[str]:
        """Yield what may go wrong with this export in the loader. ExportError: what is bound to go wrong."""

    def open_shard(self, job: Job, shard: Shard) -> Sink | None:
        """Return the sink of a shard; called in a worker process. None: finish() writes all there is."""

    def finish(self, job: Job) -> None:
        """Write the files that describe the whole export."""

    def read_back(self, root: Path) -> Iterator[ReadBack]:
        """Yield the images of an export from its files alone. FormatError: the files are not as written."""
