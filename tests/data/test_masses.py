"""Which values stand out among those beside them."""

import numpy as np

from pushforward.data.masses import stand_out


def by_hand(counts: np.ndarray, least: float, excess: float) -> list[bool]:
    """As often as the mean of its two neighbours, of which the first and the last value have one."""
    beside = [counts[max(i - 1, 0) : i + 2].sum() - counts[i] for i in range(len(counts))]
    two = [1 if i in (0, len(counts) - 1) else 2 for i in range(len(counts))]
    return [bool(c >= least and c > excess * b / n) for c, b, n in zip(counts, beside, two, strict=True)]


def test_with_one_neighbour_on_each_side_it_is_their_mean() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        counts = rng.integers(1, 60, rng.integers(2, 30))
        values = np.sort(rng.normal(size=len(counts)))
        assert stand_out(values, counts, least=10, excess=3.0).tolist() == by_hand(counts, 10, 3.0)


def test_empty_cells_of_a_grid_count_and_masses_hide_none_beside_them() -> None:
    values, counts = np.array([0.0, 1.0, 2.0, 30.0, 60.0]), np.array([500, 400, 12, 12, 12])
    assert stand_out(values, counts, 10, 5.0, around=8, step=1.0).tolist() == [True, True, False, False, False]
    again = stand_out(values, counts, 10, 5.0, around=8, step=1.0, passes=10)
    assert again.tolist() == [True, True, True, True, True]  # of sixty cells fifty-five are empty
