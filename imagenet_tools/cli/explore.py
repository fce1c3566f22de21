"""The command explore: an index in the browser."""

from __future__ import annotations

import sys
import webbrowser
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from imagenet_tools.cli import DONE, PROBLEMS, options
from imagenet_tools.cli.printing import note
from imagenet_tools.errors import UsageError
from imagenet_tools.text import count_of


@options.make_command("explore")
@click.argument("index", required=False, type=options.PATH)
@click.option("--port", type=click.IntRange(0, 65_535), default=0, metavar="N", help="The port. Default: a free one.")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@click.option(
    "--predictions",
    multiple=True,
    type=options.EXISTING,
    metavar="FILE",
    help="Show predictions too: a file as `evaluate` reads it. Repeatable.",
)
@click.option("--export", "copy", type=options.PATH, metavar="DIR", help="Write a static copy of --under, and end.")
@click.option("--under", multiple=True, metavar="SYNSET", help="A synset of the static copy. Repeatable.")
@options.root_option
def command(
    index: Path | None,
    port: int,
    no_browser: bool,
    predictions: tuple[Path, ...],
    copy: Path | None,
    under: tuple[str, ...],
) -> int:
    """Explore an index in the browser.

    Opens a local website: the tree of synsets with counts, images with boxes, filters, SQL, and a builder of subsets.
    Only this machine can open it, with the token in the printed address. Nothing is loaded from the network. Ctrl-C
    ends it.

    Examples:
        imagenet-tools explore
        imagenet-tools explore imagenet.index --port 8000 --no-browser
        imagenet-tools explore --predictions resnet50.npy
        imagenet-tools explore --export dogs --under dog --under toy_dog

    Exit code 3: some images of a static copy cannot be shown; their pages have their facts.
    """
    if bool(under) != (copy is not None):
        raise UsageError("Expected --export DIR and --under SYNSET together: a static copy holds chosen synsets.")
    with ThreadPoolExecutor(1) as pool:  # DuckDB opens the index while this thread imports the server
        from imagenet_tools.explorer.views import open_site

        opening = pool.submit(open_site, index or options.index_path(), options.roots())
        try:
            from imagenet_tools.explorer import predictions as predicting
            from imagenet_tools.explorer import rendering, server
        except ModuleNotFoundError as error:
            raise UsageError(
                f"explore needs Starlette, uvicorn and Jinja2, and found no module {error.name}. "
                "Install them: pip install 'imagenet-tools[explore]'."
            ) from error
        rendering.compile_first_page()
        site = opening.result()
    site.models = predicting.load(list(predictions))

    if copy is not None:
        wnids = [options.note_sense(site.index.resolve(text)) for text in under]
        n_problems = server.copy(site, copy, wnids)
        options.show_result(str(copy), {"path": str(copy), "problems": n_problems})
        if n_problems:
            note(f"note: {count_of(n_problems, 'image')} cannot be shown; the pages have the facts and the reason")
        return PROBLEMS if n_problems else DONE

    def announce(address: str) -> None:
        options.show_result(address, {"address": address})
        sys.stdout.flush()
        note("Ctrl-C ends the website.")
        if not no_browser:
            webbrowser.open(address)

    server.serve(site, port=port, announce=announce)
    return DONE
