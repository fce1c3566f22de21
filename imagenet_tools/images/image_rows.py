"""The rows of the table images as a reader gathers them, and the data set that names and classes speak for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from imagenet_tools.catalogue import labels
from imagenet_tools.catalogue.releases import RELEASES, release_of, title
from imagenet_tools.containers.payload import GZIP_MAGIC, gunzip
from imagenet_tools.errors import FormatError
from imagenet_tools.images import probe as probing
from imagenet_tools.images.jpeg import ImageFacts
from imagenet_tools.images.probe import probe
from imagenet_tools.schema import arrow_schema
from imagenet_tools.wordnet.wnid import hashes32, photo_of, shares_names, spelled_by

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import pyarrow as pa

    from imagenet_tools.images.jpeg import More
    from imagenet_tools.units import Unit


# What is reported of images wherever they lie, for the table problems.
PROBLEMS = probing.PROBLEMS | {
    "class_differs": "the name says another class than the folder; the folder's is kept",
    "split_differs": "the name says another split than the place; the name's is kept",
    "other_name": "a name that the release never gives; the image shares no photo with it",
    "label_contradiction": "the folder of a validation image is another class than the official ground truth's",
}

# The suffixes that the releases use, in lower case; what else lies beside images is counted as a stray file.
IMAGE_SUFFIXES = frozenset({".jpeg", ".jpg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm"})

# Data sets whose publishers drew train and val anew from all of ILSVRC2012's images.
_DRAWN_ANEW = ("imagenette", "imagewoof", "imagewang")

# Rows gathered before they are handed on: a class of ImageNet fits (at most 3,047), memory stays small.
_BATCH = 16_384

_UNUSABLE = "the image's bytes cannot be used as they are"
_UNPROBED = ImageFacts(None, None, None, None, None, None)

# The columns of a row as it is gathered; its facts are gathered beside it.
_COLUMNS = (
    "image_id",
    "photo",
    "wnid",
    "split",
    "file",
    "member",
    "offset",
    "length",
    "position",
    "compression",
)


class ImageRows:
    """Gathers the images and the problems of one unit, and hands them on as record batches.

    `bundled` is whether the official labels of ILSVRC2012's validation images are those of this release too;
    `split_of` gives the split of a stem where a list of the release says it.
    """

    def __init__(self, unit: Unit, *, bundled: bool = True, split_of: Callable[[str], str | None] | None = None):
        self._unit = unit
        self._bundled = bundled
        self._split_of = split_of
        self._of_ilsvrc = unit.dataset.startswith("ilsvrc")
        self._of_release = unit.dataset in RELEASES
        self._drawn_anew = unit.dataset.startswith(_DRAWN_ANEW)
        self._rows: list[tuple[object, ...]] = []
        self._facts: list[ImageFacts] = []
        self._made: list[pa.RecordBatch] = []
        self._problems: list[dict[str, object]] = []

    @property
    def unit(self) -> Unit:
        """The unit that the rows are of."""
        return self._unit

    @property
    def takes_plain(self) -> bool:
        """Whether a name such as n01440764_10026 says the photo, and no list says its split."""
        return self._split_of is None and shares_names(self._unit.dataset)

    def add(
        self,
        stem: str,
        *,
        file: str,
        head: bytes,
        length: int,
        more: Callable[[int, int], bytes],
        offset: int | None = 0,
        member: str | None = None,
        position: int | None = None,
        compression: str | None = None,
        size: int | None = None,
        wnid: str | None = None,
        split: str | None = None,
        photo: str | None = None,
        found: ImageFacts | None = None,
    ) -> ImageFacts:
        """Add an image, and give what its header says.

        `head` is its first bytes, `more(offset, n)` gives others, offsets counted from the image's own beginning.
        `member` is its name inside an archive, None where image_id + .JPEG says it. Where it is wrapped, `length`
        counts its bytes as they lie there, and `size` those of the image that head and more speak of. `wnid` and
        `split` are what its own place says, where that differs within the unit, and `photo` the photograph it shows,
        where neither its stem nor its data set tells. With `found`, its facts, its bytes are not asked for.
        """
        unit = self._unit
        listed = self._split_of(stem) if self._split_of else None
        if found is None:
            found = probe(head, length if size is None else size, more) if unit.probed else _UNPROBED
        wnid, split = self._place(stem, file, member, wnid or unit.wnid, split or listed or unit.split)
        photo = photo or photo_of(unit.dataset, stem)
        if member is None and photo != stem and not is_image_name(file.rpartition("/")[2]):
            member = f"{stem}.JPEG"  # the ids of such data sets are made of their places
        self._facts.append(found)
        self._rows.append((stem, photo, wnid, split, file, member, offset, length, position, compression))
        if found.problem is not None:
            self.problem(found.problem, file, _UNUSABLE, member, stem)
        return found

    def add_batch(self, batch: pa.RecordBatch, beside: Mapping[int, ImageFacts]) -> None:
        """Add rows of the table images that are made already; `beside` are the facts of those that may be unusable."""
        self._make()
        self._made.append(batch)
        for n, facts in beside.items():
            if facts.problem is not None:
                file, stem = (batch.column(name)[n].as_py() for name in ("file", "image_id"))
                self.problem(facts.problem, file, _UNUSABLE, None, stem)

    def _place(
        self, stem: str, file: str, member: str | None, wnid: str | None, split: str | None
    ) -> tuple[str | None, str | None]:
        """The class and the official split of an image: its official name decides, and then its place."""
        named, number, year, named_split = spelled_by(stem)
        if year is None:
            if number is None and self._of_release:
                reason = f"{title(self._unit.dataset)} has no such name; expected one such as n01440764_10026. "
                self.problem("other_name", file, reason + "The image shares no photo with it", member, stem)
            if wnid is not None and named is not None and named != wnid:
                reason = f"the name says {named}, the folder {wnid}; the folder's is kept, unless it is in {named} too"
                self.problem("class_differs", file, reason, member, stem)
            # Nowhere but in its training set does ILSVRC name an image by its class.
            known = "train" if self._of_ilsvrc and number is not None else None
            return wnid or named, split or known
        bundled = labels.validation_wnid(stem) if self._bundled and (year, named_split) == ("2012", "val") else None
        if split is not None and not self._of_ilsvrc and (split != "train" or self._drawn_anew):
            named_split = split  # the split belongs to the data set: Imagenette trains on validation images
        elif split is not None and split != named_split:
            # An official validation image never slips into a training split, whatever folder it was put in.
            reason = f"the name says {named_split}, the place {split}; the name's split is kept"
            self.problem("split_differs", file, reason, member, stem)
        if wnid is not None and bundled is not None and wnid != bundled:
            reason = f"the folder says {wnid}, the official ground truth {bundled}"
            self.problem("label_contradiction", file, reason, member, stem)
        return wnid or bundled, named_split

    def problem(
        self, code: str, file: str, reason: str, member: str | None = None, image_id: str | None = None
    ) -> None:
        """Add a row to the table problems: what was found, and what was expected."""
        unit = self._unit
        names = {"code": code, "source": unit.source, "file": file, "member": member, "reason": reason}
        self._problems.append(names | {"dataset": unit.dataset, "image_id": image_id, "unit": unit.key})

    def full(self) -> bool:
        """Whether it is time to hand the rows on."""
        return len(self._rows) + len(self._problems) + sum(map(len, self._made)) >= _BATCH

    def batches(self) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Hand on what was gathered, as (table, rows), and begin anew."""
        import pyarrow as pa

        self._make()
        for batch in self._made:
            yield "images", batch
        self._made.clear()
        if self._problems:
            yield "problems", pa.RecordBatch.from_pylist(self._problems, schema=arrow_schema("problems"))
            self._problems.clear()

    def _make(self) -> None:
        """Make a batch of the rows that are gathered one by one."""
        import pyarrow as pa

        n = len(self._rows)
        if n:
            columns: dict[str, Sequence[Any]] = dict(zip(_COLUMNS, zip(*self._rows, strict=True), strict=True))
            columns |= dict(zip(ImageFacts._fields, zip(*self._facts, strict=True), strict=True))
            columns["hash32"] = hashes32(columns["photo"])
            same = {"dataset": self._unit.dataset, "source": self._unit.source, "unit": self._unit.key, "n_boxes": 0}
            schema = arrow_schema("images")
            arrays = [
                pa.array(columns[field.name], field.type)
                if field.name in columns
                else pa.repeat(pa.scalar(same[field.name], field.type), n)
                for field in schema
            ]
            self._made.append(pa.RecordBatch.from_arrays(arrays, schema=schema))
            self._rows.clear()
            self._facts.clear()


def is_image_name(name: str) -> bool:
    """Whether a file's name is that of an image; files hidden by a leading dot are not."""
    return name[name.rfind(".") :].lower() in IMAGE_SUFFIXES and name[0] != "."


def dataset_of(wnids: Iterable[str], *, name: str = "") -> str:
    """The data set that a set of classes speaks for, or the name of the archive: see releases.py."""
    return release_of(wnids, name=name).dataset


# ---- An image taken out of the gzip that a few of fall 2011's lie in.


# First bytes that are read of an image: 87 % of ImageNet's show their size within them; the others cost a second read.
HEAD = 4096


class Unwrapped(NamedTuple):
    """An image's first bytes, and the way to the others, out of its wrapping."""

    head: bytes
    more: More
    size: int
    compression: str | None

    @classmethod
    def of(cls, head: bytes, length: int, more: More) -> Unwrapped:
        """As it is, unless it begins as gzip does and holds something; a wrapping that is broken is left on."""
        if not head.startswith(GZIP_MAGIC):
            return cls(head, more, length, None)
        try:
            data = gunzip(more(0, length))
        except FormatError:
            return cls(head, more, length, None)
        return cls(data[:HEAD], lambda offset, n: data[offset : offset + n], len(data), "gzip")


# ---- The 23 training images that TensorFlow's converters encode anew, so that their bytes are not ImageNet's.


_PNG = frozenset({"n02105855_2933"})
_CMYK = frozenset({
    "n01739381_1309", "n02077923_14822", "n02447366_23489", "n02492035_15739", "n02747177_10752",
    "n03018349_4028", "n03062245_4620", "n03347037_9675", "n03467068_12171", "n03529860_11437",
    "n03544143_17228", "n03633091_5218", "n03710637_5125", "n03961711_5286", "n04033995_2932",
    "n04258138_17003", "n04264628_27969", "n04336792_7448", "n04371774_5854", "n04596742_4225",
    "n07583066_647", "n13037406_4650",
})  # fmt: skip


def reencoded(stem: str, head: bytes, length: int, more: More) -> str | None:
    """What is said of an image that is one of the 23, and no longer what it was; None for every other."""
    if stem not in _PNG and stem not in _CMYK:
        return None
    found = probe(head, length, more)
    was = "a PNG" if stem in _PNG else "a CMYK JPEG"
    if (found.encoding == "png") if stem in _PNG else (found.mode == "CMYK"):
        return None
    return f"the image is {was} in ILSVRC2012, and here a {found.mode} {found.encoding}: encoded anew, as converters do"
