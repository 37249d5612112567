"""Column offsets: found where a sensor has them, not invented where a scene has edges."""

import numpy as np
import pytest

from onboard.restore import destripe
from onboard.restore.destripe import column_offsets, column_offsets_of, without


def test_stripes_are_taken_off(fields):
    stripes = np.random.default_rng(1).normal(0, 25, 300)
    scene = fields()
    dn = np.rint(scene + stripes).astype(np.uint16)
    left = without(dn, column_offsets(dn)) - scene
    columns = np.diff(left.mean(0))
    assert columns.std() < 0.3 * np.diff(stripes).std()


def test_a_scene_without_stripes_is_hardly_touched(fields):
    offsets = column_offsets(np.rint(fields()).astype(np.uint16))
    assert np.abs(offsets).max() <= 8  # a fifth of the noise


def test_few_lines_and_flat_images_give_nothing(fields):
    dn = np.rint(fields(50)).astype(np.uint16)
    assert not column_offsets(dn[:8]).any()
    assert not column_offsets(np.full((100, 1), 7, np.uint16)).any()
    assert not column_offsets(np.full((100, 40), 7, np.uint16)).any()


def test_what_is_taken_off_stays_a_number_of_sixteen_bits():
    dn = np.array([[3, 65530]], np.uint16)
    assert without(dn, np.array([10, -10], np.int32)).tolist() == [[0, 65535]]


def test_columns_that_come_in_pairs_are_one_detectors(fields):
    stripes = np.random.default_rng(1).normal(0, 25, 300)
    dn = np.rint(fields() + stripes).astype(np.uint16)
    assert (column_offsets(dn.repeat(2, axis=1)) == column_offsets(dn).repeat(2)).all()


@pytest.mark.parametrize(("span", "pairs"), [(2, 1), (64, 1), (400, 1), (2, 2), (64, 2), (400, 2)])
def test_how_many_columns_are_read_at_a_time_changes_nothing(fields, monkeypatch, span, pairs):
    stripes = np.random.default_rng(1).normal(0, 25, 300)
    dn = np.rint(fields() + stripes).astype(np.uint16).repeat(pairs, axis=1)
    expected, most = column_offsets(dn), []

    def columns(first, end):
        most.append(end - first)
        return dn[:, first:end]

    monkeypatch.setattr(destripe, "SPAN", span)
    assert (column_offsets_of(columns, *dn.shape) == expected).all()
    assert max(most) <= pairs * (span + 1)
