"""A model of one's own, trained by the engine with an optimizer of optax."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import pushforward as pf


class Line(eqx.Module):
    """y = slope·x + intercept, with noise around it."""

    slope: jax.Array
    intercept: jax.Array


def squared_error(model, batch, key):  # batch.data is what the feed was given
    error = batch.data["y"] - model.slope * batch.data["x"] - model.intercept
    return batch.weight @ error**2 / batch.weight.sum()


x = np.random.default_rng(0).normal(size=500)
feed = pf.training.Resident.of({"x": x, "y": 2 * x - 1})
settings = pf.training.Settings(max_epochs=60, batch_size=50)
fit = pf.training.train(
    Line(jnp.zeros(()), jnp.zeros(())), squared_error, feed,
    key=jax.random.key(0), settings=settings, optimizer=optax.lion(1e-2),
)  # fmt: skip
assert abs(fit.model.slope - 2) < 0.1 and abs(fit.model.intercept + 1) < 0.1
