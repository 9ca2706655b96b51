"""Whether a posterior is to be trusted, and what is wrong where it is not."""

import re
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.stats import norm

from pushforward.bijections import Affine
from pushforward.distributions import MixtureOfFlows, Normal, Pushforward
from pushforward.inference import PosteriorWarning, fit_posterior
from pushforward.inference.diagnosis import Diagnosis, Wider, diagnose
from pushforward.inference.faults import faults
from pushforward.inference.target import as_target

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)


@pytest.mark.long
def test_a_density_that_is_positive_at_a_bound_is_trusted() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", PosteriorWarning)
        found = fit_posterior(lambda v: -0.5 * v["a"] ** 2, {"a": "positive"}, key=KEY)
    assert found.k_hat > 0.7  # of the ratios alone
    assert found.mean()["a"] == pytest.approx(np.sqrt(2 / np.pi), rel=0.03)
    assert found.log_evidence.value == pytest.approx(np.log(np.sqrt(np.pi / 2)), abs=0.01)
    assert "from far tails alone, 0." in found.verdict() and found.diagnosis.trusted


def test_mass_that_is_missed_is_not() -> None:
    with pytest.warns(PosteriorWarning, match="above 0.7: the flow misses"):
        found = fit_posterior(lambda v: -0.5 * v["a"] ** 2, {"a": "positive"}, key=KEY, effort=1)
    assert found.diagnosis.wider is not None
    # a Gaussian for the logarithm of a half-normal
    assert found.diagnosis.wider.missed == pytest.approx(0.16, abs=0.05)


def test_what_is_missed_is_a_total_variation() -> None:
    u = RNG.normal(size=10_000) * np.where(RNG.random(10_000) < 0.5, 1, 2)
    log_p, log_q = -0.5 * (u / 1.5) ** 2 - np.log(1.5), -0.5 * u**2
    log_m = np.logaddexp(log_q, -0.5 * (u / 2) ** 2 - np.log(2)) - np.log(2)
    grid = np.linspace(-12, 12, 4001)
    of = lambda scale: np.exp(-0.5 * (grid / scale) ** 2) / scale / np.sqrt(2 * np.pi)  # noqa: E731
    expected = 0.5 * np.trapezoid(np.abs(of(1.5) - of(1.0)), grid)
    assert Wider(log_p - log_m, log_q - log_m, u[:, None]).missed == pytest.approx(expected, abs=0.01)
    assert Wider(0.5 * log_m**2, log_q - log_m, u[:, None]).missed == 1  # ratios that have no mean


@pytest.mark.parametrize("n_components", [1, 3])
def test_what_flows_and_mixtures_of_them_miss_is_told_by_wider_draws(n_components: int) -> None:
    """Components four times too narrow, of unequal weights and widths."""
    middles, scales = 10.0 * np.arange(n_components), 1.0 + np.arange(n_components)
    log_weights = jax.nn.log_softmax(0.5 * jnp.arange(n_components))
    parts = [
        Pushforward(Normal.standard((1,)), Affine(jnp.array([m]), jnp.array([s])))
        for m, s in zip(middles, scales, strict=True)
    ]

    def log_density(x: Any) -> Any:
        return jax.nn.logsumexp(log_weights + norm.logpdf(x[0], middles, 4 * scales))

    model = parts[0] if n_components == 1 else MixtureOfFlows(parts, log_weights=log_weights)
    target = as_target(log_density, 1)
    with target.precision():
        found = diagnose(model, target, KEY)
        grid = np.linspace(-300, 300, 60_001)
        p = np.exp(jax.vmap(log_density)(jnp.asarray(grid)[:, None]))
        q = np.exp(model.log_prob(jnp.asarray(grid)[:, None]))
    assert found.k_hat > 0.7 and found.wider is not None
    assert found.wider.missed == pytest.approx(0.5 * np.trapezoid(np.abs(p - q), grid), abs=0.02)
    assert found.log_evidence.value == pytest.approx(0.0, abs=0.02)


def test_little_mass_may_be_much_of_a_mean() -> None:
    """A fiftieth of the mass lies elsewhere: near, or far away."""
    where = RNG.random(10_000) < 0.02
    even = np.zeros(10_000)
    for distance, few in ((1.0, True), (50.0, False)):
        values = np.where(where, distance, RNG.normal(size=10_000))[:, None]
        assert Wider(even, np.where(where, -20.0, 0.0), values).few is few


def looked(log_density: Any, support: Any, u: Any) -> list[str]:
    """The faults that are found from draws at some points."""
    return faults(as_target(log_density, support), Diagnosis(u, u, np.zeros(len(u))))


NEAR = 0.5 + 0.1 * RNG.normal(size=(200, 2))


def about(v: Any) -> Any:
    """A Gaussian at (0.5, 0.5)."""
    return -50 * (v["a"] - 0.5) ** 2 - 50 * (v["b"] - 0.5) ** 2


@pytest.mark.parametrize(
    ("inside", "message"),
    [
        (lambda v: v["a"] > 0, 'where a is below 0; .* "positive"$'),
        (lambda v: v["b"] > -0.15, r'b is below -0.15; .*"greater_than\(-0.15\)'),
        (lambda v: v["b"] < 1.2, r'b is above 1.2; .* "less_than\(1.2\)'),
        (lambda v: abs(v["a"] - 0.5) < 0.5, "a is below 0 and above 1; .*unit_interval"),
        (lambda v: abs(v["a"] - 0.5) < 0.7, r"a is below -0.2 and above 1.2; .*interval\(-0.2, 1.2\)"),
    ],
)
@pytest.mark.parametrize("outside", [-jnp.inf, jnp.nan])
def test_edges_are_named(inside: Any, message: str, outside: float) -> None:
    (found,) = looked(lambda v: jnp.where(inside(v), about(v), outside), {"a": "real", "b": "real"}, NEAR)
    assert re.search(message, found)


def test_edges_beyond_a_constraint_are_on_the_unconstrained_scale() -> None:
    peak = lambda v: jnp.where(v["a"] < 2, -50 * (jnp.log(v["a"]) - 0.5) ** 2, -jnp.inf)  # noqa: E731
    (found,) = looked(peak, {"a": "positive"}, NEAR[:, :1])
    assert found.endswith("where unconstrained a is above 0.6931; say where it lives by a constraint")


@pytest.mark.parametrize(
    ("log_density", "direction"),
    [
        (lambda v: -0.5 * (v["a"] + v["b"] - 1) ** 2, "a − b"),
        (lambda v: -0.5 * (v["a"] - 2 * v["b"]) ** 2, "a + 0.5 b"),
        (lambda v: -0.5 * v["b"] ** 2, "a"),
        (lambda v: jax.nn.log_sigmoid(v["a"]) - v["b"] ** 2, "a"),  # on one side
    ],
)
def test_directions_without_information_are_named(log_density: Any, direction: str) -> None:
    """As a fit finds them: wide where the density is flat, narrow elsewhere."""
    u = np.linalg.qr(np.array([[1.0, 0.0], [0.0, 1.0]]))[0] @ RNG.normal(size=(2, 500))
    target = as_target(log_density, {"a": "real", "b": "real"})
    curvature = -np.asarray(jax.hessian(target)(jnp.zeros(2)))
    values, vectors = np.linalg.eigh(curvature)
    u = (vectors / np.sqrt(np.maximum(values, 1e-8)) @ u).T
    (found,) = faults(target, Diagnosis(u, u, np.zeros(500)))
    assert found.startswith(f"the log-density is flat along {direction}: it changes by less than a nat over ")


WIDE = np.stack([1e6 * RNG.normal(size=300), RNG.normal(size=300)], axis=1)
LONG = 100 * RNG.normal(size=(300, 1)) + RNG.normal(size=(300, 2))


@pytest.mark.parametrize(
    ("log_density", "u"),
    [
        (lambda v: -0.5 * (v["a"] / 1e6) ** 2 - jnp.exp(v["b"]) + v["b"], WIDE),  # -inf far above, by overflow
        (lambda v: -jnp.log1p((v["a"] / 1e6) ** 2) - jnp.log1p(v["b"] ** 2), WIDE),
        (lambda v: -0.5 * (v["a"] - v["b"]) ** 2 - 5e-5 * v["b"] ** 2, LONG),
    ],
)
def test_proper_densities_have_no_faults(log_density: Any, u: Any) -> None:
    assert looked(log_density, {"a": "real", "b": "real"}, u) == []


def test_a_fit_tells_of_them() -> None:
    edge = lambda v: jnp.where(v["a"] > 0, jnp.log(jnp.abs(v["a"])) - 2 * v["a"], -jnp.inf)  # noqa: E731
    with pytest.raises(ValueError, match=r'every Gaussian tried reaches .*: .* where a is below 0; .* "positive"'):
        fit_posterior(edge, {"a": "real"}, key=KEY, effort=1)
    flat = lambda x: -0.5 * (x[0] + x[1] - 1) ** 2  # noqa: E731
    with pytest.warns(PosteriorWarning, match=r"flat along x\[0\] − x\[1\]: .* give it a prior.*Pareto k̂"):
        fit_posterior(flat, 2, key=KEY, effort=1)


def test_a_second_mode_far_out_is_no_flat_direction() -> None:
    two = lambda v: jnp.logaddexp(-0.5 * ((v["a"] - 5) / 0.1) ** 2, -0.5 * ((v["a"] - 6) / 0.1) ** 2)  # noqa: E731
    u = 5 + 0.1 * RNG.normal(size=(200, 1))
    assert looked(two, {"a": "real"}, u) == []
