"""Packs: the images of a split in one file, each after a line that describes it. An example, made up for tests.

root/train.pack         n01440764_10026 n01440764 0 109527
                        a line of stem, wnid, class index and length in bytes; then the bytes of the image
"""

from functools import partial

from imagenet_tools.exports.writer import ReadBack, Writes
from imagenet_tools.formats._shared import contract
from imagenet_tools.images.image_rows import HEAD, PROBLEMS, ImageRows
from imagenet_tools.units import Detection, Reads, unit_file

READS = Reads(holds=("images",), problems=PROBLEMS)
WRITES = Writes(keeps=("image_id", "wnid", "split", "length"), shard_bytes=1 << 50)  # one shard for each split


def detect(path):
    """Return each pack at a path, a file or a folder, by its suffix."""
    packs = [path] if path.suffix == ".pack" else sorted(path.glob("*.pack"))
    return [Detection("example_format", pack, "ilsvrc2012", ("images",), "a pack", (pack.stem,)) for pack in packs]


units = contract.one_unit
files = unit_file


def scan(unit):
    """Yield the images of a pack, as byte ranges of it."""
    rows = ImageRows(unit)
    with unit.path.open("rb") as file:
        for stem, wnid, _, offset, length in _places(unit.path):
            more = contract.reader_at(file.fileno(), offset)
            head = more(0, min(HEAD, length))
            rows.add(stem, file=unit.file, offset=offset, length=length, head=head, more=more, wnid=wnid)
    yield from rows.batches()


def _places(pack):
    with pack.open("rb") as file:
        while line := file.readline():
            stem, wnid, index, length = line.decode().split()
            yield stem, wnid, int(index), file.tell(), int(length)
            file.seek(int(length), 1)


class PackSink(contract.FileSink):
    """Writes one pack."""

    def add(self, row, picture):
        """Append an image, and the line before it."""
        self.out.write(f"{row.stem} {row.official_wnid} {row.class_index} {picture.length}\n".encode())
        self.out.send(picture)


def open_shard(job, shard):
    """Return the sink of a split's images."""
    return PackSink(job, f"{shard.split}.pack")


hazards = contract.no_hazards
finish = contract.no_finish


def read_back(root):
    """Yield the images of an export, from its files only."""
    for pack in sorted(root.glob("*.pack")):
        for stem, _, index, offset, length in _places(pack):
            yield ReadBack(stem, pack.stem, index, None, partial(contract.read_range, pack, offset, length))
