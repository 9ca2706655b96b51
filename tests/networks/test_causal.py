"""What causal networks keep: they see what they claim, nothing at or after a place, one by one or all at once."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pushforward.networks import GatedPixelCNN, PixelCNN, WaveNet
from tests.networks.causal import BRIEFLY, CAUSAL, drawn, n_places, one_by_one, random

NAMES = list(CAUSAL)


def inputs(network: Any, seed: int = 2) -> Any:
    return jax.random.normal(jax.random.key(seed), (*network.shape, network.n_features))


def condition_of(network: Any, seed: int = 3) -> Any:
    return None if network.cond_shape is None else jax.random.normal(jax.random.key(seed), network.cond_shape)


@pytest.mark.parametrize("name", NAMES)
def test_each_place_sees_what_it_claims_and_nothing_at_or_after_its_own(name: str, float64: None) -> None:
    network, channels = drawn(name, channels=2), 2
    n, condition = n_places(network), condition_of(network)

    @jax.jit
    def slopes(network: Any, x: Any) -> Any:
        return jax.jacrev(lambda x: network(x, condition))(x)

    found = np.zeros((n, channels, n, channels))
    for seed in range(6):  # so that no rectifier is shut in all
        each = np.abs(slopes(random(network, seed), inputs(network, seed)))
        found += each.reshape(n, channels, -1, n, channels, network.n_features).sum((2, 5))
    within = found[np.arange(n), :, np.arange(n)]  # of the place itself: channels in turn
    assert ((within != 0) == np.tril(np.ones((channels, channels)), -1)).all()
    apart = found.copy()
    apart[np.arange(n), :, np.arange(n)] = 0
    seen = network.sees
    assert not np.triu(seen).any()
    np.testing.assert_array_equal(apart != 0, np.broadcast_to(seen[:, None, :, None], apart.shape))
    assert (seen == np.tril(np.ones((n, n)), -1)).all() == CAUSAL[name].sees_all


@pytest.mark.parametrize(
    ("name", "corner", "missed"),
    [
        # stacked masks, however many, see u pixels to the right in the u-th row above
        ("pixel_cnn", (3, 0), {2: (2, 3, 4, 5), 1: (3, 4, 5), 0: (4, 5)}),
        # and so does a Row LSTM; to the left, its triangle and what two convolutions of one row add
        ("row_lstm", (3, 0), {2: (2, 3, 4, 5), 1: (3, 4, 5), 0: (4, 5)}),
        ("row_lstm", (3, 5), {3: (0, 1, 2), 2: (0, 1), 1: (0,)}),
    ],
)
def test_blind_spots_are_where_they_are_known_to_be(name: str, corner: Any, missed: Any) -> None:
    height, width = CAUSAL[name].places
    before = np.tril(np.ones((height * width, height * width), bool), -1)
    blind = (before & ~drawn(name).sees).reshape(height, width, height, width)[corner]
    assert {tuple(at) for at in np.argwhere(blind).tolist()} == {(r, c) for r in missed for c in missed[r]}


@pytest.mark.parametrize("name", BRIEFLY)
def test_one_place_after_the_other_gives_what_all_at_once_gives(name: str) -> None:
    network = drawn(name, channels=2)
    x, condition = inputs(network), condition_of(network)
    np.testing.assert_allclose(one_by_one(network, x, condition), network(x, condition), atol=1e-4)


@pytest.mark.parametrize("name", BRIEFLY)
def test_conditions_reach_every_output(name: str) -> None:
    network = drawn(name, cond_dim=2)
    x, condition = inputs(network), condition_of(network)
    slopes = jax.jacrev(lambda c: network(x, c))(condition)
    if name == "wavenet_local":  # a step sees the condition of its own step
        slopes = slopes[jnp.arange(6), :, :, jnp.arange(6)]
    assert (jnp.abs(slopes).sum(-1) > 0).all()
    np.testing.assert_allclose(one_by_one(network, x, condition), network(x, condition), atol=1e-4)
    with pytest.raises(ValueError, match="needs a condition of shape"):
        network(x)


@pytest.mark.parametrize("name", BRIEFLY)
def test_one_place_and_other_sizes_work(name: str) -> None:
    network = drawn(name)
    for places in ([1] * len(CAUSAL[name].places), [side + 1 for side in CAUSAL[name].places]):
        other = network.resized(*places)
        x, condition = inputs(other), condition_of(other)
        assert other(x, condition).shape == (*places, 1, 3)
        np.testing.assert_allclose(one_by_one(other, x, condition), other(x, condition), atol=1e-4)
    with pytest.raises(ValueError, match=r"axes of places; got 4"):
        network.resized(1, 2, 3, 4)


def test_outputs_start_near_zero() -> None:
    network = GatedPixelCNN.init(jax.random.key(0), (4, 4, 1), 2, 1, channels=16, n_layers=3)
    assert float(jnp.abs(network(inputs(network))).max()) < 0.2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda key: PixelCNN.init(key, (4, 4), 2, 1), r"shape must be \(H, W, C\).*got \(4, 4\)"),
        (lambda key: PixelCNN.init(key, (4, 4, 1), 2, 1, first_side=4), "must be odd.*got 4"),
        (lambda key: PixelCNN.init(key, (4, 4, 1), 2, 1, first_side=1), "side must be a whole number of at least 3"),
        (lambda key: GatedPixelCNN.init(key, (4, 0, 1), 2, 1), "at least 1; got 0"),
        (lambda key: GatedPixelCNN.init(key, (4, 4, 1), 2, 1, n_layers=0), "n_layers must be"),
        (lambda key: GatedPixelCNN.init(key, (4, 4, 1), 2, 1, side=1), "side must be a whole number of at least 3"),
        (lambda key: WaveNet.init(key, (4, 4, 1), 2, 1), r"shape must be \(T, C\)"),
        (lambda key: WaveNet.init(key, (4, 1), 2, 1, dilations=()), "at least one layer"),
        (lambda key: WaveNet.init(key, (4, 1), 2, 1, dilations=(1, 0)), "each of dilations must be"),
        (lambda key: WaveNet.init(key, (4, 1), 2, 1, local=True), "give cond_dim"),
    ],
)
def test_sizes_that_cannot_be_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(jax.random.key(0))
