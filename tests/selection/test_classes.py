"""Classes: chosen by synsets, lists and conditions; nested ones treated as asked; joined to superclasses; in order."""

from pathlib import Path

import pytest

from imagenet_tools.catalogue import lists
from imagenet_tools.errors import QueryError, UsageError
from imagenet_tools.index import Index
from imagenet_tools.superclasses import cuts, superclasses
from imagenet_tools.wordnet import hierarchy
from tests.forms.written_index import image
from tests.selection.conftest import Written

DOG = "n02084071"


def chosen(index: Index, **words: object) -> dict[str, int]:
    """Images by class."""
    found = index.select(**words).counts()  # type: ignore[arg-type]
    return {wnid: n for counted in found.values() for wnid, n in counted.items()}


def parents_of_others(wnids: set[str]) -> set[str]:
    """Those with another of them below, by walking up from each, edge by edge."""
    found: set[str] = set()
    for wnid in wnids:
        waiting = list(hierarchy.hypernyms(wnid))
        while waiting:
            one = waiting.pop()
            found |= {one} & wnids
            waiting += hierarchy.hypernyms(one)
    return found


def test_43_of_the_190_classes_below_dog_in_fall11_are_parents_of_others(fall11: Index) -> None:
    kept = fall11.select(under="dog.n.01")
    wnids = set(chosen(fall11, under="dog.n.01"))
    assert len(wnids) == 190
    assert len(parents_of_others(wnids)) == 43
    assert kept.notes()[0].startswith("43 of 190 classes have others of them below")
    assert set(chosen(fall11, under="dog.n.01", nested="keep")) == wnids


def test_nested_classes_are_left_out_merged_or_an_error(fall11: Index) -> None:
    wnids = set(chosen(fall11, under="dog.n.01"))
    parents = parents_of_others(wnids)
    leaves = fall11.select(under="dog.n.01", nested="leaves")
    assert set(leaves.counts()["train"]) == wnids - parents
    assert leaves.left_out() == {"under": (21_841 - 190) * 2, "nested": 43 * 2}
    assert chosen(fall11, under="dog.n.01", nested="merge") == {DOG: 380}
    # Without dog itself, each goes to the topmost class above it, and no image is lost.
    merged = chosen(fall11, under="dog.n.01", class_where=f"wnid <> '{DOG}'", nested="merge")
    assert sum(merged.values()) == 378
    assert not parents_of_others(set(merged))
    assert set(merged) == {wnid for wnid in wnids - {DOG} if not set(hierarchy.ancestors(wnid)) & (wnids - {DOG, wnid})}
    with pytest.raises(UsageError, match=r"--nested error: 43 of 190 classes .*n02084071 dog.n.01"):
        fall11.select(under="dog.n.01", nested="error").counts()
    assert chosen(fall11, under="chihuahua.n.03", nested="error") == {"n02085620": 2}


def test_a_class_below_several_topmost_ones_goes_to_the_nearest_and_it_is_said(written: Written) -> None:
    # A dog is a canine and a domestic animal, one edge below either: of equals the lower wnid.
    wnids = ("n02083346", "n01317541", DOG)
    index = written(image(f"{wnid}_1", wnid) for wnid in wnids)
    merged = index.select(nested="merge")
    assert merged.counts() == {"train": {"n01317541": 2, "n02083346": 1}}
    assert any("lies below n01317541 domestic_animal.n.01 and n02083346 canine.n.02" in one for one in merged.notes())


def test_also_under_asks_for_both(fall11: Index) -> None:
    both = set(chosen(fall11, under="canine.n.02", also_under="domestic_animal.n.01"))
    canines, tame = (set(chosen(fall11, under=one)) for one in ("canine.n.02", "domestic_animal.n.01"))
    assert both == canines & tame
    assert 0 < len(both) < len(canines)


def test_lists_files_and_conditions_choose_classes(fall11: Index) -> None:
    assert set(chosen(fall11, classes="imagenet100-cmc")) == set(lists.get("imagenet100-cmc").wnids)
    assert fall11.select(classes="imagenet100-cmc").wnids() == lists.get("imagenet100-cmc").wnids
    assert set(chosen(fall11, classes="tabby.n.01,n02085620")) == {"n02123045", "n02085620"}
    assert set(chosen(fall11, class_where="ilsvrc_id IS NOT NULL")) <= set(lists.get("ilsvrc2012").wnids)
    with pytest.raises(UsageError, match="imagenet100"):
        fall11.select(classes="imagenet100")
    with pytest.raises(QueryError, match="--class-where"):
        fall11.select(class_where="hieght > 2").counts()


def test_min_and_max_images_count_what_is_eligible(written: Written) -> None:
    index = written(
        [image(f"{wnid}_{k}", wnid, width=50 + k) for wnid, n in (("n02085620", 5), ("n02086079", 9)) for k in range(n)]
    )
    assert chosen(index, min_images=6) == {"n02086079": 9}
    assert chosen(index, max_images=6) == {"n02085620": 5}
    assert index.select(where="width < 53", min_images=4).left_out() == {"where": 8, "min_images": 6}
    assert index.select(classes="n02086079,n02123045,n02085620", min_images=1).wnids() == ("n02086079", "n02085620")


def test_classes_are_numbered_as_asked(fall11: Index) -> None:
    listed = ["n02123045", "n02085620", "n04355933"]
    assert fall11.select(classes=listed).wnids() == tuple(listed)
    assert fall11.select(classes=listed, order="wnid").wnids() == tuple(sorted(listed))
    ids = lists.get("ilsvrc2012-id").wnids
    assert fall11.select(classes=listed, order="ilsvrc-id").wnids() == tuple(sorted(listed, key=ids.index))
    with pytest.raises(UsageError, match=r"--order ilsvrc-id: .*no ILSVRC2012_ID, n02084071 dog.n.01"):
        fall11.select(classes="dog.n.01,n02085620", order="ilsvrc-id").wnids()
    with pytest.raises(UsageError, match="--order listed: found no list"):
        fall11.select(order="listed")


def test_superclasses_join_classes_by_a_list_a_file_or_synsets(fall11: Index, tables: Path) -> None:
    living = lists.get("breeds-living17")
    found = fall11.select(superclasses="breeds-living17")
    assert found.wnids() == tuple(one.synsets[0] for one in living.categories)
    assert found.counts() == {
        "train": {
            one.synsets[0]: 2 * len(one.members) for one in sorted(living.categories, key=lambda one: one.synsets)
        }
    }
    assert found.left_out() == {"superclasses": 2 * (21_841 - 68)}
    path = tables / "super.toml"
    made = cuts.cut(lists.get("ilsvrc2012").wnids, k=5, under="dog.n.01")
    superclasses.write(made, path)
    by_file = chosen(fall11, superclasses=str(path))
    assert by_file == {one.wnid: 2 * len(one.members) for one in made.superclasses}
    two = chosen(fall11, superclasses="dog.n.01,cat.n.01")
    assert two == {DOG: 2 * 190, "n02121620": 2 * len(chosen(fall11, under="cat.n.01"))}
    rows = fall11.select(superclasses="dog.n.01,cat.n.01").run(
        "SELECT DISTINCT wnid FROM made WHERE left_out IS NULL AND official_wnid = 'n02085620'"
    )
    assert rows.fetchall() == [(DOG,)]


def test_published_categories_without_a_synset_are_known_by_what_is_above_their_members(fall11: Index) -> None:
    found = fall11.select(superclasses="breeds-entity13")
    assert len(found.wnids()) == 13
    garment = lists.get("breeds-entity13").categories[0]
    top = found.wnids()[0]
    assert garment.name == "garment" and not garment.synsets
    assert all(hierarchy.is_a(member, top) for member in garment.members)
