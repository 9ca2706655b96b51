"""Images and series one value after the other: exact sums over all values, draws the slow way, completions."""

import itertools
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import pushforward as pf
from pushforward.distributions import Autoregressive, Bernoulli, Categorical, DiscretisedLogistics, Real
from pushforward.networks import GatedPixelCNN, WaveNet
from tests.networks.causal import BRIEFLY, CAUSAL, random

IMAGES = [name for name, entry in CAUSAL.items() if len(entry.places) == 2]
SERIES = [name for name, entry in CAUSAL.items() if len(entry.places) == 1]


def model(name: str, shape: tuple[int, ...], value: Any, cond_dim: int | None = None, scale: float = 0.5) -> Any:
    cond_dim = 2 if name == "wavenet_local" else cond_dim
    network = CAUSAL[name].network(jax.random.key(1), shape, value.n_features, value.n_params, cond_dim=cond_dim)
    return random(Autoregressive(network, value), scale=scale)


def given(model: Any, n: int | None = None) -> Any:
    """A condition, for each of n where that is said."""
    if model.cond_shape is None:
        return None
    return jax.random.normal(jax.random.key(7), (*(() if n is None else (n,)), *model.cond_shape))


def every(shape: tuple[int, ...], n_levels: int) -> Any:
    values = list(itertools.product(np.arange(float(n_levels)), repeat=int(np.prod(shape))))
    return jnp.asarray(values).reshape(-1, *shape)


def slowly(model: Any, key: Any, condition: Any) -> Any:
    """A draw that runs the whole network once a value."""
    dtype, n = model.network.head.bias.dtype, int(np.prod(model.shape))
    noise, encode = model.value.noise(key, model.shape, dtype).reshape(n, -1), model.value.encode
    for _ in model.shape:
        encode = jax.vmap(encode)

    def place(i: Any, x: Any) -> Any:
        params = model.network(encode(x.reshape(model.shape)), condition).reshape(n, -1)[i]
        return x.at[i].set(model.value.draw(params, noise[i]))

    return jax.lax.fori_loop(0, n, place, jnp.full(n, jnp.nan, dtype)).reshape(model.shape)


@pytest.mark.parametrize("name", IMAGES)
def test_all_binary_images_sum_to_one(name: str) -> None:
    made = model(name, (2, 2, 1), Bernoulli())
    log_probs = made.log_prob(every((2, 2, 1), 2))
    assert float(jnp.exp(log_probs).sum()) == pytest.approx(1, abs=1e-5)
    assert float(log_probs.std()) > 0.05


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (name, value)
        for name in SERIES
        for value in (Categorical(4), Categorical(4, ordered=False), DiscretisedLogistics(4, 2))
        if name != "lagged" or value.n_features == 2  # which forecasts numbers
    ],
)
def test_all_series_sum_to_one(name: str, value: Any) -> None:
    made = model(name, (3, 1), value)
    log_probs = made.log_prob(every((3, 1), 4), given(made))
    assert float(jnp.exp(log_probs).sum()) == pytest.approx(1, abs=1e-5)


def test_all_images_in_colour_sum_to_one() -> None:
    made = model("gated_pixel_cnn", (1, 2, 3), Bernoulli())
    assert float(jnp.exp(made.log_prob(every((1, 2, 3), 2))).sum()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", BRIEFLY)
def test_draws_are_those_of_the_slow_way(name: str, float64: None) -> None:
    for channels, value in ((1, Real()), (2, Categorical(5))):
        made = model(name, (*CAUSAL[name].places, channels), value, cond_dim=2)
        keys, conditions = jax.random.split(jax.random.key(3), 3), given(made, 3)
        drawn = jax.jit(jax.vmap(made._sample))(keys, conditions)
        slow = jax.jit(jax.vmap(lambda key, c, made=made: slowly(made, key, c)))(keys, conditions)
        np.testing.assert_allclose(drawn, slow, rtol=1e-9, atol=1e-9)
        assert len(np.unique(drawn)) > 3


@pytest.mark.parametrize("name", ["diagonal_bilstm", "wavenet"])
def test_draws_are_as_frequent_as_they_are_likely(name: str) -> None:
    shape = (2, 2, 1) if name in IMAGES else (4, 1)
    made, n = model(name, shape, Bernoulli()), 4000
    expected = n * np.exp(np.asarray(made.log_prob(every(shape, 2)), float))
    drawn = np.asarray(made.sample(jax.random.key(5), (n,))).reshape(n, -1)
    counts = np.bincount((drawn @ (2 ** np.arange(4)[::-1])).astype(int), minlength=16)
    assert scipy.stats.chisquare(counts, expected * n / expected.sum()).pvalue > 1e-3


def test_a_completed_beginning_is_exact() -> None:
    made, n = model("gated_pixel_cnn", (2, 2, 1), Bernoulli(), scale=1.0), 4000
    upper = jnp.array([1.0, 0.0, jnp.nan, jnp.nan]).reshape(2, 2, 1)
    known = np.array([True, True, False, False]).reshape(2, 2, 1)
    found = made.complete(upper, known, jax.random.key(6), sample_shape=(n,))
    assert found.exactness == "exact" and found.x.shape == (n, 2, 2, 1) and (found.effective_draws == 1).all()
    assert (found.x[:, 0, :, 0] == jnp.array([1.0, 0.0])).all()
    whole = jnp.asarray([[1.0, 0.0, *rest] for rest in itertools.product([0.0, 1.0], repeat=2)]).reshape(-1, 2, 2, 1)
    shares = np.asarray(jax.nn.softmax(made.log_prob(whole)), float)
    counts = np.bincount(np.asarray(found.x[:, 1, :, 0] @ jnp.array([2, 1])).astype(int), minlength=4)
    assert scipy.stats.chisquare(counts, n * shares / shares.sum()).pvalue > 1e-3


def test_completions_of_other_patterns_come_near_with_proposals() -> None:
    made, n = model("diagonal_bilstm", (2, 2, 1), Bernoulli(), scale=1.0), 4000
    image = jnp.array([0.0, 1.0, 0.0, 1.0]).reshape(2, 2, 1)
    known = np.array([False, True, False, True]).reshape(2, 2, 1)
    found = made.complete(image, known, jax.random.key(6), sample_shape=(n,), n_proposals=64)
    assert found.exactness == "approximate"
    assert (found.x.reshape(n, 4)[:, [1, 3]] == 1).all()
    assert (found.effective_draws > 1).all() and (found.effective_draws <= 64.01).all()
    whole = jnp.asarray([[a, 1.0, b, 1.0] for a, b in itertools.product([0.0, 1.0], repeat=2)]).reshape(-1, 2, 2, 1)
    shares = np.asarray(jax.nn.softmax(made.log_prob(whole)))
    found_shares = np.bincount(np.asarray(found.x.reshape(n, 4)[:, [0, 2]] @ jnp.array([2, 1])).astype(int)) / n
    np.testing.assert_allclose(found_shares, shares, atol=0.03)
    alone = made.complete(image, known, jax.random.key(6), sample_shape=(n,), n_proposals=1).x
    by_itself = np.bincount(np.asarray(alone.reshape(n, 4)[:, [0, 2]] @ jnp.array([2, 1])).astype(int)) / n
    assert np.abs(by_itself - shares).max() > 0.05


def test_series_are_completed_each_from_its_own_past() -> None:
    made = model("wavenet", (6, 2), Real(), cond_dim=3)
    x = jax.random.normal(jax.random.key(8), (3, 6, 2)).at[0, 1, 0].set(jnp.nan)
    known = (np.arange(6) < np.array([2, 4, 6])[:, None])[..., None]
    found = made.complete(x, known, jax.random.key(9), given(made, 3), sample_shape=(2, 5))
    assert found.exactness == "exact" and found.x.shape == (2, 5, 3, 6, 2) and found.effective_draws.shape == (2, 5, 3)
    kept = np.broadcast_to(known, (2, 5, 3, 6, 2))
    np.testing.assert_array_equal(np.asarray(found.x)[kept], np.broadcast_to(x, found.x.shape)[kept])
    assert np.isfinite(np.asarray(found.x)[~kept]).all() and float(found.x[..., 0, 5, 0].std()) > 0
    assert bool(jnp.isnan(found.x[..., 0, 1, 0]).all())  # a gap that is known stays one


def test_gaps_leave_their_own_terms_out() -> None:
    made = model("wavenet", (6, 1), Categorical(4))
    x = jnp.array([1.0, 3.0, 0.0, 2.0, 1.0, 3.0])[:, None]
    terms = made.log_prob_terms(x)
    assert terms.shape == (6, 1) and float(terms.sum()) == pytest.approx(float(made.log_prob(x)), rel=1e-5)
    gap = made.log_prob_terms(x.at[2].set(jnp.nan))
    assert gap[2] == 0 and bool(jnp.isfinite(gap).all()) and float(jnp.abs(gap[3:] - terms[3:]).max()) > 1e-4
    np.testing.assert_allclose(gap[:2], terms[:2], atol=1e-5)
    # a shorter series is one that ends with gaps
    short = made.resized(4)
    assert float(made.log_prob(x.at[4:].set(jnp.nan))) == pytest.approx(float(short.log_prob(x[:4])), abs=1e-5)
    assert float(made.log_prob(jnp.full((6, 1), jnp.nan))) == 0
    slopes = eqx.filter_grad(lambda m: m.log_prob(x.at[2].set(jnp.nan)))(made)
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(slopes))


def test_values_beyond_the_levels_are_impossible_and_shapes_are_checked() -> None:
    made = model("gated_pixel_cnn", (2, 2, 1), Bernoulli())
    assert float(made.log_prob(jnp.full((2, 2, 1), 3.0))) == -np.inf
    assert float(made.log_prob(jnp.full((2, 2, 1), jnp.inf))) == -np.inf
    with pytest.raises(ValueError, match=r"x has shape \(2, 2\); expected its last axes to be \(2, 2, 1\)"):
        made.log_prob(jnp.zeros((2, 2)))
    with pytest.raises(ValueError, match="takes no condition"):
        made.log_prob(jnp.zeros((2, 2, 1)), jnp.zeros(2))
    with pytest.raises(ValueError, match="n_proposals must be"):
        made.complete(jnp.zeros((2, 2, 1)), np.eye(2, dtype=bool)[..., None], jax.random.key(0), n_proposals=0)
    with pytest.raises(ValueError, match=r"known has shape \(3, 1\); expected \(2, 2, 1\), as x has, or what broad"):
        made.complete(jnp.zeros((2, 2, 1)), np.ones((3, 1), bool), jax.random.key(0))
    none = made.complete(jnp.zeros((0, 2, 2, 1)), np.eye(2, dtype=bool)[..., None], jax.random.key(0))
    assert none.x.shape == (0, 2, 2, 1) and none.effective_draws.shape == (0,)
    with pytest.raises(ValueError, match="comes in 2 and asks for 4"):
        Autoregressive(made.network, Categorical(4))


@pytest.mark.parametrize("name", BRIEFLY)
def test_models_come_back_from_files(name: str, tmp_path: Path) -> None:
    shape = (*CAUSAL[name].places, 2)
    made = model(name, shape, Real() if name in SERIES else DiscretisedLogistics(8, 2), cond_dim=2)
    pf.save(made, tmp_path / "model")
    back = pf.load(tmp_path / "model")
    assert eqx.tree_equal(made, back)
    assert repr(back).startswith("Autoregressive(")


def test_training_lowers_the_loss() -> None:
    from pushforward.objectives import NegativeLogLikelihood, Rows
    from pushforward.training import Resident, Settings, train

    rows = np.tile(np.eye(4, dtype=np.float32).reshape(1, 4, 4, 1), (64, 1, 1, 1))
    start = Autoregressive.init(jax.random.key(0), GatedPixelCNN, (4, 4, 1), Bernoulli(), channels=8, n_layers=1)
    settings = Settings(max_epochs=10, batch_size=32, learning_rate=1e-2)
    fit = train(start, NegativeLogLikelihood(), Resident.of(Rows(rows)), key=jax.random.key(1), settings=settings)
    assert fit.history[-1]["train_loss"] < 0.5 * fit.history[0]["train_loss"]
    assert fit.history[0]["train_loss"] < 16 * np.log(2) * 1.2  # it starts at fair coins


def test_a_series_of_reals_is_a_flow_over_time(float64: None) -> None:
    """Its density is that of noise pushed through its draws, step by step."""
    made = random(Autoregressive.init(jax.random.key(0), WaveNet, (4, 1), Real(), channels=4, dilations=(1, 2)))

    def draw(noise: Any) -> Any:
        class Given(Real):
            def noise(self, key: Any, shape: Any, dtype: Any) -> Any:
                return noise.reshape(*shape, 1)

        return Autoregressive(made.network, Given())._sample(jax.random.key(0)).reshape(-1)

    noise = jax.random.normal(jax.random.key(1), (4,))
    log_det = jnp.linalg.slogdet(jax.jacfwd(draw)(noise))[1]
    base = jax.scipy.stats.norm.logpdf(noise).sum()
    assert float(made.log_prob(draw(noise)[:, None])) == pytest.approx(float(base - log_det), abs=1e-8)


def test_known_values_that_cannot_be_are_not_completed() -> None:
    made, known = model("pixel_cnn", (2, 2, 1), Bernoulli()), np.eye(2, dtype=bool)[..., None]
    with pytest.raises(ValueError, match="3"):
        made.complete(jnp.full((2, 2, 1), 3.0), known, jax.random.key(0))
    anything = made.complete(jnp.where(jnp.asarray(known), 1.0, 3.0), known, jax.random.key(0)).x
    assert set(np.unique(anything)) <= {0, 1}
