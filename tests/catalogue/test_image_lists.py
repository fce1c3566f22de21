"""The image lists equal the published ones."""

import json
from collections import Counter
from pathlib import Path

import pytest

from imagenet_tools.catalogue import image_lists, labels, lists
from imagenet_tools.errors import UsageError

PUBLISHED = {
    "ilsvrc2012-val-blacklist": (1762, "04e5a75bf9e0244cb8ae7bf2d85554ab80b0f218ec35858e0bfee78cb5bdff56"),
    "simclr-1pct": (12811, "c8c6709aad07061c05b756a397f8159e9cadb7cb23f33c633eb9a5a2c2461900"),
    "simclr-10pct": (128116, "660ab0939dda27e3370d63a35524c037d4404788036b7a5de0aacab399cafbdc"),
    "msn-1shot-1": (1000, "3d21268fb8648ab5233a5d8d86a9f0cce5101081c988be4f345a378d86d3f10a"),
    "msn-2shot-1": (2000, "fc8b0151e2bdeb07e42e5dc52e08af3abea7527e0292a1f9e70ce8e52ab4f003"),
    "msn-5shot-1": (5000, "c49999bb10cee2ec959b12823e018d644797fdf6f2585fd7e0f3645e2ece5c69"),
    "msn-1shot-2": (1000, "13fceb3844074faf144991293722a69968b2d54665b51a3317484fc4bed82a6c"),
    "msn-2shot-2": (2000, "67a5453273332ade4765652fd611e85fae584d508dc449e3b50be2e848bfabfc"),
    "msn-5shot-2": (5000, "dc824dd113f47f37d25d4d3e1cdb0f450852605a63c507b14551e3764ecc89c4"),
    "msn-1shot-3": (1000, "31ea6afac691b90a00e454e2c7c3c2958a847ffdefb7a0af68289cb022327cfc"),
    "msn-2shot-3": (2000, "ca49593a2c84f0f34a512c6e7938ef5b77a6129b063cb541afac9252b376e49c"),
    "msn-5shot-3": (5000, "e275fcfa0808e87ca513daa56ee96c65377004126910976605e4ed98c167fdab"),
}


def test_these_lists_and_no_others_are_there_unchanged() -> None:
    assert {
        name: (len(image_lists.get(name)), image_lists.get(name).sha256) for name in image_lists.names()
    } == PUBLISHED


def test_an_unknown_list_is_refused_with_what_there_is() -> None:
    with pytest.raises(UsageError, match=r"Close to it are .*simclr-1pct"):
        image_lists.get("simclr")
    with pytest.raises(UsageError, match=r"There are ilsvrc2012-val-blacklist, simclr-1pct"):
        image_lists.get("nothing such")
    with pytest.raises(UsageError, match="is left out"):
        image_lists.get("imagenet2012-fewshot")


def test_a_list_names_its_data_set_and_the_blacklist_goes_by_its_short_name() -> None:
    found = image_lists.get(" Blacklist ")
    assert (found.name, found.dataset, len(found)) == ("ilsvrc2012-val-blacklist", "ilsvrc2012", 1_762)
    assert "inferred" in found.title
    assert found.images[0] == "ILSVRC2012_val_00000036"
    assert image_lists.get("simclr-1pct").images[:1] == ("n01440764_36",)


def per_class(name: str) -> Counter[str]:
    return Counter(stem[:9] for stem in image_lists.get(name).images)


def test_training_lists_draw_on_every_class_and_lie_within_each_other() -> None:
    classes = set(lists.get("ilsvrc2012").wnids)
    sizes = {"simclr-1pct": {12, 13}, "simclr-10pct": {128, 129}}
    sizes |= {f"msn-{n}shot-{draw}": {n} for n in (1, 2, 5) for draw in (1, 2, 3)}
    for name, wanted in sizes.items():
        assert set(per_class(name)) == classes
        assert set(per_class(name).values()) == wanted
    assert set(image_lists.get("simclr-1pct").images) < set(image_lists.get("simclr-10pct").images)
    for draw in (1, 2, 3):
        one, two, five = (set(image_lists.get(f"msn-{n}shot-{draw}").images) for n in (1, 2, 5))
        assert one < two < five


def test_the_blacklist_equals_the_names_at_hand(real: Path) -> None:
    names = (real / "ilsvrc2012/val_blacklist_names.txt").read_text().split()
    assert [name.removesuffix(".JPEG") for name in names] == list(image_lists.get("ilsvrc2012-val-blacklist").images)


def test_real_labels_have_the_published_counts() -> None:
    found = image_lists.real_labels()
    assert len(found) == 50_000
    assert (sum(not one for one in found), sum(len(one) > 1 for one in found)) == (3_163, 7_443)
    assert max(map(len, found)) == 9
    agreed = sum(truth in one for truth, one in zip(labels.validation_wnids(), found, strict=True))
    assert 0.85 < agreed / 46_837 < 0.95


def test_real_labels_equal_the_published_file(real: Path) -> None:
    by_index = lists.get("ilsvrc2012").wnids
    theirs = json.loads((real / "lists/real.json").read_text())
    assert [tuple(by_index[index] for index in one) for one in theirs] == list(image_lists.real_labels())
