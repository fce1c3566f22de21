#!/usr/bin/env python3
"""Make imagenet_tools/tables/wordnet, the facts of WordNet 3.0's noun synsets, from its dict folder.

    offset                           of the synset's line in data.noun, bytes: the digits of its wnid; sorted
    lemmas                           joined with a space, '_' for a space inside one
    sense                            place of the synset among the senses of its first lemma in index.noun, from 1
    lexfile                          number of its lexicographer file
    hypernyms, instance_hypernyms    offsets of the synsets that its pointers @ and @i name, in WordNet's order

    python data/make_wordnet.py /usr/share/wordnet

The dict is Princeton's; Debian's package wordnet-base installs it in /usr/share/wordnet. A line of data.noun:

    02084071 05 n 03 dog 0 domestic_dog 0 Canis_familiaris 0 023 @ 02083346 n 0000 ... | a member of the ...
    |        |    |  |     lemmas, each with a number (hex)  |   |                        gloss, not kept
    offset   |    |  first lemma                             |   pointer: @ hypernym, @i instance hypernym, ...
             |    number of lemmas, hex                      number of pointers
             lexicographer file

and of index.noun, where the place of an offset is the sense number:

    dog n 7 5 @ ~ #m #p %p 7 1 02084071 10114209 10023039 09886220 07676602 03901548 02710044
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from tables import write_columns

ROOT = Path(__file__).resolve().parent.parent
N_SYNSETS = 82_115
TYPES = {
    "offset": pa.int32(),
    "lemmas": pa.string(),
    "sense": pa.int16(),
    "lexfile": pa.int8(),
    "hypernyms": pa.list_(pa.int32()),
    "instance_hypernyms": pa.list_(pa.int32()),
}


class Synset(NamedTuple):
    """A row of the table; the fields are in the order of its columns."""

    offset: int
    lemmas: str
    sense: int
    lexfile: int
    hypernyms: list[int]
    instance_hypernyms: list[int]


def read_licence(data_noun: str) -> str:
    """Return the licence at the head of data.noun, without its line numbers."""
    numbered = (re.match(r"  \d+ (.*)", line) for line in data_noun.split("\n", 40))
    text = "".join(f"{match[1].rstrip()}\n" for match in numbered if match)
    if "WordNet 3.0 Copyright" not in text:
        raise SystemExit("data.noun does not begin with the licence of WordNet 3.0; another version has other offsets")
    return text


def read_senses(index_noun: str) -> dict[str, list[int]]:
    """Return the offsets of each lemma's synsets in the order of its senses, by the lemma in lower case."""
    senses = {}
    for line in index_noun.splitlines():
        if line.startswith("  "):
            continue
        lemma, _, n_synsets, *rest = line.split()
        senses[lemma] = [int(offset) for offset in rest[-int(n_synsets) :]]
    return senses


def read_synset(line: str, senses: dict[str, list[int]]) -> Synset:
    """Parse a line of data.noun; ValueError if it is not as drawn above."""
    fields = line.partition(" | ")[0].split()
    offset, lexfile, n_lemmas = int(fields[0]), int(fields[1]), int(fields[3], 16)
    lemmas = fields[4 : 4 + 2 * n_lemmas : 2]
    pointers = fields[4 + 2 * n_lemmas :]
    if fields[2] != "n" or int(pointers[0]) * 4 != len(pointers) - 1:
        raise ValueError(f"not a line of data.noun: {line[:60]}...")
    if any("(" in lemma for lemma in lemmas):
        raise ValueError(f"a syntactic marker, which nouns do not have: {lemmas}")
    targets: dict[str, list[int]] = {"@": [], "@i": []}
    for symbol, target in zip(pointers[1::4], pointers[2::4], strict=True):
        if symbol in targets:
            targets[symbol].append(int(target))
    sense = senses[lemmas[0].lower()].index(offset) + 1
    return Synset(offset, " ".join(lemmas), sense, lexfile, targets["@"], targets["@i"])


def make_columns(dict_dir: Path) -> tuple[dict[str, pa.Array], str]:
    """Return the columns of the table, and WordNet's licence."""
    data_noun = Path(dict_dir, "data.noun").read_text(encoding="ascii")
    senses = read_senses(Path(dict_dir, "index.noun").read_text(encoding="ascii"))
    licence = read_licence(data_noun)
    lines = [line for line in data_noun.split("\n") if line and not line.startswith("  ")]
    rows = sorted(read_synset(line, senses) for line in lines)
    if len(rows) != N_SYNSETS:
        raise SystemExit(
            f"data.noun has {len(rows):,} synsets; WordNet 3.0 has {N_SYNSETS:,}: cut short, or another version"
        )
    values = zip(*rows, strict=True)
    return {
        name: pa.array(list(column), kind) for (name, kind), column in zip(TYPES.items(), values, strict=True)
    }, licence


def main() -> None:
    """Read the arguments; write the columns and the licence."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("dict_dir", type=Path, help="a WordNet 3.0 dict folder, such as /usr/share/wordnet")
    columns, licence = make_columns(parser.parse_args().dict_dir)
    write_columns("wordnet", columns)
    (ROOT / "LICENSES/WordNet-3.0.txt").write_text(licence, encoding="ascii")


if __name__ == "__main__":
    main()
