import numpy as np
import pytest

from pushforward.data import pinwheel, pinwheel_log_prob, pinwheel_posterior, two_circles


def test_pinwheel_density_integrates_to_one():
    step = 0.06
    axis = np.arange(-7, 7, step)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    assert np.exp(pinwheel_log_prob(grid)).sum() * step**2 == pytest.approx(1, abs=1e-6)


def test_pinwheel_mean_log_density_is_the_known_one():
    X, wing = pinwheel(20_000, seed=7)
    assert pinwheel_log_prob(X).mean() == pytest.approx(-2.31, abs=0.02)
    assert (pinwheel_posterior(X).argmax(axis=1) == wing).mean() == pytest.approx(0.998, abs=0.002)


def test_pinwheel_density_matches_counts_of_its_own_draws():
    n, edges = 200_000, np.linspace(-4, 4, 33)
    X, _ = pinwheel(n, seed=3)
    counts, *_ = np.histogram2d(X[:, 0], X[:, 1], bins=[edges, edges])
    fine = (edges[:-1, None] + (np.arange(8) + 0.5) / 8 * 0.25).ravel()
    grid = np.stack(np.meshgrid(fine, fine, indexing="ij"), axis=-1).reshape(-1, 2)
    expected = np.exp(pinwheel_log_prob(grid)).reshape(32, 8, 32, 8).mean(axis=(1, 3)) * 0.25**2 * n
    full = expected > 10
    chi2 = ((counts - expected)[full] ** 2 / expected[full]).sum() / full.sum()
    assert 0.8 < chi2 < 1.2


def test_pinwheel_density_sums_over_every_preimage():
    # Where the generator folds, a point has several preimages in the same wing: find them by a fine search.
    point = np.array([[5.0, 4.0]])
    radius, angle = np.hypot(*point[0]) / 2, np.arctan2(*point[0][::-1])
    total = 0.0
    most = 0
    for k in range(5):
        psi = np.linspace(-np.pi, np.pi, 2_000_001)
        miss = psi + 0.25 * np.exp(radius * np.cos(psi)) + 2 * np.pi * k / 5 - angle
        miss = (miss + np.pi) % (2 * np.pi) - np.pi
        roots = np.flatnonzero((miss[:-1] * miss[1:] <= 0) & (np.abs(miss[:-1]) < 1))
        most = max(most, len(roots))
        for z0, z1 in radius * np.stack([np.cos(psi[roots]), np.sin(psi[roots])], axis=1):
            normal = np.exp(-0.5 * ((z0 - 1) / 0.3) ** 2 - 0.5 * (z1 / 0.1) ** 2) / (2 * np.pi * 0.03)
            total += normal / (5 * 4 * abs(1 - 0.25 * np.exp(z0) * z1))
    assert most >= 3
    assert pinwheel_log_prob(point)[0] == pytest.approx(np.log(total), rel=1e-4)


def test_pinwheel_far_away_is_impossible_not_nan():
    far = np.array([[17.0, 0.0], [1e6, -1e6]])
    assert np.all(pinwheel_log_prob(far) == -np.inf)
    assert np.allclose(pinwheel_posterior(far), 0.2)
    near = np.array([[15.9, 0.0], [0.0, 0.0]])
    assert np.isfinite(pinwheel_log_prob(near)).all()


def test_pinwheel_is_reproducible_and_even():
    X, wing = pinwheel(2560, seed=0)
    again, _ = pinwheel(2560, seed=np.random.default_rng(0))
    assert np.array_equal(X, again)
    assert np.bincount(wing).tolist() == [512] * 5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pinwheel(-1), "n must be a number of points, 0 or more; got -1"),
        (lambda: pinwheel_log_prob([1.0, 2.0]), "X has shape (2,); expected two columns"),
        (lambda: pinwheel_posterior(np.zeros((3, 5))), "X has shape (3, 5); expected two columns"),
    ],
)
def test_bad_arguments_say_what_is_wrong(call, message):
    with pytest.raises(ValueError) as caught:
        call()
    assert message in str(caught.value)


def test_two_circles_has_the_radii_and_noise_asked_for():
    X, circle = two_circles(2000, noise=0.05, factor=0.5, seed=0)
    radius = np.hypot(X[:, 0], X[:, 1])
    assert [radius[circle == k].mean() for k in (0, 1)] == pytest.approx([1.0, 0.5], abs=0.01)
    assert radius[circle == 0].std() == pytest.approx(0.05, abs=0.005)
