"""The image lists equal the published ones."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from imagenet_tools.catalogue import image_lists, labels, lists
from imagenet_tools.errors import UsageError

PUBLISHED = {
    "ilsvrc2012-val-blacklist": (1762, "04e5a75bf9e0244cb8ae7bf2d85554ab80b0f218ec35858e0bfee78cb5bdff56"),
    "ilsvrc2012-cmyk": (22, "8596861891c65873a2495fa877bcb826451a7dec0f9621950037466e1be10dd4"),
    "ilsvrc2012-png": (1, "04e77114a0c748c1eca0bdb629370881d848bcd5ba1a94af67f56a45e1194044"),
    "real-empty": (3163, "bd84e6158b0c3dee9a6d68afcb986f0391ae36d84d9e156a4d7055d866125404"),
    "real-multiple": (7443, "dab4cd2a65bde28c4962bbc53031612aed1aefcb8a9d4d562a8900844988641a"),
    "overlap-cub": (43, "6bb8a4b9534d30dea568ce2ec4793dd35a7207a8ec7da1ef49747dc217be75db"),
    "overlap-caltech101": (84, "c313b4cbfc11e0668a63e422cfe0c90785e565096f96b411348124d048ddee01"),
    "overlap-caltech256": (285, "d5e65f8dd5307c53b128cdd49f8eb9e58c979db7dae9e65f30f7302558c08633"),
    "imagenet-ood": (31802, "5d8de7cef930cadd6753730a7b4bd21e745eb6d9e02469d06d867ad3a37af6e5"),
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
    with pytest.raises(UsageError, match=r"There are ilsvrc2012-val-blacklist, ilsvrc2012-cmyk"):
        image_lists.get("nothing such")
    with pytest.raises(UsageError, match="is left out"):
        image_lists.get("imagenet2012-fewshot")


def test_a_list_names_its_data_set_and_the_blacklist_goes_by_its_short_name() -> None:
    found = image_lists.get(" Blacklist ")
    assert (found.name, found.dataset, len(found)) == ("ilsvrc2012-val-blacklist", "ilsvrc2012", 1_762)
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


def test_overlaps_and_images_that_are_no_rgb_jpegs_equal_the_names_at_hand(real: Path) -> None:
    def names_in(text: str) -> list[str]:
        return re.findall(r"(n\d{8}_\d+)\.JPEG", text)

    page = names_in((real / "lists/cmyk_and_png_names.md").read_text())
    assert [(len(page), page[-1])] == [(23, "n02105855_2933")]
    assert (*image_lists.get("ilsvrc2012-cmyk").images, *image_lists.get("ilsvrc2012-png").images) == tuple(page)
    union: set[str] = set()
    for name, file in (("cub", "CUBirds"), ("caltech101", "Caltech101"), ("caltech256", "Caltech256")):
        theirs = names_in((real / f"oracles/ImageNet_{file}_duplicates.txt").read_text())
        assert set(theirs) == set(image_lists.get(f"overlap-{name}").images)
        union.update(theirs)
    assert len(union) == 403
    # Meta-Dataset publishes the images of each class that are left.
    left = json.loads((real / "oracles/ilsvrc_2012_num_leaf_images.json").read_text())
    assert sum(left[wnid] for wnid in lists.get("ilsvrc2012").wnids) == 1_281_167 - 403


def test_lists_of_real_agree_with_its_labels() -> None:
    stems = [f"ILSVRC2012_val_{number:08d}" for number in range(1, 50_001)]
    by_stem = dict(zip(stems, image_lists.real_labels(), strict=True))
    assert image_lists.get("real-empty").images == tuple(stem for stem in stems if not by_stem[stem])
    assert image_lists.get("real-multiple").images == tuple(stem for stem in stems if len(by_stem[stem]) > 1)


def test_imagenet_ood_has_637_classes_beyond_the_1000() -> None:
    found = image_lists.get("imagenet-ood")
    classes = {stem[:9] for stem in found.images}
    assert (found.dataset, len(classes)) == ("imagenet21k", 637)
    assert classes <= set(lists.get("fall11").wnids) - set(lists.get("ilsvrc2012").wnids)


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
