import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from repvit_nas.searching.front import Front, hypervolume, non_dominated, reference_point, thinned

points = arrays(
    np.float64,
    st.tuples(st.integers(1, 12), st.integers(2, 3)),
    elements=st.integers(0, 6).map(float),
)


@given(points)
def test_the_front_is_what_nothing_beats(objectives):
    """Against the definition, pair by pair; of equal points one is kept."""
    kept = non_dominated(objectives)

    def beaten(point):
        return any((other <= point).all() and (other < point).any() for other in objectives)

    expected = {tuple(point) for point in objectives if not beaten(point)}
    assert {tuple(objectives[row]) for row in kept} == expected
    assert len(kept) == len(expected)
    assert objectives[kept, 0].tolist() == sorted(objectives[kept, 0])


@given(points)
def test_the_hypervolume_is_the_number_of_unit_cells_below(objectives):
    """On integer points the volume is the count of unit cells that some point dominates."""
    reference = np.full(objectives.shape[1], 7.0)
    cells = np.stack(np.meshgrid(*[np.arange(7)] * objectives.shape[1]), axis=-1)
    cells = cells.reshape(-1, objectives.shape[1])
    covered = (objectives[None] <= cells[:, None]).all(axis=2).any(axis=1)

    assert hypervolume(objectives, reference) == pytest.approx(covered.sum())


def test_points_outside_the_reference_add_nothing():
    assert hypervolume(np.array([[1.0, 9.0], [9.0, 1.0]]), np.array([5.0, 5.0])) == 0.0
    assert hypervolume(np.array([[1.0, 2.0], [9.0, 0.0]]), np.array([5.0, 5.0])) == 12.0


def test_no_points_have_no_front():
    assert non_dominated(np.zeros((0, 2))).shape == (0,)


def test_the_reference_is_the_worst_the_front_spans():
    front = Front(np.zeros((2, 1), dtype=np.intp), np.array([[1.0, 5.0], [3.0, 2.0]]))

    assert reference_point(front).tolist() == [3.0, 5.0]


@pytest.mark.parametrize("most", [1, 7, 100])
def test_a_thinned_front_is_few_members_spread_over_it(most):
    angles = np.linspace(0, np.pi / 2, 1000)
    objectives = np.stack([1 - np.sin(angles), 1 - np.cos(angles)], axis=1)
    front = Front(np.arange(1000)[:, None], objectives)

    kept = thinned(front, most)

    rows = kept.choices[:, 0]
    assert 0.5 * most <= len(rows) <= most
    assert sorted(set(rows)) == rows.tolist()
    assert np.array_equal(kept.objectives, objectives[rows])
    if most == 100:
        assert np.diff(rows).max() <= 40


def test_a_front_of_few_stays_whole():
    front = Front(np.arange(3)[:, None], np.array([[0.0, 2.0], [1.0, 1.0], [2.0, 0.0]]))

    assert thinned(front, 3) is front
