"""The bound as a loss: its value, annealing, and the step that the engine tells it."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pushforward as pf
from pushforward import trees
from pushforward.objectives import Batch, NegativeELBO, ReconstructionError, Rows
from pushforward.training import Resident, Settings, train

X = np.array([[1.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.0]])


def model(posterior: str = "none", **options: Any) -> Any:
    return pf.vae(jax.random.key(0), 4, latent_dim=3, posterior=posterior, hidden_sizes=(5,), **options)


def batch(x: Any = X, weight: Any = (1.0, 3.0), step: Any = None) -> Batch:
    step = None if step is None else jnp.asarray(step, float)
    return Batch(Rows(jnp.asarray(x)), jnp.asarray(weight), jnp.array(0.0), step)


def lively(autoencoder: Any) -> Any:
    """A model far from its start, where the heads give next to nothing."""
    n = trees.n_parameters(autoencoder)
    return trees.offset(autoencoder, 0.2 * jax.random.normal(jax.random.key(5), (n,)))


@pytest.mark.long
def test_without_a_flow_the_loss_is_the_closed_form_on_average(float64: None) -> None:
    """E_q[log p(x|z)] by many draws, KL of a diagonal Gaussian from the standard one in closed form."""
    one, n = lively(model()), 4000

    def closed(x: Any) -> Any:
        scale, shift = one.posterior.bijection.bijections
        features = one.encoder(x)
        mean = trees.offset(shift.bijection, shift.network(features)).shift
        log_scale = trees.offset(scale.bijection, scale.network(features)).log_scale
        kl = 0.5 * (mean**2 + jnp.exp(2 * log_scale) - 1 - 2 * log_scale).sum()
        noise = jax.random.normal(jax.random.key(7), (n, 3))
        z = mean + jnp.exp(log_scale) * noise
        fits = jax.vmap(lambda z: one.likelihood.log_prob(one.decoder(z), x))(z)
        return kl - fits.mean(), kl, ((z**2 - noise**2).sum(axis=1) / 2 - fits).std()

    energies, kls, spreads = map(np.asarray, jax.vmap(closed)(jnp.asarray(X)))
    error = 4 * spreads.max() / n**0.5
    assert kls.min() > 2 * error  # so that the loss cannot do without it
    loss = NegativeELBO(n_samples=n)(one, batch(), jax.random.key(1))
    assert float(loss) == pytest.approx((energies[0] + 3 * energies[1]) / 4, abs=error)


@pytest.mark.long
def test_annealing_shares_out_the_joint_by_the_step_alone(float64: None) -> None:
    one = lively(model())

    @eqx.filter_jit
    def value(loss: NegativeELBO, step: Any) -> Any:
        return loss(one, batch(step=step), jax.random.key(1))

    annealed = NegativeELBO(jnp.asarray(10_000.0))
    full, first, middle = (float(value(annealed, step)) for step in (jnp.inf, 0.0, 4900.0))
    assert full == pytest.approx(float(value(NegativeELBO(), 0.0)), rel=1e-12)
    # F_β = E[log q] − β E[log p(x, z)] is a line in β
    assert middle == pytest.approx(first + (full - first) * (0.5 - 0.01) / 0.99, rel=1e-9)
    assert float(value(annealed, 1e6)) == pytest.approx(full, rel=1e-12)
    shares = [float(annealed.share(batch(step=t))) for t in (0, 100, 9900, 20_000)]
    np.testing.assert_allclose(shares, [0.01, 0.02, 1.0, 1.0], rtol=1e-12)
    assert float(annealed.share(batch())) == 1


class Numbers(eqx.Module):
    """A model that reads no data."""

    values: Any
    reads_data: bool = eqx.field(static=True, default=False)

    def sum(self) -> Any:
        return self.values.sum()


class StepSeen(eqx.Module):
    """A loss whose value is the step, and −1 when evaluated."""

    def __call__(self, model: Any, batch: Batch, key: Any) -> Any:
        return (jnp.asarray(-1.0) if batch.step is None else batch.step) + 0 * model.sum()


def test_the_engine_counts_steps_in_training_and_none_in_validation() -> None:
    rows = Resident.of(Rows(np.zeros((128, 4))))  # two batches of 64
    settings = Settings(max_epochs=3, batch_size=64)
    fit = train(Numbers(jnp.zeros(2)), StepSeen(), rows, key=jax.random.key(0), settings=settings, validation=rows)
    assert [entry["train_loss"] for entry in fit.history] == [0.5, 2.5, 4.5]
    assert [entry["validation_loss"] for entry in fit.history] == [-1.0, -1.0, -1.0]


@pytest.mark.long
def test_rows_of_weight_zero_do_nothing(float64: None) -> None:
    @eqx.filter_jit
    def loss(x: Any, weight: Any) -> Any:
        one = lively(model())

        def at(scale: Any) -> Any:
            return NegativeELBO()(trees.offset(one, jnp.full(trees.n_parameters(one), scale)), batch(x, weight), key)

        return jnp.stack(jax.value_and_grad(at)(0.1))

    key = jax.random.key(1)
    first, other = loss(X, jnp.array([1.0, 0.0])), loss(np.stack([X[0], 1 - X[1]]), jnp.array([1.0, 0.0]))
    np.testing.assert_array_equal(first, other)
    assert first[0] != loss(X, jnp.array([1.0, 1.0]))[0]


def test_a_plain_autoencoder_is_trained_by_reconstruction(float64: None) -> None:
    plain = lively(model("point"))
    logits = jax.vmap(lambda x: plain.decoder(plain.code(x)))(jnp.asarray(X))
    entropy = (X * jax.nn.softplus(-logits) + (1 - X) * jax.nn.softplus(logits)).sum(axis=1)
    loss = ReconstructionError()(plain, batch(), jax.random.key(0))
    assert float(loss) == pytest.approx(float(entropy[0] + 3 * entropy[1]) / 4, rel=1e-9)
