"""Stream the chosen images of all targets of a pass in the order of the export, by one DuckDB query.

    --shuffle none      by split, class, data set and image id. If images are in Parquet pages or gzip streams: by split
                        and place in the sources, because any other order decodes a row group for each image
    --shuffle full      by split and a random number of each image
    --shuffle block     by split, window, and a random number of each image

For blocks, the images of a split are taken in the order of the sources and cut into blocks of 1 MiB. The blocks are
drawn at random, and each 256 MiB of drawn blocks are a window. The sources are so read in one pass of 1 MiB reads,
and neighbours in the export come from about 256 places of the sources.

Images that may take more than 1 GB to sort spill to a folder beside the rows. 14.2 million images in blocks took 81 s
of processor time; the whole process had 1.6 GiB at its peak.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from imagenet_tools.exports import blocks, boxes
from imagenet_tools.selection import recipe
from imagenet_tools.selection.query import Sql
from imagenet_tools.selection.splits import draw_sql
from imagenet_tools.store.connection import quoted
from imagenet_tools.store.store import Store

if TYPE_CHECKING:
    import pyarrow as pa

    from imagenet_tools.exports.plan import Plan
    from imagenet_tools.selection.selection import Selection

# Blocks are larger where a row group or a stretch of a gzip stream is decoded for each of them.
_PACKED_BLOCKS = 16

MEMORY_BYTES = 1 << 30
_SORTED_ROW_BYTES = 4096  # memory that the query takes for an image: a high estimate, not measured
_MAX_THREADS = 8  # each takes part of the memory; DuckDB advises 125 MB or more for one

COLUMNS = (
    "dataset", "image_id", "photo", "wnid", "official_wnid", "split", "official_split", "source", "file", "offset",
    "length", "member", "position", "compression", "width", "height", "mode", "encoding", "orientation",
)  # fmt: skip

# The order of images in sources: payload.reading_order in SQL. The streams of a tar of tar.gz are read one by one.
_STREAM = (
    "CASE WHEN compression LIKE 'tar.gz%' AND contains(member, '.tar') THEN split_part(member, '.tar', 1) ELSE '' END"
)
_PLACE = f'coalesce("offset", position, {(1 << 63) - 1})'


def choices(plans: Sequence[Plan]) -> list[tuple[Selection, int]]:
    """Return the different selections of the targets of one pass, each with the bits of the targets that it is of."""
    selections: list[Selection] = []
    for plan in plans:
        if plan.selection not in selections:
            selections.append(plan.selection)
    return [
        (selection, sum(1 << n for n, plan in enumerate(plans) if plan.selection == selection))
        for selection in selections
    ]


def ordered(plans: Sequence[Plan], cost: str, folder: Path) -> Iterator[pa.RecordBatch]:
    """Yield the images in order, each once.

    Args:
        plans: The plans of all targets of the pass.
        cost: SQL over the columns of images: the share of an image in the work.
        folder: Where rows spill to.

    Yields:
        Batches with COLUMNS, `field KEY`, targets (bit n is set if the n-th target takes the image), out_width,
        out_height, cost, and found: the boxes, a list of structs, or null.
    """
    options = plans[0].options
    columns = [*COLUMNS, *(f"field {key}" for key, _ in options.fields), "targets", "out_width", "out_height", "cost"]
    shuffle = options.shuffle if any(plan.writes.ordered for plan in plans) else "none"
    spill = folder / "spill"
    spill.mkdir(exist_ok=True)
    duckdb_keeps_rows = shuffle != "block" or len(choices(plans)) > 1
    if duckdb_keeps_rows and sum(plan.images() for plan in plans) * _SORTED_ROW_BYTES > MEMORY_BYTES:
        engine = _spilling_engine(plans[0].index, spill)
        plans = [replace(plan, selection=replace(plan.selection, index=engine)) for plan in plans]
    selection = plans[0].selection
    rows = _rows(plans, cost)
    # Images in containers of which a long stretch is decoded for each image.
    packed = any(counts.without_offset for plan in plans for counts in plan.sources)
    in_sources = f"source, file, {blocks.STREAM[-1]}, {blocks.PLACE}, dataset, image_id"
    order = {
        "none": f"ORDER BY split, {in_sources if packed else 'wnid, dataset, image_id'}",
        "full": f"ORDER BY split, {blocks.DRAWN}, dataset, image_id",
        "block": "",
    }
    class_of = {wnid: own for plan in plans if plan.boxes() for wnid, own in plan.selection.classes_of().items()}
    boxes_of = boxes.BoxesOf(plans[0].index, options, class_of) if class_of else None
    try:
        batches = _with_boxes(selection.read(f"FROM ({rows.text}) {order[shuffle]}", rows.values), boxes_of)
        if shuffle == "block":
            block_bytes = blocks.BLOCK_BYTES * (_PACKED_BLOCKS if packed else 1)
            path = spill / "rows.arrow"
            batches = blocks.in_blocks(batches, path, block_bytes=block_bytes, seed=_seed(selection))
        yield from (batch.select([*columns, "found"]) for batch in batches)
    finally:
        shutil.rmtree(spill, ignore_errors=True)


def _with_boxes(batches: Iterator[pa.RecordBatch], boxes_of: boxes.BoxesOf | None) -> Iterator[pa.RecordBatch]:
    """Yield batches with the column `found`."""
    import pyarrow as pa

    for batch in batches:
        yield batch.append_column("found", boxes_of.find(batch) if boxes_of else pa.nulls(len(batch)))


def _spilling_engine(index: Store, spill: Path) -> Store:
    """Open an index again, with a folder to spill to: a DuckDB has one such folder, and that of the index has none."""
    engine = Store(index.folder, roots=index.roots)
    threads = min(os.cpu_count() or 1, _MAX_THREADS)
    for setting in (
        f"temp_directory = {quoted(str(spill))}",
        f"memory_limit = '{MEMORY_BYTES}B'",
        f"threads = {threads}",
    ):
        engine.cursor().execute(f"SET GLOBAL {setting}")
    return engine


def _rows(plans: Sequence[Plan], cost: str) -> Sql:
    """Return the query of all images, each once, in no order."""
    options = plans[0].options
    fields = [f'{boxes.quoted(column)} AS "field {key}"' for key, column in options.fields]
    counted = ("images.hash32", "coalesce(images.n_boxes, 0) AS n_boxes")
    columns = ", ".join([*(f'images."{name}"' for name in COLUMNS), *counted, *fields])
    chosen = [
        selection.chosen(f"{columns}, {bits}::INTEGER AS targets", f"_of_{n}")
        for n, (selection, bits) in enumerate(choices(plans))
    ]
    text = " UNION ALL ".join(f"(FROM ({query.text}))" for query in chosen)
    if len(chosen) > 1:
        text = f"SELECT * EXCLUDE targets, sum(targets)::INTEGER AS targets FROM ({text}) GROUP BY ALL"
    width, height = options.size_sql()
    text = f"""SELECT * EXCLUDE (hash32, drawn), {width} AS out_width, {height} AS out_height, {cost} AS cost,
                      {draw_sql("drawn", 1)} AS {blocks.DRAWN}, {_STREAM} AS {blocks.STREAM[-1]},
                      {_PLACE} AS {blocks.PLACE}
               FROM (SELECT *, {draw_sql("hash32", _seed(plans[0].selection))} AS drawn FROM ({text}))"""
    return Sql(text, {name: value for query in chosen for name, value in query.values.items()})


def _seed(selection: Selection) -> int:
    """Return the seed of a selection; of a lock, that of the words that made it."""
    return int(recipe.tables(selection).get("seed", 0))
