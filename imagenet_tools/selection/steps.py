"""The steps of a selection: their names, in order, and the SQL conditions that an image must meet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.selection import image_ids

if TYPE_CHECKING:
    from imagenet_tools.selection.choice import Choice

# Why an image is not in a selection, by the step that left it out; in the order of the steps.
REASONS = {
    "lock": "not among the images of the lock",
    "dataset": "of another data set",
    "from": "of another official split",
    "unlabelled": "has no class",
    "under": "not below the synsets asked for",
    "also_under": "not below each of the further synsets asked for",
    "without": "below a synset that was taken out",
    "classes": "not of the listed classes",
    "class_where": "the condition does not hold for its class",
    "nested": "of a class that has other chosen ones below it",
    "superclasses": "of a class that is in none of the superclasses",
    "images": "not on the list of images",
    "where": "the condition does not hold",
    "exclude": "on a list that was excluded",
    "boxed": "has no boxes",
    "problem": "its bytes are damaged, as the column problem says",
    "unreadable": "no image can be read from its bytes",
    "unboxed": "has no boxes, and a detector must not learn it as background",
    "bad_boxes": "none of its boxes can be used",
    "small": "smaller than the loader takes",
    "min_images": "its class has too few images",
    "max_images": "its class has too many images",
    "split": "in none of the splits",
    "groups": "near-duplicates of it are in another split",
    "per_class": "over the number a class",
    "limit": "over the number in all",
    "undecodable": "its pixels cannot be decoded, and it had to be encoded anew",
}
CLASS_STEPS = ("under", "also_under", "without", "classes", "class_where", "nested", "superclasses")


class Step(NamedTuple):
    """A step of a selection, and how many images it left out and left."""

    name: str
    left_out: int
    left: int


def first(choice: Choice) -> Iterator[tuple[str, str]]:
    """(step, condition) of what comes before the classes."""
    if choice.dataset:
        yield "dataset", "dataset IN (SELECT unnest($_dataset::VARCHAR[]))"
    if choice.from_:
        yield "from", "split IN (SELECT unnest($_from::VARCHAR[]))"
    elif choice.split.by != "official":
        # An image without an official split is nobody's validation image.
        yield "from", "(split IS NULL OR split = 'train')"
    yield "unlabelled", "wnid IS NOT NULL"


def of_images(
    choice: Choice, demands: tuple[tuple[str, str], ...], *, where: Iterable[str]
) -> Iterator[tuple[str, str]]:
    """(step, condition) of what is asked of an image once its class is known; `where` are the conditions of where."""
    if choice.images:
        yield "images", _on_a_list("_images", choice)
    yield from (("where", f"({condition}\n)") for condition in where)
    if any(text != "defects" for text in choice.exclude):
        yield "exclude", f"NOT {_on_a_list('_exclude', choice)}"
    if "defects" in choice.exclude:
        yield "exclude", f"NOT coalesce({image_ids.DEFECTS}, false)"
    if choice.boxed:
        yield "boxed", "n_boxes > 0"
    yield from demands


def _on_a_list(name: str, choice: Choice) -> str:
    key = "images.dataset || '/' || images.image_id"
    tests = [
        f"images.photo IN (SELECT unnest(${name}_photos::VARCHAR[]))",
        f"coalesce({key} IN (SELECT unnest(${name}_keys::VARCHAR[])), false)",
    ]
    if len(choice.dataset) == 1:  # where one data set is meant, its own ids are enough
        tests.append(f"images.image_id IN (SELECT unnest(${name}_photos::VARCHAR[]))")
    return "(" + " OR ".join(tests) + ")"


def lists(choice: Choice) -> dict[str, list[str]]:
    """The values of the parameters that the conditions name."""
    values: dict[str, list[str]] = {"_dataset": list(choice.dataset), "_from": list(choice.from_)}
    for name, texts in (("_images", choice.images), ("_exclude", choice.exclude)):
        found = [image_ids.read(text) for text in texts if text != "defects"]
        values[f"{name}_photos"] = [photo for one in found for photo in one.photos]
        values[f"{name}_keys"] = [key for one in found for key in one.keys]
    return values


def counted(choice: Choice, demands: tuple[tuple[str, str], ...], rows: Mapping[str | None, int]) -> list[Step]:
    """The steps that were asked for or left something out, in order, by the images of each; None: the chosen ones."""
    left = sum(rows.values())
    found = [Step("index", 0, left)]
    asked = _asked(choice, demands)
    for name in _order(demands):
        if name in rows or name in asked:
            left -= rows.get(name, 0)
            found.append(Step(name, rows.get(name, 0), left))
    return found


def _order(demands: tuple[tuple[str, str], ...]) -> list[str]:
    """The steps as they are taken: as REASONS has them, but demands as they were made."""
    demanded = list(dict.fromkeys(reason for reason, _ in demands))
    others = [name for name in REASONS if name not in demanded]
    place = others.index("exclude") + 1 if "boxed" in demanded else others.index("boxed") + 1
    return [*others[:place], *demanded, *others[place:]]


def _asked(choice: Choice, demands: tuple[tuple[str, str], ...]) -> set[str]:
    said = choice.values()
    names = {name for name in REASONS if said.get(name) is not None}
    names |= {"split", "from"} if choice.split.by != "official" else set()
    names -= {"nested"} if choice.nested != "leaves" else set()
    names -= {"groups"} if choice.split.by != "classes" else set()
    return names | {name for name, _ in demands}
