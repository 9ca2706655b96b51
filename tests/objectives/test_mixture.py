"""The bound as a loss: by hand, with labels, while starting, as the temperature falls."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from pushforward.bijections import Shift
from pushforward.distributions import MixtureOfFlows, Normal, Pushforward
from pushforward.networks import Linear
from pushforward.objectives import Batch, MixtureBound, Rows, agreement

PI = np.array([0.25, 0.75])
X = np.array([[0.5], [-1.0], [3.0], [2.0]])
WEIGHT = np.array([1.0, 2.0, 0.5, 1.0])
LOGITS = X @ np.array([[2.0, -1.0]]) + np.array([0.5, 0.0])
JOINT = np.log(PI) + np.concatenate([scipy.stats.norm(m, 1).logpdf(X) for m in (0.0, 2.0)], axis=1)
LOG_Q = scipy.special.log_softmax(LOGITS, axis=1)


def mixture() -> MixtureOfFlows:
    flows = [Pushforward(Normal.standard((1,)), Shift(jnp.array([m]))) for m in (0.0, 2.0)]
    return MixtureOfFlows(flows, Linear(jnp.array([[2.0], [-1.0]]), jnp.array([0.5, 0.0])), np.log(PI))


def loss(temperature: float = 1.0, anneal: float = 10.0, start: float = 0.0) -> MixtureBound:
    return MixtureBound(jnp.array(temperature), jnp.array(anneal), jnp.array(start))


@eqx.filter_jit
def run(bound: MixtureBound, batch: Batch) -> Any:
    return bound(mixture(), batch, jax.random.key(0))


def value(bound: MixtureBound, epoch: float = 0.0, label: Any = None, start: Any = None, x: Any = X) -> float:
    def whole(a: Any) -> Any:
        return None if a is None else jnp.asarray(a, jnp.int32)

    return float(run(bound, Batch(Rows(jnp.asarray(x), None, whole(label), whole(start)), jnp.asarray(WEIGHT), epoch)))


def minus_elbo(temperature: float = 1.0) -> Any:
    log_q = scipy.special.log_softmax(LOGITS / temperature, axis=1)
    return -(np.exp(log_q) * (JOINT - log_q)).sum(axis=1)


def supervised(k: Any) -> Any:
    """Its own component's likelihood and the network's cross-entropy."""
    return -(JOINT + LOG_Q)[np.arange(len(k)), k]


def mean(rows: Any, weight: Any = WEIGHT) -> Any:
    return pytest.approx((rows * weight).sum() / weight.sum(), rel=1e-12)


def test_without_labels_it_is_the_negative_bound(float64: None) -> None:
    assert value(loss()) == mean(minus_elbo())


def test_labelled_rows_train_their_component_and_the_network(float64: None) -> None:
    label = np.array([1, -1, 0, -1])
    assert value(loss(), label=label) == mean(np.where(label >= 0, supervised(label), minus_elbo()))


def test_the_temperature_decays_exponentially_to_one_after_the_start(float64: None) -> None:
    bound = loss(temperature=8.0, anneal=10.0, start=5.0)
    for epoch, expected in ((0, 8.0), (5, 8.0), (10, 8.0**0.5), (15, 1.0), (40, 1.0), (np.inf, 1.0)):
        assert value(bound, epoch=float(epoch)) == mean(minus_elbo(expected))
    assert value(loss(temperature=8.0, anneal=0.0), epoch=1.0) == mean(minus_elbo())


def test_while_starting_each_row_trains_its_own_part_and_rows_without_one_are_left_out(float64: None) -> None:
    bound, start = loss(start=5.0), np.array([0, -1, 1, 1])
    left = WEIGHT * (start >= 0)
    for epoch in (0.0, 4.0):
        assert value(bound, epoch, start=start) == mean(supervised(start), left)
        # true labels wait until the start is over
        assert value(bound, epoch, label=[1, 1, 1, 1], start=start) == mean(supervised(start), left)
    assert value(bound, 5.0, start=start) == mean(minus_elbo())
    assert value(bound, 5.0, label=[1, -1, -1, -1], start=start) == mean(
        np.where([1, 0, 0, 0], supervised([1, 1, 1, 1]), minus_elbo())
    )
    # evaluation is at no epoch: nothing starts
    assert value(bound, np.inf, start=start) == mean(minus_elbo())


def test_rows_of_weight_zero_do_nothing(float64: None) -> None:
    label = np.array([1, -1, 0, -1])
    before = run(loss(), Batch(Rows(jnp.asarray(X), None, jnp.asarray(label)), jnp.asarray(WEIGHT), 0.0))
    padded = Batch(
        Rows(
            jnp.asarray(np.concatenate([X, [[1e20], [-7.0]]])),
            label=jnp.asarray(np.concatenate([label, [0, -1]])),
        ),
        jnp.asarray(np.concatenate([WEIGHT, [0.0, 0.0]])),
        0.0,
    )
    np.testing.assert_allclose(run(loss(), padded), before, rtol=1e-12)


def test_the_gradient_of_a_labelled_row_reaches_only_its_own_component(float64: None) -> None:
    batch = Batch(Rows(jnp.asarray(X), None, jnp.zeros(4, jnp.int32)), jnp.asarray(WEIGHT), jnp.array(0.0))
    gradient = eqx.filter_jit(eqx.filter_grad(lambda m: loss()(m, batch, jax.random.key(0))))(mixture())
    shifts = np.asarray(gradient.groups[0].bijection.shift)[:, 0]
    assert shifts[0] == pytest.approx(-(WEIGHT * X[:, 0]).sum() / WEIGHT.sum(), rel=1e-12)
    assert shifts[1] == 0
    assert np.any(gradient.posterior.weight)


def test_disagreement_of_partners_adds_to_the_bound() -> None:
    partner, balance = X[[1, 0, 3, 2]], 0.25
    agreeing = MixtureBound(
        jnp.array(1.0), jnp.array(10.0), jnp.array(0.0), consistency=jnp.array(3.0), balance=jnp.array(balance)
    )
    batch = Batch(Rows(jnp.asarray(X)), jnp.asarray(WEIGHT), jnp.asarray(0.0))
    logits = partner @ np.array([[2.0, -1.0]]) + np.array([0.5, 0.0])
    expected = -3.0 * float(agreement(*map(jnp.asarray, (LOGITS, logits, WEIGHT)), balance))
    without, with_partner = (
        run(agreeing, batch),
        run(agreeing, batch._replace(data=batch.data._replace(partner=jnp.asarray(partner)))),
    )
    assert float(without) == pytest.approx(float(mean(minus_elbo()).expected), rel=1e-6)
    assert float(with_partner - without) == pytest.approx(expected, rel=1e-6)
