"""The words of a selection: the one table of their flags, recipe keys and Python keywords.

`Choice` is the table. Each field is a word, with its place in a recipe, its help, and how its value is read and
written. `SelectionWords` has the types that users pass. To add a word, add it to both, and to the step that applies
it (steps.py, classes.py or query.py). The flags, the recipe, `Index.select` and the README follow from here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

from imagenet_tools.errors import UsageError
from imagenet_tools.selection import choice as forms
from imagenet_tools.selection.choice import ClassSelection, SuperclassSelection, ValueContext, ValueForm
from imagenet_tools.selection.splits import OFFICIAL, Split


class Word(NamedTuple):
    """A word: where it belongs, how its value is typed, and its help."""

    keyword: str  # the Python keyword
    section: str  # the table of a recipe that holds it; empty for the top level
    kind: str  # see ValueForm
    metavar: str
    help: str
    form: ValueForm = forms.FLAG

    @property
    def flag(self) -> str:
        """Return the flag of the command line."""
        return "--" + self.keyword.rstrip("_").replace("_", "-")

    @property
    def key(self) -> str:
        """Return the key in a recipe: the keyword without a final '_', and `by` for split, in the table [split]."""
        return "by" if self.keyword == "split" else self.keyword.rstrip("_")


# Makes the default of a word, by its kind; for other kinds it is named in the table, or None.
_EMPTY: dict[str, Callable[[], object]] = {"flag": bool, "texts": tuple, "pairs": dict, "amount": dict}


def _word(section: str, form: ValueForm, metavar: str, help_text: str, *, default: object = None) -> Any:
    """Return the field of a word; `default` is the value that changes nothing."""
    word = (section, form.kind, metavar, help_text, form)
    return dataclasses.field(default_factory=_EMPTY.get(form.kind, lambda: default), metadata={"word": word})


@dataclass(frozen=True)
class Choice:
    """The value of each word of a selection, in the order of the steps; defaults select every image."""

    # fmt: off
    dataset: tuple[str, ...] = _word("images", forms.TEXTS, "NAME", "only these data sets")
    from_: tuple[str, ...] = _word("images", forms.COMMA_SEPARATED, "SPLIT,..",
        "only these official splits; a new split draws on train unless this says more")
    under: tuple[str, ...] = _word("classes", forms.SYNSETS, "SYNSET",
        "classes that are one of these synsets or lie below it")
    also_under: tuple[str, ...] = _word("classes", forms.SYNSETS, "SYNSET",
        "and that are, or lie below, each of these as well")
    without: tuple[str, ...] = _word("classes", forms.SYNSETS, "SYNSET",
        "but not these synsets and what lies below them")
    classes: ClassSelection | None = _word("classes", forms.CLASS_LIST, "LIST",  # noqa: RUF009  # a field
        "only the classes of a list: a published name, a file, or a,b,c")
    class_where: tuple[str, ...] = _word("classes", forms.TEXTS, "SQL",
        "only classes for which a condition on the table synsets holds")
    nested: str = _word("classes", forms.ValueForm("keep|leaves|merge|error"), "",
        "classes above others that are chosen: kept (default), left out, joined with all below them, or an error",
        default="keep")
    superclasses: SuperclassSelection | None = _word("classes", forms.SUPERCLASSES, "FILE|LIST",  # noqa: RUF009  # a field
        "join classes to superclasses: a file of `classes cut`, a published name, or a,b,c")
    images: tuple[str, ...] = _word("images", forms.IMAGE_LISTS, "LIST",
        "only the images of a list: a published name, or a file of ids")
    where: tuple[str, ...] = _word("images", forms.TEXTS, "SQL",
        "only images for which a condition on the table images holds")
    parameter: Mapping[str, object] = _word("images", forms.PARAMETERS, "NAME=VALUE",
        "what $NAME in a condition stands for")
    with_: Mapping[str, str] = _word("images", forms.FILES, "NAME=FILE",
        "a table of one's own for conditions, joined by its key")
    exclude: tuple[str, ...] = _word("images", forms.IMAGE_LISTS, "LIST|defects|blacklist",
        "but not the images of a list, or defects, or ILSVRC's blacklist of validation images")
    boxed: bool = _word("images", forms.FLAG, "", "only images that have boxes")
    min_images: int | None = _word("classes", forms.NUMBER, "N", "only classes with so many images left, or more")
    max_images: int | None = _word("classes", forms.NUMBER, "N", "only classes with so many images left, or fewer")
    split: Split = _word("split", forms.SPLIT, "SPLIT",  # noqa: RUF009  # a field
        "official (default), train=0.9,val=0.1 by hash, val=50/class, folds=5, or classes:train=64,val=16,test=20",
        default=OFFICIAL)
    groups: str | None = _word("split", forms.FILE, "FILE",
        "a table of images and their group: a new split parts no group")
    per_class: Mapping[str, int] = _word("split", forms.AMOUNT, "N|train=N,val=N",
        "at most so many images a class, by lowest hash")
    limit: int | None = _word("split", forms.NUMBER, "N", "at most so many images in all, by lowest hash")
    order: str | None = _word("classes", forms.ValueForm("wnid|listed|ilsvrc-id"), "",
        "how classes are numbered: by wnid, as listed (default where a list is given), or by ILSVRC's ids")
    seed: int = _word("", forms.NUMBER, "N", "the number that splits and samples depend on (default 0)", default=0)
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

    def files(self) -> dict[str, str]:
        """Return the absolute paths of the files that the words name, by the name that values() gives them."""
        paths = [*self.with_.values(), self.groups or "", *self.images, *self.exclude]
        paths += [self.superclasses.source] if self.superclasses else []
        return {Path(path).name: path for path in paths if Path(path).is_absolute()}


# In the order of the steps.
SELECTION = tuple(Word(field.name, *field.metadata["word"]) for field in dataclasses.fields(Choice))
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
    nested: str | None
    superclasses: str | Iterable[str] | None
    images: str | Iterable[str] | None
    where: str | Iterable[str] | None
    parameter: Mapping[str, object] | None
    with_: Mapping[str, str | Path] | None
    exclude: str | Iterable[str] | None
    boxed: bool | None
    min_images: int | None
    max_images: int | None
    split: str | Mapping[str, float] | None
    groups: str | Path | None
    per_class: int | str | Mapping[str, int] | None
    limit: int | None
    order: str | None
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
