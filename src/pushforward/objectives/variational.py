"""Losses of autoencoders: the evidence lower bound, and reconstruction alone."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from pushforward.distributions import Autoencoder
from pushforward.objectives.batch import AbstractLoss, Batch, annealed_share
from pushforward.objectives.likelihood import weighted_mean


class NegativeELBO(AbstractLoss):
    """The mean free energy, E_q[log q(z|x) − β log p(x, z)], of an autoencoder over a batch.

    At step t of training β = min(1, 0.01 + t / anneal_steps), so that the posterior does not fall back to the prior
    before the decoder has learned anything (Rezende & Mohamed 2015, equation 20); an evaluated loss has β = 1. Rows are
    passed through the likelihood's `observe`: grey values are drawn to 0 or 1 anew in each batch.

    Arguments:
        anneal_steps: floating; None for β = 1 throughout.
        n_samples: draws of z for each row.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward.inference import vae
        >>> from pushforward.objectives import Batch, NegativeELBO, Rows
        >>> model = vae(jax.random.key(0), 4, latent_dim=2, posterior="none", hidden_sizes=(8,))
        >>> batch = Batch(Rows(jnp.full((3, 4), 0.5)), jnp.ones(3))
        >>> NegativeELBO()(model, batch, jax.random.key(1)).shape
        ()
    """

    anneal_steps: Array | None = None
    n_samples: int = eqx.field(static=True, default=1)

    def __call__(self, model: Autoencoder, batch: Batch, key: PRNGKeyArray) -> Array:
        key_x, key_z = jax.random.split(key)
        x = model.likelihood.observe(key_x, batch.rows.x)
        keys = jax.random.split(key_z, (len(x), self.n_samples))
        terms = jax.vmap(lambda x, keys: model.terms_at(model.encoder(x), x, keys))(x, keys)
        joint = terms.log_likelihood + terms.log_prior
        energy = (terms.log_posterior - self.share(batch) * joint).mean(axis=1)
        return weighted_mean(energy, batch.weight)

    def share(self, batch: Batch) -> Array:
        """β, a scalar."""
        if self.anneal_steps is None or batch.step is None:
            return jnp.ones(())
        return annealed_share(batch.step / self.anneal_steps)


class ReconstructionError(AbstractLoss):
    """The mean of −log p(x|z) at the code z of each row: the loss of a plain autoencoder.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward.inference import vae
        >>> from pushforward.objectives import Batch, ReconstructionError, Rows
        >>> model = vae(jax.random.key(0), 4, latent_dim=2, posterior="point", hidden_sizes=(8,))
        >>> batch = Batch(Rows(jnp.full((3, 4), 0.5)), jnp.ones(3))
        >>> ReconstructionError()(model, batch, jax.random.key(1)).shape
        ()
    """

    def __call__(self, model: Autoencoder, batch: Batch, key: PRNGKeyArray) -> Array:
        x = model.likelihood.observe(key, batch.rows.x)
        errors = jax.vmap(lambda x: -model.likelihood.log_prob(model.decoder(model.code(x)), x))(x)
        return weighted_mean(errors, batch.weight)
