"""The devkit gives the 50,000 validation labels, and is refused where it is another list or another year's."""

import io
import shutil
import tarfile

import pytest

from imagenet_tools import schema
from imagenet_tools.build.unit_work import fingerprint_of
from imagenet_tools.catalogue import labels
from imagenet_tools.errors import FormatError
from imagenet_tools.formats import devkit
from tests.parameters import short_list

NAME = "ILSVRC2012_validation_ground_truth.txt"
LATER = "ILSVRC2015_clsloc_validation_ground_truth.txt"
IDS = {wnid: n for n, wnid in enumerate(labels.ilsvrc2012_ids(), 1)}
LINES = [str(IDS[wnid]) for wnid in labels.validation_wnids()]
TRUTH = "\n".join(LINES)
MAP = "".join(f"{wnid} {n} name\n" for wnid, n in IDS.items())


def write(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return root


def tar_of(path, files, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for name, text in files.items():
            data = text.encode() if isinstance(text, str) else text
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def read(path):
    """{table: rows as dicts} of all that is found at a path."""
    root = path if path.is_dir() else path.parent
    tables = {"labels": [], "problems": []}
    for found in devkit.detect(path):
        for unit in devkit.units(found, "devkit", root):
            for table, batch in devkit.scan(unit):
                assert batch.schema.equals(schema.arrow_schema(table))
                tables[table] += batch.to_pylist()
    return tables


def gives_all_labels(tables):
    said = {row["image_id"]: row["wnid"] for row in tables["labels"]}
    names = [f"ILSVRC2012_val_{n:08d}" for n in range(1, 50_001)]
    kinds = {(row["dataset"], row["label_set"], row["source"]) for row in tables["labels"]}
    return said == dict(zip(names, labels.validation_wnids(), strict=True)) and kinds == {
        ("ilsvrc2012", "devkit", "devkit")
    }


@pytest.mark.parametrize(
    "place",
    short_list(
        ["", "data/", "ILSVRC2012_devkit_t12/data/", "devkit/data/", "ILSVRC/devkit/data/", "ILSVRC2015/devkit/data/"],
        "",
        "ILSVRC2015/devkit/data/",
    ),
)
@pytest.mark.parametrize("name", [NAME, LATER])
def test_the_labels_are_found_in_the_folder_of_a_kit(tmp_path, place, name):
    write(tmp_path, {place + name: TRUTH + "\n" * (name == LATER), place + "map_clsloc.txt": MAP})
    (found,) = devkit.detect(tmp_path)
    assert (found.form, found.holds, found.splits) == ("devkit", ("labels",), ("val",))
    assert "map_clsloc.txt" in found.evidence
    tables = read(tmp_path)
    assert gives_all_labels(tables)
    assert tables["problems"] == []


@pytest.mark.parametrize("mode", short_list(["w", "w:gz"], "w:gz"))
def test_an_archive_is_told_by_its_members(tmp_path, mode):
    top = "ILSVRC2012_devkit_t12/"
    files = {top + "COPYING": "", top + "readme.txt": "x" * 9999, top + f"data/{NAME}": TRUTH}
    path = tar_of(tmp_path / "kit", files, mode)
    (found,) = devkit.detect(path)
    assert found.path == path
    assert gives_all_labels(read(path))


@pytest.mark.parametrize("name", [NAME, "labels.txt"])
def test_a_list_alone_is_told_by_its_name_or_its_first_lines(tmp_path, name):
    path = write(tmp_path, {name: TRUTH.replace("\n", "\r\n")}) / name
    assert gives_all_labels(read(path))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ILSVRC2010_validation_ground_truth.txt", "78\n854\n"),
        ("a.txt", "0\n1\n2\n3\n4\n"),
        ("b.txt", ""),
        ("c.tar", "x"),
    ],
)
def test_other_lists_are_left_alone(tmp_path, name, text):
    assert devkit.detect(write(tmp_path, {name: text}) / name) == []
    assert devkit.detect(tmp_path) == []
    assert devkit.detect(tar_of(tmp_path / "a.tgz", {name: text})) == []


def test_the_kit_of_2012_agrees_with_itself_and_with_the_bundled_facts(real):
    tables = read(real / "ilsvrc2012" / NAME)
    assert gives_all_labels(tables)
    assert tables["problems"] == []


def test_a_kit_as_published_is_read_from_its_archive(real, tmp_path):
    files = {f"kit/data/{name}": (real / "ilsvrc2012" / name).read_bytes() for name in ("meta.mat", NAME)}
    assert read(tar_of(tmp_path / "kit.tar.gz", files))["problems"] == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n".join(LINES[:-1]), "ends at line 49999; expected 50,000"),
        (TRUTH + "\n7", "ends at line 50001; expected 50,000"),
        ("\n".join([*LINES[:16], "1001", *LINES[17:]]), "line 17: '1001'; expected an ILSVRC id"),
        ("\n".join([*LINES[:16], "0", *LINES[17:]]), "line 17: '0'"),
        ("\n".join([*LINES[:16], "", *LINES[17:]]), "line 17: ''"),
        ("\n".join([*LINES[:16], "-1", *LINES[17:]]), "line 17: '-1'"),
        ("\n".join([*LINES[:16], "9" * 9999, *LINES[17:]]), "line 17: '9999"),
        ("", "line 1: ''"),
    ],
)
def test_a_list_that_is_another_one_is_refused_with_its_line(tmp_path, text, message):
    with pytest.raises(FormatError, match=message):
        read(write(tmp_path, {NAME: text}) / NAME)


def test_an_archive_that_breaks_off_inside_the_list_is_refused(tmp_path):
    path = tar_of(tmp_path / "kit.tar", {f"data/{NAME}": TRUTH}, "w")
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(FormatError, match=r"no whole .* fetch it again"):
        read(path)


def test_an_archive_that_breaks_off_behind_the_list_is_reported(tmp_path):
    path = tar_of(tmp_path / "kit.tar", {f"data/{NAME}": TRUTH, "data/meta.mat": bytes(5000)}, "w")
    path.write_bytes(path.read_bytes()[: 512 + 195_072 + 512 + 99])
    tables = read(path)
    assert gives_all_labels(tables)
    assert [row["code"] for row in tables["problems"]] == ["tar_truncated"]


def test_a_kit_of_other_classes_is_refused(tmp_path, real):
    other = MAP.replace("n02119789 1 ", "n02119022 1 ")
    with pytest.raises(FormatError, match="gives id 1 to n02119022; expected n02119789"):
        read(write(tmp_path / "a", {NAME: TRUTH, "map_clsloc.txt": other}))
    shutil.copy(real / "oracles/ilsvrc2010_meta.mat", write(tmp_path / "b", {NAME: TRUTH}) / "meta.mat")
    with pytest.raises(FormatError, match="gives id 1 to n07711080; expected n02119789"):
        read(tmp_path / "b")


@pytest.mark.parametrize(("name", "data"), [("meta.mat", b"not MATLAB"), ("map_clsloc.txt", b"n02119789 1 kit_fox\n")])
def test_a_list_of_ids_that_cannot_be_read_is_reported(tmp_path, name, data):
    tables = read(write(tmp_path, {NAME: TRUTH, name: data}))
    assert gives_all_labels(tables)
    assert [(row["code"], row["member"]) for row in tables["problems"]] == [("devkit_map_unread", name)]


def test_two_lists_that_differ_in_one_archive_are_refused(tmp_path):
    other = "\n".join([*LINES[:2], "5", *LINES[3:]])
    with pytest.raises(FormatError, match="differ at line 3"):
        read(tar_of(tmp_path / "kit.tgz", {NAME: TRUTH, LATER: other}))
    assert gives_all_labels(read(tar_of(tmp_path / "same.tgz", {NAME: TRUTH, LATER: TRUTH})))


def test_the_fingerprint_changes_with_the_list_and_with_what_it_is_checked_against(tmp_path):
    def prints():
        ((found,),) = (devkit.detect(tmp_path),)
        return [fingerprint_of(unit) for unit in devkit.units(found, "s", tmp_path)]

    write(tmp_path, {NAME: TRUTH, "map_clsloc.txt": MAP})
    before = prints()
    assert prints() == before
    write(tmp_path, {"map_clsloc.txt": MAP + "\n"})
    assert prints() != before
