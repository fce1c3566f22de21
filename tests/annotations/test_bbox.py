"""Boxes as fractions: repaired, clipped, flagged, and none of them lost."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from imagenet_tools.annotations import bbox
from tests.examples import examples

NAN, INF = math.nan, math.inf

coordinates = st.one_of(
    st.integers(-2000, 2000).map(float), st.floats(-600, 1200), st.sampled_from([NAN, INF, -INF, 1e308, -1e308, -0.0])
)
sizes = st.one_of(st.integers(-1, 1000).map(float), st.sampled_from([NAN, INF, 500.0]))
a_box = st.tuples(*[coordinates] * 4, *[sizes] * 4)


def flags_of(boxes):
    """The flags of each box as codes."""
    return [bbox.in_words(bits) for bits in boxes.bits.tolist()]


def one(*edges, stated=(500, 375), real=(500, 375)):
    """The four fractions and the flags of a single box."""
    found = bbox.normalise(*edges, *stated, *real)
    return tuple(float(edge[0]) for edge in found[:4]), flags_of(found)[0]


def test_a_box_is_a_fraction_of_the_image_without_any_plus_one():
    assert one(111, 108, 441, 193) == ((111 / 500, 108 / 375, 441 / 500, 193 / 375), ())


def test_a_box_is_a_fraction_of_the_stated_size_where_the_real_one_differs():
    fractions, flags = one(50, 75, 250, 150, stated=(500, 300), real=(1000, 601))
    assert fractions == (0.1, 0.25, 0.5, 0.5)
    assert flags == ("size_differs",)


def test_a_stated_size_with_its_sides_exchanged_is_told_apart():
    assert one(0, 0, 9, 9, stated=(375, 500))[1] == ("size_differs", "size_turned")


@pytest.mark.parametrize("orientation", range(9))
def test_a_box_of_the_shown_image_is_turned_back_to_the_stored_one(orientation):
    stored = (0.1, 0.2, 0.4, 0.9)
    turned = orientation in bbox.TRANSPOSED
    shown = [float(edge) for edge in bbox.turn(*stored, orientation)] if turned else stored
    width, height = 300, 400
    pixels = [edge * side for edge, side in zip(shown, (width, height) * 2, strict=True)]
    found = bbox.normalise(*pixels, width, height, 400, 300, orientation)
    assert [float(edge[0]) for edge in found[:4]] == pytest.approx(stored)
    assert "size_turned" in flags_of(found)[0]


@pytest.mark.parametrize("stated", [(0, 0), (NAN, NAN), (500, 0), (-1, 375), (INF, 375)])
def test_without_a_usable_stated_size_the_real_one_divides(stated):
    assert one(0, 0, 250, 375, stated=stated) == ((0, 0, 0.5, 1), ("no_size",))


def test_without_any_size_a_box_has_no_normalised_values():
    fractions, flags = one(0, 0, 250, 375, stated=(NAN, NAN), real=(NAN, NAN))
    assert np.isnan(fractions).all()
    assert flags == ("no_size", "no_real")


@pytest.mark.parametrize(
    ("edges", "flags", "fractions"),
    [
        ((441, 108, 111, 193), ("swapped_x",), (111 / 500, 108 / 375, 441 / 500, 193 / 375)),
        ((111, 193, 441, 108), ("swapped_y",), (111 / 500, 108 / 375, 441 / 500, 193 / 375)),
        ((-5, 0, 250, 375), ("outside",), (0, 0, 0.5, 1)),
        ((250, 0, 501, 375), ("outside",), (0.5, 0, 1, 1)),
        ((0, 0, 1e308, 375), ("outside",), (0, 0, 1, 1)),
        ((0.5, 0, 250, 375), ("fractional",), (0.001, 0, 0.5, 1)),
    ],
)
def test_what_can_be_repaired_is_repaired_and_flagged(edges, flags, fractions):
    assert one(*edges) == (fractions, flags)


@pytest.mark.parametrize(
    ("edges", "flags"),
    [
        ((7, 8, 7, 90), ("degenerate",)),
        ((7, 8, 90, 8), ("degenerate",)),
        ((600, 8, 700, 90), ("outside", "degenerate")),
        ((NAN, 8, 700, 90), ("not_finite",)),
        ((0, -INF, 700, 90), ("not_finite",)),
    ],
)
def test_what_cannot_be_used_is_kept_flagged_and_without_fractions(edges, flags):
    fractions, found = one(*edges)
    assert np.isnan(fractions).all()
    assert found == flags


def test_every_flag_that_normalise_gives_has_a_meaning():
    boxes = [(NAN, 0, 0, 0, 5, 5, 5, 5), (9, 9, 0.5, 0, 4, 5, 5, 4), (0, 0, 0, 0, *[NAN] * 4)]
    found = bbox.normalise(*np.array(boxes).T)
    given = {flag for flags in flags_of(found) for flag in flags}
    assert given | {"degenerate"} == set(bbox.COMPUTED) <= set(bbox.FLAGS)
    assert all(bbox.FLAGS.values())


@examples(60, many=300)
@given(st.lists(a_box, min_size=1, max_size=20))
def test_normalised_boxes_lie_in_the_image_in_order_and_none_is_lost(boxes):
    with np.errstate(divide="raise", over="raise", invalid="raise"):
        found = bbox.normalise(*np.array(boxes).T)
    assert [len(column) for column in found] == [len(boxes)] * 5
    for left, top, right, bottom, flags in zip(*found[:4], flags_of(found), strict=True):
        unusable = {"not_finite", "no_real", "degenerate"} & set(flags)
        if unusable:
            assert np.isnan([left, top, right, bottom]).all()
        else:
            assert 0 <= left < right <= 1
            assert 0 <= top < bottom <= 1
        assert list(flags) == [code for code in bbox.FLAGS if code in flags]


@examples(60, many=300)
@given(a_box)
def test_normalising_twice_changes_nothing(box):
    once = bbox.normalise(*box)
    again = bbox.normalise(*once[:4], 1, 1, 1, 1)
    np.testing.assert_array_equal(once[:4], again[:4])
    assert not {"swapped_x", "swapped_y", "outside", "degenerate"} & set(flags_of(again)[0])


@examples(40, many=200)
@given(st.data(), st.integers(1, 5000), st.integers(1, 5000))
def test_pixels_come_back_from_fractions(data, width, height):
    x1, x2 = sorted(data.draw(st.lists(st.integers(0, width), min_size=2, max_size=2, unique=True)))
    y1, y2 = sorted(data.draw(st.lists(st.integers(0, height), min_size=2, max_size=2, unique=True)))
    found = bbox.normalise(x1, y1, x2, y2, width, height, width, height)
    back = np.array(bbox.to_pixels(*found[:4], width, height)).ravel()
    np.testing.assert_allclose(back, [x1, y1, x2, y2], rtol=1e-12, atol=1e-9)
    assert flags_of(found) == [()]


def test_yolo_gives_centre_and_size():
    assert [float(n) for n in bbox.yolo(0.25, 0.5, 0.75, 1.0)] == [0.5, 0.75, 0.5, 0.5]


@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 7, 8])
def test_turning_a_box_agrees_with_pillow_turning_the_picture(orientation):
    width, height, edges = 40, 30, (4, 3, 20, 9)
    image = Image.new("L", (width, height))
    image.paste(255, edges)
    image.getexif()[0x0112] = orientation
    shown = ImageOps.exif_transpose(image)
    normal = bbox.normalise(*edges, width, height, width, height)
    turned = bbox.to_pixels(*bbox.turn(*normal[:4], orientation), *shown.size)
    assert tuple(round(float(edge[0])) for edge in turned) == shown.getbbox()


@pytest.mark.parametrize("orientation", [0, 9, NAN, 274])
def test_an_orientation_that_is_none_turns_nothing(orientation):
    assert [float(edge) for edge in bbox.turn(0.1, 0.2, 0.3, 0.4, orientation)] == [0.1, 0.2, 0.3, 0.4]


def test_each_box_is_turned_by_the_orientation_of_its_own_image():
    edges = bbox.turn([0.0, 0.0], [0.0, 0.0], [0.25, 0.25], [0.5, 0.5], [1, 6])
    assert np.array(edges).T.tolist() == [[0.0, 0.0, 0.25, 0.5], [0.5, 0.0, 1.0, 0.25]]
