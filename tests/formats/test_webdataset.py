"""WebDataset shards: every image is a byte range of its tar, and class numbers are held against the names."""

import io
import json
import re
import shutil
import tarfile
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

import imagenet_tools
from imagenet_tools.catalogue import labels, lists
from imagenet_tools.errors import SourceError
from imagenet_tools.formats import image_tars, webdataset
from tests.conftest import Extracted
from tests.forms import webdataset as form
from tests.parameters import short_list
from tests.scanned import Scanned


def scan(path: Path) -> Scanned:
    return Scanned(webdataset, path)


@pytest.fixture(scope="module")
def repository(extracted: Extracted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return form.write_1k(tmp_path_factory.mktemp("wds") / "imagenet-1k-wds", extracted.data)


def train(extracted: Extracted) -> list[str]:
    return form.shuffled(stem for stem in extracted.data if stem.startswith("n"))


def jpeg(mode: str = "RGB") -> bytes:
    sink = io.BytesIO()
    Image.new(mode, (40, 30), 100).save(sink, "JPEG")
    return sink.getvalue()


# ---- timm's


def test_timms_1k_is_ilsvrc2012_with_its_evidence(repository: Path) -> None:
    [found] = webdataset.detect(repository)
    assert (found.form, found.dataset, found.splits) == ("webdataset", "ilsvrc2012", ("train", "val"))
    assert "7 WebDataset shards" in found.evidence
    assert "class numbers in sorted order of ilsvrc2012, from 0: 13 of 13 names agree" in found.evidence
    assert found.missing == ""
    assert found.labels is not None
    assert (found.labels.space, found.labels.order, found.labels.base) == ("ilsvrc2012", "wnid", 0)


def test_timms_1k_is_read_back_by_byte_ranges(repository: Path, extracted: Extracted) -> None:
    scanned = scan(repository)
    assert scanned.problems == {}
    expected = {stem: data for stem, data in extracted.data.items() if "_test_" not in stem}
    assert scanned.bytes() == expected
    for image_id, row in scanned.images.items():
        with (repository / row["file"]).open("rb") as file:
            file.seek(row["offset"])
            assert file.read(row["length"]) == expected[image_id]
            assert row["compression"] is None
    assert Counter(row["split"] for row in scanned.images.values()) == {"train": 130, "val": 52}


def test_timms_22k_is_a_data_set_of_its_own_in_the_order_of_fall11(extracted: Extracted, tmp_path: Path) -> None:
    samples = [form.sample_22k(stem, extracted.data[stem], longest_short=60) for stem in train(extracted)]
    splits = {"train": samples[13:], "validation": samples[:13]}
    root = form.write(tmp_path / "imagenet-22k-wds", "imagenet22k", splits, shards={"train": 3, "validation": 1})
    [found] = webdataset.detect(root)
    assert (found.dataset, found.splits) == ("imagenet-22k-wds", ("train", "val"))
    assert "class numbers in sorted order of fall11, from 0" in found.evidence
    assert "resized" in found.evidence
    assert "not trusted" not in found.evidence
    assert found.labels is not None
    assert (found.labels.space, found.labels.order, found.labels.base) == ("fall11", "wnid", 0)
    scanned = scan(root)
    assert scanned.problems == {}
    assert {image_id: row["photo"] for image_id, row in scanned.images.items()} == {s: s for s in train(extracted)}
    assert Counter(row["split"] for row in scanned.images.values()) == {"train": 117, "val": 13}
    assert scanned.bytes() == {key: fields["jpg"] for key, fields in samples}


def test_timms_12k_is_told_by_its_list(extracted: Extracted, tmp_path: Path) -> None:
    order = lists.get("imagenet12k").wnids
    samples = [form.sample_22k(stem, extracted.data[stem], order=order) for stem in train(extracted)]
    form.write(tmp_path, "imagenet12k", {"train": samples}, shards={"train": 2})
    [found] = webdataset.detect(tmp_path)
    assert found.dataset == "imagenet12k-wds"
    assert found.labels is not None
    assert (found.labels.space, found.labels.order, found.labels.base) == ("imagenet12k", "wnid", 0)
    assert scan(tmp_path).problems == {}


def test_shards_that_are_not_shuffled_are_looked_at_here_and_there(extracted: Extracted, tmp_path: Path) -> None:
    samples = [form.sample_1k(stem, extracted.data[stem]) for stem in sorted(train(extracted))]
    for number in range(0, 130, 10):
        form.write_shard(tmp_path / f"imagenet1k-train-{number // 10:04d}.tar", samples[number : number + 10])
    [found] = webdataset.detect(tmp_path)
    assert found.dataset == "ilsvrc2012"
    assert "class numbers in sorted order of ilsvrc2012, from 0: 13 of 13 names agree" in found.evidence


def test_numbers_that_two_orders_explain_are_said_to_be_undecided(extracted: Extracted, tmp_path: Path) -> None:
    _, fields = form.sample_1k(*next(item for item in extracted.data.items() if item[0].startswith("n02085620")))
    number = lists.get("imagenet21k-p").wnids.index("n01440764")  # winter 2021's as well
    samples = [(f"n01440764_{n}", {"jpg": fields["jpg"], "cls": str(number).encode()}) for n in range(5)]
    form.write_shard(tmp_path / "some-train-0.tar", samples)
    [found] = webdataset.detect(tmp_path)
    assert found.labels is not None
    assert found.labels.base is None
    assert (
        "imagenet21k-p-winter21, from 0 (1 of 1 names agree with each): what they mean is not decided" in found.evidence
    )
    assert scan(tmp_path).problems == {}


def test_an_image_of_another_size_than_its_json_states_was_resized(extracted: Extracted, tmp_path: Path) -> None:
    samples = []
    for stem in train(extracted):
        _, fields = form.sample_1k(stem, extracted.data[stem])
        _, small = form.sample_22k(stem, extracted.data[stem], longest_short=60)
        samples.append((stem, fields | {"jpg": small["jpg"]}))  # the JSON is still the original's
    form.write(tmp_path / "imagenet1k-256-wds", "imagenet1k", {"train": samples}, shards={"train": 4})
    [found] = webdataset.detect(tmp_path / "imagenet1k-256-wds")
    assert found.dataset == "imagenet1k-256-wds"
    assert "images seen were resized: a data set of its own" in found.evidence
    assert scan(tmp_path / "imagenet1k-256-wds").problems == {}


def test_shards_called_imagenet_without_its_names_are_told_and_not_read(extracted: Extracted, tmp_path: Path) -> None:
    samples = [(f"{n:08d}", {"jpg": extracted.data[s], "cls": b"7"}) for n, s in enumerate(train(extracted))]
    form.write_shard(tmp_path / "a" / "imagenet-train-000000.tar", samples)
    [found] = webdataset.detect(tmp_path / "a")
    assert (found.holds, found.dataset) == ((), "imagenet")
    with pytest.raises(SourceError, match="1 WebDataset shard whose images have none of ImageNet's names"):
        imagenet_tools.build_index([tmp_path / "a"], tmp_path / "x.index", workers=1)
    form.write_shard(tmp_path / "b" / "pets-train-000000.tar", samples)
    assert webdataset.detect(tmp_path / "b") == []


def test_resized_images_of_the_1000_classes_are_no_ilsvrc2012(extracted: Extracted, tmp_path: Path) -> None:
    order = labels.ilsvrc2012_sorted()
    samples = [form.sample_22k(s, extracted.data[s], order=order, longest_short=60) for s in train(extracted)]
    form.write(tmp_path, "small", {"train": samples}, shards={"train": 2})
    [found] = webdataset.detect(tmp_path)
    assert (found.dataset, found.splits) == ("small-wds", ("train",))
    assert scan(tmp_path).problems == {}


@pytest.mark.parametrize("encoding", short_list(["JPEG", "WEBP"], "WEBP"))
def test_winter_2021s_shards_are_called_imagenet12k_and_are_not_taken_for_it(
    encoding: str, extracted: Extracted, tmp_path: Path
) -> None:
    listed = {*lists.get("imagenet12k").wnids}
    others = [wnid for wnid in labels.fall11() if wnid not in listed]
    renamed = {stem: others[1000 + n * 17] + stem[9:] for n, stem in enumerate(train(extracted)[:40])}
    order = tuple(sorted({*labels.fall11()[::3], *others[1000::17], *(stem[:9] for stem in train(extracted))}))
    samples = [
        form.sample_22k(renamed.get(stem, stem), extracted.data[stem], order=order, longest_short=90, encoding=encoding)
        for stem in train(extracted)
    ]
    folder = "imagenet-w21-wds" if encoding == "JPEG" else "imagenet-w21-webp-wds"
    root = form.write(tmp_path / folder, "imagenet12k", {"train": samples}, shards={"train": 3})
    [found] = webdataset.detect(root)
    assert found.dataset == folder
    doubt = r"the shards are called imagenet12k, and \d+ of 35 classes seen are none of its: the name is not trusted"
    assert re.search(doubt, found.evidence)
    assert "rise with the wnids, of a list that is not known here" in found.evidence
    assert found.labels is not None
    assert found.labels.base is None
    scanned = scan(root)
    assert scanned.problems == {}
    assert scanned.bytes() == {key: fields["jpg" if encoding == "JPEG" else "webp"] for key, fields in samples}
    assert all(row["wnid"] == image_id[:9] == row["photo"][:9] for image_id, row in scanned.images.items())
    moved = root.rename(tmp_path / "here")
    assert webdataset.detect(moved)[0].dataset == "here-wds"


def test_shards_of_two_data_sets_in_a_folder_are_two(repository: Path, extracted: Extracted, tmp_path: Path) -> None:
    shutil.copytree(repository, tmp_path / "both")
    samples = [form.sample_22k(stem, extracted.data[stem]) for stem in train(extracted)[:20]]
    form.write_shard(tmp_path / "both" / "imagenet22k-train-0000.tar", samples)
    scanned = scan(tmp_path / "both")
    assert [found.dataset for found in scanned.found] == ["ilsvrc2012", "imagenet22k-wds"]
    assert Counter(row["dataset"] for row in scanned.tables["images"]) == {"ilsvrc2012": 182, "imagenet22k-wds": 20}


def test_shards_that_are_not_there_are_counted_by_info_json(repository: Path, tmp_path: Path) -> None:
    shutil.copytree(repository, tmp_path / "part")
    (tmp_path / "part" / "imagenet1k-train-3.tar").unlink()
    (tmp_path / "part" / "imagenet1k-validation-1.tar").unlink()
    [found] = webdataset.detect(tmp_path / "part")
    assert found.missing == "1 of 5 shards of train; 1 of 2 shards of validation"


def test_one_shard_is_read_by_itself(repository: Path) -> None:
    scanned = scan(repository / "imagenet1k-validation-0.tar")
    assert [found.splits for found in scanned.found] == [("val",)]
    assert len(scanned.images) == 26


def test_an_index_of_timms_1k_ignores_nothing(repository: Path, tmp_path: Path) -> None:
    report = imagenet_tools.build_index([repository], tmp_path / "x.index", workers=1)
    assert report.problems == {}
    assert report.sources[0].ignored == ()
    assert report.sources[0].forms == ("webdataset",)


# ---- class numbers


@pytest.mark.parametrize("base", [0, 1])
@pytest.mark.parametrize("order", ["wnid", "ilsvrc_id"])
def test_order_and_base_are_decided_from_the_names(base: int, order: str, extracted: Extracted, tmp_path: Path) -> None:
    wnids = labels.ilsvrc2012_sorted() if order == "wnid" else labels.ilsvrc2012_ids()
    samples = [
        (stem, {"jpg": extracted.data[stem], "cls": str(wnids.index(stem[:9]) + base).encode()})
        for stem in train(extracted)
    ]
    form.write_shard(tmp_path / "shard-000000.tar", samples)
    [found] = webdataset.detect(tmp_path)
    assert found.labels is not None
    assert (found.labels.space, found.labels.order, found.labels.base) == ("ilsvrc2012", order, base)
    assert scan(tmp_path).problems == {}


def test_a_number_that_contradicts_the_name_is_counted_and_the_names_class_kept(
    extracted: Extracted, tmp_path: Path
) -> None:
    samples = [form.sample_1k(stem, extracted.data[stem]) for stem in train(extracted)]
    samples[3][1]["cls"] = b"999"
    samples[4][1]["cls"] = b"dog"
    samples[5][1]["cls"] = b"1000"
    form.write_shard(tmp_path / "imagenet1k-train-0.tar", samples)
    scanned = scan(tmp_path)
    assert scanned.problems == {"label_differs": 1, "label_unread": 2}
    assert all(row["wnid"] == image_id[:9] for image_id, row in scanned.images.items())
    assert len(scanned.images) == 130


def test_a_number_that_contradicts_the_official_label_is_refused(extracted: Extracted, tmp_path: Path) -> None:
    stems = form.shuffled(stem for stem in extracted.data if "_val_" in stem)
    samples = [form.sample_1k(stem, extracted.data[stem]) for stem in stems]
    samples[3] = (stems[3], form.sample_1k(stems[4], extracted.data[stems[3]])[1] | {"cls": b"999"})
    form.write_shard(tmp_path / "imagenet1k-validation-0.tar", samples)
    with pytest.raises(SourceError, match=stems[3]):
        imagenet_tools.build_index([tmp_path], tmp_path / "x.index", workers=1)


# ---- shards of other makers


def test_keys_that_are_numbers_are_named_by_the_filename_in_the_json(extracted: Extracted, tmp_path: Path) -> None:
    samples = [
        (f"images/{number:08d}", {"json": json.dumps({"filename": f"x/{stem}.JPEG"}).encode(), "jpeg": data})
        for number, (stem, data) in enumerate(sorted(extracted.data.items()))
    ]
    form.write_shard(tmp_path / "000000.tar", samples)
    scanned = scan(tmp_path)
    assert scanned.problems == {}
    assert scanned.bytes() == extracted.data
    assert {row["member"] for row in scanned.images.values()} == {f"{key}.jpeg" for key, _ in samples}


@pytest.mark.parametrize("name", ["../../../outside", "it's", "My Set"])
def test_a_data_set_that_somebodys_json_names_becomes_part_of_no_path(name: str, tmp_path: Path) -> None:
    facts = {"dataset": name, "image_id": "n01440764_1", "photo": "n01440764_1", "wnid": "n01440764"}
    (tmp_path / "shards").mkdir()
    form.write_shard(tmp_path / "shards" / "0.tar", [("1", {"jpg": jpeg(), "json": json.dumps(facts).encode()})])
    with pytest.raises(SourceError, match=r"its files call their data set .* Name it: --dataset NAME"):
        imagenet_tools.build_index(tmp_path / "shards", tmp_path / "x.index", workers=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shards"]
    report = imagenet_tools.build_index(tmp_path / "shards", tmp_path / "x.index", dataset="mine", workers=1)
    assert report.rows["images"] == 1


def test_a_shard_of_one_class_is_read_by_one_form_alone(extracted: Extracted, tmp_path: Path) -> None:
    stems = [stem for stem in train(extracted) if stem.startswith("n02085620")]
    form.write_shard(tmp_path / "train-000000.tar", [form.sample_1k(stem, extracted.data[stem]) for stem in stems])
    assert image_tars.detect(tmp_path / "train-000000.tar") == []
    assert len(webdataset.detect(tmp_path / "train-000000.tar")) == 1
    form.write_shard(tmp_path / "only.tar", [(stem, {"JPEG": extracted.data[stem]}) for stem in stems])
    assert len(image_tars.detect(tmp_path / "only.tar")) == 1
    assert webdataset.detect(tmp_path / "only.tar") == []


def test_odd_samples_are_problems_and_no_other_suffers(extracted: Extracted, tmp_path: Path) -> None:
    stems = train(extracted)
    samples = [form.sample_1k(stem, extracted.data[stem]) for stem in stems]
    samples[3][1]["json"] = b"[1"
    samples[4][1].pop("jpg")
    samples[5] = ("holiday", {"jpg": jpeg(), "cls": b"3"})
    samples[6][1]["png"] = b"\x89PNG"
    samples[7][1]["json"] = b" " * (2 << 20)
    samples[8][1]["npy"] = b"\x93NUMPY"
    form.write_shard(tmp_path / "imagenet1k-train-0.tar", samples)
    scanned = scan(tmp_path)
    assert scanned.problems == {"json_unread": 2, "no_image": 1, "no_name": 1, "second_image": 1}
    assert scanned.images.keys() == set(stems) - {stems[4], stems[5]}
    assert "fields that are not read: npy" in scanned.found[0].evidence


@pytest.mark.parametrize("cut", [0.5, 0.9])
def test_a_shard_that_is_cut_keeps_its_whole_samples_and_says_so(
    cut: float, repository: Path, extracted: Extracted, tmp_path: Path
) -> None:
    data = (repository / "imagenet1k-train-0.tar").read_bytes()
    end = int(len(data.rstrip(b"\0")) * cut)
    (tmp_path / "imagenet1k-train-0.tar").write_bytes(data[:end])
    with tarfile.open(repository / "imagenet1k-train-0.tar") as archive:
        whole = [m.name for m in archive if m.name.endswith(".jpg") and m.offset_data + m.size <= end]
    scanned = scan(tmp_path / "imagenet1k-train-0.tar")
    assert scanned.problems == {"tar_truncated": 1}
    assert scanned.images.keys() == {name.removesuffix(".jpg") for name in whole}
    assert all(data == extracted.data[image_id] for image_id, data in scanned.bytes().items())


def test_an_image_that_was_encoded_anew_or_resized_is_said(tmp_path: Path) -> None:
    originals = [("n02105855_2933", jpeg()), ("n01739381_1309", jpeg()), ("n02077923_14822", jpeg("CMYK"))]
    samples = [form.sample_1k(stem, data) for stem, data in originals]
    form.write_shard(tmp_path / "imagenet1k-train-0.tar", samples)
    scanned = scan(tmp_path)
    assert scanned.problems == {"reencoded": 2}
    assert {row["image_id"] for row in scanned.tables["problems"]} == {"n02105855_2933", "n01739381_1309"}
    facts = json.loads(samples[0][1]["json"]) | {"orig_width": 800, "orig_height": 600}
    samples = [form.sample_1k(f"n01440764_{n}", jpeg()) for n in range(100)] + samples[:1]
    samples[-1][1]["json"] = json.dumps(facts).encode()
    form.write_shard(tmp_path / "imagenet1k-train-0.tar", samples)
    assert scan(tmp_path).problems == {"resized": 1, "reencoded": 1}


def test_other_tars_are_not_claimed(sample: Path, tmp_path: Path) -> None:
    assert all(webdataset.detect(path) == [] for path in sample.iterdir())
    assert webdataset.detect(sample) == []
    form.write_shard(tmp_path / "laion-00000.tar", [("000000001", {"jpg": jpeg(), "txt": b"a dog", "json": b"{}"})])
    form.write_shard(tmp_path / "n99999999-000.tar", [("n99999999_1", {"jpg": jpeg(), "cls": b"1"})])
    assert webdataset.detect(tmp_path) == []
