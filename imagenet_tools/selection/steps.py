"""The steps of a selection: names, SQL conditions on images, and the lists of images that the conditions read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from imagenet_tools.errors import UsageError
from imagenet_tools.text import are, count_of
from imagenet_tools.wordnet.wnid import ids_of_path

if TYPE_CHECKING:
    from imagenet_tools.selection.words import Choice

# Why an image is not in a selection, by the step that left it out; in the order of the steps.
REASONS = {
    "lock": "not among the images of the lock",
    "dataset": "of another data set",
    "from": "of another official split",
    "no_split": "has no official split, and other images of the selection have one",
    "unlabelled": "has no class of its own; a query finds it by its boxes or labels",
    "under": "not below the synsets asked for",
    "also_under": "not below each of the further synsets asked for",
    "without": "below a synset that was left out",
    "classes": "not of the listed classes",
    "class_where": "the condition does not hold for its class",
    "overlap": "of a class that is, or is above or below, one of the classes that must not overlap",
    "nested": "of a class that has other chosen ones below it",
    "superclasses": "of a class that is in none of the superclasses",
    "images": "not on the list of images",
    "where": "the condition does not hold",
    "exclude": "on a list that was excluded",
    "boxed": "has no boxes",
    "problem": "its bytes are damaged, as the column problem says",
    "unreadable": "no image can be read from its bytes, or it was indexed with --no-probe",
    "unboxed": "has no boxes, and a detector must not learn it as background",
    "bad_boxes": "none of its boxes can be used",
    "small": "smaller than the loader takes",
    "place": "not at a place, or not by a name, that the loader knows",
    "min_images": "its class has too few images",
    "max_images": "its class has too many images",
    "split": "in none of the splits",
    "groups": "near-duplicates of it are in another split",
    "per_class": "over the number a class",
    "limit": "over the number in all",
    "undecodable": "its pixels cannot be decoded, and it had to be re-encoded",
}
STEP_HEAD = ("step", "left out", "left", "why")
CLASS_STEPS = ("under", "also_under", "without", "classes", "class_where", "overlap", "nested", "superclasses")


# The part of a line before a label: a column of a table, a file name, or anything before numbers or a wnid.
_BEFORE_LABEL = (
    re.compile(r"([^\t]+)\t"),
    re.compile(r"([^,]+),"),
    re.compile(r"(.+?\.(?:jpe?g|png|webp))\s", re.IGNORECASE),
    re.compile(r"(.*\S)(?:\s+(?:[-+]?\d+(?:\.\d+)?|n\d{8}))+$"),
)
# Damaged, of another format than the file name says, or of colours that loaders fail on.
_DEFECTS = "problem IS NOT NULL OR mode = 'CMYK' OR (encoding <> 'jpeg' AND coalesce(member, file) ILIKE '%.jp%g')"


class Step(NamedTuple):
    """A step of a selection, with the number of images that it left out and left."""

    name: str
    left_out: int
    left: int

    @property
    def why(self) -> str:
        """The reason in words; empty if the step left nothing out."""
        return REASONS[self.name] if self.left_out else ""

    def cells(self) -> tuple[object, ...]:
        """Return the step as a row of a table with STEP_HEAD."""
        return self.name, self.left_out or None, self.left, self.why


# ---- Conditions


def first(choice: Choice, *, mixed: bool) -> Iterator[tuple[str, str]]:
    """Yield (step, condition) for the steps before the classes.

    Args:
        choice: The words.
        mixed: Some images of the selection have an official split and others have none, which are then left out.
            If no image has one, all count as train.
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
    """Yield (step, condition) for the steps after the classes; `where` are the conditions of the word where."""
    if choice.images:
        yield "images", _on_list("_images")
    yield from (("where", f"({condition}\n)") for condition in where)
    if choice.excluded_lists:
        yield "exclude", f"NOT {_on_list('_exclude')}"
    if "defects" in choice.exclude:
        yield "exclude", f"NOT coalesce({_DEFECTS}, false)"
    if choice.boxed:
        yield "boxed", "n_boxes > 0"
    yield from demands


def _on_list(name: str) -> str:
    key = "images.dataset || '/' || images.image_id"
    return (
        f"(images.photo IN (SELECT unnest(${name}_photos::VARCHAR[])) "
        f"OR coalesce({key} IN (SELECT unnest(${name}_keys::VARCHAR[])), false))"
    )


# ---- Counts


def counted(choice: Choice, demands: tuple[tuple[str, str], ...], n_images: Mapping[str | None, int]) -> list[Step]:
    """Return the steps that were asked for or left something out, in the order of REASONS; demands follow "boxed".

    `n_images` are the images that each step left out; under None, the chosen ones.
    """
    demanded = list(dict.fromkeys(reason for reason, _ in demands))
    names = [name for name in REASONS if name not in demanded]
    place = names.index("boxed") + 1
    names[place:place] = demanded
    requested = {*demanded, *choice.values()}
    if choice.split.by != "official":
        requested |= {"split", "from"}
    if choice.nested != "leaves":
        requested.discard("nested")
    if choice.split.by != "classes":
        requested.discard("groups")
    left = sum(n_images.values())
    rows = [Step("index", 0, left)]
    for name in names:
        if name in n_images or name in requested:
            left -= n_images.get(name, 0)
            rows.append(Step(name, n_images.get(name, 0), left))
    return rows


# ---- Lists of images

_Line = tuple[str, tuple[str, ...]]  # a line of a list, and the ids that it may mean: the first in the index counts


def lists(choice: Choice, ask: Callable[[str, dict[str, object]], list[Any]]) -> tuple[dict[str, list[str]], list[str]]:
    """Return the values of the parameters in the conditions, and notes on lists with ids that the index lacks.

    Raises:
        UsageError: A list of images matches nothing. A published list to exclude may: the index may lack its split.
    """
    values: dict[str, list[str]] = {"_dataset": list(choice.dataset), "_from": list(choice.from_)}
    notes: list[str] = []
    datasets = list(choice.dataset)
    if not datasets and (choice.images or choice.excluded_lists):
        datasets = [name for (name,) in ask("SELECT DISTINCT dataset FROM images ORDER BY ALL", {})]
    for name, texts in (("images", choice.images), ("exclude", choice.excluded_lists)):
        photos, keys = values.setdefault(f"_{name}_photos", []), values.setdefault(f"_{name}_keys", [])
        for text in texts:
            lines = read_image_list(text)
            list_photos, list_keys, unmatched = _match(lines, datasets, ask)
            photos += sorted(list_photos)
            keys += sorted(list_keys)
            flag = f"--{name} {Path(text).name}"
            if len(unmatched) == len(lines) and (name == "images" or Path(text).is_absolute()):
                raise UsageError(
                    f"{flag}: none of its {len(lines):,} images is in the index (data sets: "
                    f"{', '.join(datasets) or 'none'}); its first is {unmatched[0]!r}. Expected ids such as "
                    "n01440764_10026 or DATASET/IMAGE_ID."
                )
            if unmatched:
                absent = (
                    f"{len(unmatched):,} of its {count_of(len(lines), 'image')} {are(len(unmatched))} not in the index"
                )
                notes.append(f"{flag}: {absent}, {unmatched[0]!r} first")
    return values, notes


def read_image_list(text: str) -> list[_Line]:
    """Read the images of a published list, or of a file of ids: one a line, with or without folders and suffix.

    A line `n01440764_10026` or `train/n01440764/n01440764_10026.JPEG` means a photo; `ilsvrc2012/n01440764_10026` means
    an image of that data set alone. A label after the image, as in `n01440764/n01440764_10026.JPEG 0`, is not part of
    the id. '#' begins a comment.

    Raises:
        UsageError: The file has no ids, or is no text.
    """
    from imagenet_tools.catalogue import image_lists

    published = image_lists.find(text)
    if published is not None:
        return [(stem, (stem,)) for stem in published.images]
    try:
        lines = Path(text).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{text}: it cannot be read as a text of ids, one a line: {error}.") from error
    images = [image for line in lines if (image := line.partition("#")[0].strip())]
    if not images:
        raise UsageError(f"{text}: found no ids. Expected one a line, such as n01440764_10026.")
    return [(image, ids_of_line(image)) for image in images]


def ids_of_line(line: str) -> tuple[str, ...]:
    """Return the ids that a line may mean: with all of the line as the image, or all but the label after it."""
    parts = [line, *(match[1].strip() for pattern in _BEFORE_LABEL if (match := pattern.match(line)))]
    return tuple(dict.fromkeys(image_id for part in parts for image_id in ids_of_path(part)))


def _match(
    lines: Sequence[_Line], datasets: Sequence[str], ask: Callable[[str, dict[str, object]], list[Any]]
) -> tuple[set[str], set[str], list[str]]:
    """Find the images of a list in some data sets of an index; in a single data set also by image_id alone.

    Returns:
        Photos, by a file stem, which identifies a photo in every release that keeps ImageNet's names; images, as
        dataset/image_id; and the lines that match nothing.
    """
    listed = "(SELECT unnest($_ids::VARCHAR[]))"
    key, name = "dataset || '/' || image_id", "image_id" if len(datasets) == 1 else "NULL"
    rows = ask(
        f"""SELECT photo, {key}, {name} FROM images WHERE dataset IN (SELECT unnest($_sets::VARCHAR[]))
            AND (photo IN {listed} OR {key} IN {listed} OR {name} IN {listed})""",
        {"_ids": sorted({image_id for _, ids in lines for image_id in ids}), "_sets": list(datasets)},
    )
    known_photos = {photo for photo, _, _ in rows}
    known_keys = {name: key for _, key, image_id in rows for name in (key, image_id) if name is not None}
    photos: set[str] = set()
    keys: set[str] = set()
    unmatched: list[str] = []
    for text, ids in lines:
        known = next((image_id for image_id in ids if image_id in known_photos or image_id in known_keys), None)
        if known is None:
            unmatched.append(text)
            continue
        if known in known_photos:
            photos.add(known)
        if known in known_keys:
            keys.add(known_keys[known])
    return photos, keys, unmatched
