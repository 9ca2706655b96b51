"""Flows of images: log-densities against autodiff, all latents back, conditions, and sizes that do not fit."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pushforward import flows, trees
from pushforward.bijections import ActNorm, ImageCoupling, Indexed, Squeeze
from pushforward.networks import RowConvolutions
from tests.sweeps import sweep

SMALL: dict[str, dict[str, Any]] = {
    "glow": {"n_layers": 2, "hidden_sizes": (6, 6)},
    "real_nvp_image": {"n_layers": 2, "hidden_sizes": (6,)},
    "residual_image": {"n_layers": 1, "hidden_sizes": (6,), "n_dense": 1, "dense_sizes": (6,), "log_det": "exact"},
}
NAMES = sorted(SMALL)


def draw(name: str, cond_dim: int | None = None, image_shape: tuple[int, ...] = (4, 4), **options: Any) -> Any:
    """A flow whose every number differs from its start."""

    @eqx.filter_jit
    def make(key: Any) -> Any:
        sizes = {**SMALL[name], **options}
        dim = int(np.prod(image_shape))
        flow = flows.recipe(name)(key, dim, image_shape=image_shape, cond_dim=cond_dim, **sizes)
        return trees.offset(flow, 0.1 * jax.random.normal(key, (trees.n_parameters(flow),)))

    return make(jax.random.key(3))


@pytest.mark.parametrize("name", sweep(NAMES, {"glow"}))
def test_log_densities_are_autodiffs_and_all_latents_come_back(name: str) -> None:
    with jax.enable_x64(True):
        flow = draw(name)
        z = jax.random.normal(jax.random.key(1), (3, 16))
        x, log_dets = eqx.filter_jit(lambda f, z: f.bijection.forward_batch(z))(flow, z)
        jacobians = jax.jit(jax.vmap(jax.jacfwd(flow.bijection.forward)))(z)
        np.testing.assert_allclose(log_dets, np.linalg.slogdet(jacobians)[1], atol=1e-8)
        back, log_det = flow.bijection.inverse_and_log_det(x[0])  # alone, and not in a batch
        np.testing.assert_allclose(back, z[0], atol=1e-6)
        np.testing.assert_allclose(log_det, -log_dets[0], atol=1e-8)
        base = -0.5 * (z**2).sum(1) - 8 * np.log(2 * np.pi)
        np.testing.assert_allclose(flow.log_prob(x), base - log_dets, atol=1e-6)


@pytest.mark.parametrize("name", sweep(NAMES, {"glow"}))
def test_conditions_shape_the_density(name: str) -> None:
    flow = draw(name, cond_dim=2)
    z = jax.random.normal(jax.random.key(1), (2, 16))
    given = jnp.array([[0.0, 1.0], [1.0, 0.0]])
    x = flow.bijection.forward_batch(z, None, given)[0]
    back = flow.bijection.inverse_batch(x, None, given)[0]
    np.testing.assert_allclose(back, z, atol=1e-3)
    assert not np.allclose(back, flow.bijection.inverse_batch(x, None, given[::-1])[0], atol=1e-2)


@pytest.mark.parametrize("name", ["glow", "real_nvp_image"])
def test_a_first_batch_sets_every_scale_to_one(name: str) -> None:
    """What data-dependent starts are for: the noise of the batch has mean 0 and variance 1 at the start."""
    flow = flows.recipe(name)(jax.random.key(0), 48, image_shape=(4, 4, 3), **SMALL[name])
    batch = 40 + 20 * jax.random.normal(jax.random.key(1), (200, 48))
    started, _ = eqx.filter_jit(lambda f, x: f.calibrate(x))(flow, batch)
    z = started.bijection.inverse_batch(batch)[0]
    np.testing.assert_allclose([z.mean(), z.std()], [0, 1], atol=0.05)
    nodes = jax.tree.leaves(started, is_leaf=lambda node: isinstance(node, ActNorm))
    norms = [node for node in nodes if isinstance(node, ActNorm)]
    assert norms and all(bool(n.started.value.all()) for n in norms)


def test_what_leaves_is_read_off_what_stays() -> None:
    """Of Glow, half of the channels leave after the first of two levels, with moments that the others give."""
    leaving = draw("glow", n_levels=2).bijection.bijections[0].bijections[1]
    assert isinstance(leaving, ImageCoupling) and leaving.shape == (2, 2, 4)
    stays = jax.random.normal(jax.random.key(1), (2, 2, 2, 2))
    noise = jnp.zeros((2, 2, 2, 2))  # of what leaves
    moved = jax.vmap(leaving.forward)(jnp.concatenate([noise, stays], axis=-1))
    assert (moved[..., 2:] == stays).all()
    assert not jnp.allclose(moved[0, ..., :2], moved[1, ..., :2])


@pytest.mark.parametrize(
    ("name", "shape", "n_levels"), [("glow", (28, 28), 2), ("real_nvp_image", (28, 28, 1), 2), ("glow", (6, 4, 3), 1)]
)
def test_levels_are_as_many_as_sides_can_be_halved(name: str, shape: tuple[int, ...], n_levels: int) -> None:
    flow = eqx.filter_eval_shape(lambda: draw(name, image_shape=shape))
    nodes = jax.tree.leaves(flow, is_leaf=lambda node: isinstance(node, Squeeze))
    assert sum(isinstance(node, Squeeze) for node in nodes) == n_levels
    assert flow.shape == (int(np.prod(shape)),)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("glow", {"image_shape": (7, 8)}, r"level 1 cannot halve images of 7 x 8 .* multiples of 2$"),
        ("glow", {"image_shape": (28, 2), "n_levels": 2}, r"level 2 cannot halve images of 14 x 1 \(28 x 2, halved 1"),
        ("glow", {"image_shape": (5, 5)}, "pixels"),
        ("glow", {"image_shape": (8, 7), "coupling": "cubic"}, "coupling must be"),
        ("real_nvp_image", {"image_shape": (8, 7), "n_levels": 1}, "multiples of 2 and there are 8 pixels or more, or"),
        ("real_nvp_image", {"image_shape": (1, 1, 56)}, "fewer than 2 pixels"),
        ("residual_image", {"image_shape": (8, 7), "lipschitz": 1.5}, "1.5"),
    ],
)
def test_bad_sizes_are_named(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        flows.recipe(name)(jax.random.key(0), 56, **SMALL[name] | options)


def test_additive_couplings_keep_volume() -> None:
    flow = draw("glow", coupling="additive", n_levels=1)
    images = jax.random.normal(jax.random.key(1), (4, 16))
    log_dets = flow.bijection.inverse_batch(images)[1]
    np.testing.assert_allclose(log_dets, log_dets[0], rtol=1e-5)  # scales and convolutions alone, alike everywhere


def test_images_without_a_halving_are_couplings_of_boards() -> None:
    flow = draw("real_nvp_image", image_shape=(3, 5))
    x = flow.sample(jax.random.key(0), (4,))
    assert x.shape == (4, 15) and bool(jnp.isfinite(flow.log_prob(x)).all())


@pytest.mark.parametrize("name", sweep(NAMES, {"glow"}))
def test_an_index_that_says_nothing_leaves_the_flow_as_it_is(name: str) -> None:
    sizes = {**SMALL[name], "image_shape": (4, 4), "cond_dim": 2}
    key, given = jax.random.key(3), jnp.array([[0.0, 1.0], [1.0, 0.0]])
    make = eqx.filter_jit(lambda key: flows.recipe("indexed_" + name)(key, 16, index_hidden_sizes=(4,), **sizes))
    indexed = make(key)
    plain = flows.recipe(name)(jax.random.split(key)[0], 16, **sizes)
    x = plain.sample(jax.random.key(1), (), given)
    keys = jax.random.split(jax.random.key(2), 2)
    estimate = eqx.filter_jit(lambda flow: jax.vmap(flow.log_weight)(x, keys, given))

    def is_index(node: Any) -> bool:
        return isinstance(node, RowConvolutions)

    silent = jax.tree.map(
        lambda node: jax.tree.map(jnp.zeros_like, node) if is_index(node) else node, indexed, is_leaf=is_index
    )
    np.testing.assert_allclose(estimate(silent), plain.log_prob(x, given), rtol=1e-4)
    assert (np.abs(estimate(indexed) - plain.log_prob(x, given)) > 1e-2).all()


def test_each_step_of_an_indexed_flow_of_images_has_an_image_for_an_index() -> None:
    flow = flows.recipe("indexed_glow")(jax.random.key(0), 16, image_shape=(4, 4), index_dim=3, **SMALL["glow"])
    nodes = jax.tree.leaves(flow, is_leaf=lambda node: isinstance(node, Indexed))
    assert [node.index_dim for node in nodes if isinstance(node, Indexed)] == [3 * 1, 3 * 4]
    assert flow.exactness == "lower bound" and flow.sample(jax.random.key(1), (2,)).shape == (2, 16)
