"""NLTK's corpus `wordnet`, made of a WordNet 3.0 dict such as Debian's wordnet-base has."""

import os
import shutil
from pathlib import Path

from imagenet_tools.wordnet import wordnet

# What NLTK's reader opens, but for lexnames and index.sense, which wordnet-base leaves out.
FILES = [f"{kind}.{pos}" for kind in ("index", "data") for pos in ("noun", "verb", "adj", "adv")]
FILES += ["cntlist.rev", "noun.exc", "verb.exc", "adj.exc", "adv.exc"]


def dict_dir() -> Path:
    """Where the dict is expected: $WORDNET_DICT, or where Debian's wordnet-base puts it."""
    return Path(os.environ.get("WORDNET_DICT", "/usr/share/wordnet"))


def make(dict_dir: Path, corpus: Path) -> None:
    """Put into a new folder what NLTK's reader opens."""
    corpus.mkdir(parents=True)
    for name in FILES:
        shutil.copyfile(dict_dir / name, corpus / name)  # never linked: NLTK refuses what leads out of its folder
    parts_of_speech = {"noun": 1, "verb": 2, "adj": 3, "adv": 4}
    lines = [f"{i:02d}\t{name}\t{parts_of_speech[name[: name.index('.')]]}" for i, name in enumerate(wordnet.LEXFILES)]
    (corpus / "lexnames").write_text("\n".join(lines) + "\n")
    (corpus / "index.sense").touch()
