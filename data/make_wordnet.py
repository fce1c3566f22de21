#!/usr/bin/env python3
"""Make imagenet_tools/tables/wordnet.parquet, the facts of WordNet 3.0's noun synsets, from its dict folder.

Its columns are written beside it too, as imagenet_tools.tables.columns draws them.

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
import pyarrow.parquet as pq

from imagenet_tools.tables import columns

HOUSE = Path(__file__).resolve().parent.parent
N_SYNSETS = 82_115
SCHEMA = pa.schema(
    [
        pa.field("offset", pa.int32(), nullable=False),
        pa.field("lemmas", pa.string(), nullable=False),
        pa.field("sense", pa.int16(), nullable=False),
        pa.field("lexfile", pa.int8(), nullable=False),
        pa.field("hypernyms", pa.list_(pa.field("element", pa.int32(), nullable=False)), nullable=False),
        pa.field("instance_hypernyms", pa.list_(pa.field("element", pa.int32(), nullable=False)), nullable=False),
    ]
)
DESCRIPTION = (
    "The noun synsets of WordNet 3.0, sorted by offset. offset: of the synset's line in data.noun, bytes, and the "
    "digits of its wnid. lemmas: joined with a space, '_' for a space inside one. sense: place of the synset among "
    "those of its first lemma in index.noun, from 1. lexfile: number of its lexicographer file. hypernyms, "
    "instance_hypernyms: offsets of the synsets that its pointers @ and @i name, in WordNet's order."
)


class Synset(NamedTuple):
    """A row of the table, in the order of its columns."""

    offset: int
    lemmas: str
    sense: int
    lexfile: int
    hypernyms: list[int]
    instance_hypernyms: list[int]


def read_licence(data_noun: str) -> str:
    """The licence at the head of data.noun, without the line numbers that WordNet's reader needs before it."""
    numbered = (re.match(r"  \d+ (.*)", line) for line in data_noun.split("\n", 40))
    text = "".join(f"{found[1].rstrip()}\n" for found in numbered if found)
    if "WordNet 3.0 Copyright" not in text:
        raise SystemExit("data.noun does not begin with the licence of WordNet 3.0; its offsets would be others")
    return text


def read_senses(index_noun: str) -> dict[str, list[int]]:
    """The offsets of a lemma's synsets, in the order of its senses, by the lemma in lower case."""
    senses = {}
    for line in index_noun.splitlines():
        if line.startswith("  "):
            continue
        lemma, _, n_synsets, *rest = line.split()
        senses[lemma] = [int(offset) for offset in rest[-int(n_synsets) :]]
    return senses


def read_synset(line: str, senses: dict[str, list[int]]) -> Synset:
    """A line of data.noun as a row; ValueError where it is not as the drawing above."""
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


def make_table(dict_dir: Path) -> tuple[pa.Table, str]:
    """The table, with its description and WordNet's licence in the metadata, and the licence."""
    data_noun = Path(dict_dir, "data.noun").read_text(encoding="ascii")
    senses = read_senses(Path(dict_dir, "index.noun").read_text(encoding="ascii"))
    licence = read_licence(data_noun)
    lines = [line for line in data_noun.split("\n") if line and not line.startswith("  ")]
    rows = sorted(read_synset(line, senses) for line in lines)
    if len(rows) != N_SYNSETS:
        raise SystemExit(
            f"data.noun has {len(rows):,} synsets; WordNet 3.0 has {N_SYNSETS:,}: cut short, or another version"
        )
    metadata = {"description": DESCRIPTION, "source": "WordNet 3.0, data.noun and index.noun", "licence": licence}
    values = [list(column) for column in zip(*rows, strict=True)]
    return pa.table(values, schema=SCHEMA.with_metadata(metadata)), licence


def write_table(table: pa.Table, path: Path) -> None:
    """Write with every option that bears on the bytes stated, so that the same pyarrow gives the same file."""
    pq.write_table(
        table,
        path,
        version="2.6",
        row_group_size=N_SYNSETS,
        data_page_size=1 << 24,
        compression="zstd",
        compression_level=19,
        use_dictionary=False,
        write_statistics=False,
        column_encoding={
            "offset": "DELTA_BINARY_PACKED",
            "lemmas": "DELTA_LENGTH_BYTE_ARRAY",
            "sense": "DELTA_BINARY_PACKED",
            "lexfile": "PLAIN",
            "hypernyms.list.element": "PLAIN",
            "instance_hypernyms.list.element": "PLAIN",
        },
        store_schema=True,
    )


def main() -> None:
    """Read the arguments, write the table, its columns once more for numpy, and the licence."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("dict_dir", type=Path, help="a WordNet 3.0 dict folder, such as /usr/share/wordnet")
    parser.add_argument("-o", "--output", type=Path, default=HOUSE / "imagenet_tools/tables/wordnet.parquet")
    parser.add_argument(
        "--licence", type=Path, default=HOUSE / "LICENSES/WordNet-3.0.txt", help="where the licence goes"
    )
    arguments = parser.parse_args()
    table, licence = make_table(arguments.dict_dir)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    write_table(table, arguments.output)
    columns.write(table, arguments.output.with_suffix(""))
    arguments.licence.write_text(licence, encoding="ascii")
    print(f"{arguments.output}: {table.num_rows:,} synsets, {arguments.output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
