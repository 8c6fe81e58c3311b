"""What is drawn of an output that differs."""

import json

import numpy as np
import pytest

from pytest_microtvm.verify.compare import Tolerance, compare_outputs
from pytest_microtvm.verify.pictures import MAX_BINS, MAX_CELLS, Picture


def picture_of(device, reference) -> Picture:
    (picture,) = compare_outputs({"y": device}, {"y": reference}, Tolerance()).pictures
    json.dumps(picture.to_data(), allow_nan=False)
    return picture


def test_an_output_that_is_right_has_no_picture():
    same = np.arange(4, dtype=np.int8)
    assert compare_outputs({"y": same}, {"y": same.copy()}, Tolerance()).pictures == []


def test_a_histogram_counts_by_how_much_every_element_is_off():
    reference = np.array([0, 10, 20, 30], np.int8)
    picture = picture_of(np.array([0, 10, 21, 27], np.int8), reference)
    assert picture.histogram == (
        (-3.5, -2.5, 1),
        (-2.5, -1.5, 0),
        (-1.5, -0.5, 0),
        (-0.5, 0.5, 2),
        (0.5, 1.5, 1),
    )
    assert (picture.elements, picture.mismatched, picture.dtype) == (4, 2, "int8")


def test_a_heat_map_has_the_largest_difference_where_it_is():
    reference = np.zeros((1, 2, 3, 4), np.int8)
    device = reference.copy()
    device[0, 1, 2, 3] = -7
    picture = picture_of(device, reference)
    assert [list(row) for row in picture.heat_map] == [[0, 0, 0], [0, 0, 7]]
    assert "channels" in picture.layout


@pytest.mark.parametrize("shape", [(5000,), (1, 300, 200), (7, 96, 96, 3)])
def test_a_picture_of_a_large_output_is_small(shape):
    reference = np.zeros(shape, np.float32)
    device = reference.copy()
    device.reshape(-1)[-1] = 2.0
    picture = picture_of(device, reference)
    assert len(picture.heat_map) <= MAX_CELLS
    assert max(map(len, picture.heat_map)) <= MAX_CELLS
    assert max(map(max, picture.heat_map)) == 2.0
    assert len(picture.histogram) == MAX_BINS
    assert sum(count for _, _, count in picture.histogram) == reference.size


def test_values_pair_device_and_reference_where_they_differ():
    reference = np.array([0, 0, 100, 7], np.int8)
    picture = picture_of(np.array([24, 24, 0, 7], np.int8), reference)
    counts = {(cell[0] <= 0 < cell[1], cell[2] <= 24 < cell[3]): cell[4] for cell in picture.values}
    assert counts == {(True, True): 2, (False, False): 1}


def test_what_is_not_finite_is_counted_and_in_no_plot():
    reference = np.array([1, np.nan, 2, np.inf], np.float32)
    picture = picture_of(np.array([3, 1, np.nan, np.inf], np.float32), reference)
    assert picture.not_finite == 3
    assert sum(count for _, _, count in picture.histogram) == 1


def test_the_widest_integers_have_a_picture():
    low, high = np.iinfo(np.int64).min, np.iinfo(np.int64).max
    picture = picture_of(np.array([low, 3]), np.array([high, 3]))
    assert sum(count for _, _, count in picture.histogram) == 2
