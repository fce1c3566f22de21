"""What the commands of `classes` share: options, giving a text or JSON to -o, and the facts of a list."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imagenet_tools.cli.common import note, print_json

if TYPE_CHECKING:
    from imagenet_tools.catalogue.image_lists import ImageList
    from imagenet_tools.catalogue.lists import ClassList

OUTPUT = click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Write to a file that does not exist yet."
)
CLASSES = click.option(
    "--classes", metavar="LIST", default="ilsvrc2012", show_default=True, help="A published list, a file, or a,b,c."
)
UNDER = click.option(
    "--under", metavar="SYNSET", default="entity.n.01", show_default=True, help="All lies at or below this synset."
)
KINDS_ONLY = click.option("--kinds-only", is_flag=True, help="Follow kinds (@) alone, not what is an instance (@i).")


def resolved(text: str) -> str:
    """The wnid of a synset, without an index; says on stderr which sense of a lemma was taken."""
    from imagenet_tools.catalogue import terms

    taken = terms.resolve(text)
    if taken.guessed:
        note(taken.note)
    return taken.wnid


def give(text: str, output: Path | None) -> None:
    """Print a text, or write it to a file that does not exist yet."""
    if output is None:
        click.echo(text)
        return
    from imagenet_tools.storage.files import write_whole

    write_whole(output, f"{text}\n".encode())


def give_json(value: object, output: Path | None) -> None:
    """Print a value as JSON, or write it to a file that does not exist yet."""
    if output is None:
        print_json(value)
    else:
        give(json.dumps(value, indent=1, default=str), output)


def class_facts(one: ClassList) -> dict[str, Any]:
    """What is known of a class list, but for its classes."""
    return {
        "name": one.name,
        "title": one.title,
        "n_classes": len(one),
        "order": one.order,
        "base": one.base,
        "background": one.background,
        "sha256": one.sha256,
        "source": one.source,
        "checked": one.checked,
    }


def image_facts(one: ImageList) -> dict[str, Any]:
    """What is known of an image list, but for its images."""
    return {
        "name": one.name,
        "title": one.title,
        "dataset": one.dataset,
        "n_images": len(one),
        "sha256": one.sha256,
        "source": one.source,
        "checked": one.checked,
    }
