"""Components evaluated only where they are likely: the same numbers, every pair there, a bound below the density."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pushforward import flows
from pushforward.bijections import ActNorm, Affine, BatchNorm
from pushforward.distributions import MixtureOfFlows, Normal, Pushforward
from pushforward.distributions.likely import likely_blocks
from pushforward.networks import MLP
from pushforward.objectives import Batch, MixtureBound, Rows

K, N = 12, 50


def a_mixture(cond_dim: int | None = None) -> MixtureOfFlows:
    def one(key):
        return flows.real_nvp(key, 2, n_layers=2, hidden_sizes=(4,), cond_dim=cond_dim)

    key = jax.random.key(0)
    components = eqx.filter_vmap(one)(jax.random.split(key, K))
    return MixtureOfFlows(
        components, MLP.init(key, 2 + (cond_dim or 0), K, (8,), output_scale=2.0), jnp.arange(K) / 5.0
    )


def points(n_columns: int = 2) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).normal(size=(N, n_columns)), dtype=float)


@pytest.mark.parametrize("skew", [0.0, 100.0])  # 100: all points like the same components
@pytest.mark.parametrize("n_likely", [1, 3, K])
def test_blocks_hold_every_pair_once(skew, n_likely):
    logits = np.random.default_rng(1).normal(size=(N, K)) + skew * np.arange(K)
    blocks = likely_blocks(jnp.asarray(logits), n_likely)
    owners = np.broadcast_to(np.asarray(blocks.component)[:, None], blocks.row.shape)
    held = sorted(zip(np.asarray(blocks.row)[blocks.filled], owners[blocks.filled], strict=True))
    best = np.argsort(-logits, axis=1)[:, :n_likely]
    assert held == sorted((n, k) for n in range(N) for k in best[n])


@pytest.mark.long
@pytest.mark.parametrize("cond_dim", [None, 1])
def test_the_likely_components_have_their_own_densities_and_the_others_none(float64, cond_dim):
    mixture, x = a_mixture(cond_dim), points()
    condition = None if cond_dim is None else points(1)
    joint, logits = mixture.joint_and_logits(x, condition)
    found, found_logits = mixture.likely_joint_and_logits(x, condition, 3)
    np.testing.assert_allclose(found_logits, logits, rtol=1e-12)
    likely = np.argsort(np.argsort(-logits, axis=1), axis=1) < 3
    np.testing.assert_allclose(found[likely], joint[likely], rtol=1e-10)
    assert np.isneginf(found[~likely]).all()


@pytest.mark.long
def test_a_wanted_component_is_evaluated_whatever_its_rank(float64):
    mixture, x = a_mixture(), points()
    joint, logits = mixture.joint_and_logits(x)
    worst = jnp.argmin(logits, axis=1).at[0].set(-1)
    found, _ = mixture.likely_joint_and_logits(x, None, 2, worst)
    assert np.isneginf(found[0, np.argmin(logits[0])])
    rows = np.arange(1, N)
    np.testing.assert_allclose(found[rows, worst[1:]], joint[rows, worst[1:]], rtol=1e-10)


def loss_and_gradient(n_likely, label=None):
    mixture, zero = a_mixture(), jnp.asarray(0)
    objective = MixtureBound(jnp.asarray(1.0), zero, zero, n_likely=n_likely)
    batch = Batch(Rows(points(), None, label), jnp.ones(N), jnp.asarray(0.0))
    return eqx.filter_value_and_grad(lambda m: objective(m, batch, jax.random.key(0)))(mixture)


@pytest.mark.long
def test_the_bound_of_few_is_no_higher_than_the_density(float64):
    few, gradient = loss_and_gradient(2)
    assert -few <= float(a_mixture().log_prob(points()).mean())
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


@pytest.mark.long
def test_labelled_rows_cost_the_same_whatever_is_evaluated(float64):
    label = jnp.arange(N) % K
    (whole, gradient), (few, others) = (loss_and_gradient(n, label) for n in (None, 1))
    np.testing.assert_allclose(few, whole, rtol=1e-10)
    for one, other in zip(jax.tree.leaves(gradient), jax.tree.leaves(others), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-10)


def test_components_that_differ_or_read_batches_are_refused():
    plain = Pushforward(Normal.standard((2,)), Affine(jnp.zeros(2), jnp.ones(2)))
    reading = Pushforward(Normal.standard((2,)), BatchNorm.init(2))
    network = MLP.init(jax.random.key(0), 2, 2, (4,))
    for components in ([plain, reading], [reading, reading]):
        with pytest.raises(ValueError, match="must be alike and exact, and read nothing off each batch"):
            MixtureOfFlows(components, network).likely_joint_and_logits(points(), None, 1)


def test_components_that_read_but_the_first_batch_are_not_refused():
    started = Pushforward(Normal.standard((2,)), ActNorm(jnp.ones(2), jnp.full(2, 3.0)))
    mixture = MixtureOfFlows([started, started], MLP.init(jax.random.key(0), 2, 2, (4,)))
    few, _ = mixture.likely_joint_and_logits(points(), None, 1)
    whole, logits = mixture.joint_and_logits(points())
    first = logits.argmax(1)
    np.testing.assert_allclose(few.max(1), whole[jnp.arange(len(first)), first], rtol=1e-6)
