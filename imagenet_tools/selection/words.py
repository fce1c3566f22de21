"""The one table of the words of a selection and of an export: each a flag, a recipe key and a Python keyword."""

from __future__ import annotations

from typing import NamedTuple


class Word(NamedTuple):
    """A word: how it is typed, and what it means.

    `kind` is flag (given or not), text, number, texts (may be repeated, or be a list), amount (a number, or a number
    by split) or one of several choices, with '|' between them.
    """

    keyword: str  # the Python keyword
    section: str  # the table of a recipe that it stands in
    kind: str
    metavar: str
    help: str

    @property
    def flag(self) -> str:
        """The flag of the command line."""
        return "--" + self.key.replace("_", "-")

    @property
    def key(self) -> str:
        """The key in a recipe: the keyword, without the '_' that keeps Python's own words apart."""
        return self.keyword.rstrip("_")


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
    Word("without", "classes", "texts", "SYNSET", "but not these synsets and what lies below them"),
    Word("classes", "classes", "text", "FILE|A,B,C", "only the classes of a list: a file of one a line, or a,b,c"),
    Word("where", "images", "texts", "SQL", "only images for which a condition on the table images holds"),
    Word("boxed", "images", "flag", "", "only images that have boxes"),
    Word(
        "split",
        "split",
        "text",
        "SPLIT",
        "official (default), fractions by hash (train=0.9,val=0.1), or a count a class (val=50/class)",
    ),
    Word("per_class", "split", "amount", "N|train=N,val=N", "at most so many images a class, by lowest hash"),
    Word("limit", "split", "number", "N", "at most so many images in all, by lowest hash"),
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
)
