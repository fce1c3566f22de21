"""The command show: an image with its boxes, or a contact sheet, in the terminal or in a file."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imagenet_tools.cli import DONE, PROBLEMS, options
from imagenet_tools.cli.printing import note, print_notes, terminal_columns
from imagenet_tools.errors import FormatError, UnknownSynsetError, UsageError
from imagenet_tools.selection.words import SELECTION
from imagenet_tools.text import count_of

if TYPE_CHECKING:
    from PIL import Image

    from imagenet_tools.display.pictures import SheetRow

_SUFFIXES = {".png": "png", ".html": "html"}
_LETTER_PIXELS = 8  # about the width of a letter in a terminal


@options.make_command("show")
@click.argument("target", metavar="[ID|SYNSET|FILE]", required=False)
@click.option("-n", "n", type=click.IntRange(1), metavar="N", default=12, show_default=True, help="Images of a sheet.")
@click.option("-o", "--output", type=options.PATH, help="Write to this .png or .html, which must not exist.")
@options.selection_options
@options.recipe_option
@options.root_option
def command(target: str | None, n: int, output: Path | None, recipe: Path | None) -> int:
    """Show an image or a contact sheet, with boxes.

    An ID of an image shows the image upright. A SYNSET, or nothing, shows images of the selection, a row a class,
    drawn by --seed. A FILE is any image file. The picture appears in the terminal if that is kitty, Ghostty, iTerm2,
    WezTerm, or one with sixels such as foot. Else it becomes a new file. The path of a file is printed.

    Examples:
        imagenet-tools show n01440764_10026
        imagenet-tools show dog -n 40 --boxed --seed 3
        imagenet-tools show --under dog --from val -o dogs.html
        imagenet-tools show photo.jpg

    Exit code 3: some images cannot be read or decoded; their places in the sheet say why.
    """
    from imagenet_tools.display import page, pictures, terminal
    from imagenet_tools.storage.files import write_whole

    form = options.format_by_suffix(output, _SUFFIXES)
    alone = None if target is None else _image(target, recipe)
    rows = _sheet(target, recipe, n, large=form == "html") if alone is None else []
    title = target or "Images"
    if form == "html":
        data = page.document(title, [page.tile_rows(rows) if alone is None else page.picture(alone, title)])
    else:
        picture = pictures.contact_sheet(rows) if alone is None else alone
        protocol = terminal.protocol(os.environ, is_terminal=sys.stdout.isatty())
        if output is None and protocol is not None and not options.as_json():
            pixels = max(terminal_columns() or 0, 40) * _LETTER_PIXELS
            picture.thumbnail((pixels, picture.height))
            sys.stdout.write(terminal.escape_codes(picture, protocol))
            return _code(rows)
        data = pictures.as_bytes(picture, "PNG")
    path = output or Path(tempfile.mkdtemp(prefix="imagenet-tools-"), re.sub(r"[^\w.-]", "_", title) + ".png")
    write_whole(path, data)
    captions = [tile.caption for row in rows for tile in row.tiles]
    options.show_result(str(path), {"path": str(path), "images": captions or [title]})
    return _code(rows)


def _code(rows: list[SheetRow]) -> int:
    """Return the exit code. A note says how many images could not be shown."""
    tiles = [tile for row in rows for tile in row.tiles]
    n_problems = sum(tile.picture is None for tile in tiles)
    if n_problems:
        note(f"note: {n_problems} of {count_of(len(tiles), 'image')} cannot be shown")
    return PROBLEMS if n_problems else DONE


def _image(target: str, recipe: Path | None) -> Image.Image | None:
    """Return the image that a text names: a file, or an image of the index; None for a synset.

    Raises:
        UsageError: There is no such image or synset, or an image beside flags that choose images.
    """
    from imagenet_tools.display.pictures import SMALL_PIXELS, upright

    words = options.chosen_words()
    if Path(target).is_file():
        try:
            picture = upright(Path(target).read_bytes(), least=SMALL_PIXELS)
        except FormatError as error:
            raise FormatError(f"{target}: {error}") from error
    else:
        index = options.open_index()
        try:
            index.resolve(target)
        except UnknownSynsetError as error:
            try:
                picture = index.image(target, dataset=next(iter(words.pop("dataset", ())), None)).show()
            except UsageError as image_error:
                raise UsageError(f"{image_error} Nor is it a synset: {error}") from None
        else:
            return None
    if words or recipe:
        flags = [word.flag for word in SELECTION if word.keyword in words] + (["--recipe"] if recipe else [])
        raise UsageError(f"Found {', '.join(flags)} beside the image {target}; expected them without an image.")
    return picture


def _sheet(target: str | None, recipe: Path | None, n: int, *, large: bool) -> list[SheetRow]:
    """Return the rows of a contact sheet of the selection; `large` for a page, which is shown on sharp screens."""
    from imagenet_tools.display.pictures import TILE
    from imagenet_tools.selection.show import sheet_rows

    index = options.open_index()
    selection = options.choose(index, recipe)
    if target is not None:
        selection = selection.under(options.note_sense(index.resolve(target)), *selection.choice.under)
    print_notes(selection)
    return sheet_rows(selection, n, fit=(2 * TILE[0], 2 * TILE[1]) if large else TILE)
