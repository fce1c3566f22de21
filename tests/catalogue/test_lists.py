"""The class lists equal the published ones, and agree with each other."""

import csv
import hashlib
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from imagenet_tools.catalogue import export_classes, lists
from imagenet_tools.containers import mat5
from imagenet_tools.errors import UsageError
from imagenet_tools.store import layout
from imagenet_tools.wordnet import hierarchy, wordnet

# How many classes, and the SHA-256 of their lines; data/lists.toml says where each was read and held against.
PUBLISHED = {
    "ilsvrc2012": (1000, "70002b0ff5de60a3a17a82dbfcff291931f96225ddf941ad2e182fc39e183d15"),
    "ilsvrc2012-id": (1000, "e85e4969a881deb8a8ba329357d033f7a664de8f1e099f593ad723bcf79bbfe5"),
    "ilsvrc2012-slim": (1000, "70002b0ff5de60a3a17a82dbfcff291931f96225ddf941ad2e182fc39e183d15"),
    "ilsvrc2010": (1000, "7adbc52548651885b4ab764c8cd3366ad3cb29947fa8e0cb2cf243f565de82de"),
    "fall11": (21841, "0ae24538751973797b29d8dec412b2bdc61bc4ec3ecd081eba0735804236bbd2"),
    "imagenet21k-goog": (21843, "66362bdedf36d933382edca5493fc562dcc17128ce36403c9e730a75f48cb2f2"),
    "imagenet22k-ms": (21842, "f2c7ac47500e1d1d70432d3cb2e2b2187c6880125439832bf4b4038f716ca278"),
    "imagenet12k": (11821, "f6483e79f18a9b670d43d915ddba40bbcaf82cfc4e92a07bd44057b9d44935f3"),
    "imagenet21k-p": (11221, "cd76d977daaa2f13a4a91fca0f53713f2f29675308d4ce0f0ee0e5b07a3164c6"),
    "imagenet21k-p-winter21": (10450, "f49dde3d69946b8635586432f34f35985f807d168286ce5fde746aac3a7d94c8"),
    "imagenet100-cmc": (100, "79f3f1552ccc478ce24bd934b4573625db584ddc1f4643ae23c994a94cb11397"),
    "imagenette": (10, "bbf5739ac32da1a75c7279e5d0df6b14017de2a5f5e99a3ddba915ede171741b"),
    "imagewoof": (10, "e0df343b334d68d2301c65f2c90bd60529d335360bd52130aff755513706bb34"),
    "tiny-imagenet-200": (200, "a36eb4b603007f1985cdfbfc5987166a2710b3c6f0f6d3e29636fc129bba527b"),
    "mini-imagenet": (100, "01be89a8f69ce3bf1f361d701c84ba5eb3b73993fdc56f30641256103dc45e57"),
    "tieredimagenet": (34, "374307eaa2fc87f4b9d241f07b64f88be46ae9ec0c5d8e61dc3a0766c97eb2bc"),
    "breeds-entity13": (13, "ade43e364131c331f7fcf8594ad516379cccf9bcf9c525667de5eaca18131430"),
    "breeds-entity30": (30, "868a094602aab07382e8348086af48e7f1d138f78f49ea99db631e80ff77106a"),
    "breeds-living17": (17, "94ce47cf57fc0ea46e4fe15407d944ba458a275874b01af1938d70d637362885"),
    "breeds-nonliving26": (26, "c1b6a75277b250a366b1e91a95e19da56b0763ee2dd8c6b60b492a1f07844d53"),
    "imagenet-a": (200, "9826a24166e74ce62fb87b27889874ca26917542c745712309d6e25855d63bc2"),
    "imagenet-o": (200, "29575307f17b6cb040fcd04fee2b5b7b0e43f7c55072fb05d4b33cc39fc60978"),
    "imagenet-r": (200, "a6a0729f7a99230280639cab6e51e01485a3b41a676ea35621a501c9d6e83ca4"),
    "imagenet-d": (113, "654c3e14c8ae7a8e03f3f82f803f3f8615dc8caba4db771905ef0cb6b0d53d10"),
    "ilsvrc-det200": (200, "38daf4125a7fe31c463a74cf173c5257a66f272fa9f7424da6c41aac532f947c"),
    "ilsvrc-vid30": (30, "a8d6d1b7e92984d025fda8d8b6a0057b0974a625fd388f89b39e22a378885649"),
    "imagenet-ood": (637, "acce8dd1e5eddc17b393af86235d3ca17eb3dce6aef264a91e33dab708636dec"),
    "imagenet-lvis997": (997, "8d405f88ef52710d59e7c62cfd6cba4dab89156d8297492362ca781edfedf5e8"),
    "lvis1203": (1203, "29043b9023b2a55c0ac329df251254c4a29ecbc07b05c655f09a51241ff8906b"),
    "model-vs-human16": (16, "4bf6541181304b0de38b7ca8663e71f30dac42763136bffa13278251c449e3b1"),
    "imagenet-x17": (17, "2256aad4277348fc4a8dd0341509b19a3c28ee29a5ab27f57afd99ed2dcecc64"),
    "objectnet113": (113, "f816454397b871fccd182a6a1298182c6e6cdea9c89c7fd215e016506e79aa15"),
    "voc20": (20, "89dfff88bd52c123b2c41e40af9b2538c78d4bc564dc3e17d6906724be7e9e24"),
    "coco80": (80, "1631a652ff5ab54d06cc306514aa9401cd6368f601ee7c676864e62fd28c2a65"),
    "cifar10": (10, "7de274499070859da373f96852c629f3ae743cd74092ed6fb3858153e5a3599f"),
    "cifar100": (100, "0411377bd577bcb730d3721a8c6fb18f9304b52ea84212d7a9021a6eed5c16e6"),
    "cifar100-coarse": (20, "b6a222bcb1e491b5513e1fd69d2f751e3539fd57b14df89b5501f6b85e950171"),
}
BREEDS = ("entity13", "entity30", "living17", "nonliving26")
ILSVRC = frozenset(lists.get("ilsvrc2012").wnids)


def test_these_lists_and_no_others_are_there() -> None:
    assert lists.names() == tuple(PUBLISHED)
    splits = [name for name in lists.names(parts=True) if "/" in name]
    assert len(splits) == 3 + 3 + 4 * 6


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_list_has_not_changed(name: str) -> None:
    assert (len(lists.get(name)), lists.get(name).sha256) == PUBLISHED[name]


@pytest.mark.parametrize("name", lists.names(parts=True))
def test_a_list_is_whole(name: str) -> None:
    """Its hash is the hash of its lines, its wnids are synsets, and its source is stated."""
    one = lists.get(name)
    lines = [f"{wnid}\n" for wnid in one.wnids]
    if one.categories:
        lines = [f"{each.name}\t{' '.join(each.members or each.synsets)}\n" for each in one.categories]
        assert one.wnids == tuple(wnid for each in one.categories for wnid in each.members or each.synsets)
        assert len(set(one.classes)) == len(one)
    assert hashlib.sha256("".join(lines).encode()).hexdigest() == one.sha256
    assert len(wordnet.rows_of(one.wnids)) == len(one.wnids)
    assert len(set(one.wnids)) == len(one.wnids) or name.startswith("cifar100")
    assert one.title and one.order and one.source
    assert len(one) == len(one.classes)


def test_names_are_found_without_regard_to_case_and_others_refused() -> None:
    assert lists.get(" ILSVRC2012 ") is lists.get("ilsvrc2012")
    with pytest.raises(UsageError, match="left out: the 19,167 classes"):
        lists.get("winter21")
    with pytest.raises(UsageError, match="left out: different lists bear this name"):
        lists.get("ImageNet-100")
    with pytest.raises(UsageError, match="its classes are those of ilsvrc2012"):
        lists.get("imagenet-1k")
    with pytest.raises(UsageError, match=r"left out: different lists .* nearest here are fall11 .*imagenet21k-goog"):
        lists.get("imagenet21k")
    with pytest.raises(UsageError, match=r"Close to it are .*imagenet21k-goog"):
        lists.get("imagenet21k-google")


# ---- what is known of them


def test_the_releases_hold_what_is_published_of_them() -> None:
    fall11 = set(lists.get("fall11").wnids)
    goog, ms = lists.get("imagenet21k-goog").wnids, lists.get("imagenet22k-ms").wnids
    assert set(goog) - fall11 == {"n03931044", "n09859684"} and fall11 <= set(goog)
    assert set(ms) - fall11 == {"n04399382"} and fall11 <= set(ms)
    assert ms.index("n04399382") == 850
    assert ms[:1000] == lists.get("ilsvrc2012").wnids and list(ms[1000:]) == sorted(ms[1000:])
    for name in ("ilsvrc2012", "fall11", "imagenet21k-goog", "imagenet12k", "imagenet21k-p", "imagenet21k-p-winter21"):
        assert list(lists.get(name).wnids) == sorted(lists.get(name).wnids)


def test_how_many_of_the_thousand_each_release_has() -> None:
    without = {
        "imagenet12k": "n02085782 n02089078 n02089867 n02091635 n02112706 n02113978 n04399382",
        "fall11": "n04399382",
        "imagenet21k-goog": "n04399382",
        "imagenet22k-ms": "",
    }
    without["imagenet21k-p"] = without["imagenet12k"] + " n02089973 n02108000"
    without["imagenet21k-p-winter21"] = without["imagenet21k-p"]
    for name, missing in without.items():
        assert set(missing.split()) == ILSVRC - set(lists.get(name).wnids), name
    assert len(ILSVRC & set(lists.get("ilsvrc2010").wnids)) == 640


def test_21k_p_lies_within_12k_and_winter21_lacks_persons_alone() -> None:
    whole, winter = set(lists.get("imagenet21k-p").wnids), set(lists.get("imagenet21k-p-winter21").wnids)
    persons = set(hierarchy.descendants("person.n.01"))
    assert whole < set(lists.get("imagenet12k").wnids) and winter < whole
    assert len(whole - winter) == 771 and whole - winter <= persons
    assert len(winter & persons) == 105
    assert len(persons & set(lists.get("fall11").wnids)) == 2_836


@pytest.mark.parametrize(
    "name", ["imagenet100-cmc", "imagenette", "imagewoof", "tiny-imagenet-200", "mini-imagenet", "imagenet-a"]
)
def test_a_subset_lies_within_ilsvrc2012(name: str) -> None:
    assert set(lists.get(name).wnids) <= ILSVRC


def test_detection_from_video_has_classes_of_detection_and_imagewoof_has_dogs() -> None:
    assert set(lists.get("ilsvrc-vid30").wnids) <= set(lists.get("ilsvrc-det200").wnids)
    assert all(hierarchy.is_a(wnid, "canine.n.02") for wnid in lists.get("imagewoof").wnids)


def test_parts_are_the_whole() -> None:
    for name, sizes in {"mini-imagenet": (64, 16, 20), "tieredimagenet": (351, 97, 160)}.items():
        parts = [lists.get(f"{name}/{part}").wnids for part in ("train", "val", "test")]
        assert tuple(map(len, parts)) == sizes
        assert sorted(wnid for part in parts for wnid in part) == sorted(lists.get(name).wnids)
    for task in BREEDS:
        sides = [lists.get(f"breeds-{task}/rand-{side}").wnids for side in ("source", "target")]
        assert not set(sides[0]) & set(sides[1])
        assert {*sides[0], *sides[1]} == set(lists.get(f"breeds-{task}").wnids) <= ILSVRC


def test_superclasses_of_tieredimagenet_are_true_ancestors() -> None:
    held = [
        hierarchy.is_a(wnid, one.synsets[0]) for one in lists.get("tieredimagenet").categories for wnid in one.members
    ]
    assert (sum(held), len(held)) == (608, 608)


def test_categories_of_other_data_sets() -> None:
    coco = {one.name: one for one in lists.get("coco80").categories}
    assert [one.number for one in coco.values()] == sorted({*range(1, 91)} - {12, 26, 29, 30, 45, 66, 68, 69, 71, 83})
    assert coco["stop sign"].synsets == () and "no stop sign" in coco["stop sign"].note
    assert coco["kite"].synsets == (wordnet.synset("kite.n.03").wnid,)
    voc = lists.get("voc20").classes
    assert list(voc) == sorted(voc) and voc[-1] == "tvmonitor"
    fine = lists.get("cifar100").classes
    assert list(fine) == sorted(fine) and fine[26] == "crab"
    coarse = {one.name: set(one.synsets) for one in lists.get("cifar100-coarse").categories}
    for one in lists.get("cifar100").categories:
        assert sum(set(one.synsets) <= synsets for synsets in coarse.values()) == 1


def test_the_categories_of_lvis_are_synsets_but_one_and_imagenet_lvis_is_in_them() -> None:
    lvis = lists.get("lvis1203").categories
    assert [one.number for one in lvis] == [*range(1, 1_204)] and [one.name for one in lvis][:2] == [
        "aerosol_can",
        "air_conditioner",
    ]
    assert [one.name for one in lvis if not one.synsets] == ["stop_sign"]
    number_of = {one.synsets[0]: one.number for one in lvis if one.synsets}
    assert len(number_of) == 1_202
    listed = [number_of[wnid] for wnid in lists.get("imagenet-lvis997").wnids]
    assert listed == sorted(listed) and set(lists.get("imagenet-lvis997").wnids) <= set(lists.get("fall11").wnids)


def test_the_classes_of_imagenet_ood_are_none_of_ilsvrc2012() -> None:
    classes = set(lists.get("imagenet-ood").wnids)
    assert not classes & ILSVRC and classes <= set(lists.get("fall11").wnids)


def test_the_groups_of_other_studies_have_the_published_numbers_of_classes() -> None:
    sizes = {
        name: {one.name: len(one.members) for one in lists.get(name).categories}
        for name in ("model-vs-human16", "imagenet-x17", "objectnet113")
    }
    human = sizes["model-vs-human16"]
    assert (sum(human.values()), human["dog"], human["knife"]) == (207, 109, 1)  # 207: Geirhos et al., 2019
    of_x = sizes["imagenet-x17"]
    assert (sum(of_x.values()), [*of_x][-1], of_x["dog"]) == (1_000, "other", 118)
    of_objectnet = sizes["objectnet113"]
    assert (sum(of_objectnet.values()), of_objectnet["chair"]) == (125, 3)
    for name in sizes:
        assert set(lists.get(name).wnids) <= ILSVRC
    # The metaclass of ImageNet-X is above its classes, by its own wnid.
    for one in lists.get("imagenet-x17").categories[:-1]:
        assert all(any(hierarchy.is_a(wnid, synset) for synset in one.synsets) for wnid in one.members), one.name


# ---- the label spaces


def test_label_spaces_count_from_where_they_say() -> None:
    assert lists.numbers_of("n02123045") == {
        "ilsvrc2012": 281,
        "ilsvrc2012-id": 174,
        "ilsvrc2012-slim": 282,
        "ilsvrc2010": 353,
        "fall11": 2397,
        "imagenet21k-goog": 2397,
        "imagenet22k-ms": 281,
        "imagenet12k": 1615,
        "imagenet21k-p": 1574,
        "imagenet21k-p-winter21": 1574,
    }
    assert list(lists.numbers_of("n04399382")) == ["ilsvrc2012", "ilsvrc2012-id", "ilsvrc2012-slim", "imagenet22k-ms"]
    assert lists.numbers_of("n00001740") == {}


@pytest.mark.parametrize("number", [0, 1, 281, 999, 1000, 1001, 10_450, 21_841, 21_843, -1])
def test_a_number_is_a_class_in_every_space_that_has_it(number: int) -> None:
    found = list(lists.numbered(number))
    here = [name for name in lists.SPACES if 0 <= number - lists.get(name).base < len(lists.get(name))]
    assert len(found) == len(here)
    for (wnid, words), name in zip(found, here, strict=True):
        assert lists.numbers_of(wnid)[name] == number
        assert str(number) in words


def test_a_list_of_one_s_own_is_known_again() -> None:
    assert lists.equal(lists.get("imagenet12k").wnids) == "imagenet12k"
    assert lists.equal(lists.get("ilsvrc2012-slim").wnids) == "ilsvrc2012"
    assert lists.equal(lists.get("mini-imagenet/val").wnids) == "mini-imagenet/val"
    assert lists.equal(lists.get("ilsvrc2012").wnids[::-1]) is None


# ---- the published sources


def test_ilsvrc2010_equals_its_devkit(real: Path) -> None:
    rows = mat5.read_structs((real / "oracles/ilsvrc2010_meta.mat").read_bytes())
    by_id = {int(row["ILSVRC2010_ID"] or 0): row["WNID"] for row in rows}
    assert tuple(by_id[number] for number in range(1, 1001)) == lists.get("ilsvrc2010").wnids


def test_breeds_equals_what_its_authors_code_draws(real: Path) -> None:
    splits = json.loads((real / "lists/breeds_splits.json").read_text())
    assert len(splits) == 16
    for name, task in splits.items():
        base, split = name.split("/")
        for side in ("source", "target") if split != "None" else ("source",):
            one = lists.get(f"breeds-{base}" + ("" if split == "None" else f"/{split}-{side}"))
            assert [list(each.members) for each in one.categories] == task[side]
            assert [each.name for each in one.categories] == list(task["label_map"].values())
            above = [each.synsets[0] if each.synsets else None for each in one.categories]
            assert above == [wnid if wnid.startswith("n") else None for wnid in task["superclasses"]]


def test_tieredimagenet_equals_its_csv_files(real: Path) -> None:
    for part in ("train", "val", "test"):
        with (real / f"lists/tieredImageNet/{part}.csv").open(newline="") as file:
            rows = {tuple(row) for row in csv.reader(file)}
        one = lists.get(f"tieredimagenet/{part}")
        assert {(wnid, each.synsets[0]) for each in one.categories for wnid in each.members} == rows


def test_12k_100_and_tiny_equal_their_sources(real: Path) -> None:
    assert (
        tuple(sorted(json.loads((real / "oracles/frequency_12k.json").read_text()))) == lists.get("imagenet12k").wnids
    )
    assert (real / "lists/imagenet100_cmc.txt").read_text().replace(",", " ").split() == list(
        lists.get("imagenet100-cmc").wnids
    )
    assert (real / "tiny-imagenet-200/wnids.txt").read_text().split() == list(lists.get("tiny-imagenet-200").wnids)


# ---- where the label spaces stand


def test_every_label_space_is_a_column_of_the_table_synsets() -> None:
    table = pq.read_table(layout.constant_file("synset_facts"))
    for name, column in lists.SPACES.items():
        one = lists.get(name)
        numbered = [
            (number, wnid)
            for number, wnid in zip(table[column].to_pylist(), table["wnid"].to_pylist(), strict=True)
            if number is not None
        ]
        assert sorted(numbered) == list(enumerate(one.wnids, one.base)), name


def test_classes_json_numbers_a_class_in_every_label_space_and_names_the_list_it_equals() -> None:
    wnids = lists.get("imagenette").wnids
    said = json.loads(export_classes.classes_json(export_classes.order_classes(wnids), {}, "wnid"))
    assert said["equals"] == "imagenette"
    assert said["sha256_of_wnid_lines"] == lists.get("imagenette").sha256
    assert [one["label_spaces"] for one in said["classes"]] == [lists.numbers_of(wnid) for wnid in wnids]
