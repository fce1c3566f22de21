"""The bridge to NLTK's WordNet both ways, and glosses, which the package does not bundle.

Only what is asked for here needs NLTK and its corpus `wordnet`, version 3.0, and only this module imports them.
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


def to_nltk(text: str) -> nltk_wordnet.Synset:
    """NLTK's Synset of a wnid or a name. SourceError where NLTK's corpus is absent or of another version.

    NLTK's reader is not safe for threads: it shares one file between them.
    """
    return _corpus().synset_from_pos_and_offset("n", int(wordnet.load().offsets[wordnet.row_of(text)]))


def from_nltk(synset: nltk_wordnet.Synset) -> str:
    """The wnid of NLTK's Synset. UnknownSynsetError: not a noun; SourceError: of another version of WordNet."""
    if synset.pos() != "n":
        raise UnknownSynsetError(f"{synset.name()} is no noun; wnids are given to nouns alone.")
    wnid = f"n{synset.offset():08d}"
    row = wordnet.find_row(wnid)
    here = "no synset" if row is None else wordnet.names()[row]
    if here != synset.name():
        raise SourceError(
            f"{synset.name()} stands at {wnid}, which is {here} in WordNet 3.0: it comes from another version. "
            "Use nltk.corpus.wordnet, not wordnet31 or english_wordnet."
        )
    return wnid


# ---- glosses


def glosses_from_nltk(wnids: Iterable[str] | None = None) -> Iterator[tuple[str, str]]:
    """(wnid, gloss) out of NLTK's corpus `wordnet`, of all synsets in their order or of those named.

    A gloss is WordNet's: the definition and the examples as they stand. SourceError where the corpus is absent or
    of another version.
    """
    import nltk.data

    try:
        # The file itself: NLTK's reader would first load every index of the corpus.
        with nltk.data.find("corpora/wordnet/data.noun").open() as file:
            data = file.read()
    except LookupError as error:
        raise SourceError(f"NLTK has no corpus `wordnet` here, version 3.0 expected. {_HOW}") from error
    return _glosses(data, "NLTK's corpus wordnet", wnids)


def glosses_at_hand(wnids: Iterable[str]) -> dict[str, str]:
    """The glosses of synsets by wnid where NLTK's corpus lies, else nothing; read without NLTK, which loads slowly."""
    data = _data_at_hand()
    try:
        return dict(_glosses(data, "NLTK's corpus wordnet", wnids)) if data else {}
    except SourceError:  # of another version: its glosses are of other synsets
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
            except (KeyError, zipfile.BadZipFile):  # a download that broke off
                continue
    return b""


# Where NLTK looks below sys.prefix, /usr and /usr/local.
_NLTK_PLACES = ("nltk_data", "share/nltk_data", "lib/nltk_data")


def glosses_from_dict(dict_dir: str | Path, wnids: Iterable[str] | None = None) -> Iterator[tuple[str, str]]:
    """(wnid, gloss) out of the data.noun of a WordNet 3.0 dict folder, like glosses_from_nltk."""
    path = Path(dict_dir, "data.noun")
    if not path.is_file():
        raise SourceError(f"{path} does not exist; expected it in the dict folder of WordNet 3.0. {_HOW}")
    return _glosses(path.read_bytes(), str(path), wnids)


def _glosses(data: bytes, where: str, wanted: Iterable[str] | None) -> Iterator[tuple[str, str]]:
    """The glosses of data.noun; SourceError at once where it is not WordNet 3.0's or is cut short."""
    # Every offset differs in another version, so that a few tell it; the last one tells a file that is cut short.
    for wnid in wordnet.wnids_of([0, len(wordnet.load().offsets) // 2, -1]):
        _gloss(data, wnid, where)
    chosen = wordnet.wnids() if wanted is None else wordnet.wnids_of(wordnet.rows_of(wanted))
    return ((wnid, _gloss(data, wnid, where)) for wnid in chosen)


def _gloss(data: bytes, wnid: str, where: str) -> str:
    start = int(wnid[1:])
    synset, _, gloss = data[start : data.find(b"\n", start)].decode(errors="replace").partition(" | ")
    if not synset.startswith(f"{wnid[1:]} ") or not gloss:
        raise SourceError(
            f"{where} is cut short, damaged, or not WordNet 3.0: expected {wnid} and its gloss at byte {start:,} of "
            f"data.noun, found {synset[:40]!r}. {_HOW}"
        )
    return gloss.strip()


@functools.cache
def _corpus() -> nltk_wordnet.WordNetCorpusReader:
    """NLTK's reader of its corpus `wordnet`, known to be version 3.0."""
    from nltk.corpus import wordnet as corpus

    glosses_from_nltk([])  # tells an absent corpus and another version
    corpus.ensure_loaded()
    return corpus
