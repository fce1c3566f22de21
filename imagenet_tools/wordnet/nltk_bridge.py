"""Convert synsets to and from NLTK's WordNet, and read glosses, which the package does not bundle.

Only this module imports NLTK. It needs NLTK's corpus `wordnet`, version 3.0.
"""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from imagenet_tools.errors import SourceError, UnknownSynsetError
from imagenet_tools.wordnet import wordnet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import nltk.corpus.reader.wordnet as nltk_wordnet

_HOW = "It is NLTK's corpus `wordnet`, nltk.download(\"wordnet\"), and the dict of Debian's package wordnet-base."
_NLTK_PLACES = ("nltk_data", "share/nltk_data", "lib/nltk_data")  # below sys.prefix, /usr and /usr/local


def to_nltk(text: str) -> nltk_wordnet.Synset:
    """Return NLTK's Synset of a wnid or a name.

    NLTK's reader is not safe for threads, as all of them share one file.

    Raises:
        UnknownSynsetError: No synset has this wnid or name.
        SourceError: NLTK's corpus is missing, or of another version.
    """
    return _corpus().synset_from_pos_and_offset("n", int(wordnet.load().offsets[wordnet.row_of(text)]))


def from_nltk(synset: nltk_wordnet.Synset) -> str:
    """Return the wnid of NLTK's Synset.

    Raises:
        UnknownSynsetError: Not a noun.
        SourceError: The synset is of another version of WordNet.
    """
    if synset.pos() != "n":
        raise UnknownSynsetError(f"{synset.name()} is no noun; expected a noun, as only nouns have wnids.")
    wnid = f"n{synset.offset():08d}"
    row = wordnet.find_row(wnid)
    name = "no synset" if row is None else wordnet.name_at(row)
    if name != synset.name():
        raise SourceError(
            f"{synset.name()} is at {wnid}, which is {name} in WordNet 3.0: it comes from another version. "
            "Use nltk.corpus.wordnet, not wordnet31 or english_wordnet."
        )
    return wnid


@functools.cache
def _corpus() -> nltk_wordnet.WordNetCorpusReader:
    from nltk.corpus import wordnet as corpus

    glosses_from_nltk([])  # raises SourceError if the corpus is missing or of another version
    corpus.ensure_loaded()
    return corpus


# ---- glosses


def glosses_from_nltk(wnids: Iterable[str] | None = None) -> Iterator[tuple[str, str]]:
    """Return an iterator of (wnid, gloss) from NLTK's corpus `wordnet`, for all synsets or for some.

    A gloss is WordNet's: the definition and the examples. SourceError is raised at once if the corpus is missing or of
    another version.
    """
    import nltk.data

    try:
        # Read the file directly: NLTK's reader would first load every index of the corpus.
        with nltk.data.find("corpora/wordnet/data.noun").open() as file:
            data = file.read()
    except LookupError as error:
        raise SourceError(f"NLTK has no corpus `wordnet` here, version 3.0 expected. {_HOW}") from error
    return _glosses(data, "NLTK's corpus wordnet", wnids)


def glosses_at_hand(wnids: Iterable[str]) -> dict[str, str]:
    """Return glosses by wnid from NLTK's corpus, without NLTK, which loads slowly; {} if there is no such corpus."""
    data = _data_at_hand()
    try:
        return dict(_glosses(data, "NLTK's corpus wordnet", wnids)) if data else {}
    except SourceError:  # another version, whose offsets mean other synsets
        return {}


def _data_at_hand() -> bytes:
    homes = [*os.environ.get("NLTK_DATA", "").split(os.pathsep), str(Path.home() / "nltk_data")]
    homes += [f"{prefix}/{place}" for prefix in (sys.prefix, "/usr", "/usr/local") for place in _NLTK_PLACES]
    for corpora in (Path(home, "corpora") for home in homes if home):
        if (corpora / "wordnet" / "data.noun").is_file():
            return (corpora / "wordnet" / "data.noun").read_bytes()
        if (corpora / "wordnet.zip").is_file():
            import zipfile

            try:
                with zipfile.ZipFile(corpora / "wordnet.zip") as archive:
                    return archive.read("wordnet/data.noun")
            except (KeyError, zipfile.BadZipFile):  # an interrupted download
                continue
    return b""


def glosses_from_dict(dict_dir: str | Path, wnids: Iterable[str] | None = None) -> Iterator[tuple[str, str]]:
    """Return an iterator of (wnid, gloss) from data.noun of a WordNet 3.0 dict folder, like glosses_from_nltk."""
    path = Path(dict_dir, "data.noun")
    if not path.is_file():
        raise SourceError(f"{path} does not exist; expected it in the dict folder of WordNet 3.0. {_HOW}")
    return _glosses(path.read_bytes(), str(path), wnids)


def _glosses(data: bytes, where: str, wanted: Iterable[str] | None) -> Iterator[tuple[str, str]]:
    """Return an iterator over the glosses of data.noun; SourceError at once if it is cut short or another version."""
    # Every offset differs in another version, so that three synsets are enough; the last one detects a short file.
    for wnid in wordnet.wnids_of([0, len(wordnet.load().offsets) // 2, -1]):
        _gloss(data, wnid, where)
    wnids = wordnet.wnids() if wanted is None else wordnet.wnids_of(wordnet.rows_of(wanted))
    return ((wnid, _gloss(data, wnid, where)) for wnid in wnids)


def _gloss(data: bytes, wnid: str, where: str) -> str:
    start = int(wnid[1:])
    synset, _, gloss = data[start : data.find(b"\n", start)].decode(errors="replace").partition(" | ")
    if not synset.startswith(f"{wnid[1:]} ") or not gloss:
        raise SourceError(
            f"{where} is cut short, damaged, or not WordNet 3.0: expected {wnid} and its gloss at byte {start} of "
            f"data.noun, found {synset[:40]!r}. {_HOW}"
        )
    return gloss.strip()
