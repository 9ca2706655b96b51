"""Continuously-indexed layers against quadrature over their index."""

import re
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from jax.flatten_util import ravel_pytree
from jax.scipy.stats import norm

from pushforward import flows, trees
from pushforward.bijections import ActNorm, Affine, Amortized, Chain, Fixed, Indexed, InexactError, Invert, Scan
from pushforward.distributions import Normal, Pushforward
from pushforward.networks import MLP
from tests.keys import cheap_key
from tests.sweeps import sweep


def shaken(model, scale: float = 0.3, seed: int = 5):
    """The model with raw leaves as training might leave them."""
    n = trees.n_parameters(model)
    return trees.offset(model, scale * jax.random.normal(cheap_key(seed), (n,)))


def moved(dim: int, index_dim: int, cond_dim: int = 0, seed: int = 0) -> Amortized:
    """A scale and shift that a network reads off the index, and the condition after it."""
    n_given = index_dim + cond_dim
    network = MLP.init(cheap_key(seed), n_given, 2 * dim, (8,), output_scale=0.3)
    return Amortized(Affine(jnp.zeros(dim), jnp.ones(dim), max_log_scale=1.0), network, (n_given,))


def layer(seed: int = 0) -> Indexed:
    return shaken(Indexed.init(cheap_key(seed), moved(1, 1, seed=seed + 100), 1, (4,)), 0.1)


def by_quadrature(flow: Pushforward, x: float) -> float:
    """log p(x) of an Indexed layer of one number: the integral of the pair's density over its index."""
    u = jnp.linspace(-40, 40, 40_001)
    pairs = jnp.stack([jnp.full_like(u, x), u], axis=1)
    noise, log_det = jax.vmap(flow.bijection.bijection.inverse_and_log_det)(pairs)
    return float(jax.nn.logsumexp(norm.logpdf(noise).sum(1) + log_det) + jnp.log(u[1] - u[0]))


def carried_of_one() -> Pushforward:
    """A density of one number: three layers that one index goes along."""
    affine = Affine(jnp.zeros(1), jnp.ones(1), max_log_scale=1.0)

    def recipe(key, dim, *, cond_dim, n_layers):
        networks = eqx.filter_vmap(lambda key: MLP.init(key, cond_dim, 2, (8,), output_scale=0.5))
        layers = networks(jax.random.split(key, n_layers))
        stack = Scan(eqx.filter_vmap(lambda network: Amortized(affine, network, (cond_dim,)))(layers))
        return Pushforward(Normal.standard((dim,)), stack)

    made = flows.continuously_indexed(
        recipe, cheap_key(3), 1, n_layers=3, index="carried", index_dim=1, index_hidden_sizes=(8,)
    )
    return shaken(made, 0.05)


def flow_of_one() -> Pushforward:
    return Pushforward(Normal.standard((1,)), layer())


@pytest.mark.parametrize("make", [flow_of_one, carried_of_one])
@pytest.mark.parametrize("x", [-2.0, 0.3, 2.5])
def test_importance_weights_converge_to_the_integral_over_the_index(x: float, make: Callable[[], Pushforward]) -> None:
    flow, key = make(), jax.random.key(0)
    truth = by_quadrature(flow, x)
    found = flow.log_prob_estimate(jnp.array([x]), key=key, n_samples=5000)
    assert abs(float(found.value) - truth) < 4 * float(found.standard_error) + 1e-4
    assert float(found.standard_error) < 0.05
    assert float(flow.elbo(jnp.array([x]), key=key, n_samples=5000)) < truth  # and the bound is below


def test_draws_match_the_density() -> None:
    flow = flow_of_one()
    grid = np.linspace(-10, 12, 201)
    density = np.exp(np.asarray(flow.log_prob_estimate(grid[:, None], key=jax.random.key(0), n_samples=5000).value))
    step = grid[1] - grid[0]
    assert density.sum() * step == pytest.approx(1, abs=0.01)
    draws = np.sort(np.asarray(flow.sample(jax.random.key(1), (4000,))).ravel())
    cumulative = np.interp(draws, grid + step / 2, np.cumsum(density) * step)
    assert np.abs(cumulative - (np.arange(4000) + 0.5) / 4000).max() < 0.035  # Kolmogorov's distance


def test_weights_of_draws_bound_the_density_from_above() -> None:
    """As a variational family: E[log p(z) − w] over draws is at least E[log p(x)]."""
    flow = flow_of_one()
    x, weight = jax.vmap(flow.sample_and_log_weight)(jax.random.split(jax.random.key(0), 4000))
    truth = flow.log_prob_estimate(x[:500], key=jax.random.key(1), n_samples=200).value
    assert float((weight[:500] - truth).mean()) > 0


@pytest.mark.parametrize("form", sweep(["flow", "carried"], {"flow"}))
def test_each_way_round_undoes_the_other(form: str) -> None:
    """A point with its index goes to noise and back, and the log-determinant is that of the pair."""
    flow = shaken(flows.recipe("indexed_maf")(cheap_key(1), 3, n_layers=2, hidden_sizes=(8,), index=form), 0.1)
    pair = flow.bijection.with_index(jnp.array([0.3, -1.0, 2.0]), jax.random.key(0))
    assert pair[:3].tolist() == pytest.approx([0.3, -1.0, 2.0])
    joint = flow.bijection.bijection
    noise, there = joint.inverse_and_log_det(pair)
    back, returned = joint.forward_and_log_det(noise)
    assert np.allclose(back, pair, atol=1e-4)
    assert float(there + returned) == pytest.approx(0, abs=1e-4)
    assert float(there) == pytest.approx(float(jnp.linalg.slogdet(jax.jacfwd(joint.inverse)(pair))[1]), abs=1e-4)


@pytest.mark.parametrize("form", ["flow", "carried"])
def test_the_weight_of_a_draw_is_that_of_its_index(form: str) -> None:
    """On the way to data: log|det| of the pair, plus log q(u|x) of the index it ends with, less log N of its noise."""
    layer = shaken(flows.recipe("indexed_maf")(cheap_key(1), 3, n_layers=2, hidden_sizes=(8,), index=form), 0.1)
    layer, z, key = layer.bijection, jnp.array([0.3, -1.0, 2.0]), jax.random.key(2)
    x, weight = layer.forward_and_log_weight(z, key)
    noise = jax.random.normal(jax.random.split(key)[0], (layer.index_dim,))
    pair, log_det = layer.bijection.forward_and_log_det(jnp.concatenate([z, noise]))
    assert np.allclose(pair[:3], x)
    mean, log_scale = jnp.split(layer.posterior(x), 2)
    log_q = norm.logpdf(pair[3:], mean, jnp.exp(5 * jnp.tanh(log_scale / 5))).sum()
    assert float(weight) == pytest.approx(float(log_det + log_q - norm.logpdf(noise).sum()), abs=1e-4)


def test_chains_carry_the_weakest_part_and_name_what_to_call() -> None:
    exact = Affine(jnp.zeros(1), jnp.ones(1))
    for whole in (Chain([exact, layer()]), Invert(layer()), Scan(trees.stack([layer(0), layer(1)]))):
        assert whole.exactness == "lower bound"
        with pytest.raises(InexactError, match="inverse_and_log_weight"):
            whole.inverse_and_log_det(jnp.zeros(1))
    assert Chain([exact, exact]).exactness == "exact"
    flow = flow_of_one()
    with pytest.raises(InexactError, match=r"log_prob_estimate\(x, key=key, n_samples=100\)"):
        flow.log_prob(jnp.zeros(1))
    with pytest.raises(ValueError, match="key"):
        layer().inverse_and_log_weight(jnp.zeros(1), None)


def test_training_has_the_bounds_gradient_with_less_noise() -> None:
    """The score of the index drawn is left out: the mean over draws stays, the variance falls."""
    indexed, x = layer(), jnp.array([[0.4]])
    params, rest = trees.partition(indexed)

    def gradients(weigh):
        def one(key: Array) -> Array:
            gradient = jax.grad(lambda params: weigh(trees.combine(params, rest), key).sum())(params)
            return ravel_pytree(gradient.posterior)[0]

        return np.asarray(jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), 20_000)), float)

    def noise_term(z):
        return -0.5 * (z**2).sum()

    def whole(indexed, key):
        z, weight = indexed.inverse_batch(x, key)
        return noise_term(z) + weight

    def trained(indexed, key):
        _, z, weight = indexed.calibrate(x, key=key)
        return noise_term(z) + weight

    full, less = gradients(whole), gradients(trained)
    error = np.sqrt((full - less).var(0) / len(full))
    assert (np.abs(full.mean(0) - less.mean(0)) <= 4 * error + 1e-6).all()
    assert error.max() > 1e-4  # they do differ
    assert less.var(0).sum() < 0.8 * full.var(0).sum()
    key = jax.random.key(3)
    assert np.allclose(indexed.calibrate(x, key=key)[2], indexed.inverse_batch(x, key)[1])


def test_networks_and_map_must_fit() -> None:
    with pytest.raises(ValueError, match="must give 2 moments of the 1 numbers of the index"):
        Indexed(MLP.init(cheap_key(1), 1, 6, ()), layer().bijection, 1)
    with pytest.raises(ValueError, match="an index of 2 numbers needs a map of vectors of more"):
        Indexed(MLP.init(cheap_key(1), 1, 4, ()), layer().bijection, 2)
    for inside in (moved(1, 1), Amortized(Affine(jnp.zeros(()), jnp.ones(())), MLP.init(cheap_key(0), 2, 2, ()), (2,))):
        with pytest.raises(ValueError, match="2 kept numbers need a map of vectors whose condition"):
            Indexed.init(cheap_key(0), inside, 2, (4,))
    with pytest.raises(ValueError, match="an index needs a map whose condition it can be; got a Affine of none"):
        Indexed.init(cheap_key(0), Affine(jnp.zeros(2), jnp.ones(2)), 2, (4,))


@pytest.mark.parametrize("index", sweep(["flow", "carried", "layer"], {"carried"}))
def test_the_condition_reaches_the_index_and_the_map(index: str) -> None:
    """Densities depend on the condition through the map alone and through each network of the index alone."""
    made = flows.recipe("indexed_maf")(
        cheap_key(0), 2, n_layers=2, hidden_sizes=(4,), index_hidden_sizes=(4,), cond_dim=3, index=index
    )
    flow, key = shaken(made, 0.2), jax.random.key(1)
    assert flow.cond_shape == (3,)
    x = jnp.array([0.3, -0.5])

    def weight(condition: Array) -> Array:
        return flow.elbo(x, condition, key=key, n_samples=4)

    assert (jnp.abs(jax.grad(weight)(jnp.zeros(3))) > 1e-4).all()

    def indexed(node: object) -> bool:
        return isinstance(node, Indexed)

    part = next(node for node in jax.tree.leaves(flow.bijection, is_leaf=indexed) if indexed(node))
    part = trees.unstack(part, 0) if index == "layer" else part
    with pytest.raises(ValueError, match=r"this map needs a condition of shape \(3,\); got none"):
        part.with_index(x, key)
    steps = part.bijection.layers.bijections[0] if index == "carried" else part.bijection.bijections[0]
    step = trees.unstack(steps, 1) if index == "carried" else steps
    for network in (step.bijection.network, part.posterior):
        slopes = jax.jacobian(lambda c, network=network: network(jnp.concatenate([x, c])))(jnp.zeros(3))
        assert (jnp.abs(slopes).max(0) > 1e-4).all()


def test_a_chain_with_a_condition_holds_layers_without() -> None:
    """Each part sees the condition only if it takes one; a missing one is named."""
    indexed, given = Indexed.init(cheap_key(0), moved(2, 1), 1, (4,)), moved(2, 2, seed=1)
    chain, x, condition, key = Chain([indexed, given]), jnp.ones(2), jnp.array([0.5, -1.0]), jax.random.key(0)
    z, weight = chain.inverse_and_log_weight(x, key, condition)
    between, log_det = given.inverse_and_log_det(x, condition)
    alone, rest = indexed.inverse_and_log_weight(between, jax.random.split(key)[0])
    assert np.allclose(z, alone)
    assert float(weight) == pytest.approx(float(log_det + rest), abs=1e-5)
    batch = jnp.stack([x, x])
    assert chain.inverse_batch(batch, key, jnp.stack([condition] * 2))[0].shape == (2, 2)
    assert chain.calibrate(batch, jnp.stack([condition] * 2), key=key)[1].shape == (2, 2)
    assert chain.forward_and_log_weight(z, key, condition)[0].shape == (2,)
    with pytest.raises(ValueError, match=r"this map needs a condition of shape \(2,\); got none"):
        Indexed.init(cheap_key(0), moved(2, 1, 2), 1, (4,)).inverse_and_log_weight(x, key)


@pytest.mark.long
def test_double_precision_goes_through() -> None:
    with jax.enable_x64(True):
        flow = flows.recipe("indexed_maf")(jax.random.key(0), 2, n_layers=1, hidden_sizes=(4,))
        x = flow.sample(jax.random.key(1), (3,))
        assert x.dtype == jnp.float64
        assert flow.log_prob_estimate(x, key=jax.random.key(2), n_samples=4).value.dtype == jnp.float64


def test_what_the_map_inside_reads_from_data_is_kept() -> None:
    """Calibration goes on into the map, which sees its indices; key for key, the weights are those of the inverse."""
    inside = Chain([moved(2, 1), ActNorm.init((2,))])
    indexed = Indexed.init(cheap_key(0), inside, 1, (4,))
    x = 3 + 2 * jax.random.normal(cheap_key(1), (50, 2))
    assert indexed.reads_data
    found, z, weight = indexed.calibrate(x, key=jax.random.key(2))
    act = found.bijection.bijections[1].bijection.bijections[1]
    assert np.allclose(jax.vmap(act.inverse)(x).mean(0), 0, atol=1e-4)
    again, weighed = found.inverse_batch(x, jax.random.key(2))
    assert np.allclose(z, again, atol=1e-4)
    assert np.allclose(weight, weighed, atol=1e-4)


@pytest.mark.parametrize("name", sweep(sorted(flows.RECIPES), {"real_nvp"}))
def test_one_index_picks_a_flow_of_any_recipe(name: str) -> None:
    flow = shaken(flows.recipe(f"indexed_{name}")(cheap_key(0), 2, n_layers=2), 0.02)
    assert flow.exactness == "lower bound"
    x = flow.sample(jax.random.key(0), (3,))
    assert np.isfinite(np.asarray(flow.log_prob_estimate(x, key=jax.random.key(1), n_samples=20).value)).all()


def test_options_of_the_index_are_checked() -> None:
    for options, message in (
        ({"index": "layers"}, "index must be one of ('flow', 'carried', 'layer'), what an index picks; got 'layers'"),
        ({"index_dim": 0}, "index_dim must be a whole number of at least 1; got 0"),
        ({"index_hidden_sizes": (0,)}, "index_hidden_sizes must be a sequence"),
        ({"dim": 0}, "dim must be a whole number of at least 1; got 0"),
        ({"cond_dim": 0}, "cond_dim must be a whole number of at least 1; got 0"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            flows.continuously_indexed(flows.maf, cheap_key(0), **{"dim": 2, **options})


@pytest.mark.parametrize("index", ["carried", "layer"])
@pytest.mark.parametrize(
    "name", sweep(["maf", "real_nvp", "nice", "spline_autoregressive", "bnaf", "iaf", "residual"], {"real_nvp"})
)
def test_layers_of_a_recipe_can_be_indexed(name: str, index: str) -> None:
    flow = shaken(flows.recipe(f"indexed_{name}")(cheap_key(0), 2, n_layers=2, hidden_sizes=(4,), index=index), 0.05)
    assert flow.exactness == "lower bound"
    x = flow.sample(jax.random.key(0), (3,))
    estimate = flow.log_prob_estimate(x, key=jax.random.key(1), n_samples=100)
    assert np.isfinite(np.asarray(estimate.value)).all()
    # exact parts alone leave nothing to estimate
    assert flows.recipe(name)(cheap_key(0), 2, n_layers=2, hidden_sizes=(4,)).exactness == "exact"


def test_fixed_statistics_leave_exactness_as_it_is() -> None:
    fixed = Fixed(Chain([layer(), ActNorm.init((1,))]))
    assert fixed.exactness == "lower bound"
    assert fixed.inverse_and_log_weight(jnp.ones(1), jax.random.key(0))[0].shape == (1,)


@pytest.mark.parametrize("index", sweep(["flow", "carried", "layer"], {"layer"}))
@pytest.mark.parametrize("name", sweep(["maf", "iaf"], {"maf"}))
def test_training_leaves_the_score_out_whichever_way_the_recipe_runs(name: str, index: str) -> None:
    """What training weighs is the log-weight itself; its gradient is another than the bound's, draw by draw."""
    options = {"n_layers": 2, "hidden_sizes": (4,), "index_hidden_sizes": (4,), "index": index}
    flow = shaken(flows.recipe(f"indexed_{name}")(cheap_key(0), 2, **options))
    x, key = jax.random.normal(cheap_key(1), (8, 2)), jax.random.key(2)
    params, rest = trees.partition(flow)

    def weighed(flow):
        z, weight = flow.bijection.inverse_batch(x, key)
        return jax.vmap(flow.base._log_prob)(z) + weight

    def posterior_gradient(weigh):
        found = jax.grad(lambda params: weigh(trees.combine(params, rest)).sum())(params)
        part = found.bijection if index != "layer" else found.bijection.layers.bijections[0]
        return ravel_pytree(part.posterior)[0]

    def trained(flow):
        return flow.calibrate(x, key=key)[1]

    assert np.allclose(trained(flow), weighed(flow), atol=1e-5)
    assert float(jnp.abs(posterior_gradient(trained) - posterior_gradient(weighed)).max()) > 1e-3


@pytest.mark.parametrize(
    ("name", "index"), [("householder", "carried"), ("householder", "layer"), ("planar", "carried")]
)
def test_recipes_without_layers_to_index_are_refused(name: str, index: str) -> None:
    with pytest.raises(ValueError, match=r'no stack of layers to index .*; take index="flow"'):
        flows.recipe(f"indexed_{name}")(jax.random.key(0), 2, index=index)


@pytest.mark.parametrize("options", [{}, {"fast": "density"}])
def test_layers_whose_numbers_a_network_gives_are_not_indexed_each(options: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r'no stack of layers to index .*; take index="flow"'):
        flows.recipe("indexed_planar")(jax.random.key(0), 2, index="layer", cond_dim=2, n_layers=2, **options)
