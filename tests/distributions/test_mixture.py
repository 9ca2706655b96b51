"""Mixtures: the exact density, the bound, the gap between them, and the order of components."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from pushforward import trees
from pushforward.bijections import Affine, BatchNorm, Chain, Coupling, Shift, Triangular
from pushforward.distributions import MixtureOfFlows, Normal, Pushforward, Uniform
from pushforward.networks import Linear

PI = np.array([0.5, 0.2, 0.3])
MEANS = np.array([[0.0, 0.0], [3.0, 1.0], [-2.0, 4.0]])


def gaussian(mean: Any, scale: float = 1.0) -> Pushforward:
    return Pushforward(Normal.standard((len(mean),)), Affine(jnp.asarray(mean), jnp.full(len(mean), scale)))


def linear(weight: Any, bias: Any) -> Linear:
    return Linear(jnp.asarray(weight), jnp.asarray(bias))


def exact_posterior() -> Linear:
    """Of Gaussians of one covariance the posterior's logits are linear in x."""
    return linear(MEANS, np.log(PI) - (MEANS**2).sum(axis=1) / 2)


def some_posterior() -> Linear:
    return linear(np.array([[0.3, -0.2], [0.1, 0.4], [-0.5, 0.0]]), np.array([0.0, 0.5, -0.5]))


def gaussians(posterior: Any = None, **options: Any) -> MixtureOfFlows:
    posterior = some_posterior() if posterior is None else posterior
    return MixtureOfFlows([gaussian(m) for m in MEANS], posterior, np.log(PI), **options)


def points() -> Any:
    return np.random.default_rng(0).normal(size=(20, 2)) * 3


def log_joint(x: Any) -> Any:
    return np.log(PI) + np.stack([scipy.stats.multivariate_normal(m).logpdf(x) for m in MEANS], axis=1)


def test_the_density_is_the_weighted_sum_over_components(float64: None) -> None:
    mixture, x = gaussians(), points()
    np.testing.assert_allclose(mixture.log_prob(x), scipy.special.logsumexp(log_joint(x), axis=1), rtol=1e-12)
    np.testing.assert_allclose(mixture.responsibilities(x), scipy.special.softmax(log_joint(x), axis=1), rtol=1e-9)


def test_the_bound_is_below_the_density_by_the_divergence_of_the_posteriors(float64: None) -> None:
    mixture, x = gaussians(), points()
    log_q = scipy.special.log_softmax(x @ np.asarray(mixture.posterior.weight).T + mixture.posterior.bias, axis=1)
    elbo = (np.exp(log_q) * (log_joint(x) - log_q)).sum(axis=1)
    gap = (np.exp(log_q) * (log_q - scipy.special.log_softmax(log_joint(x), axis=1))).sum(axis=1)
    np.testing.assert_allclose(mixture.elbo(x), elbo, rtol=1e-10)
    np.testing.assert_allclose(mixture.posterior_gap(x), gap, rtol=1e-9)
    np.testing.assert_allclose(mixture.log_prob(x) - mixture.elbo(x), gap, rtol=1e-9)
    assert (gap > 0).all()


def test_the_bound_is_tight_where_the_network_is_the_exact_posterior(float64: None) -> None:
    mixture, x = gaussians(exact_posterior()), points()
    np.testing.assert_allclose(mixture.posterior_gap(x), 0, atol=1e-12)
    np.testing.assert_allclose(mixture.elbo(x), mixture.log_prob(x), rtol=1e-12)


def test_a_certain_posterior_gives_a_finite_bound(float64: None) -> None:
    certain = linear(np.zeros((3, 2)), np.array([0.0, -1e6, -1e6]))  # q = (1, 0, 0) exactly
    mixture, x = gaussians(certain), points()
    np.testing.assert_allclose(mixture.elbo(x), log_joint(x)[:, 0], rtol=1e-12)


def test_weights_are_normalised_and_frozen_when_asked() -> None:
    mixture = MixtureOfFlows([gaussian(m) for m in MEANS], some_posterior(), np.log(PI) + 7)
    np.testing.assert_allclose(np.exp(mixture.log_weights), PI, rtol=1e-5)
    frozen = gaussians(learn_weights=False)
    assert trees.n_parameters(mixture) == trees.n_parameters(frozen) + 3
    np.testing.assert_allclose(np.exp(frozen.log_weights), PI, rtol=1e-5)
    uniform = MixtureOfFlows([gaussian(m) for m in MEANS], some_posterior())
    np.testing.assert_allclose(np.exp(uniform.log_weights), 1 / 3, rtol=1e-5)


def unlike() -> tuple[list[Pushforward], MixtureOfFlows]:
    """Four components of two architectures, in turns, far from each other."""

    def dense(at: float) -> Pushforward:
        return Pushforward(Normal.standard((1,)), Triangular(jnp.array([[0.1]]), jnp.array([at])))

    flows = [gaussian([0.0], 0.1), dense(10.0), dense(20.0), gaussian([30.0], 0.1)]
    weights = np.log([0.1, 0.2, 0.3, 0.4])
    return flows, MixtureOfFlows(flows, linear(np.zeros((4, 1)), np.zeros(4)), weights)


def test_unlike_components_keep_their_order() -> None:
    flows, mixture = unlike()
    assert len(mixture.groups) == 2 and mixture.n_components == 4
    x = np.array([[0.05], [10.05], [20.05], [30.05]], np.float32)
    np.testing.assert_allclose(mixture.responsibilities(x), np.eye(4), atol=1e-6)
    for k, (given, kept) in enumerate(zip(flows, mixture.components, strict=True)):
        assert type(kept.bijection) is type(given.bijection)
        np.testing.assert_allclose(kept.log_prob(x[k]), given.log_prob(x[k]), rtol=1e-5)
    np.testing.assert_allclose(mixture.log_prob(x), mixture.log_weights + np.log(10) - 0.5 * 0.25 - 0.919, atol=1e-2)


def test_samples_come_from_components_by_their_weights_and_by_count() -> None:
    _, mixture = unlike()
    draws = np.asarray(mixture.sample(jax.random.key(0), (2000,)))[:, 0]
    shares = np.bincount(np.round(draws / 10).astype(int), minlength=4) / 2000
    np.testing.assert_allclose(shares, [0.1, 0.2, 0.3, 0.4], atol=0.045)  # four standard errors
    by_component = mixture.sample_by_component(jax.random.key(0), [3, 0, 5, 1])
    assert [d.shape for d in by_component] == [(3, 1), (0, 1), (5, 1), (1, 1)]
    for k, draw in enumerate(by_component):
        np.testing.assert_allclose(draw, 10 * k, atol=1)
    assert len(np.unique(by_component[2])) == 5


def conditional() -> MixtureOfFlows:
    """Two components on the line: N(2c + 1, 1), and N(0, 1) whatever c; a posterior that reads (x, c)."""
    network = linear(np.array([[2.0], [0.0]]), np.array([1.0, 0.0]))
    moved = Coupling(np.array([False]), network, Affine(jnp.zeros(()), jnp.ones(())), cond_dim=1)
    flows = [Pushforward(Normal.standard((1,)), moved), gaussian([0.0])]
    return MixtureOfFlows(flows, linear(np.array([[1.0, 2.0], [0.0, 0.0]]), np.zeros(2)), np.log([0.25, 0.75]))


@pytest.mark.long
def test_conditions_reach_densities_posterior_and_samples(float64: None) -> None:
    mixture = conditional()
    assert mixture.cond_shape == (1,)
    x, c = np.array([[0.3], [1.0]]), np.array([[-1.0], [2.0]])
    parts = np.log([0.25, 0.75]) + np.concatenate(
        [scipy.stats.norm(2 * c + 1, 1).logpdf(x), scipy.stats.norm(0, 1).logpdf(x)], axis=1
    )
    np.testing.assert_allclose(mixture.log_prob(x, c), scipy.special.logsumexp(parts, axis=1), rtol=1e-12)
    joint, logits = mixture.joint_and_logits(x, c)
    np.testing.assert_allclose(joint, parts, rtol=1e-12)
    np.testing.assert_allclose(logits[:, 0], (x + 2 * c)[:, 0], rtol=1e-12)
    far = np.full((3, 1), 100.0)
    drawn = mixture.sample_by_component(jax.random.key(0), [3, 2], [far, far[:2]])
    np.testing.assert_allclose(drawn[0], 201, atol=5)
    np.testing.assert_allclose(drawn[1], 0, atol=5)
    assert mixture.sample(jax.random.key(0), (4,), c).shape == (4, 2, 1)


@pytest.mark.long
def test_outside_every_support_nothing_is_nan(float64: None) -> None:
    boxes = [
        Pushforward(Uniform.standard((1,)), Shift(jnp.array([0.0]))),
        Pushforward(Uniform.standard((1,)), Shift(jnp.array([0.5]))),
    ]
    mixture = MixtureOfFlows(boxes, linear(np.ones((2, 1)), np.zeros(2)), np.log([0.25, 0.75]))
    x = np.array([[-1.0], [0.2], [0.7], [1.2]])
    log_prob, gradient = jax.vmap(jax.value_and_grad(lambda v: mixture._log_prob(v)))(jnp.asarray(x))
    np.testing.assert_allclose(np.exp(log_prob), [0, 0.25, 1, 0.75], rtol=1e-12)
    assert np.isfinite(gradient).all()
    responsibilities = mixture.responsibilities(x)
    np.testing.assert_allclose(responsibilities, [[0.25, 0.75], [1, 0], [0.25, 0.75], [0, 1]], rtol=1e-12)
    assert mixture.elbo(x).tolist()[0] == -np.inf
    gap = np.asarray(mixture.posterior_gap(x))
    assert np.isfinite(gap[[0, 2]]).all() and (gap[[1, 3]] == np.inf).all()


def test_a_shared_map_lies_under_every_component(float64: None) -> None:
    shared = Affine(jnp.array([1.0, -1.0]), jnp.array([2.0, 0.5]))
    mixture, plain, x = gaussians(shared=shared), gaussians(), points()
    z = (x - np.array([1.0, -1.0])) / np.array([2.0, 0.5])
    np.testing.assert_allclose(mixture.log_prob(x), plain.log_prob(z), rtol=1e-12)  # log-determinant 0
    np.testing.assert_allclose(mixture.joint_and_logits(x)[1], plain.joint_and_logits(z)[1], rtol=1e-12)
    apart = np.stack([flow.log_prob(x) for flow in mixture.components], axis=1) + np.log(PI)
    np.testing.assert_allclose(mixture.joint_and_logits(x)[0], apart, rtol=1e-12)


def test_calibration_weighs_rows_by_the_posterior_and_their_own_weights(float64: None) -> None:
    norms = [Pushforward(Normal.standard((1,)), Chain([BatchNorm.init(1)])) for _ in range(2)]
    mixture = MixtureOfFlows(norms, linear(np.array([[5.0], [0.0]]), np.zeros(2)))
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(3, 1, (30, 1)), rng.normal(-3, 1, (30, 1)), np.full((4, 1), 1e5)])
    weights = np.concatenate([rng.uniform(size=60), np.zeros(4)])
    assert mixture.reads_data
    calibrated, joint, logits = mixture.calibrate_jointly(jnp.asarray(x), None, jnp.asarray(weights))
    q = scipy.special.softmax(np.concatenate([5 * x, 0 * x], axis=1), axis=1) * weights[:, None]
    q /= q.sum(axis=0)
    found = calibrated.groups[0].bijection.bijections[0]
    np.testing.assert_allclose(found.mean.value, q.T @ x, rtol=1e-10)
    np.testing.assert_allclose(found.variance.value[:, 0], [(w @ (x[:, 0] - w @ x[:, 0]) ** 2) for w in q.T], rtol=1e-9)
    np.testing.assert_allclose(joint[:60], calibrated.joint_and_logits(x[:60])[0], rtol=1e-9)
    np.testing.assert_allclose(logits, np.concatenate([5 * x, 0 * x], axis=1), rtol=1e-12)


def test_components_may_come_stacked() -> None:
    stacked = trees.stack([gaussian(m) for m in MEANS])
    mixture = MixtureOfFlows(stacked, some_posterior(), np.log(PI))
    assert eqx.tree_equal(mixture, gaussians())


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one component"):
        MixtureOfFlows([], some_posterior())
    with pytest.raises(ValueError, match="share one event shape"):
        MixtureOfFlows([gaussian([0.0]), gaussian([0.0, 1.0])], some_posterior())
    with pytest.raises(ValueError, match=r"log_weights must have shape \(3,\)"):
        MixtureOfFlows([gaussian(m) for m in MEANS], some_posterior(), np.zeros(2))
    with pytest.raises(ValueError, match="leave out components of weight zero"):
        MixtureOfFlows([gaussian(m) for m in MEANS], some_posterior(), np.array([0.0, 0.0, -np.inf]))
