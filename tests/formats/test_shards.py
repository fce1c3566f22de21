"""What shards tell together: an official name never makes other images official."""

from imagenet_tools.formats._shared.sharding import dataset_of_images, split_of_images, spread
from imagenet_tools.images.detection import dataset_name
from imagenet_tools.images.numbering import Reading, read_numbers

NO_NUMBERS = Reading(None, "")
VAL = "ILSVRC2012_val_00000001"


def test_of_many_shards_some_are_looked_at_from_the_first_to_the_last() -> None:
    assert spread(range(5)) == range(5)
    assert list(spread(range(1024), 4)) == [0, 341, 682, 1023]


def test_official_names_say_the_split_where_all_are_official() -> None:
    assert split_of_images([VAL, VAL], "train") == "val"
    assert split_of_images([VAL, "n01440764_1"], "train") == "train"
    assert split_of_images([VAL, "n01440764_1"], None) is None
    assert split_of_images(["ILSVRC2012_test_00000001", VAL], None) is None
    assert split_of_images(["n01440764_1"], "val") == "val"


def test_the_data_set_is_told_by_official_names_numbers_and_what_shards_are_called() -> None:
    reading = read_numbers([("n01440764", 0), ("n02085620", 151)])
    assert reading.labelling and reading.labelling[1:] == ("ilsvrc2012", "wnid", 0)
    assert dataset_of_images([VAL], {"n01440764"}, name="x", reading=NO_NUMBERS) == ("ilsvrc2012", ())
    assert dataset_of_images(["n01440764_1"], {"n01440764"}, name="x", reading=reading) == ("ilsvrc2012", ())
    dataset, others = dataset_of_images(["n01440764_1"], {"n01440764"}, name="x", reading=NO_NUMBERS)
    assert dataset == "ilsvrc2012"
    assert any("--dataset winter21" in one for one in others)
    named = dataset_of_images([VAL, "n01440764_1"], {"n01440764"}, name="imagenette2-160", reading=NO_NUMBERS)
    assert named[0] == "imagenette2-160"


def test_a_name_of_its_own_is_one_that_a_data_set_may_have() -> None:
    assert dataset_name("ImageNet W21 (copy)") == "imagenet-w21-copy-"
    assert dataset_name("...") == "imagenet"
