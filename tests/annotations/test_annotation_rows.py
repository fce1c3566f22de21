"""Boxes come out the same, to the bit, whether their file was read by the pattern or by expat."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagenet_tools.annotations import annotation
from imagenet_tools.annotations.annotation_rows import AnnotationRows
from imagenet_tools.units import Unit
from tests.examples import examples

UNIT = Unit("box_xml", "a source", "/", "a.tgz", "imagenet21k")
WNIDS = ("n01440764", "n02119789")
File = tuple[str, str | None, bytes]  # stem, folder, what the file holds


def rows_of(files: list[File], *, by_pattern: bool) -> dict[str, pa.Table]:
    """The rows of files, by table: by the pattern where it matches, or by expat alone."""
    rows = AnnotationRows(UNIT)
    found: dict[str, list[pa.RecordBatch]] = {}
    with pytest.MonkeyPatch.context() as patch:
        if not by_pattern:
            patch.setattr(annotation, "parse_published_shape", lambda data: None)
        for n, (stem, folder, data) in enumerate(files):
            rows.xml(data, stem, folder=folder, file="a.tgz", member=f"{n}/{stem}.xml")
            if n % 3 == 2:
                for table, batch in rows.batches():
                    found.setdefault(table, []).append(batch)
        for table, batch in rows.batches():
            found.setdefault(table, []).append(batch)
    return {table: pa.Table.from_batches(batches).combine_chunks() for table, batches in found.items()}


def same(one: dict[str, pa.Table], other: dict[str, pa.Table]) -> bool:
    """Whether two sets of tables are the same: nan as nan, -0.0 apart from 0.0."""
    return one.keys() == other.keys() and all(
        table.schema == other[name].schema and repr(table.to_pylist()) == repr(other[name].to_pylist())
        for name, table in one.items()
    )


numbers = st.integers(-5, 5000).map(str) | st.sampled_from([
    "0", "-0", "007", "4095", "4096", "-1", "999999999", "-999999999", "1234567890", "12.5", "1e3", "+3", "", "nan",
    " 7 ", "1_0", "٣",
])  # fmt: skip
spaces = st.sampled_from(["", " ", "\n\t", "\r\n\t\t", "\x0b"])
stems = st.sampled_from([
    "n01440764_96", "n01440764_7", "n02119789_5", "ILSVRC2012_val_00000001", "n01440764", "n01440764_shark",
    "n01440764_٣",
])  # fmt: skip
names = st.sampled_from([*WNIDS, "Scottish_deerhound", "a word", "%s", "", "n0144076"])


@st.composite
def objects(draw: Any, gap: str) -> str:
    edges = gap.join(f"<{tag}>{draw(numbers)}</{tag}>" for tag in ("xmin", "ymin", "xmax", "ymax"))
    pose, truncated = (
        draw(st.sampled_from(["Unspecified", "Left", "a b", ""])),
        draw(st.sampled_from(["0", "1", "2", ""])),
    )
    inside = (f"<name>{draw(names)}</name>", f"<pose>{pose}</pose>", f"<truncated>{truncated}</truncated>",
              "<difficult>1</difficult>", f"<bndbox>{gap}{edges}</bndbox>")  # fmt: skip
    return f"<object>{gap}{gap.join(inside)}{gap}</object>"


@st.composite
def files(draw: Any) -> File:
    """A file of the published shape, or nearly: each value may be one that the pattern leaves to expat."""
    gap, stem = draw(spaces), draw(stems)
    filename = draw(st.sampled_from([stem, f"{stem}.JPEG", "%s", "another", ""]))
    database = draw(st.sampled_from(["ILSVRC_2012", "ImageNet database", "", "a & b"]))
    segmented = draw(st.sampled_from(["segmented", "segment"]))
    several = gap.join(draw(st.lists(objects(gap), max_size=3)))
    text = gap.join((
        "<annotation>", f"<folder>{draw(names)}</folder>", f"<filename>{filename}</filename>",
        f"<source>{gap}<database>{database}</database>{gap}</source>", f"<size>{gap}<width>{draw(numbers)}</width>",
        f"<height>{draw(numbers)}</height>", f"<depth>3</depth>{gap}</size>", f"<{segmented}>0</{segmented}>", several,
        draw(st.sampled_from(["</annotation>", "</annotation>\n", "</annotation> x", "", "</a></annotation>"])),
    ))  # fmt: skip
    encoding = draw(st.sampled_from(["utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16"]))
    return stem, draw(st.sampled_from([None, *WNIDS])), text.encode(encoding)


@examples(100, many=1000)
@given(st.lists(files(), max_size=8))
def test_the_pattern_and_expat_give_the_same_rows(some: list[File]) -> None:
    assert same(rows_of(some, by_pattern=True), rows_of(some, by_pattern=False))


@examples(20, many=100)
@given(files())
def test_what_the_pattern_takes_another_parser_reads_alike(file: File) -> None:
    """ElementTree's reading, each value found by its own path."""
    _, _, data = file
    found = annotation.parse_published_shape(data)
    if found is None:
        return
    root = ElementTree.fromstring(data)
    numbers = [int(root.findtext(path) or "") for path in ("size/width", "size/height")]
    assert [found.filename, found.width, found.height] == [root.findtext("filename"), *numbers]
    for one, element in zip(found.objects, root.iter("object"), strict=True):
        edges = [float(element.findtext(f"bndbox/{edge}") or "") for edge in ("xmin", "ymin", "xmax", "ymax")]
        texts = [element.findtext(tag) for tag in ("name", "pose", "truncated", "difficult")]
        expected = (*texts[:2], texts[2] == "1", texts[3] == "1", *edges)
        assert repr(one[:8]) == repr(expected)  # -0.0 apart from 0.0
        assert one[8:] == ((), None)
    assert found[4:] == ((), ())


def test_real_files_give_the_same_rows_by_either_way(real: Path) -> None:
    files = [
        (path.stem, path.parent.name if path.parent.name in {"n01440764", "n02802426"} else None, path.read_bytes())
        for path in sorted((real / "xml").rglob("*"))
        if path.is_file()
    ]
    found = rows_of(files, by_pattern=True)
    assert same(found, rows_of(files, by_pattern=False))
    assert found["boxes"].num_rows > len(files)
    assert sum(annotation.parse_published_shape(data) is not None for _, _, data in files) > len(files) // 2


def test_more_objects_than_are_read_are_left_to_expat() -> None:
    one = (
        "<object><name>n01440764</name><pose>x</pose><truncated>0</truncated><difficult>0</difficult><bndbox>"
        "<xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox></object>"
    )
    head = (
        "<annotation><folder>x</folder><filename>n01440764_1</filename><source><database>x</database></source><size>"
        "<width>9</width><height>9</height><depth>3</depth></size><segmented>0</segmented>"
    )
    for n in (1, annotation.MAX_OBJECTS, annotation.MAX_OBJECTS + 1):
        file = ("n01440764_1", "n01440764", f"{head}{one * n}</annotation>".encode())
        assert (annotation.parse_published_shape(file[2]) is not None) == (n <= annotation.MAX_OBJECTS)
        found = rows_of([file], by_pattern=True)
        assert same(found, rows_of([file], by_pattern=False))
        assert found["boxes"].num_rows == min(n, annotation.MAX_OBJECTS)
