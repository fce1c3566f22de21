"""The orders of an export's images, held against the sentences that say what they are, worked out by the engine."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

import imagenet_tools
from imagenet_tools.catalogue import lists
from imagenet_tools.exports import blocks, orders, pieces
from imagenet_tools.exports.plan import Plan
from imagenet_tools.selection.selection import Selection
from imagenet_tools.selection.splits import draw
from tests.forms.written_index import image, write
from tests.parameters import short_list

BLOCK, WINDOW = 1 << 20, 256 << 20

# The orders as SQL over the chosen images, here called rows.
LIES = 'source, file, "offset", dataset, image_id'
DRAWN = "draw(draw(hash32, 7), 1), dataset, image_id"
EXPECTED = {
    "none": "SELECT * FROM rows ORDER BY split, wnid, dataset, image_id",
    "full": f"SELECT * FROM rows ORDER BY split, {DRAWN}",
    "block": f"""
        SELECT * FROM (
            SELECT *, (sum(length) OVER (PARTITION BY split ORDER BY draw(block::UINTEGER, 7), block, {LIES}) - length)
                      // {WINDOW} AS win
            FROM (SELECT *, (sum(length) OVER (PARTITION BY split ORDER BY {LIES}) - length) // {BLOCK} AS block
                  FROM rows))
        ORDER BY split, win, {DRAWN}""",
}


@pytest.fixture(scope="module")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> Selection:
    """9,000 images of 30 classes and some 3 GB, in two files in neither of which they lie by class."""
    wnids = sorted(lists.get("ilsvrc2012").wnids)[:30]
    rows = []
    for n in range(9_000):
        wnid = wnids[n * 7 % 30]
        length = 1_000 + n * 7_919 % 700_000
        place = {"source": "set", "file": f"{n % 2}.tar", "offset": n * 6_007 % 9_001 * 1_000_000, "length": length}
        rows.append(image(f"{wnid}_{n}", wnid, "train" if n % 5 else "val", **place))
    index = imagenet_tools.open_index(write(tmp_path_factory.mktemp("orders") / "index", rows))
    return index.select(seed=7)


def cut(plan: Plan, folder: Path) -> list[tuple[str, str]]:
    """(split, image) of every row of the pieces, in their order."""
    folder.mkdir()
    made = pieces.cut(plan.together, folder)
    assert sorted(path.name for path in folder.iterdir()) == ["pieces.json", "rows.arrow"]
    assert sum(one.images[0] for one in made.pieces) == plan.images()
    batches = [batch for n in range(len(made.pieces)) for batch in made.columns(n)]
    return [pair for batch in batches for pair in zip(batch["split"], batch["image_id"], strict=True)]


@pytest.mark.parametrize("shuffle", list(EXPECTED))
@pytest.mark.parametrize("small", short_list([False, True], True))
def test_each_order_is_the_one_that_is_said(
    chosen: Selection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shuffle: str, small: bool
) -> None:
    """Also where memory holds few rows, and the others wait in files."""
    if small:
        monkeypatch.setattr(orders, "MEMORY_BYTES", 24 << 20)
    found = cut(imagenet_tools.plan_export(chosen, to="webdataset", shuffle=shuffle), tmp_path / "made")
    rows = chosen.run(
        f", rows AS (FROM made WHERE left_out IS NULL) SELECT split, image_id FROM ({EXPECTED[shuffle]})"
    ).fetchall()
    assert found == rows
    assert len(rows) == 9_000


def _blocks_in_python(rows: list[dict[str, Any]], block_bytes: int, window_bytes: int) -> list[tuple[str, str]]:
    """(data set, image) of rows in the order of blocks, worked out one by one."""
    order = []
    for split in sorted({row["split"] for row in rows}):
        own = [row for row in rows if row["split"] == split]
        own.sort(
            key=lambda row: (
                row["source"],
                row["file"],
                row["member"].partition(".tar")[0] if ".tar" in row["member"] else "",
                row["position"] if row["offset"] is None else row["offset"],
                row["dataset"],
                row["image_id"],
            )
        )
        befores = itertools.accumulate((row["length"] for row in own), initial=0)
        of_block: dict[int, list[dict[str, Any]]] = {}
        for row, before in zip(own, befores, strict=False):
            of_block.setdefault(before // block_bytes, []).append(row)
        taken = 0
        for number in sorted(of_block, key=lambda number: (draw(number, 7), number)):
            for row in of_block[number]:
                drawn = draw(draw(row["hash32"], 7), 1)
                order.append((split, taken // window_bytes, drawn, row["dataset"], row["image_id"]))
                taken += row["length"]
    return [row[3:] for row in sorted(order)]


@pytest.mark.parametrize("packed", [False, True])
def test_blocks_are_those_of_a_plain_python_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    """Two data sets of the same photos at the same places, two splits, in several files or streams of one file."""
    wnids = sorted(lists.get("ilsvrc2012").wnids)[:5]
    rows = []
    for n in range(400):
        wnid = wnids[n * 7 % 5]
        place = {"source": "ab"[n % 2], "file": f"{n % 3}.tar", "length": 1_000 + n * 7_919 % 30_000, "member": "x"}
        where = n * 37 % 101 * 1_000  # four images at the same place
        if packed:
            member = f"{wnid}.tar.gz/{n}.JPEG"
            place |= {"offset": None, "position": where, "compression": "tar.gz", "member": member}
        else:
            place |= {"offset": where, "position": None}
        split = "train" if n % 5 else "val"
        for dataset, end in (("ilsvrc2012", "a"), ("fall11", "c"), ("other", "b")):
            rows.append(image(f"{wnid}_{n}{end}", wnid, split, dataset=dataset, photo=f"{wnid}_{n}", **place))
    index = imagenet_tools.open_index(write(tmp_path / "index", rows))
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 100_000)
    monkeypatch.setattr(blocks, "WINDOW_BYTES", 300_000)
    monkeypatch.setattr(blocks, "_TAKEN_AT_ONCE", 100)
    monkeypatch.setattr(orders, "_PACKED_BLOCKS", 2)
    plans = [
        imagenet_tools.plan_export(chosen, to="csv", shuffle="block")
        for chosen in (index.select(seed=7), index.select(seed=7, where="length > 9000"))
    ]
    expected = _blocks_in_python(rows, 100_000 * (2 if packed else 1), 300_000)
    for together in (plans[:1], plans):
        folder = tmp_path / str(len(together))
        folder.mkdir()
        cut_pieces = pieces.cut(together, folder)
        batches = [batch for n in range(len(cut_pieces.pieces)) for batch in cut_pieces.columns(n)]
        keys = [key for batch in batches for key in zip(batch["dataset"], batch["image_id"], strict=True)]
        assert keys == expected


def test_a_target_that_takes_fewer_images_shares_the_rows_of_one_that_takes_more(
    chosen: Selection, tmp_path: Path
) -> None:
    fewer = chosen.where("length > 300000")
    wide, narrow = (imagenet_tools.plan_export(one, to="webdataset", shuffle="full") for one in (chosen, fewer))
    made = pieces.cut([narrow, wide], tmp_path)
    batches = [batch for n in range(len(made.pieces)) for batch in made.columns(n)]
    bits = {one: bit for batch in batches for one, bit in zip(batch["image_id"], batch["targets"], strict=True)}
    assert len(bits) == sum(one.images[1] for one in made.pieces) == wide.images()
    assert sum(bit == 3 for bit in bits.values()) == sum(one.images[0] for one in made.pieces) == narrow.images()
    sizes = json.loads((tmp_path / "pieces.json").read_text())
    assert pieces.count([narrow, wide]) == {
        split: sum(one["split"] == split for one in sizes) for split in ("train", "val")
    }
