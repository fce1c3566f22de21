"""An annotation's bytes are read by tag, whole or broken, and whatever is wrong with them is said."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagenet_tools.annotations import annotation, bbox
from imagenet_tools.annotations.annotation import Object, class_of, filename_differs, parse
from tests.examples import examples

BOX = "<bndbox><xmin>111</xmin><ymin>108</ymin><xmax>441</xmax><ymax>193</ymax></bndbox>"
OBJECT = (
    "<object><name>n01751748</name><pose>Unspecified</pose><truncated>0</truncated><difficult>1</difficult>"
    f"{BOX}</object>"
)
HEAD = (
    "<annotation><folder>val</folder><filename>ILSVRC2012_val_00000001</filename><source><database>ILSVRC_2012"
    "</database></source><size><width>500</width><height>375</height><depth>3</depth></size><segmented>0</segmented>"
)
WHOLE = f"{HEAD}{OBJECT}</annotation>"
SNAKE = Object("n01751748", "Unspecified", False, True, 111.0, 108.0, 441.0, 193.0)


def codes(found):
    return [code for code, _ in found.problems]


def box_with(**edges):
    """The flags and the four numbers of a box whose coordinates are these texts."""
    text = "".join(f"<{tag}>{value}</{tag}>" for tag, value in edges.items())
    (found,) = parse(f"<annotation><object><bndbox>{text}</bndbox></object></annotation>".encode()).objects
    return found.flags, found[4:8]


def test_the_published_shape_is_read():
    assert parse(WHOLE.encode()) == ("ILSVRC2012_val_00000001", 500, 375, (SNAKE,), (), ())


def test_real_files_are_read_by_both_ways_alike(real):
    for path in sorted((real / "xml").rglob("*")):
        if path.is_file():
            text = path.read_text()
            assert annotation.parse_published_shape(text.encode()) in {None, annotation.parse_any_shape(text.encode())}
    published = real / "xml/clsloc/val/ILSVRC2012_val_00026567.xml"
    for path in (published, *(real / "xml/bbox21k").rglob("*.xml"), *(real / "xml/stanford_dogs").rglob("n*_*")):
        assert path.is_dir() or annotation.parse_published_shape(path.read_bytes()) is not None, path
    assert [box[4:8] for box in parse(published.read_bytes()).objects] == [(163, 200, 246, 269), (147, 43, 409, 329)]


pieces = st.sampled_from([
    " ", "\n", "\t", "<", ">", "&", "&#48;", "0", "9", "-", ".", "%s", "n02119789", "</name>", "<xmin>", "<object>",
    "</object>", "</annotation>", "<!-- -->", "]]>", "\x00", "\x0b", "é", "<size>", OBJECT,
])  # fmt: skip


@examples(100, many=500)
@given(st.lists(st.tuples(st.integers(0, len(WHOLE)), st.integers(0, 12), pieces), max_size=3))
def test_the_short_way_says_what_expat_says_or_nothing(edits):
    text = WHOLE.replace("><", ">\n\t<") if len(edits) % 2 else WHOLE
    for place, cut, piece in edits:
        text = text[:place] + piece + text[place + cut :]
    short = annotation.parse_published_shape(text.encode())
    assert short is None or short == annotation.parse_any_shape(text.encode())


values = st.text("&#48;]>%s.-+_09 \t\n\x0bé", max_size=7) | st.sampled_from(["n02119789", "a&lt;b", "7"])


@examples(60, many=300)
@given(
    st.sampled_from(["111", "n01751748", "Unspecified", "500", "ILSVRC2012_val_00000001", "ILSVRC_2012", "val", "3"]),
    values,
    st.booleans(),
)
def test_the_short_way_agrees_with_expat_on_every_value(old, new, of_dogs):
    text = WHOLE.replace(f">{old}<", f">{new}<")
    text = text.replace("segmented>", "segment>") if of_dogs else text
    short = annotation.parse_published_shape(text.encode())
    assert short is None or short == annotation.parse_any_shape(text.encode())
    assert annotation.parse_published_shape(WHOLE.encode()) is not None


@settings(deadline=None, max_examples=30)
@given(st.lists(st.sampled_from(["xmin", "ymin", "xmax", "ymax"]), min_size=4, max_size=4, unique=True))
def test_coordinates_are_read_by_tag_in_any_order(order):
    assert box_with(**dict.fromkeys(order, "0") | {"xmin": "1", "ymax": "4"}) == ((), (1, 0, 0, 4))


def test_the_order_of_vid_is_read_by_tag(real):
    frame = real / "xml/vid/ILSVRC2015_VID_train_0000/ILSVRC2015_train_00005009/000008.xml"
    found = parse(frame.read_bytes())
    assert found == ("000008", 1280, 576, (Object("n02084071", None, None, None, 675, 115, 976, 451),), (), ())


def test_a_file_without_a_depth_and_with_segment_for_segmented_is_read(real):
    dog = real / "xml/stanford_dogs/n02085620-Chihuahua/n02085620_7"
    found = parse(dog.read_bytes())
    assert found == (
        "n02085620_7",
        250,
        188,
        (Object("Chihuahua", "Unspecified", False, False, 71, 1, 192, 180),),
        (),
        (),
    )


def test_a_part_of_an_object_is_no_second_box_of_it():
    part = f"<part><name>head</name>{BOX.replace('111', '7')}</part>"
    assert parse(WHOLE.replace("</object>", f"{part}</object>").encode()).objects == (SNAKE,)


@pytest.mark.parametrize("cut", range(0, len(HEAD + OBJECT + OBJECT), 7))
def test_a_file_that_breaks_off_keeps_its_complete_objects_and_says_so(cut):
    found = parse((HEAD + OBJECT + OBJECT)[:cut].encode())
    n = (cut >= len(HEAD + OBJECT)) + 0
    assert found.objects == (SNAKE,) * n
    assert codes(found) == ["xml_broken"]
    assert f"{n} complete objects" in found.problems[0][1]


def test_a_file_that_was_never_closed_is_kept_as_published(real):
    (path,) = (real / "xml/clsloc/train/n02437312").iterdir()
    found = parse(path.read_bytes())
    assert [box[4:8] for box in found.objects] == [(213, 127, 316, 329)]
    assert codes(found) == ["xml_broken"]


def test_an_annotation_without_an_object_is_said(real):
    (path,) = (real / "xml/clsloc/train/n02814533").iterdir()
    found = parse(path.read_bytes())
    assert (found.objects, codes(found)) == ((), ["xml_no_object"])


@pytest.mark.parametrize(
    ("text", "number", "flags"),
    [
        ("12.5", 12.5, ()),
        ("-3", -3.0, ()),
        (" 7\n", 7.0, ()),
        ("1e308", 1e308, ()),
        ("1e999", float("inf"), ()),
        ("INF", float("inf"), ()),
        ("", None, ("unreadable",)),
        ("12px", None, ("unreadable",)),
        ("1_000", None, ("unreadable",)),
        ("٣", None, ("unreadable",)),
        ("9" * 100_000, None, ("unreadable",)),
    ],
)
def test_numbers_are_kept_as_written_and_other_text_is_flagged(text, number, flags):
    assert box_with(xmin=text, ymin=0, xmax=1, ymax=2) == (flags, (number, 0.0, 1.0, 2.0))


def test_nan_is_kept():
    flags, numbers = box_with(xmin="NaN", ymin=0, xmax=1, ymax=2)
    assert flags == ()
    assert numbers[0] != numbers[0]


def test_an_absent_coordinate_is_null_and_flagged():
    assert box_with(xmin=1, ymin=2, ymax=3) == (("missing",), (1.0, 2.0, None, 3.0))


def test_a_value_that_stands_twice_is_flagged_and_the_first_kept():
    found = parse(WHOLE.replace("<xmin>111</xmin>", "<xmin>111</xmin><xmin>7</xmin>").encode())
    assert found.objects == (SNAKE._replace(flags=("repeated",)),)


@pytest.mark.parametrize(
    ("size", "width", "flags"),
    [("0", 0, ()), ("-1", -1, ()), ("500.0", 500, ()), ("wide", None, ("unreadable",)),
     ("99999999999", None, ("unreadable",)), ("nan", None, ("unreadable",)), ("0.5", None, ("unreadable",))],
)  # fmt: skip
def test_a_stated_size_that_is_none_is_null_and_flagged(size, width, flags):
    found = parse(WHOLE.replace("<width>500", f"<width>{size}").encode())
    assert (found.width, found.flags, found.objects) == (width, flags, (SNAKE,))


@pytest.mark.parametrize(
    ("name", "stem", "folder", "wnid", "flags"),
    [
        ("n02092002", "n02092002_3", "n02092002", "n02092002", ()),
        ("Scottish_deerhound", "n02092002_3", None, "n02092002", ("name_is_word",)),
        ("Scottish_deerhound", "ILSVRC2012_val_00000001", None, None, ("name_is_word",)),
        ("n02092002", "ILSVRC2012_val_00000001", None, "n02092002", ()),
        (None, "n02092002_3", None, "n02092002", ("no_name",)),
        ("n02092339", "n02092002_3", "n02092002", "n02092339", ("name_differs",)),
        ("n06470073", "n00141669_6790", "n06470073", "n06470073", ("folder_differs",)),
        ("word", "n00141669_6790", "n06470073", "n06470073", ("name_is_word", "folder_differs")),
    ],
)
def test_the_class_of_an_object_is_its_name_or_else_its_place(name, stem, folder, wnid, flags):
    assert class_of(name, stem, folder) == (wnid, flags)
    assert set(flags) <= set(bbox.FLAGS)


def test_a_filename_may_have_a_suffix_or_none_but_not_be_another():
    assert not filename_differs("n02092002_3", "n02092002_3")
    assert not filename_differs("n02092002_3.JPEG", "n02092002_3")
    assert not filename_differs(None, "n02092002_3")
    assert filename_differs("%s", "n02092002_3")


def test_utf_16_and_a_byte_order_mark_are_read():
    assert parse(WHOLE.encode("utf-16")).objects == (SNAKE,)
    assert parse(WHOLE.encode("utf-8-sig")).objects == (SNAKE,)


LAUGHS = "<!DOCTYPE a [<!ENTITY a 'ha'>" + "".join(
    f"<!ENTITY {b} '{f'&{a};' * 10}'>" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
HOSTILE = {
    "laughs": (f"{LAUGHS}]><annotation>&i;</annotation>".encode(), ["xml_refused"]),
    "laughs in UTF-16": (f"{LAUGHS}]><annotation>&i;</annotation>".encode("utf-16"), ["xml_refused"]),
    "laughs in UTF-16 without its mark": (
        f"{LAUGHS}]><annotation>&i;</annotation>".encode("utf-16-le"),
        ["xml_broken"],
    ),
    "laughs in UTF-16, the other way": (f"{LAUGHS}]><annotation>&i;</annotation>".encode("utf-16-be"), ["xml_broken"]),
    "external entity": (b'<!DOCTYPE a SYSTEM "http://127.0.0.1:9/a.dtd">' + WHOLE.encode(), ["xml_refused"]),
    "UTF-7 declared": (b'<?xml version="1.0" encoding="utf-7"?>' + WHOLE.encode(), []),
    "unknown encoding": (b'<?xml version="1.0" encoding="no-such"?>' + WHOLE.encode(), []),
    "UTF-16 without its mark": (WHOLE.encode("utf-16-le"), ["xml_broken"]),
    "latin-1 at the end": (WHOLE.encode() + b"\xe9", ["xml_broken"]),
    "NUL": (WHOLE.replace("Unspecified", "\0").encode(), ["xml_broken"]),
    "two documents": ((WHOLE * 2).encode(), ["xml_broken"]),
    "nothing": (b"", ["xml_broken"]),
    "a page of HTML": (b"<html><body>404</body></html>", ["xml_not_annotation"]),
    "too large": (b" " * (annotation.MAX_BYTES + 1), ["xml_too_large"]),
    "one long token": (b"<" + b"a" * 1_000_000, ["xml_broken"]),
    "deep": (b"<annotation>" + b"<a>" * 300_000, ["xml_broken"]),
    "many attributes": (
        b"<annotation " + b" ".join(b"a%d=''" % n for n in range(90_000)) + b"></annotation>",
        ["xml_no_object"],
    ),
    "many objects": (b"<annotation>" + b"<object></object>" * 60_000 + b"</annotation>", ["xml_too_many_objects"]),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_end_soon_in_a_coded_problem(name):
    data, expected = HOSTILE[name]
    began = time.process_time()
    found = parse(data)
    assert time.process_time() - began < 0.5
    assert codes(found) == expected
    assert set(expected) <= set(annotation.PROBLEMS)
    assert len(found.objects) <= annotation.MAX_OBJECTS


@examples(60, many=300)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_raise(data):
    parse(data)
    parse(b"<annotation>" + data + OBJECT.encode() + b"</annotation>")
