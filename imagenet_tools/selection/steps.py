"""The steps of a selection: their names, in order, and the SQL conditions that an image must meet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.errors import UsageError
from imagenet_tools.selection import image_ids

if TYPE_CHECKING:
    from imagenet_tools.selection.choice import Choice

# Why an image is not in a selection, by the step that left it out; in the order of the steps.
REASONS = {
    "lock": "not among the images of the lock",
    "dataset": "of another data set",
    "from": "of another official split",
    "no_split": "has no official split, and other images of the selection have one",
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


def first(choice: Choice, *, mixed: bool) -> Iterator[tuple[str, str]]:
    """(step, condition) of what comes before the classes.

    `mixed`: some images of the selection have an official split and others have none, which are then left out. Where
    none has one, all are train.
    """
    if choice.dataset:
        yield "dataset", "dataset IN (SELECT unnest($_dataset::VARCHAR[]))"
    if choice.from_:
        yield "from", "split IN (SELECT unnest($_from::VARCHAR[]))"
    elif choice.split.by != "official":
        yield "from", "(split IS NULL OR split = 'train')"
    if mixed:
        yield "no_split", "split IS NOT NULL"
    yield "unlabelled", "wnid IS NOT NULL"


def of_images(
    choice: Choice, demands: tuple[tuple[str, str], ...], *, where: Iterable[str]
) -> Iterator[tuple[str, str]]:
    """(step, condition) of what is asked of an image once its class is known; `where` are the conditions of where."""
    if choice.images:
        yield "images", _on_a_list("_images")
    yield from (("where", f"({condition}\n)") for condition in where)
    if any(text != "defects" for text in choice.exclude):
        yield "exclude", f"NOT {_on_a_list('_exclude')}"
    if "defects" in choice.exclude:
        yield "exclude", f"NOT coalesce({image_ids.DEFECTS}, false)"
    if choice.boxed:
        yield "boxed", "n_boxes > 0"
    yield from demands


def _on_a_list(name: str) -> str:
    key = "images.dataset || '/' || images.image_id"
    return (
        f"(images.photo IN (SELECT unnest(${name}_photos::VARCHAR[])) "
        f"OR coalesce({key} IN (SELECT unnest(${name}_keys::VARCHAR[])), false))"
    )


def lists(
    choice: Choice, ask: Callable[[str, dict[str, object]], image_ids.Rows]
) -> tuple[dict[str, list[str]], list[str]]:
    """Return the values of the parameters that the conditions name, and notes on lists with ids that are not here.

    UsageError: a list of images matches nothing. A published list that is excluded may: the index may lack its split.
    """
    values: dict[str, list[str]] = {"_dataset": list(choice.dataset), "_from": list(choice.from_)}
    notes: list[str] = []
    datasets = list(choice.dataset)
    if not datasets and (choice.images or choice.exclude):
        datasets = [str(name) for (name,) in ask("SELECT DISTINCT dataset FROM images ORDER BY ALL", {})]
    for name, texts in (("images", choice.images), ("exclude", choice.exclude)):
        photos, keys = values.setdefault(f"_{name}_photos", []), values.setdefault(f"_{name}_keys", [])
        for text in texts:
            if text == "defects":
                continue
            lines = image_ids.read(text)
            found = image_ids.match(lines, datasets, ask)
            photos += sorted(found.photos)
            keys += sorted(found.keys)
            about = f"--{name} {Path(text).name}"
            if len(found.unmatched) == len(lines) and (name == "images" or Path(text).is_absolute()):
                sets = ", ".join(datasets) or "none"
                raise UsageError(
                    f"{about}: none of its {len(lines):,} images is in the index (data sets: {sets}); its first is "
                    f"{lines[0].text!r}. Expected ids such as n01440764_10026 or DATASET/IMAGE_ID."
                )
            if found.unmatched:
                notes.append(
                    f"{about}: {len(found.unmatched):,} of its {len(lines):,} images are not in the index, "
                    f"{found.unmatched[0].text!r} first"
                )
    return values, notes


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
