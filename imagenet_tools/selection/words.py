"""The one table of the words of a selection and of an export: each a flag, a recipe key and a Python keyword."""

from __future__ import annotations

from typing import NamedTuple


class Word(NamedTuple):
    """A word: how it is typed, and what it means.

    `kind` is flag (given or not), text, number, texts (may be repeated, or be a list), pairs (NAME=VALUE, may be
    repeated), amount (a number, or a number by split) or one of several choices, with '|' between them.
    """

    keyword: str  # the Python keyword
    section: str  # the table of a recipe that it stands in; empty for the top
    kind: str
    metavar: str
    help: str

    @property
    def flag(self) -> str:
        """The flag of the command line."""
        return "--" + self.keyword.rstrip("_").replace("_", "-")

    @property
    def key(self) -> str:
        """The key in a recipe: the keyword without its last '_'; of split, whose table bears the name, `by`."""
        return "by" if self.keyword == "split" else self.keyword.rstrip("_")


# In the order in which a selection is made.
SELECTION = (
    Word("dataset", "images", "texts", "NAME", "only these data sets"),
    Word(
        "from_",
        "images",
        "texts",
        "SPLIT,..",
        "only these official splits; a new split draws on train unless this says more",
    ),
    Word("under", "classes", "texts", "SYNSET", "classes that are one of these synsets or lie below it"),
    Word("also_under", "classes", "texts", "SYNSET", "and that are, or lie below, each of these as well"),
    Word("without", "classes", "texts", "SYNSET", "but not these synsets and what lies below them"),
    Word("classes", "classes", "text", "LIST", "only the classes of a list: a published name, a file, or a,b,c"),
    Word("class_where", "classes", "texts", "SQL", "only classes for which a condition on the table synsets holds"),
    Word(
        "nested",
        "classes",
        "keep|leaves|merge|error",
        "",
        "classes above others that are chosen: kept (default), left out, joined with all below them, or an error",
    ),
    Word(
        "superclasses",
        "classes",
        "text",
        "FILE|LIST",
        "join classes to superclasses: a file of `classes cut`, a published name, or a,b,c",
    ),
    Word("images", "images", "texts", "LIST", "only the images of a list: a published name, or a file of ids"),
    Word("where", "images", "texts", "SQL", "only images for which a condition on the table images holds"),
    Word("parameter", "images", "pairs", "NAME=VALUE", "what $NAME in a condition stands for"),
    Word("with_", "images", "pairs", "NAME=FILE", "a table of one's own for conditions, joined by its key"),
    Word(
        "exclude",
        "images",
        "texts",
        "LIST|defects|blacklist",
        "but not the images of a list, or defects, or ILSVRC's blacklist of validation images",
    ),
    Word("boxed", "images", "flag", "", "only images that have boxes"),
    Word("min_images", "classes", "number", "N", "only classes with so many images left, or more"),
    Word("max_images", "classes", "number", "N", "only classes with so many images left, or fewer"),
    Word(
        "split",
        "split",
        "text",
        "SPLIT",
        "official (default), train=0.9,val=0.1 by hash, val=50/class, folds=5, or classes:train=64,val=16,test=20",
    ),
    Word("groups", "split", "text", "FILE", "a table of images and their group: a new split parts no group"),
    Word("per_class", "split", "amount", "N|train=N,val=N", "at most so many images a class, by lowest hash"),
    Word("limit", "split", "number", "N", "at most so many images in all, by lowest hash"),
    Word(
        "order",
        "classes",
        "wnid|listed|ilsvrc-id",
        "",
        "how classes are numbered: by wnid, as listed (default where a list is given), or by ILSVRC's ids",
    ),
    Word("seed", "", "number", "N", "the number that splits and samples depend on (default 0)"),
)

EXPORT = (
    Word("link", "export", "auto|hard|sym|reflink|copy", "", "how images that are files of their own are placed"),
    Word(
        "names",
        "export",
        "text",
        "wnid|lemma|FILE",
        "what classes are called: wnid, lemma (made unique), or a file of `wnid name` lines",
    ),
    Word(
        "unboxed",
        "export",
        "skip|background|error",
        "",
        "images without boxes in a detection export: boxes are partial, so skip is the default",
    ),
    Word("bad_boxes", "export", "clip|drop|error", "", "boxes that reach out of their image (default clip)"),
    Word("min_box", "export", "number", "PX", "leave out boxes with a side below so many pixels of the exported image"),
    Word("resize", "export", "number", "N", "make images of N pixels, encoded anew as JPEG; --fit says which side"),
    Word("fit", "export", "short|long|exact", "", "the side that --resize means, or both (default short)"),
    Word("crop", "export", "center|none", "", "cut the middle square out of each resized image"),
    Word("quality", "export", "number", "N", "JPEG quality of what is encoded anew, 1 to 100 (default 90)"),
    Word(
        "repair",
        "export",
        "texts",
        "RULE,..",
        "repair images that need it: cmyk and png become RGB JPEG, eoi ends a JPEG, exif turns the pixels",
    ),
    Word(
        "field",
        "export",
        "texts",
        "KEY=COLUMN",
        "carry a column of images, or of a table joined by --with, where the target takes fields",
    ),
    Word("shard_size", "export", "text", "SIZE", "bytes of images in a shard, such as 500MB or 1GB"),
    Word("shuffle", "export", "none|block|full", "", "the order of images in shards and lists (default none)"),
    Word("side_files", "export", "flag", "", "webdataset: also write what wids, timm and DALI read beside the shards"),
    Word("hash", "export", "flag", "", "put digests of the bytes of all images or shards into manifest.json"),
    Word(
        "meta_bin",
        "export",
        "flag",
        "",
        "write torchvision's meta.bin into an image_folder, so that its ImageNet opens without the devkit; needs torch",
    ),
)
