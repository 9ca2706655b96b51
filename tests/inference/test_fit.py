"""Posteriors of log-densities whose moments are known, and log-densities that are none."""

import math
import warnings
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.stats import norm

from pushforward.bijections import Affine, Chain, Exp
from pushforward.distributions import MixtureOfFlows, Pushforward
from pushforward.inference import FlowPosterior, PosteriorWarning, fit_posterior
from pushforward.inference import fit as fitting
from pushforward.inference.start import gaussian_starts
from pushforward.inference.target import as_target
from pushforward.training import TrainingError

KEY = jax.random.key(0)


def banana(x: jax.Array) -> jax.Array:
    return norm.logpdf(x[0]) + norm.logpdf(x[1], 0.5 * x[0] ** 2, 0.5)


@pytest.fixture(scope="module")
def bent() -> FlowPosterior:
    return fit_posterior(banana, 2, key=KEY)


def test_a_badly_scaled_correlated_gaussian_needs_no_flow() -> None:
    scales = jnp.array([1e-3, 1.0, 1e4])
    mean = jnp.array([1.0, -2.0, 3e4])
    correlation = jnp.array([[1, 0.99, 0], [0.99, 1, 0.1], [0, 0.1, 1.2]])
    covariance = scales[:, None] * correlation * scales
    found = fit_posterior(lambda x: jax.scipy.stats.multivariate_normal.logpdf(x, mean, covariance), 3, key=KEY)
    assert not found.history  # exact as it starts
    np.testing.assert_allclose((found.mean() - mean) / scales, 0, atol=0.05)
    np.testing.assert_allclose(found.sd() / np.sqrt(np.diag(covariance)), 1, atol=0.03)
    assert found.elbo.value == pytest.approx(0, abs=1e-3)
    assert found.log_evidence.value == pytest.approx(0, abs=1e-3)


@pytest.mark.long
def test_a_bent_density_is_met_by_a_flow(bent: FlowPosterior) -> None:
    assert bent.history and bent.k_hat < 0.7
    assert bent.diagnosis.gap < 0.02
    np.testing.assert_allclose(bent.mean(), [0, 0.5], atol=0.06)
    np.testing.assert_allclose(bent.sd(), [1, np.sqrt(0.5 + 0.25)], rtol=0.05)
    # the bound is below the evidence, and that is log 1
    assert bent.elbo.value < 3 * bent.elbo.standard_error
    assert abs(bent.log_evidence.value) < 5 * bent.log_evidence.standard_error + 1e-3


def test_the_same_fit_again_compiles_nothing_and_gives_the_same(bent: FlowPosterior) -> None:
    from tests.compilations import compilations

    with compilations() as found:
        again = fit_posterior(banana, 2, key=KEY)
    assert not found
    np.testing.assert_array_equal(again.diagnosis.log_ratios, bent.diagnosis.log_ratios)


def test_separate_modes_are_told_of_and_met_by_a_mixture() -> None:
    def two(x: jax.Array) -> jax.Array:
        left, right = norm.logpdf(x, -4.0, 0.5).sum(), norm.logpdf(x, 4.0, 1.0).sum()
        return jnp.logaddexp(jnp.log(0.3) + left, jnp.log(0.7) + right)

    with pytest.warns(PosteriorWarning, match="2 modes were found with a valley .* n_components=1"):
        fit_posterior(two, 2, key=KEY, effort=1)
    found = fit_posterior(two, 2, key=KEY, n_components=2, effort=1)
    assert isinstance(found.flow, MixtureOfFlows)
    draws = np.asarray(found.sample(jax.random.key(1), (20_000,)))
    assert (draws[:, 0] < 0).mean() == pytest.approx(0.3, abs=0.02)
    assert found.k_hat < 0.7 and found.diagnosis.gap < 0.01


def four(x: jax.Array) -> jax.Array:
    """Equal Gaussians at (±5, ±5), of evidence 1."""
    at = jnp.array([[5.0, 5.0], [5.0, -5.0], [-5.0, 5.0], [-5.0, -5.0]])
    return jax.scipy.special.logsumexp(norm.logpdf(x, at, 1.0).sum(axis=1)) - jnp.log(4.0)


def test_modes_that_first_starts_miss_are_looked_for() -> None:
    target = as_target(four, 2)
    with target.precision():
        first = [len(gaussian_starts(target, 2, jax.random.key(i))) for i in range(10)]
        found = [len(gaussian_starts(target, 2, jax.random.key(i), 4)) for i in range(10)]
    assert min(first) < 4  # else there is nothing to look for
    assert found == [4] * 10
    posterior = fit_posterior(four, 2, key=jax.random.key(int(np.argmin(first))), n_components=4, effort=1)
    assert posterior.log_evidence.value == pytest.approx(0, abs=0.05)
    quadrants = np.sign(posterior.sample(KEY, (4000,))) @ [1, 2]
    np.testing.assert_allclose([(quadrants == q).mean() for q in (-3, -1, 1, 3)], 0.25, atol=0.03)


@pytest.mark.long
def test_fewer_modes_than_components_are_told_of() -> None:
    with pytest.warns(PosteriorWarning, match="one mode was found, and n_components=3, after 40 starts within 32 of 0"):
        found = fit_posterior(lambda x: norm.logpdf(x).sum(), 2, key=KEY, n_components=3, effort=1)
    assert found.diagnosis.gap < 0.05

    def uneven(x: jax.Array) -> jax.Array:
        return jnp.logaddexp(norm.logpdf(x, -5.0).sum() + jnp.log(0.5), norm.logpdf(x, 5.0).sum() + jnp.log(0.5))

    with pytest.warns(PosteriorWarning, match="2 modes were found, and n_components=3"):
        found = fit_posterior(uneven, 2, key=KEY, n_components=3, effort=1)
    # the components that share a mode share its weight
    assert (found.sample(KEY, (4000,))[:, 0] < 0).mean() == pytest.approx(0.5, abs=0.03)


@pytest.mark.long
def test_families_that_are_asked_for() -> None:
    correlated = lambda x: jax.scipy.stats.multivariate_normal.logpdf(x, jnp.zeros(2), jnp.array([[1, 0.9], [0.9, 1]]))  # noqa: E731
    narrow = fit_posterior(correlated, 2, key=KEY, flow="mean_field")
    # the best diagonal of a Gaussian has the variances that are left when the other coordinate is known
    np.testing.assert_allclose(narrow.sd(), np.sqrt(1 - 0.81), rtol=0.05)
    assert narrow.elbo.value == pytest.approx(0.5 * np.log(1 - 0.81), abs=0.02)
    own = fit_posterior(banana, 2, key=KEY, flow=lambda key, size: fitting.family("gaussian", key, [START], 1))  # type: ignore[arg-type,return-value]
    assert isinstance(own.flow, Pushforward)


START = fitting.Gaussian(jnp.zeros(2), jnp.eye(2), jnp.zeros(()))


@pytest.mark.parametrize(
    ("log_density", "message"),
    [
        (lambda x: x, "must give a real scalar; got shape \\(2,\\) of float64; sum over observations"),
        (lambda x: (x > 0).all(), "must give a real scalar; got shape \\(\\) of bool"),
        (lambda x: float(np.sum(x)), "is no JAX function"),
        (lambda x: 0.0 if x[0] > 0 else 1.0, "is no JAX function"),
        (lambda x: x.sum() * jnp.nan, "finite at none of the points tried around 0"),
        (lambda x: jnp.where(x[0] > 0.1, jnp.inf, -0.5 * (x**2).sum()), "is \\+inf at"),
        (
            lambda x: jnp.where(jnp.abs(x[0]) < 1, -0.5 * x[1] ** 2, -jnp.inf),
            r"every Gaussian tried reaches .* where x\[0\] is below -1 and above 1; .* .interval\(-1, 1\)",
        ),
    ],
)
def test_log_densities_that_are_none_are_named(log_density: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_posterior(log_density, 2, key=KEY, effort=1, n_components=2)


def test_a_derivative_of_its_own_is_named() -> None:
    squares = jax.custom_vjp(lambda x: -(x**2).sum())
    squares.defvjp(lambda x: (squares(x), x), lambda x, g: (-2 * g * x,))
    with pytest.raises(ValueError, match="cannot be differentiated twice"):
        fit_posterior(squares, 2, key=KEY, effort=1)


def test_coordinates_without_curvature_are_met() -> None:
    """Laplace beside Gauss: the first has no second derivative anywhere."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PosteriorWarning)  # a Gaussian has lighter tails
        found = fit_posterior(lambda x: -jnp.abs(x[0]) - 0.5 * x[1] ** 2, 2, key=KEY, effort=1)
    np.testing.assert_allclose(found.mean(), 0, atol=0.1)
    np.testing.assert_allclose(found.sd(), [2**0.5, 1], rtol=0.15)


class Scaled(eqx.Module):
    """A log-density that holds arrays, which have no hash."""

    scale: jax.Array

    def __call__(self, x: jax.Array) -> jax.Array:
        return norm.logpdf(jnp.log(x), 0.0, self.scale).sum() - jnp.log(x).sum()


def test_modules_and_bijections_that_hold_arrays() -> None:
    support = Chain([Affine(jnp.ones(2), jnp.full(2, 2.0)), Exp((2,))])
    found = fit_posterior(Scaled(jnp.array([0.1, 0.2])), support, key=KEY, effort=1)
    np.testing.assert_allclose(np.log(found.sample(KEY, (4000,))).std(axis=0), [0.1, 0.2], rtol=0.05)
    expected = norm.logpdf(0.0, 0.0, jnp.array([0.1, 0.2])).sum()
    assert float(found.log_prob(jnp.ones(2))) == pytest.approx(float(expected), abs=0.05)


def test_outside_the_support_the_density_is_zero() -> None:
    found = fit_posterior(lambda v: jnp.log(v["p"]).sum(), {"p": ("simplex", 2)}, key=KEY, effort=1)
    inside, outside = found.log_prob({"p": jnp.array([[0.4, 0.6], [0.4, 6.0]])})
    assert jnp.isfinite(inside) and outside == -jnp.inf
    with pytest.raises(ValueError, match=r"values are .*'q'.*; expected .*'p'.*, as draws are"):
        found.log_prob({"p": jnp.array([0.4, 0.6]), "q": 1.0})


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"effort": 5}, "effort must be a whole number of at least 1 and at most 4; got 5"),
        ({"n_components": 0}, "n_components must be a whole number of at least 1; got 0"),
        ({"flow": "realnvp"}, "unknown flow 'realnvp'"),
        ({"flow": lambda key, size: None}, "Pushforward of shape \\(2,\\) without condition; it gave NoneType"),
    ],
)
def test_arguments_that_there_are_not(more: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_posterior(banana, 2, key=KEY, **more)


def test_where_training_diverges_the_start_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = []

    def diverge(*args: Any) -> Any:
        rates.append(args[-2])
        raise TrainingError("diverged")

    monkeypatch.setattr(fitting, "_round", diverge)
    with pytest.warns(PosteriorWarning, match="training did not improve on where it started"):
        found = fit_posterior(banana, 2, key=KEY)
    assert rates == sorted(rates, reverse=True) and len(set(rates)) == len(rates) > 1
    assert np.isfinite(found.elbo.value) and not found.history


@pytest.mark.long
def test_a_density_that_is_not_finite_in_places_is_met_elsewhere() -> None:
    def half(x: jax.Array) -> jax.Array:
        return jnp.where(x[0] > -1, -0.5 * (x**2).sum(), jnp.nan)

    with pytest.warns(
        PosteriorWarning, match=r"the log-density is -inf where x\[0\] is below -1; .* \"greater_than\(-1\)\""
    ):
        found = fit_posterior(half, 1, key=KEY, effort=1)
    assert math.isfinite(found.log_evidence.value)
