"""The release of a set of classes is decided by the classes if possible, else by the name."""

import pytest

from imagenet_tools.catalogue import labels
from imagenet_tools.catalogue.releases import RELEASES, release_of, release_of_21k_p
from imagenet_tools.wordnet import hierarchy

PERSONS = set(hierarchy.descendants("n00007846", instances=False)) & set(labels.fall11())
WITHOUT_PERSONS = sorted(set(labels.fall11()) - PERSONS)


def test_the_person_subtree_has_the_published_number_of_classes() -> None:
    assert len(PERSONS) == 2_832 + 1
    assert RELEASES["fall11"].classes - 2_674 == RELEASES["winter21"].classes


@pytest.mark.parametrize("name", ["", "winter21_whole", "anything.tar"])
def test_all_of_fall_2011_is_fall_2011_whatever_it_is_called(name: str) -> None:
    assert release_of(labels.fall11(), name=name).dataset == "fall11"
    assert release_of(labels.fall11(), name=name).readings == ()


def test_the_whole_without_persons_but_for_the_159_is_winter_2021() -> None:
    kept = [*WITHOUT_PERSONS, *sorted(PERSONS)[:159]]
    assert len(kept) == 19_167
    assert release_of(kept, name="fall11_whole.tar").dataset == "winter21"
    assert release_of([*kept, sorted(PERSONS)[200]]).dataset == "fall11"


@pytest.mark.parametrize(
    ("wnids", "name", "dataset", "others"),
    [
        (labels.ilsvrc2012_sorted(), "", "ilsvrc2012", ()),
        (["n02123045"], "", "ilsvrc2012", ("fall11", "winter21")),
        (["n02123045"], "ILSVRC2012_img_train.tar", "ilsvrc2012", ()),
        (["n02123045"], "winter21_whole", "winter21", ("fall11", "ilsvrc2012")),
        (["n00004475"], "fall11_whole.tar", "fall11", ("winter21",)),
        (["n00004475", "n02123045"], "", "imagenet21k", ("fall11", "winter21")),
        (["n01440764"], "imagenette2-160.tgz", "imagenette2-160", ("ilsvrc2012",)),
        (["n02123045"], "imagenette2-160.tgz", "ilsvrc2012", ("fall11", "winter21")),
    ],
)
def test_a_few_classes_leave_readings_open(wnids: list[str], name: str, dataset: str, others: tuple[str, ...]) -> None:
    found = release_of(wnids, name=name)
    assert (found.dataset, found.others) == (dataset, others)
    assert all(f"--dataset {other}" in text for other, text in zip(others, found.readings, strict=True))


def test_imagenet_21k_p_is_of_winter_unless_its_persons_say_fall() -> None:
    assert release_of_21k_p(sorted(PERSONS)[:105]).dataset == "imagenet21k-p-winter21"
    assert release_of_21k_p(sorted(PERSONS)[:106]).dataset == "imagenet21k-p-fall11"
    assert release_of_21k_p(WITHOUT_PERSONS[:10]).others == ("imagenet21k-p-fall11",)
    assert release_of_21k_p(WITHOUT_PERSONS[:10_450]).others == ()
