"""Arrays put together of their buffers are those that pyarrow makes of the same lists."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from imagenet_tools import arrays

COLUMNS: list[tuple[list[Any], pa.DataType]] = [
    (["n01440764", "é ☃", "", None, "a" * 300], pa.string()),
    ([None, None], pa.string()),
    ([], pa.string()),
    ([*range(-3, 20)], pa.int32()),
    ([None, 2**62, -1, None, 0, 5, 6, 7, 8, None], pa.int64()),
    ([6, None], pa.int16()),
    ([0.1, -0.0, None, 1e300], pa.float64()),
    ([0.1, 2.5], pa.float32()),
    ([True, None, False, True, True, True, True, True, None, True], pa.bool_()),
]


@pytest.mark.parametrize(("values", "kind"), COLUMNS)
def test_a_column_is_what_pyarrow_makes_of_the_list(values: list[Any], kind: pa.DataType) -> None:
    made = arrays.column(values, kind)
    made.validate(full=True)
    assert made.equals(pa.array(values, kind)) and made.null_count == values.count(None)


def test_lists_of_texts_and_of_boxes_are_what_pyarrow_makes_of_them() -> None:
    texts = [["n00001740", "é"], [], ["n00002684"]]
    kind = pa.list_(pa.string())
    assert arrays.string_lists(texts, kind).equals(pa.array(texts, kind))
    boxes = [[], [[0.1, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.7]], [[8.0, 9.0, 10.0, 11.0]]]
    kind = pa.list_(pa.list_(pa.float32(), 4))
    made = arrays.boxes(boxes, kind)
    made.validate(full=True)
    assert made.equals(pa.array(boxes, kind))
    assert arrays.boxes([[], []], kind).equals(pa.array([[], []], kind))


def test_a_number_that_its_type_has_no_room_for_is_refused() -> None:
    with pytest.raises(OverflowError):
        arrays.column([1 << 40], pa.int32())


def test_lists_of_a_slice_with_nulls_have_the_lengths_that_python_counts() -> None:
    values = [[1, 2], None, [], [3], None, *([[4]] * 9), None]
    for start, end in ((0, len(values)), (1, 5), (3, 12), (2, 3)):
        part = values[start:end]
        assert arrays.lengths(pa.array(values)[start:end]).tolist() == [len(one or ()) for one in part]


def test_lists_by_their_counts_are_null_where_there_are_none() -> None:
    made = arrays.lists_or_null(np.array([2, 0, 1, 0]), pa.array([5, 6, 7]))
    made.validate(full=True)
    assert made.to_pylist() == [[5, 6], None, [7], None]
