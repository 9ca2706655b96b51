"""Optimizers of optax in the place of the engine's own Adam, and models and batches of any kind."""

from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from pushforward import trees
from pushforward.bijections import BatchNorm
from pushforward.distributions import Normal, Pushforward, SequentialLatent
from pushforward.objectives import Batch, NegativeLogLikelihood, Rows, weighted_mean
from pushforward.training import Checkpoint, Resident, Settings, TrainingError, TrainingWarning, train
from tests.compilations import compilations
from tests.training.test_engine import broken_rows, one_epoch_a_call, press_ctrl_c
from tests.training.toy import Distance, Point, point, points, rows, run

ADAM = optax.adam(0.1)


def fit(optimizer: Any, *at: float, feed: Any = None, loss: Any = None, more: Any = None, **settings: Any) -> Any:
    """Train by an optimizer; the toy's learning rate gives way."""
    options = {"max_epochs": 40, "learning_rate": Settings().learning_rate, **settings}
    feed = rows() if feed is None else feed
    return run(point(*(at or (0.0, 0.0))), feed, loss=loss, more={"optimizer": optimizer, **(more or {})}, **options)


def test_the_engines_own_adam_is_that_of_optax() -> None:
    given = {"max_epochs": 5, "averaging": 0.5, "clip_norm": 0.7}
    own, other = run(point(0.0, 0.0), rows(), **given), fit(ADAM, **given)
    np.testing.assert_allclose(own.model.at, other.model.at, rtol=1e-5)


@pytest.mark.parametrize(
    "optimizer",
    [
        optax.lion(0.02),
        optax.adamw(0.1, weight_decay=1e-3, mask=trees.trainable),
        pytest.param(
            optax.chain(optax.add_decayed_weights(1e-3), optax.sgd(0.3, momentum=0.5)), marks=pytest.mark.long
        ),
        pytest.param(optax.chain(ADAM, optax.contrib.reduce_on_plateau(patience=20)), marks=pytest.mark.long),
        pytest.param(
            optax.chain(optax.add_noise(0.01, 0.9, jax.random.key(1)), optax.sgd(0.3)), marks=pytest.mark.long
        ),
        optax.lbfgs(),
    ],
    ids=["lion", "adamw", "decay", "plateau", "noise", "lbfgs"],
)
def test_any_optimizer_trains(optimizer: Any) -> None:
    found = fit(optimizer, batch_size=80)
    assert found.bad_steps == 0
    np.testing.assert_allclose(found.model.at, [1.0, -1.0], atol=0.3)


def test_masked_decay_leaves_the_rest_alone() -> None:
    decays = optax.adamw(1e-12, weight_decay=0.5e12, mask=lambda params: jax.tree.map(lambda p: p.ndim == 1, params))
    model = {"bias": jnp.ones(()), "slope": jnp.ones(1), "held": trees.Frozen(jnp.ones(1))}

    def loss(model: Any, batch: Batch, key: Any) -> Any:
        return 0.0 * (model["bias"] + model["slope"].sum() + model["held"].value.sum())

    found = train(model, loss, rows(), key=jax.random.key(0), settings=Settings(max_epochs=1), optimizer=decays).model
    assert float(found["bias"]) == 1 and float(found["slope"][0]) == 0.5 and float(found["held"].value[0]) == 1


def test_steps_that_are_not_finite_are_skipped_by_any_optimizer() -> None:
    with pytest.warns(TrainingWarning, match="5 training steps were skipped"):
        found = fit(ADAM, feed=broken_rows(1), loss=Distance(1e3), max_epochs=5)
    assert found.bad_steps == 5 and np.isfinite(found.model.at).all()
    with pytest.raises(TrainingError, match="try a smaller learning rate of the optimizer, a clip_norm"):
        fit(ADAM, feed=broken_rows(80), loss=Distance(1e3))


def test_restarts_have_optimizers_of_their_own() -> None:
    optimizer, starts = optax.lion(0.02), ((0.0, 0.0), (3.0, 1.0))
    settings, keys = Settings(max_epochs=10, batch_size=16), jax.random.split(jax.random.key(0), 2)
    together = train(
        points(*starts), Distance(), rows(), key=jax.random.key(0), settings=settings, optimizer=optimizer, n_restarts=2
    )
    for i, (at, key) in enumerate(zip(starts, keys, strict=True)):
        alone = train(point(*at), Distance(), rows(), key=key, settings=settings, optimizer=optimizer).model
        np.testing.assert_allclose(together.restarts.at[i], alone.at, rtol=1e-4, atol=1e-6)


NOISY = optax.chain(optax.add_noise(0.1, 0.5, jax.random.key(3)), optax.lion(0.02))


def test_resuming_gives_the_bits_of_an_uninterrupted_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        one_epoch_a_call(patch)
        press_ctrl_c(patch, call=4)
        cut = fit(NOISY, max_epochs=9, more={"checkpoint": Checkpoint(tmp_path)})
    assert cut.interrupted and len(cut.history) == 4
    resumed = fit(NOISY, max_epochs=9, more={"checkpoint": Checkpoint(tmp_path, resume=True)})
    straight = fit(NOISY, max_epochs=9)
    assert resumed.history == straight.history and np.array_equal(resumed.model.at, straight.model.at)


def test_the_checkpoint_of_another_optimizer_is_refused(tmp_path: Path) -> None:
    fit(optax.lion(0.01), max_epochs=2, more={"checkpoint": Checkpoint(tmp_path, epochs=1)})
    for other in (optax.sgd(0.01, momentum=0.9), ADAM):
        with pytest.raises(TrainingError, match="the optimizer changed since it was written"):
            fit(other, max_epochs=2, more={"checkpoint": Checkpoint(tmp_path, resume=True)})


def test_an_optimizer_that_knows_the_tree_of_the_model_keeps_a_checkpoint(tmp_path: Path) -> None:
    masked = optax.masked(optax.sgd(0.1, momentum=0.9), Point(True))
    fit(masked, max_epochs=2, more={"checkpoint": Checkpoint(tmp_path, epochs=1)})
    longer = fit(masked, max_epochs=4, more={"checkpoint": Checkpoint(tmp_path, resume=True)})
    assert longer.history == fit(masked, max_epochs=4).history


def test_the_same_optimizer_compiles_once() -> None:
    optimizer = optax.lion(0.01)
    fit(optimizer, max_epochs=2)
    with compilations() as compiled:
        fit(optimizer, 1.0, 2.0, max_epochs=3, clip_norm=1.0)
    assert compiled == []


@pytest.mark.parametrize(
    ("name", "value"),
    [("learning_rate", 0.1), ("schedule", "cosine"), ("warmup_steps", 3), ("weight_decay", 0.1)],
)
def test_what_the_optimizer_says_the_settings_may_not(name: str, value: Any) -> None:
    with pytest.raises(
        ValueError, match=f"{name} is a setting of the engine's own Adam, got {value!r} beside optimizer=; leave"
    ):
        fit(ADAM, **{name: value})


def test_what_is_no_optimizer_is_refused(unchecked: None) -> None:
    with pytest.raises(ValueError, match="optimizer must be a gradient transformation of optax.*got <function lion"):
        train(point(0.0), Distance(), rows((1.0,)), key=jax.random.key(0), optimizer=optax.lion)


def test_a_model_of_ones_own_trains_on_batches_of_any_tree_by_a_function() -> None:
    class Line(eqx.Module):
        slope: jax.Array
        shift: jax.Array

    def loss(model: Line, batch: Batch, key: Any) -> Any:
        error = batch.data["y"] - batch.data["of"]["x"] @ model.slope - model.shift
        return weighted_mean(error**2, batch.weight)

    x = np.random.default_rng(0).normal(size=(200, 2))
    feed = Resident.of({"y": x @ [2.0, -1.0] + 0.5, "of": {"x": x}})
    model = Line(jnp.zeros(2), jnp.zeros(()))
    found = train(
        model, loss, feed, key=jax.random.key(0), settings=Settings(max_epochs=100), optimizer=optax.lion(0.02)
    )
    np.testing.assert_allclose([*found.model.slope, found.model.shift], [2.0, -1.0, 0.5], atol=0.05)


def test_a_bare_distribution_trains() -> None:
    x = 3.0 + 2.0 * np.random.default_rng(0).normal(size=(300, 1))
    settings = Settings(max_epochs=150, learning_rate=0.05, batch_size=100, schedule="cosine")
    feed, start = Resident.of(Rows(x)), Normal(jnp.zeros(1), jnp.ones(1))
    model = train(start, NegativeLogLikelihood(), feed, key=jax.random.key(0), settings=settings).model
    assert float(model.loc[0]) == pytest.approx(x.mean(), abs=0.05)
    assert float(jnp.exp(model.log_scale[0])) == pytest.approx(x.std(), abs=0.05)


@pytest.mark.long
def test_a_model_known_by_a_bound_trains() -> None:
    latent = SequentialLatent.init(jax.random.key(0), (4, 1), latent_dim=2, hidden_sizes=(8,))
    feed = Resident.of(Rows(5.0 + np.random.default_rng(0).normal(size=(64, 4, 1))))
    settings = Settings(max_epochs=30, learning_rate=0.03)
    losses = train(latent, NegativeLogLikelihood(), feed, key=jax.random.key(0), settings=settings).history
    assert losses[-1]["train_loss"] < losses[0]["train_loss"] - 10


def test_a_function_cannot_calibrate_a_model_that_reads_data() -> None:
    flow = Pushforward(Normal.standard((1,)), BatchNorm.init(1))
    with pytest.raises(TypeError, match="Pushforward that reads parameters off data needs a loss with `calibrate`"):
        train(flow, lambda model, batch, key: jnp.zeros(()), rows((1.0,)), key=jax.random.key(0))
