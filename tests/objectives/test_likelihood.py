"""Maximum likelihood: weighted means, noise, calibration on the batch."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from pushforward import flows
from pushforward.bijections import BatchNorm, Fixed, InexactError, Shift
from pushforward.distributions import Normal, Pushforward, Uniform
from pushforward.objectives import Batch, NegativeLogLikelihood, Rows, add_noise, weighted_mean


def batch(x: Any, weight: Any) -> Batch:
    return Batch(Rows(jnp.asarray(x)), jnp.asarray(weight), jnp.array(0.0))


def test_the_loss_is_the_weighted_mean_of_minus_log_density(float64: None) -> None:
    x, weight = np.array([[0.5], [-1.0], [3.0]]), np.array([1.0, 2.0, 0.5])
    flow = Pushforward(Normal.standard((1,)), Shift(jnp.array([1.0])))
    loss = NegativeLogLikelihood()(flow, batch(x, weight), jax.random.key(0))
    expected = -(weight * scipy.stats.norm(1, 1).logpdf(x[:, 0])).sum() / weight.sum()
    assert float(loss) == pytest.approx(expected, rel=1e-12)


@pytest.mark.long
@pytest.mark.parametrize("garbage", [1e30, -1e30, 0.0])
def test_rows_of_weight_zero_do_nothing_to_value_or_gradient(float64: None, garbage: float) -> None:
    x = np.array([[0.5], [-1.0], [garbage]])

    def loss(at: Any, x: Any, weight: Any) -> Any:
        flow = Pushforward(Normal.standard((1,)), Shift(jnp.zeros(1))).then(BatchNorm.init(1))
        return NegativeLogLikelihood()(flow, batch(x + at, weight), jax.random.key(0))

    padded = jax.value_and_grad(loss)(0.3, x, np.array([1.0, 2.0, 0.0]))
    np.testing.assert_allclose(padded, jax.value_and_grad(loss)(0.3, x[:2], np.array([1.0, 2.0])), rtol=1e-12)


def indexed(**options: Any) -> Pushforward:
    key = jax.random.key(0)
    return flows.recipe("indexed_maf")(key, 2, n_layers=1, hidden_sizes=(4,), index_hidden_sizes=(4,), **options)


@pytest.mark.long
def test_several_draws_give_the_importance_weighted_bound() -> None:
    """In the mean over keys the value and the whole gradient of estimates by as many draws, and a tighter bound.

    With noise on the rows and conditions of their own.
    """
    flow, n_keys, noise = indexed(cond_dim=2), 4000, jnp.array([2.0, 0.0])
    flow = eqx.tree_at(lambda f: f.bijection.posterior.layers[-1].bias, flow, jnp.array([1.0, 0.5]))  # away from p(u|x)
    rows = batch(np.array([[0.5, -1.0], [2.0, 0.3], [9.0, 0.0]]), [1.0, 2.0, 0.0])
    rows = rows._replace(data=rows.data._replace(condition=jnp.array([[1.0, 0.0], [-2.0, 3.0], [0.0, 0.0]])))

    def estimated(flow: Pushforward, key: Any) -> Any:
        x = add_noise(rows.data.x, noise, jax.random.fold_in(key, 7))[:2]
        return (
            -flow.log_prob_estimate(x, rows.data.condition[:2], key=key, n_samples=4).value @ jnp.array([1.0, 2.0]) / 3
        )

    def over_keys(loss: Any) -> tuple[Any, Any]:
        def one(key: Any) -> Any:
            value, gradient = eqx.filter_value_and_grad(loss)(flow, key)
            return value, gradient.bijection.posterior.layers[-1].bias

        return eqx.filter_jit(jax.vmap(one))(jax.random.split(jax.random.key(1), n_keys))

    values, gradients = over_keys(lambda flow, key: NegativeLogLikelihood(noise, 4)(flow, rows, key))
    for found, expected in zip((values, gradients), over_keys(estimated), strict=True):
        error = np.sqrt((found.var(0) + expected.var(0)) / n_keys)
        assert (np.abs(found.mean(0) - expected.mean(0)) < 4 * error).all()
    assert (np.abs(gradients.mean(0)) > 5 * gradients.std(0) / np.sqrt(n_keys)).all()
    one_draw = over_keys(lambda flow, key: NegativeLogLikelihood(noise)(flow, rows, key))[0]
    assert values.mean() < one_draw.mean() - 10 * one_draw.std() / np.sqrt(n_keys)


@pytest.mark.long
@pytest.mark.parametrize("garbage", [0.0, 1e15])
def test_several_draws_read_the_batch_once_and_skip_padding(garbage: float) -> None:
    """Under a normalised flow as under one whose statistics are those of the rows; value and gradient."""
    x, weight = np.array([[0.5, -1.0], [2.0, 0.3], [1.0, 1.0]]), np.array([1.0, 2.0, 0.5])
    given = x[::-1] + 1
    flow, loss = indexed(cond_dim=2).then(BatchNorm.init(2)), NegativeLogLikelihood(n_samples=3)

    def valued(x: Any, weight: Any, given: Any, flow: Pushforward = flow) -> Any:
        rows = Batch(Rows(jnp.asarray(x), jnp.asarray(given)), jnp.asarray(weight), jnp.array(0.0))
        return eqx.filter_value_and_grad(lambda flow: loss(flow, rows, jax.random.key(1)))(flow)

    plain = valued(x, weight, given)
    padded = valued(np.r_[x, [[garbage] * 2]], np.r_[weight, 0], np.r_[given, [[0.0, 0.0]]])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), padded, plain)
    mean = np.average(x, axis=0, weights=weight)
    known = BatchNorm(jnp.asarray(mean), jnp.asarray(np.average((x - mean) ** 2, axis=0, weights=weight)))
    fixed = eqx.tree_at(lambda f: f.bijection.bijections[-1], flow, Fixed(known))
    assert float(plain[0]) == pytest.approx(float(valued(x, weight, given, fixed)[0]), rel=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("padded", [False, True])
def test_a_row_that_no_draw_finds_a_density_for_costs_infinitely_unless_padded_and_never_pulls(padded: bool) -> None:
    flow = Pushforward(Uniform.standard((2,)), indexed().bijection)
    rows = batch([[0.4, 0.5], [1e30, 0.0]], [1.0, 0.0 if padded else 1.0])
    value, gradient = eqx.filter_value_and_grad(NegativeLogLikelihood(n_samples=3))(flow, rows, jax.random.key(1))
    assert np.isfinite(value) if padded else value == np.inf
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_several_draws_differ_between_equal_rows() -> None:
    rows, key = batch(np.array([[0.5, -1.0]] * 2), np.ones(2)), jax.random.key(1)
    first, second = (
        NegativeLogLikelihood(n_samples=2)(indexed(), rows._replace(weight=jnp.array(weight)), key)
        for weight in ([1.0, 0.0], [0.0, 1.0])
    )
    assert float(first) != float(second)


def test_several_draws_leave_exact_flows_alone() -> None:
    rows, key = batch(np.array([[0.5, -1.0], [2.0, 0.3]]), np.ones(2)), jax.random.key(0)
    exact = flows.maf(jax.random.key(0), 2, n_layers=1, hidden_sizes=(4,))
    assert float(NegativeLogLikelihood(n_samples=3)(exact, rows, key)) == float(
        NegativeLogLikelihood()(exact, rows, key)
    )


def test_several_draws_are_refused_where_they_cannot_be() -> None:
    with pytest.raises(ValueError, match="n_samples must be a whole number of at least 1; got 0"):
        NegativeLogLikelihood(n_samples=0)
    noisy = flows.residual(jax.random.key(0), 6, n_layers=1, hidden_sizes=(4,))
    with pytest.raises(InexactError, match="train on one draw"):
        NegativeLogLikelihood(n_samples=2)(noisy, batch(np.zeros((3, 6)), np.ones(3)), jax.random.key(0))


def test_a_mean_over_rows_skips_what_is_not_finite_at_weight_zero() -> None:
    values, weight = jnp.array([1.0, jnp.inf, 3.0]), jnp.array([1.0, 0.0, 3.0])
    assert float(weighted_mean(values, weight)) == 2.5
    assert float(weighted_mean(values, jnp.zeros(3))) == 0


def test_a_row_outside_the_support_costs_infinitely() -> None:
    flow = Pushforward(Uniform.standard((1,)), Shift(jnp.zeros(1)))
    assert float(NegativeLogLikelihood()(flow, batch([[0.5], [2.0]], [1.0, 1.0]), jax.random.key(0))) == np.inf


def test_noise_is_uniform_on_its_width_and_fresh_for_each_key() -> None:
    x, width = jnp.full((4000, 2), 3.0), jnp.array([0.0, 2.0])
    noisy = np.asarray(add_noise(x, width, jax.random.key(0)))
    assert (noisy[:, 0] == 3).all()
    assert scipy.stats.kstest(noisy[:, 1], scipy.stats.uniform(3, 2).cdf).pvalue > 1e-3
    assert not np.array_equal(noisy, add_noise(x, width, jax.random.key(1)))
    assert add_noise(x, None, jax.random.key(0)) is x


def test_noise_reaches_the_loss(float64: None) -> None:
    flow = Pushforward(Normal.standard((1,)), Shift(jnp.zeros(1)))
    rows = batch(np.zeros((5000, 1)), np.ones(5000))
    loss = NegativeLogLikelihood(jnp.array([2.0]))(flow, rows, jax.random.key(0))
    # E[u²]/2 for u uniform on [0, 2)
    assert float(loss) == pytest.approx(0.5 * np.log(2 * np.pi) + 4 / 6, abs=0.03)
