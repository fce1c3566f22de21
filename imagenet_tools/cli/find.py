"""The command find: look up synsets by word, name, wnid or class index. It needs no data."""

from __future__ import annotations

import click

import imagenet_tools
from imagenet_tools.cli import DONE, FAILED, options
from imagenet_tools.cli.printing import note, print_json, print_table
from imagenet_tools.text import are


@options.make_command("find", asks_index=False)
@click.argument("text")
@click.option(
    "-n", "--limit", type=click.IntRange(1), metavar="N", default=20, show_default=True, help="Maximum synsets."
)
def command(text: str, limit: int) -> int:
    """Find synsets by word, name, wnid or class index.

    Searches all 82,115 noun synsets of WordNet 3.0 for TEXT. No index is needed.

    Examples:
        imagenet-tools find tabby
        imagenet-tools find 281
        imagenet-tools find n02123045
    """
    from imagenet_tools.catalogue.terms import close_lemmas
    from imagenet_tools.wordnet import nltk_bridge

    synsets = imagenet_tools.find(text, limit=limit)
    glosses = nltk_bridge.glosses_at_hand(synset.wnid for synset in synsets)
    if options.as_json():
        print_json([synset._asdict() | {"gloss": glosses.get(synset.wnid)} for synset in synsets])
    spelled = text.strip().casefold().replace(" ", "_")
    begins = any(f"_{spelled}" in f"_{lemma}".casefold() for synset in synsets for lemma in synset.lemmas)
    if not begins and all(synset.why.startswith("its lemma") for synset in synsets) and (close := close_lemmas(text)):
        note(f"No word of WordNet 3.0 begins with {text!r}. Close to it {are(len(close))} {', '.join(close)}.")
    if not synsets:
        note(f"No synset of WordNet 3.0 matches {text!r}. Expected a word or part of it, a name, a wnid or a number.")
        return FAILED
    if not options.as_json():
        head = ("wnid", "name", "index", "id", "classes", "lemmas", "matches")
        rows = [
            (s.wnid, s.name, s.ilsvrc2012_index, s.ilsvrc_id, s.classes, ", ".join(s.lemmas), s.why) for s in synsets
        ]
        print_table(head, rows)
        note("index: in ILSVRC2012's sorted order, from 0; id: ILSVRC2012_ID; classes: ILSVRC2012's at or below")
        for synset in synsets:
            if synset.wnid in glosses:
                click.echo(f"{synset.name}: {glosses[synset.wnid]}")
    return DONE
