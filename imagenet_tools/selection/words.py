"""The words of a selection and of an export: the tables of their flags, recipe keys and Python keywords.

`Choice` is the table of a selection. Each field is a word, with its place in a recipe, its help, and how its value is
read and written. `SelectionWords` has the types that users pass. To add a word, add it to both, and to the step that
applies it (steps.py, classes.py or query.py). The flags, the recipe, `Index.select` and the README follow from here.

`ExportWords` is the table of an export. It is here because a recipe checks these words when it is read.
`exports.options.Options` adds the checks of values, and what the options do to an image.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from keyword import iskeyword
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypedDict

from imagenet_tools.errors import UsageError
from imagenet_tools.selection import choice as forms
from imagenet_tools.selection.choice import ClassSelection, ValueContext, ValueForm
from imagenet_tools.selection.splits import OFFICIAL, Split

if TYPE_CHECKING:
    import pyarrow as pa

    from imagenet_tools.arguments import Frame
    from imagenet_tools.storage.links import How


class Word(NamedTuple):
    """A word: where it belongs, how its value is typed, and its help."""

    keyword: str  # the Python keyword
    section: str  # the table of a recipe that holds it; empty for the top level
    form: ValueForm
    metavar: str
    help: str

    @property
    def kind(self) -> str:
        """Return how the value is typed: see ValueForm."""
        return self.form.kind

    @property
    def flag(self) -> str:
        """Return the flag of the command line."""
        return "--" + self.keyword.rstrip("_").replace("_", "-")

    @property
    def key(self) -> str:
        """Return the key in a recipe: the keyword without a final '_', and `by` for split, in the table [split]."""
        return "by" if self.keyword == "split" else self.keyword.rstrip("_")

    @property
    def sentence(self) -> str:
        """Return the help as a sentence for Python, with the keyword in place of each flag."""
        text = re.sub(r"--([a-z-]+)", lambda found: f"{_keyword(found[1])}=", self.help)
        return f"{text[0].upper()}{text[1:]}."


def _keyword(name: str) -> str:
    """Return the Python keyword of a flag's name."""
    keyword = name.replace("-", "_")
    return f"{keyword}_" if iskeyword(keyword) else keyword


def word_field(section: str, form: ValueForm, metavar: str, help_text: str, *, default: object = None) -> Any:
    """Return the field of a word; `default` is the value that changes nothing, if its kind has no empty value."""
    metadata = {"word": (section, form, metavar, help_text)}
    if form.kind in ("pairs", "amount"):
        return dataclasses.field(default_factory=dict, metadata=metadata)
    return dataclasses.field(default={"flag": False, "texts": ()}.get(form.kind, default), metadata=metadata)


def words_of(table: type) -> tuple[Word, ...]:
    """Return the words of a dataclass whose fields word_field() made, in their order."""
    return tuple(Word(field.name, *field.metadata["word"]) for field in dataclasses.fields(table))


@dataclass(frozen=True)
class Choice:
    """The value of each word of a selection, in the order of the steps; defaults select every image."""

    # fmt: off
    dataset: tuple[str, ...] = word_field("images", forms.TEXTS, "NAME", "only these data sets")
    from_: tuple[str, ...] = word_field("images", forms.COMMA_SEPARATED, "SPLIT,..",
        "only these official splits; a new split draws on train unless this says more")
    under: tuple[str, ...] = word_field("classes", forms.SYNSETS, "SYNSET",
        "only classes that are one of these synsets or below it")
    also_under: tuple[str, ...] = word_field("classes", forms.SYNSETS, "SYNSET",
        "only classes that are also each of these synsets or below it")
    without: tuple[str, ...] = word_field("classes", forms.SYNSETS, "SYNSET",
        "leave out these synsets and the classes below them")
    classes: ClassSelection | None = word_field("classes", forms.CLASS_LIST, "LIST",  # noqa: RUF009  # a field
        "only the classes of a list: a published name, a file, or a,b,c")
    class_where: tuple[str, ...] = word_field("classes", forms.TEXTS, "SQL",
        "only classes for which a condition on the table synsets holds")
    nested: str = word_field("classes", forms.ValueForm("keep|leaves|merge|error"), "",
        "classes above others that are chosen: kept (default), left out, joined with all below them, or an error",
        default="keep")
    superclasses: ClassSelection | None = word_field("classes", forms.SUPERCLASSES, "FILE|LIST",  # noqa: RUF009  # a field
        "join classes to superclasses: a file of `classes cut`, a published name, or a,b,c")
    images: tuple[str, ...] = word_field("images", forms.IMAGE_LISTS, "LIST",
        "only the images of a list: a published name, or a file of ids")
    where: tuple[str, ...] = word_field("images", forms.TEXTS, "SQL",
        "only images for which a condition on the table images holds")
    parameter: Mapping[str, object] = word_field("images", forms.PARAMETERS, "NAME=VALUE",
        "the value of $NAME in a condition")
    with_: Mapping[str, str | pa.Table] = word_field("images", forms.USER_TABLES, "NAME=FILE",
        "a table of yours for conditions, joined by its key")
    exclude: tuple[str, ...] = word_field("images", forms.IMAGE_LISTS, "LIST|defects|blacklist|overlap:LIST",
        "leave out the images of a list, or defects, or ILSVRC's blacklist of validation images; or the classes shared "
        "with a list of classes or an index: equal to one of them, or above or below one")
    boxed: bool = word_field("images", forms.FLAG, "", "only images that have boxes")
    min_images: int | None = word_field("classes", forms.NUMBER, "N", "only classes with at least N images left")
    max_images: int | None = word_field("classes", forms.NUMBER, "N", "only classes with at most N images left")
    split: Split = word_field("split", forms.SPLIT, "SPLIT",  # noqa: RUF009  # a field
        "official (default), train=0.9,val=0.1 by hash, val=50/class, folds=5, or classes:train=64,val=16,test=20",
        default=OFFICIAL)
    groups: str | None = word_field("split", forms.FILE, "FILE",
        "a table of images and their group: a new split parts no group")
    per_class: Mapping[str, int] = word_field("split", forms.AMOUNT, "N|train=N,val=N",
        "at most this number of images a class, by lowest hash")
    limit: int | None = word_field("split", forms.NUMBER, "N", "at most N images in all, by lowest hash")
    order: str | None = word_field("classes", forms.ValueForm("wnid|listed|ilsvrc-id"), "",
        "how classes are numbered: by wnid, as listed (default where a list is given), or by ILSVRC's ids")
    seed: int = word_field("", forms.NUMBER, "N", "the number that splits and samples depend on (default 0)", default=0)
    # fmt: on

    def __post_init__(self) -> None:
        for word in SELECTION:
            value = getattr(self, word.keyword)
            allowed = word.kind.split("|")
            if len(allowed) > 1 and value is not None and value not in allowed:
                raise UsageError(f"{word.flag} {value}: expected one of {', '.join(allowed)}.")
            if word.kind == "number" and word.keyword != "seed" and value is not None and value < 1:
                raise UsageError(f"{word.flag} {value}: expected a whole number above 0.")
        if self.groups is not None and self.split.by == "official":
            raise UsageError("--groups keeps groups together in a new split; expected --split as well, found none.")
        if self.order == "listed" and self.classes is None and self.superclasses is None:
            raise UsageError("--order listed: found no list; expected --classes or --superclasses as well.")

    def values(self, near: Path | None = None) -> dict[str, object]:
        """Return the words that differ from their defaults, and the seed, as plain values by recipe key.

        Synsets are `wnid name`. Files are relative to `near`; without `near` only their names are returned, so that
        the result is the same on every machine.
        """
        plain = {
            word.key: word.form.write(getattr(self, word.keyword), near)
            for word in SELECTION
            if getattr(self, word.keyword) != getattr(_DEFAULTS, word.keyword)
        }
        return plain | {"seed": self.seed}

    @property
    def excluded_lists(self) -> tuple[str, ...]:
        """The lists of images that are left out."""
        return tuple(text for text in self.exclude if text != "defects" and not text.startswith(forms.OVERLAP))

    @property
    def overlaps(self) -> tuple[str, ...]:
        """The lists of classes, and the indexes, with which no class is shared."""
        prefix = forms.OVERLAP
        return tuple(text.removeprefix(prefix) for text in self.exclude if text.startswith(prefix))

    def files(self) -> tuple[str, ...]:
        """Return the absolute paths of the files that the words name."""
        paths = [table for table in self.with_.values() if isinstance(table, str)]
        paths += [self.groups or "", *self.images, *self.excluded_lists]
        paths += [text for text in self.overlaps if Path(text).is_absolute() and Path(text).is_file()]
        paths += [self.superclasses.source] if self.superclasses else []
        return tuple(path for path in paths if Path(path).is_absolute())


# In the order of the steps.
SELECTION = words_of(Choice)
BY_KEYWORD = {word.keyword: word for word in SELECTION}
_DEFAULTS = Choice()


class SelectionWords(TypedDict, total=False):
    """The words of a selection as users pass them; None is the same as absent."""

    dataset: str | Iterable[str] | None
    from_: str | Iterable[str] | None
    under: str | Iterable[str] | None
    also_under: str | Iterable[str] | None
    without: str | Iterable[str] | None
    classes: str | Iterable[str] | None
    class_where: str | Iterable[str] | None
    nested: Literal["keep", "leaves", "merge", "error"] | None
    superclasses: str | Iterable[str] | None
    images: str | Iterable[str] | None
    where: str | Iterable[str] | None
    parameter: Mapping[str, object] | None
    with_: Mapping[str, str | Path | Frame] | None
    exclude: str | Iterable[str] | None
    boxed: bool | None
    min_images: int | None
    max_images: int | None
    split: str | Mapping[str, float] | None
    groups: str | Path | None
    per_class: int | str | Mapping[str, int] | None
    limit: int | None
    order: Literal["wnid", "listed", "ilsvrc-id"] | None
    seed: int | None


def read_words(words: Mapping[str, Any], resolve: Callable[[str], str], folder: Path) -> dict[str, Any]:
    """Return the values of words as `Choice` holds them, by keyword; a word that is None is left out.

    Args:
        words: Values as users pass them, by Python keyword.
        resolve: Gives the wnid of a synset's name.
        folder: Paths of files are relative to it.

    Raises:
        TypeError: A keyword is no word.
        UsageError: A value cannot be read.
    """
    unknown = sorted(words.keys() - {word.keyword for word in SELECTION})
    if unknown:
        raise TypeError(
            f"{unknown[0]!r} is no word of a selection. Expected {', '.join(SelectionWords.__annotations__)}."
        )
    return {
        word.keyword: word.form.read(words[word.keyword], ValueContext(word.flag, resolve, folder))
        for word in SELECTION
        if words.get(word.keyword) is not None
    }


# ---- The options of an export


def _option(kind: str, metavar: str, help_text: str, *, default: object = None) -> Any:
    """Return a field of the table. The help names a default that says much."""
    if default:
        help_text += f" (default {default})"
    return word_field("export", ValueForm(kind), metavar, help_text, default=default)


@dataclass(frozen=True)
class ExportWords:
    """The options of an export, with their defaults."""

    # fmt: off
    link: How = _option("auto|hard|sym|reflink|copy", "",  # noqa: RUF009  # a field
        "how images that are files of their own are placed", default="auto")
    names: str = _option("text", "wnid|lemma|listed|FILE",
        "what classes are called: wnid, lemma (made unique), a file of `wnid name` lines, or listed: as the published "
        "list of --superclasses calls them, which also gives coco its category ids", default="")
    layout: str = _option("text", "flat|tree|FILE",
        "class folders of `image_folder` side by side, or nested as the hierarchy is: each synset below WordNet's "
        "first hypernym, or by a file of `classes tree`", default="flat")
    empty_classes: str = _option("keep|drop", "",
        "folders of classes without images in a split; a loader that finds fewer folders numbers classes otherwise",
        default="keep")
    unboxed: str = _option("skip|background|error", "",
        "images without boxes in a detection export; not all objects are boxed, so such an image may show some",
        default="skip")
    bad_boxes: str = _option("clip|drop|error", "", "boxes that reach out of their image", default="clip")
    min_box: int = _option("number", "PX", "leave out boxes with a side shorter than PX pixels of the exported image",
        default=0)
    resize: int | None = _option("number", "N", "make images of N pixels, re-encoded as JPEG; --fit says which side")
    fit: str = _option("short|long|exact", "", "the side that --resize means, or both", default="short")
    crop: str = _option("center|none", "", "cut the middle square out of each resized image", default="none")
    quality: int = _option("number", "N", "JPEG quality of re-encoded images, 1 to 100", default=90)
    side: int | None = _option("number", "N",
        "the side of the square images of `downsampled`, in pixels: 8, 16, 32 or 64")
    repair: tuple[str, ...] = _option("texts", "RULE,..",
        "repair images that need it: cmyk and png become RGB JPEG, eoi ends a JPEG, exif turns the pixels")
    field: tuple[str, ...] = _option("texts", "KEY=COLUMN",
        "carry a column of images, or of a table joined by --with, where the target takes fields")
    shard_size: int | None = _option("text", "SIZE", "bytes of images in a shard, such as 500MB or 1GB")
    shuffle: str = _option("none|block|full", "", "the order of images in shards and lists", default="none")
    side_files: bool = _option("flag", "",
        "also write what other loaders read: wids, timm, DALI (webdataset, tfrecord), pickles (downsampled)")
    hash: bool = _option("flag", "", "put digests of the bytes of all images or shards into manifest.json")
    card: bool = _option("flag", "",
        "describe the export in README.md, a dataset card of Hugging Face, and in croissant.json, for mlcroissant")
    meta_bin: bool = _option("flag", "",
        "write torchvision's meta.bin into an image_folder, so that its ImageNet opens without the devkit; needs torch")
    # fmt: on


EXPORT = words_of(ExportWords)


class ExportOptions(TypedDict, total=False):
    """The options of an export as Python keywords; help(imagenet_tools.export) explains each of them."""

    link: How
    names: str  # wnid, lemma, listed, or the path of a file
    layout: str  # flat, tree, or the path of a file
    empty_classes: Literal["keep", "drop"]
    unboxed: Literal["skip", "background", "error"]
    bad_boxes: Literal["clip", "drop", "error"]
    min_box: int  # pixels of the exported image, 0 and above
    resize: int | None  # pixels, 1 to 8,192
    fit: Literal["short", "long", "exact"]
    crop: Literal["center", "none"]
    quality: int  # 1 to 100
    side: int | None  # pixels
    repair: str | Iterable[str]  # some of cmyk, png, eoi and exif: a list, or a text with ',' between
    field: str | Iterable[str]  # KEY=COLUMN
    shard_size: int | str | None  # bytes, or a text such as 500MB
    shuffle: Literal["none", "block", "full"]
    side_files: bool
    hash: bool
    card: bool
    meta_bin: bool
