"""The boxes of the whole ImageNet: archives in an archive, read as they stream by, and joined on the file's stem."""

import gzip
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import imagenet_tools
from imagenet_tools.annotations import annotation_files
from imagenet_tools.formats import box_xml
from tests.conftest import Extracted
from tests.forms.annotations import bboxes_annotations, tar_of, write_files, xml
from tests.scanned import Scanned

PERSON, OTHER, SPORT = "n00007846", "n00141669", "n06470073"
BOX = (161, 52, 285, 247)

# As published, but for the numbers: an image of n00141669 lies in the folder of n06470073 too, which boxes its own.
CLASSES = {
    PERSON: {f"{PERSON}_{n}": xml(f"{PERSON}_{n}", PERSON, [(PERSON, BOX)]) for n in (6247, 7, 99)},
    OTHER: {f"{OTHER}_6790": xml(f"{OTHER}_6790", OTHER, [(OTHER, (1, 2, 30, 40))])},
    SPORT: {f"{OTHER}_6790": xml(f"{OTHER}_6790", SPORT, [(SPORT, (5, 6, 70, 80)), (SPORT, (7, 8, 90, 99))])},
}


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def boxes(scanned: Scanned) -> set[tuple[str, str, float]]:
    return {(row["image_id"], row["wnid"], row["xmin"]) for row in scanned.tables["boxes"]}


EVERY = {
    (f"{PERSON}_6247", PERSON, 161.0), (f"{PERSON}_7", PERSON, 161.0), (f"{PERSON}_99", PERSON, 161.0),
    (f"{OTHER}_6790", OTHER, 1.0), (f"{OTHER}_6790", SPORT, 5.0), (f"{OTHER}_6790", SPORT, 7.0),
}  # fmt: skip


@pytest.mark.parametrize("mode", ["w:gz", "w"])
def test_the_archive_of_class_archives_is_read_in_one_pass(mode: str, tmp_path: Path) -> None:
    scanned = Scanned(box_xml, written(tmp_path / "bboxes_annotations.tar.gz", bboxes_annotations(CLASSES, mode)))
    (found,) = scanned.found
    assert (found.dataset, found.holds, found.splits) == ("imagenet21k", ("boxes",), ())
    assert "an archive of class archives" in found.evidence
    assert [reading.split("--dataset ")[1] for reading in found.readings] == ["fall11)", "winter21)"]
    assert boxes(scanned) == EVERY
    assert {row["file"] for row in scanned.tables["boxes"]} == {"bboxes_annotations.tar.gz"}
    assert scanned.problems == {}


def test_every_older_form_gives_the_same_boxes(tmp_path: Path) -> None:
    files = {f"Annotation/{wnid}/{stem}.xml": text for wnid, own in CLASSES.items() for stem, text in own.items()}
    forms = [
        written(tmp_path / "Annotation.tar.gz", tar_of(files)),
        write_files(tmp_path / "unpacked", files),
        write_files(
            tmp_path / "by class",
            {
                f"{wnid}.tar.gz": tar_of({f"Annotation/{wnid}/{stem}.xml": text for stem, text in own.items()})
                for wnid, own in CLASSES.items()
            },
        ),
    ]
    for form in forms:
        scanned = Scanned(box_xml, form)
        assert [found.dataset for found in scanned.found] == ["imagenet21k"], form
        assert boxes(scanned) == EVERY, form
        assert scanned.problems == {}, form
    assert [unit.wnid for unit in Scanned(box_xml, forms[2]).units] == list(CLASSES)
    (alone,) = box_xml.detect(forms[2] / f"{PERSON}.tar.gz")
    assert alone.dataset == "imagenet21k"


def test_an_image_in_the_folder_of_another_class_keeps_the_folders_class_and_says_so(tmp_path: Path) -> None:
    path = written(tmp_path / "b.tar.gz", bboxes_annotations(CLASSES))
    rows = Scanned(box_xml, path).tables["boxes"]
    flagged = {(row["image_id"], row["wnid"]) for row in rows if row["flags"] == ["folder_differs"]}
    assert flagged == {(f"{OTHER}_6790", SPORT)}
    named = {SPORT: {f"{OTHER}_6790": xml(f"{OTHER}_6790", SPORT, [(OTHER, BOX)])}}
    (row,) = Scanned(box_xml, written(tmp_path / "c.tar.gz", bboxes_annotations(named))).tables["boxes"]
    assert (row["wnid"], row["flags"]) == (SPORT, ["name_differs", "folder_differs"])


def test_classes_that_are_all_among_the_thousand_are_told_by_the_database(tmp_path: Path) -> None:
    for database, dataset in (("ImageNet database", "imagenet21k"), ("ILSVRC_2012", "ilsvrc2012")):
        text = xml("n01440764_5", "n01440764", [("n01440764", BOX)], database=database)
        archive = written(tmp_path / "n01440764.tar.gz", tar_of({"Annotation/n01440764/n01440764_5.xml": text}))
        folder = write_files(tmp_path / database / "Annotation", {"n01440764/n01440764_5.xml": text})
        for path in (archive, folder):
            (found,) = box_xml.detect(path)
            assert found.dataset == dataset
            assert any("--dataset ilsvrc2012" in reading for reading in found.readings) == (
                database[0] == "I" and dataset == "imagenet21k"
            )


@pytest.mark.parametrize("damage", ["cut", "flipped", "no archive", "empty"])
def test_a_broken_inner_archive_costs_what_is_behind_its_break_and_no_other_class(damage: str, tmp_path: Path) -> None:
    inner = {
        f"{wnid}.tar.gz": tar_of({f"Annotation/{wnid}/{stem}.xml": text for stem, text in own.items()})
        for wnid, own in CLASSES.items()
    }
    whole = inner[f"{PERSON}.tar.gz"]
    plain = gzip.decompress(whole)
    header = plain.index(f"{PERSON}_99.xml".encode())
    inner[f"{PERSON}.tar.gz"] = {
        "cut": gzip.compress(plain[: plain.index(b"</annotation>", plain.index(b"_7.xml")) - 20]),
        "flipped": gzip.compress(plain[:header] + b"?" + plain[header + 1 :]),
        "no archive": b"<html>404</html>",
        "empty": b"",
    }[damage]
    scanned = Scanned(box_xml, written(tmp_path / "b.tar.gz", tar_of(inner)))
    assert {box for box in boxes(scanned) if box[1] != PERSON} == {box for box in EVERY if box[1] != PERSON}
    (problem,) = scanned.tables["problems"]
    assert problem["member"].startswith(f"{PERSON}.tar.gz/")
    assert problem["code"] in {"tar_truncated", "tar_damaged", "tar_trailing_data"}
    if damage == "cut":
        assert (f"{PERSON}_6247", PERSON, 161.0) in boxes(scanned)


def test_an_outer_archive_that_is_cut_keeps_the_classes_before(tmp_path: Path) -> None:
    whole = bboxes_annotations(CLASSES)
    scanned = Scanned(box_xml, written(tmp_path / "b.tar.gz", whole[: len(whole) * 2 // 3]))
    assert {box for box in EVERY if box[1] == PERSON} <= boxes(scanned) < EVERY
    assert "gzip_truncated" in scanned.problems


def test_archives_deeper_than_two_are_not_opened(tmp_path: Path) -> None:
    deep = tar_of({"n00007846.tar.gz": bboxes_annotations(CLASSES)})
    scanned = Scanned(
        box_xml,
        written(
            tmp_path / "b.tar.gz",
            tar_of({"n00007846.tar.gz": deep, "x/n00007846_1.xml": xml("n00007846_1", PERSON, [])}),
        ),
    )
    assert scanned.problems.get("stray_file", 0) == 1
    assert boxes(scanned) == set()


@pytest.mark.long
def test_a_large_inner_archive_is_read_without_being_held(tmp_path: Path) -> None:
    """An inner archive of 200 MB costs some tens of MB."""
    script = textwrap.dedent(
        """
        import resource, sys
        from pathlib import Path
        from imagenet_tools.formats import box_xml
        path = Path(sys.argv[1])
        (found,) = box_xml.detect(path)
        (unit,) = box_xml.units(found, "s", path.parent)
        import pyarrow
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        rows = sum(batch.num_rows for table, batch in box_xml.scan(unit) if table == "boxes")
        print(rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        """
    )
    path = tmp_path / "b.tar.gz"
    text = xml(f"{PERSON}_6247", PERSON, [(PERSON, BOX)])
    names = (f"Annotation/{PERSON}/{PERSON}_{name}" for name in ("1.xml", "notes.bin", "2.xml"))
    inner = tar_of(dict(zip(names, (text, bytes(200 << 20), text), strict=True)), "w")
    path.write_bytes(tar_of({f"{PERSON}.tar": inner}))
    run = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    rows, grown = map(int, run.stdout.split())
    assert rows == 2
    assert grown < 60_000  # kB


def test_boxes_of_images_that_are_not_here_are_kept_aside(extracted: Extracted, tmp_path: Path) -> None:
    wnid = "n02123045"
    stems = sorted(stem for stem in extracted.data if stem.startswith(wnid))[:2]
    classes = {
        wnid: {stem: xml(stem, wnid, [(wnid, (1, 1, 50, 50))]) for stem in [*stems, f"{wnid}_999999"]},
        SPORT: {stems[0]: xml(stems[0], SPORT, [(SPORT, (2, 2, 60, 60))])},
    }
    tars = {f"{wnid}.tar": tar_of({f"{stem}.JPEG": extracted.data[stem] for stem in stems}, "w")}
    whole = written(tmp_path / "fall11_whole.tar", tar_of(tars | {f"{SPORT}.tar": tar_of({}, "w")}, "w"))
    archive = written(tmp_path / "bboxes_annotations.tar.gz", bboxes_annotations(classes))
    report = imagenet_tools.build_index([whole, archive], tmp_path / "x.index", workers=1)
    index = imagenet_tools.open_index(tmp_path / "x.index")
    rows = index.sql("SELECT dataset, image_id, wnid FROM boxes ORDER BY ALL").fetchall()
    assert rows == sorted([("fall11", stems[0], SPORT), ("fall11", stems[0], wnid), ("fall11", stems[1], wnid)])
    aside = index.sql("SELECT dataset, image_id, reason FROM unused_boxes").fetchall()
    assert aside == [("imagenet21k", f"{wnid}_999999", "no_image")]
    assert index.sql("SELECT image_id, n_boxes FROM images ORDER BY 1").fetchall() == [(stems[0], 2), (stems[1], 1)]
    assert "box_conflict" not in report.problems


def test_the_real_annotations_are_read_to_the_number(real: Path, tmp_path: Path) -> None:
    files = {
        path.parent.name: {path.stem: path.read_text()} for path in sorted((real / "xml" / "bbox21k").rglob("*.xml"))
    }
    scanned = Scanned(box_xml, written(tmp_path / "bboxes_annotations.tar.gz", bboxes_annotations(files)))
    rows = {row["image_id"]: row for row in scanned.tables["boxes"]}
    assert set(rows) == {"n00007846_6247", "n02802426_999", "n03820318_101"}
    person = rows["n00007846_6247"]
    assert [person[edge] for edge in ("xmin", "ymin", "xmax", "ymax")] == [161, 52, 285, 247]
    assert (person["wnid"], person["stated_width"], person["stated_height"], person["flags"]) == (PERSON, 500, 333, [])
    (found,) = box_xml.detect(real / "xml" / "bbox21k")
    assert found.dataset == "imagenet21k"


def many(classes: int) -> dict[str, dict[str, str]]:
    """Classes of three images each."""
    wnids = [f"n{n:08d}" for n in range(7846, 7846 + 1000 * classes, 1000)]
    return {
        wnid: {f"{wnid}_{n}": xml(f"{wnid}_{n}", wnid, [(wnid, (n, n, n + 40, n + 50))]) for n in (7, 1, 12)}
        for wnid in wnids
    }


def odd_archive(path: Path, mode: str) -> Path:
    """An archive of class archives in which all that may be wrong is wrong: the end of the outer one lacks too."""
    inner = {
        f"{wnid}.tar.gz": tar_of({f"Annotation/{wnid}/{stem}.xml": text for stem, text in own.items()})
        for wnid, own in many(9).items()
    }
    first, second, third, *_ = inner
    files = {
        first: inner[first], "notes.txt": b"?", "again/" + first: inner[first], second: inner[second][:-30],
        f"Annotation/{third[:9]}/{third[:9]}_500.xml": xml(f"{third[:9]}_500", third[:9], [(third[:9], BOX)]),
        f"{OTHER}/{OTHER}_1.xml": "<annotation>", "n00000001.tar": b"<html>404</html>",
    }  # fmt: skip
    whole = tar_of({**files, **inner}, mode)
    return written(path, whole[: -200 if mode == "w:gz" else -8000])


def rows(scanned: Scanned, table: str) -> list[str]:
    return sorted(repr({name: row[name] for name in row if name != "unit"}) for row in scanned.tables[table])


@pytest.mark.parametrize("mode", ["w:gz", "w"])
def test_a_large_archive_is_several_units_that_give_the_rows_of_one(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = odd_archive(tmp_path / "b.tar.gz", mode)
    one = Scanned(box_xml, path)
    assert [unit.member for unit in one.units] == [""]
    always = {"stray_file": 1, "repeated_annotation": 3, "xml_broken": 1}
    assert one.problems == always | ({"tar_truncated": 2} if mode == "w" else {"tar_truncated": 1, "gzip_truncated": 1})
    monkeypatch.setattr(annotation_files, "_UNIT_BYTES", path.stat().st_size // 4)
    several = Scanned(box_xml, path)
    assert [unit.member for unit in several.units] == [f"share {n} of 4" for n in (1, 2, 3, 4)]
    assert len({unit.key for unit in [*one.units, *several.units]}) == 5
    for table in ("boxes", "problems"):
        assert rows(several, table) == rows(one, table)
    units = {row["wnid"]: set() for row in several.tables["boxes"]}
    for row in several.tables["boxes"]:
        units[row["wnid"]].add(row["unit"])
    assert {len(found) for found in units.values()} == {1}
    assert len(set.union(*units.values())) > 1


def test_an_archive_of_one_layer_is_one_unit_whatever_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(annotation_files, "_UNIT_BYTES", 1)
    files = {f"Annotation/{wnid}/{stem}.xml": text for wnid, own in CLASSES.items() for stem, text in own.items()}
    scanned = Scanned(box_xml, written(tmp_path / "Annotation.tar.gz", tar_of(files)))
    assert [unit.member for unit in scanned.units] == [""]
    assert boxes(scanned) == EVERY


def test_an_index_of_one_unit_is_built_anew_of_several_and_is_the_same(
    extracted: Extracted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stems = [stem for stem in sorted(extracted.data) if stem.startswith("n02123045")]
    classes = many(9) | {"n02123045": {stem: xml(stem, "n02123045", [("n02123045", BOX)]) for stem in stems}}
    folder = tmp_path / "n02123045"
    write_files(folder, {f"{stem}.JPEG": extracted.data[stem] for stem in stems})
    archive = written(tmp_path / "b.tar.gz", bboxes_annotations(classes))
    index = tmp_path / "x.index"

    def read() -> list[tuple[object, ...]]:
        opened = imagenet_tools.open_index(index)
        return [
            opened.sql(f"SELECT * EXCLUDE (unit) FROM {table} ORDER BY ALL").fetchall()
            for table in ("images", "boxes", "unused_boxes", "problems")
        ]

    whole = imagenet_tools.build_index([archive, folder], index, dataset="fall11", workers=1)
    before = read()
    assert whole.rows["boxes"] == len(stems)
    monkeypatch.setattr(annotation_files, "_UNIT_BYTES", archive.stat().st_size // 4)
    several = imagenet_tools.build_index([archive, folder], index, dataset="fall11", workers=2)
    assert several.units == {"scanned": 4, "resumed": 0, "unchanged": 1, "removed": 1}
    assert read() == before
    again = imagenet_tools.build_index([archive, folder], index, dataset="fall11", workers=2)
    assert again.units == {"scanned": 0, "resumed": 0, "unchanged": 5, "removed": 0}
