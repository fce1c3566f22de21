"""What class numbers mean is decided from names, and said to be undecided where two readings explain them."""

import pytest

from imagenet_tools.catalogue import lists
from imagenet_tools.images.numbering import read_numbers

FIRST = lists.get("ilsvrc2012").wnids[:20]


@pytest.mark.parametrize("list_name", ["ilsvrc2012", "fall11", "imagenet12k", "imagenet21k-p", "imagenet21k-goog"])
@pytest.mark.parametrize("base", [0, 1])
def test_a_published_order_and_its_base_are_told_by_a_few_names(list_name: str, base: int) -> None:
    order = lists.get(list_name).wnids
    found = read_numbers((wnid, order.index(wnid) + base) for wnid in order[:: len(order) // 12])
    assert found.labelling and found.labelling[1:] == (list_name, "wnid", base)
    assert f"in sorted order of {list_name}, from {base}: " in found.evidence


@pytest.mark.parametrize("base", [0, 1])
def test_the_devkits_order_is_not_taken_for_the_sorted_one(base: int) -> None:
    order = lists.get("ilsvrc2012-id").wnids
    found = read_numbers((wnid, order.index(wnid) + base) for wnid in FIRST)
    assert found.labelling and found.labelling[1:] == ("ilsvrc2012", "ilsvrc_id", base)


def test_a_few_wrong_labels_do_not_hide_the_order_and_most_do() -> None:
    pairs = [(wnid, n if n > 5 else n + 100) for n, wnid in enumerate(FIRST)]
    reading = read_numbers(pairs)
    assert reading.labelling and reading.labelling[1:] == ("ilsvrc2012", "wnid", 0)
    assert "14 of 20 names agree" in reading.evidence
    found = read_numbers((wnid, n if n > 11 else 700 - n) for n, wnid in enumerate(FIRST))
    assert found.labelling is None
    assert "of no known order (8 of 20 names agree with any)" in found.evidence
    assert not found.may_be("ilsvrc")


def test_what_two_orders_explain_is_said_to_be_undecided() -> None:
    p, winter21 = (lists.get(name).wnids for name in ("imagenet21k-p", "imagenet21k-p-winter21"))
    same = [(wnid, n) for n, (wnid, other) in enumerate(zip(p, winter21, strict=False)) if wnid == other]
    assert len(same) > 10
    found = read_numbers(same)
    assert found.labelling is None
    assert (
        "fit in sorted order of imagenet21k-p, from 0 and in sorted order of imagenet21k-p-winter21" in found.evidence
    )
    assert "not decided" in found.evidence
    apart = next((wnid, winter21.index(wnid)) for wnid in reversed(winter21))
    decided = read_numbers([*same, apart])
    assert decided.labelling and decided.labelling[1:] == ("imagenet21k-p-winter21", "wnid", 0)


def test_no_numbers_are_nobodys() -> None:
    found = read_numbers([])
    assert found.labelling is None
    assert found.may_be("ilsvrc")
