"""Packs: the images of a shard in one file, each after a line that describes it. An example, made up for tests.

root/train-00000.pack   n01440764_10026<TAB>n01440764<TAB>0<TAB>109527
                        a line of stem, wnid, class index and length in bytes; then the bytes of the image
"""

from functools import partial

from imagenet_tools.errors import FormatError
from imagenet_tools.exports.writer import ReadBack, Writes
from imagenet_tools.formats._shared import contract
from imagenet_tools.images.image_rows import HEAD, ImageRows
from imagenet_tools.images.jpeg import reader_at
from imagenet_tools.units import Detection, Reads, unit_file

READS = Reads(holds=("images",), problems={"pack_damaged": "no line of an image; those before it are kept"})
WRITES = Writes(keeps=("image_id", "wnid", "split", "length"), shard_bytes=250_000_000)


def detect(path):
    """Return the packs that are a path, or lie in it, by their suffix."""
    packs = [path] if path.suffix == ".pack" else sorted(path.glob("*.pack"))
    return [Detection("example_format", pack, "ilsvrc2012", ("images",), "a pack", (_split(pack),)) for pack in packs]


def _split(pack):
    return pack.stem.partition("-")[0]


units = contract.one_unit
files = unit_file


@contract.gathers(ImageRows)
def scan(unit, rows):
    """Add the images of a pack, as byte ranges of it."""
    with unit.path.open("rb") as file:
        for stem, wnid, _, offset, length in _places(unit.path):
            more = reader_at(file.fileno(), offset)
            head = more(0, min(HEAD, length))
            rows.add(stem, file=unit.file, offset=offset, length=length, head=head, more=more, wnid=wnid)
            yield


def _places(pack):
    size = pack.stat().st_size
    with pack.open("rb") as file:
        while line := file.readline():
            try:
                stem, wnid, index, length = line.decode().rstrip("\n").split("\t")
                place = stem, wnid, int(index), file.tell(), int(length)
            except ValueError:
                place = None
            if place is None or place[3] + place[4] > size:
                raise FormatError(f"{pack}: found {line[:60]!r}, expected an image that fits", code="pack_damaged")
            yield place
            file.seek(place[4], 1)


class PackSink(contract.FileSink):
    """Writes one pack."""

    def add(self, row, picture):
        """Append an image, and the line before it."""
        self.out.write(f"{row.stem}\t{row.official_wnid}\t{row.class_index}\t{picture.length}\n".encode())
        self.out.send(picture)


def open_shard(job, shard):
    """Return the sink of a shard's images."""
    return PackSink(job, f"{shard.split}-{shard.number:05d}.pack")


hazards = contract.no_hazards
finish = contract.no_finish


def read_back(root):
    """Yield the images of an export, from its files only."""
    for pack in sorted(root.glob("*.pack")):
        for stem, _, index, offset, length in _places(pack):
            yield ReadBack(stem, _split(pack), index, None, partial(contract.read_range, pack, offset, length))
