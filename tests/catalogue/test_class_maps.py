"""Maps between class lists give the right targets, losses and scores."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagenet_tools import class_map
from imagenet_tools.catalogue import lists
from imagenet_tools.catalogue.lists import ClassList, from_wnids
from imagenet_tools.errors import UsageError
from imagenet_tools.wordnet import hierarchy, wordnet

ILSVRC = lists.get("ilsvrc2012").wnids
SEVEN = ("n02085782", "n02089078", "n02089867", "n02091635", "n02112706", "n02113978", "n04399382")


def test_12k_to_1k_says_what_is_lost() -> None:
    found = class_map("imagenet12k", "ilsvrc2012")
    assert found.lost == SEVEN
    assert len(found.dropped) == 11_821 - 993 and not found.merged and not found.above and not found.ambiguous
    assert (found.index == -1).sum() == 7
    for place in (0, 281, 999):
        assert found.a.wnids[found.index[place]] == ILSVRC[place]


def test_the_index_takes_a_model_s_logits() -> None:
    found = class_map("imagenet21k-goog", "ilsvrc2012")
    assert found.lost == ("n04399382",)
    logits = np.arange(2 * 21_843, dtype=np.float32).reshape(2, -1)
    taken = logits[:, found.index]
    assert taken.shape == (2, 1000)
    kept = np.flatnonzero(found.index >= 0)
    assert (found.scores(logits)[:, kept] == taken[:, kept]).all()
    assert np.isneginf(found.scores(logits)[:, found.index < 0]).all()
    labels = np.array([found.index[281], found.index[0]])
    assert found.target[labels].tolist() == [281, 0]


@pytest.mark.parametrize("a", list(lists.SPACES))
@pytest.mark.parametrize("b", ["ilsvrc2012", "ilsvrc2012-id", "ilsvrc2012-slim", "imagenet12k"])
def test_index_and_target_are_each_other_s_inverse(a: str, b: str) -> None:
    found = class_map(a, b)
    both = set(found.a.wnids) & set(found.b.wnids)
    assert (found.target >= 0).sum() == (found.index >= 0).sum() == len(both)
    kept = np.flatnonzero(found.index >= 0)
    assert (found.target[found.index[kept]] == kept).all()


def test_models_of_1001_outputs_have_a_background() -> None:
    found = class_map("ilsvrc2012-slim", "ilsvrc2012")
    assert found.target.shape == (1001,) and found.target[0] == -1
    assert found.index.tolist() == list(range(1, 1001))
    back = class_map("ilsvrc2012", "ilsvrc2012-slim")
    assert back.index[0] == -1 and back.lost == ()


def test_a_superclass_list_merges() -> None:
    found = class_map("ilsvrc2012", "breeds-living17")
    assert len(found.merged) == 17 and len(found.merged["salamander"]) == 4
    assert (found.target >= 0).sum() == 68 and not found.lost
    with pytest.raises(UsageError, match="4 classes of ilsvrc2012 become"):
        found.index  # noqa: B018
    scores = np.random.default_rng(0).random((3, 1000))
    columns = [np.flatnonzero(found.target == place) for place in range(17)]
    assert np.allclose(found.scores(scores), np.stack([scores[:, c].max(1) for c in columns], 1))
    assert np.allclose(found.scores(scores, merge="sum"), np.stack([scores[:, c].sum(1) for c in columns], 1))
    logs = np.log(np.stack([np.exp(scores[:, c]).sum(1) for c in columns], 1))
    assert np.allclose(found.scores(scores, merge="logsumexp"), logs)
    with pytest.raises(UsageError, match=r"Expected scores of shape \(n, 1000\)"):
        found.scores(scores[:, :999])


def test_a_part_of_a_split_is_a_list() -> None:
    source, target = (class_map("ilsvrc2012", f"breeds-living17/rand-{side}") for side in ("source", "target"))
    assert (source.target >= 0).sum() == (target.target >= 0).sum() == 34
    assert not ((source.target >= 0) & (target.target >= 0)).any()


# ---- categories given by synsets


def test_a_category_takes_what_lies_at_or_below_its_synsets() -> None:
    found = class_map("ilsvrc2012", "coco80")
    dogs = [wnid for wnid in ILSVRC if hierarchy.is_a(wnid, "dog.n.01")]
    assert found.merged["dog"] == tuple(dogs) and len(dogs) == 118
    assert {"stop sign", "giraffe", "kite", "fork"} <= set(found.lost)
    assert len(found.lost) == 23
    assert not found.ambiguous


@pytest.mark.parametrize(
    ("b", "synset", "category"),
    [
        ("coco80", "minivan.n.01", "car"),  # nearer to car than to truck, though below both
        ("coco80", "ambulance.n.01", None),  # kept out
        ("coco80", "microwave.n.02", "microwave"),
        ("coco80", "hotdog.n.02", "hot dog"),  # and a sandwich
        ("coco80", "kite.n.04", None),  # the bird is a bird
        ("voc20", "unicycle.n.01", "bicycle"),
        ("voc20", "police_van.n.01", None),
        ("cifar10", "pickup.n.01", None),
        ("cifar10", "minivan.n.01", "automobile"),
        ("cifar100", "killer_whale.n.01", "whale"),
        ("cifar100", "pickup.n.01", "pickup_truck"),
    ],
)
def test_the_nearest_decides(b: str, synset: str, category: str | None) -> None:
    wnid = wordnet.synset(synset).wnid
    found = class_map("ilsvrc2012", b)
    place = int(found.target[ILSVRC.index(wnid)])
    assert (found.b.classes[place] if place >= 0 else None) == (category or ("bird" if "kite" in synset else None))


def test_categories_map_to_categories() -> None:
    found = class_map("cifar100", "cifar100-coarse")
    assert found.target[lists.get("cifar100").classes.index("whale")] == 0
    assert not found.dropped
    assert class_map("coco80", "voc20").lost == ()


# ---- ancestors


def test_ancestors_take_what_has_no_class_of_its_own() -> None:
    plain, up = (class_map("fall11", "ilsvrc2012", ancestors=ancestors) for ancestors in (False, True))
    assert len(up.above) == 1_245  # fall11's classes strictly below one of ILSVRC2012's
    assert len(plain.dropped) - len(up.dropped) == 1_245
    for wnid, above in list(up.above.items())[::50]:
        assert hierarchy.is_a(wnid, above) and wnid != above


def test_a_class_as_near_to_two_goes_to_none_and_is_named() -> None:
    minivan, parents = wordnet.synset("minivan.n.01").wnid, wordnet.synset("minivan.n.01").hypernyms
    found = class_map(from_wnids("mine", [minivan]), from_wnids("two", parents), ancestors=True)
    assert found.ambiguous == {minivan: parents} and found.dropped == (minivan,)
    assert class_map(from_wnids("mine", [minivan]), from_wnids("one", parents[:1]), ancestors=True).above == {
        minivan: parents[0]
    }


FEW = wordnet.wnids_of(np.arange(0, 82_115, 900))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(FEW), min_size=1, unique=True), st.lists(st.sampled_from(FEW), min_size=1, unique=True))
def test_a_class_goes_to_itself_or_to_a_nearest_ancestor(a: list[str], b: list[str]) -> None:
    found = class_map(from_wnids("a", a), from_wnids("b", b), ancestors=True)
    for wnid, target in zip(a, found.target.tolist(), strict=True):
        above = [other for other in b if hierarchy.is_a(wnid, other)]
        if wnid in b:
            assert b[target] == wnid
        elif target >= 0:
            assert b[target] in above
        else:
            assert not above or set(found.ambiguous[wnid]) <= set(above)


# ---- what may be given


def test_a_list_is_a_name_a_file_or_some_classes(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("n02123045 tabby\nn01440764\n")
    for given_list in ("imagenette", str(path), "tabby,tench", lists.get("imagenette")):
        found = class_map(given_list, "ilsvrc2012")
        assert isinstance(found.a, ClassList) and not found.dropped
    assert class_map(str(path), "ilsvrc2012").target.tolist() == [281, 0]
    with pytest.raises(UsageError, match="No published class list is called 'nothing-such'"):
        class_map("nothing-such", "ilsvrc2012")
    with pytest.raises(UsageError, match="merge = 'mean'; expected one of max, sum, logsumexp"):
        class_map("imagenette", "ilsvrc2012").scores(np.zeros((1, 10)), merge="mean")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="n01440764 appears twice"):  # else its first place is lost
        class_map("imagenette", "tench,goldfish,tench")
    for name in lists.names(parts=True):
        assert len({*lists.get(name).classes}) == len(lists.get(name)), name
