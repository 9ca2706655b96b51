"""What a fitted posterior offers: draws and densities on the scale of the values."""

import copy
import pickle
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from numpyro.distributions import constraints
from scipy import integrate, stats

import pushforward as pf
from pushforward import flows
from pushforward.bijections import Affine, Chain, Exp
from pushforward.inference import FlowPosterior, PosteriorWarning, as_support, fit_posterior

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def gamma() -> FlowPosterior:
    """Rate ~ gamma(3, 2), by a flow in one dimension; and two numbers of a simplex ~ Dirichlet(2, 4)."""

    def log_density(v: dict[str, jax.Array]) -> jax.Array:
        return 2 * jnp.log(v["rate"]) - 2 * v["rate"] + (jnp.array([1.0, 3.0]) * jnp.log(v["share"])).sum()

    return fit_posterior(log_density, {"rate": "positive", "share": ("simplex", 2)}, key=KEY)


def test_draws_and_moments_are_on_the_scale_of_the_values(gamma: FlowPosterior) -> None:
    draws = gamma.sample(KEY, (30, 400))
    assert draws["rate"].shape == (30, 400) and draws["share"].shape == (30, 400, 2)
    assert draws["rate"].dtype == jnp.float32  # as everything else where JAX is left as it is
    for rate in (np.asarray(draws["rate"]), gamma.importance_sample(KEY, (12_000,))["rate"]):
        assert np.mean(rate) == pytest.approx(1.5, abs=0.05)
        assert np.std(rate) == pytest.approx(np.sqrt(3) / 2, abs=0.05)
    assert gamma.mean()["share"] == pytest.approx([1 / 3, 2 / 3], abs=0.02)
    np.testing.assert_allclose(gamma.quantile([0.1, 0.9])["rate"], stats.gamma(3, scale=0.5).ppf([0.1, 0.9]), rtol=0.06)
    # the evidence is that of both parts
    expected = np.log(2 / 2**3) + np.log(1 * 6 / 120)
    assert gamma.log_evidence.value == pytest.approx(expected, abs=0.02)


@pytest.mark.long
def test_log_prob_is_a_density_of_the_values() -> None:
    def log_density(v: dict[str, jax.Array]) -> jax.Array:
        return 2 * jnp.log(v["rate"]) - 2 * v["rate"]

    posterior = fit_posterior(log_density, {"rate": "positive"}, key=KEY, effort=1)
    grid = np.linspace(1e-3, 20, 20_000)
    found = np.exp(np.asarray(posterior.log_prob({"rate": grid}), np.float64))
    assert integrate.trapezoid(found, grid) == pytest.approx(1, abs=1e-3)
    assert integrate.trapezoid(grid * found, grid) == pytest.approx(posterior.mean()["rate"], abs=0.03)
    assert posterior.log_prob({"rate": -1.0}) == -np.inf


def test_log_prob_needs_a_way_back() -> None:
    posterior = fit_posterior(lambda x: -0.5 * (x**2).sum(), (1, lambda u: (u, jnp.zeros(()))), key=KEY, effort=1)
    with pytest.raises(ValueError, match="without its inverse"):
        posterior.log_prob(jnp.zeros(1))


def test_it_goes_to_arviz_and_to_paper(gamma: FlowPosterior) -> None:
    import arviz

    table = arviz.summary(gamma.to_arviz(), kind="stats")
    assert table.loc["rate", "mean"] == pytest.approx(1.5, abs=0.05)
    assert set(table.index) == {"rate", "share[0]", "share[1]"}
    text = str(gamma.summary())
    assert "share[1]" in text and f"Pareto k̂ {gamma.k_hat:.2f}: trusted" in text


def test_a_summary_is_numbers_text_and_a_table_for_notebooks(gamma: FlowPosterior) -> None:
    summary = gamma.summary()
    assert list(summary.rows) == ["rate", "share[0]", "share[1]"]
    assert summary.rows["rate"]["mean"] == gamma.mean()["rate"]
    assert summary.rows["share[1]"]["95%"] == gamma.quantile(0.95)["share"][1]
    assert repr(summary) == str(summary) and len(str(summary).splitlines()) == 5
    html = summary._repr_html_()
    assert html.count("<tr>") == 4 and f"<td>{summary.rows['rate']['sd']:.4g}</td>" in html and "k̂" in html


def test_a_posterior_prints_as_two_lines(gamma: FlowPosterior) -> None:
    first, second = repr(gamma).splitlines()
    assert first.startswith("FlowPosterior of rate, share (2,), fitted in ") and second == gamma.verdict()


def same(one: FlowPosterior, other: FlowPosterior) -> None:
    """Draws, densities and diagnosis are equal, and the flow has the same bits."""
    draws = other.sample(KEY, (50,))
    assert jax.tree.all(jax.tree.map(np.array_equal, one.sample(KEY, (50,)), draws))
    np.testing.assert_array_equal(one.log_prob(draws), other.log_prob(draws))
    assert one.verdict() == other.verdict() and one.history == other.history and repr(one) == repr(other)
    for a, b in zip(jax.tree.leaves(one.flow), jax.tree.leaves(other.flow), strict=True):
        assert a.dtype == b.dtype and np.array_equal(a, b)


def test_posteriors_are_saved_and_pickled_in_their_precision(gamma: FlowPosterior, tmp_path: Path) -> None:
    assert np.dtype("float64") in {leaf.dtype for leaf in jax.tree.leaves(gamma.flow)}
    pf.save(gamma, tmp_path / "posterior")
    same(pf.load(tmp_path / "posterior"), gamma)
    same(pickle.loads(pickle.dumps(gamma)), gamma)  # of a function that cannot be pickled itself
    same(copy.deepcopy(gamma), gamma)
    pf.save(gamma.flow, tmp_path / "flow")
    for a, b in zip(jax.tree.leaves(pf.load(tmp_path / "flow")), jax.tree.leaves(gamma.flow), strict=True):
        assert a.dtype == b.dtype and np.array_equal(a, b)


@pytest.mark.parametrize(
    "support",
    [
        2,
        {"a": "interval(-1, 2)", "b": ("greater_than(0.5)", 1)},
        {"a": constraints.less_than(3.0), "b": constraints.unit_interval},
        Chain([Affine(jnp.ones(2), jnp.full(2, 2.0)), Exp((2,))]),
    ],
)
def test_supports_are_written_down(support: Any, tmp_path: Path) -> None:
    made = as_support(support)
    pf.save({"support": made.written()}, tmp_path / "support")
    for again in (as_support(pf.load(tmp_path / "support")["support"]), pickle.loads(pickle.dumps(made))):
        assert again.size == made.size and again.names == made.names
        u = jnp.array([0.3, -0.7])
        for a, b in zip(jax.tree.leaves(again.constrain(u)), jax.tree.leaves(made.constrain(u)), strict=True):
            np.testing.assert_array_equal(a, b)


def test_supports_that_are_code_are_not_saved(tmp_path: Path) -> None:
    found = fit_posterior(lambda x: -0.5 * (x**2).sum(), (1, lambda u: (u, jnp.zeros(()))), key=KEY, effort=1)
    with pytest.raises(TypeError, match="is a function, which no file holds; pickle it, if the function can be"):
        pf.save(found, tmp_path / "posterior")
    rows = as_support({"a": (constraints.interval(np.zeros(2), np.ones(2)), 2)})
    with pytest.raises(TypeError, match="keeps 'a' to Interval.*; write it with a name and numbers"):
        rows.written()


@pytest.mark.parametrize("key", [0, None, jnp.zeros(2), jax.random.split(KEY)])
def test_keys_that_are_none_are_refused_in_words(
    key: Any, gamma: FlowPosterior, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # which checks types in tests alone
    for use in (gamma.sample, gamma.importance_sample, gamma.flow.sample, lambda key: flows.real_nvp(key, 2)):
        with pytest.raises(ValueError, match=r"key must be one JAX random key, such as jax.random.key\(0\); got "):
            use(key)
    with pytest.raises(ValueError, match="key must be one JAX random key"):
        fit_posterior(lambda x: -(x**2).sum(), 1, key=key)


def test_keys_of_either_kind_are_taken(gamma: FlowPosterior) -> None:
    assert gamma.sample(jax.random.PRNGKey(0), (3,))["rate"].shape == (3,)
    assert jax.jit(lambda key: gamma.flow.sample(key))(KEY).shape == (2,)


def test_a_posterior_that_a_gaussian_misses_is_not_trusted() -> None:
    def heavy(x: jax.Array) -> jax.Array:
        return -0.8 * jnp.log1p(x**2).sum()  # tails beyond those of Cauchy

    with pytest.warns(PosteriorWarning, match=r"Pareto k̂ is .*, above 0.7: the flow misses parts of the posterior"):
        found = fit_posterior(heavy, 2, key=KEY, effort=1)
    assert "not to be trusted" in str(found.summary())
