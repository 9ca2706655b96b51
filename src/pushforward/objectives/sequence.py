"""The bound of series in front of whose latent-variable model stands a map."""

from __future__ import annotations

import equinox as eqx
import jax
from jaxtyping import Array, PRNGKeyArray

from pushforward.distributions import Pushforward
from pushforward.distributions.base import log_mean_exp
from pushforward.objectives.batch import AbstractLoss, Batch
from pushforward.objectives.likelihood import weighted_mean


class SequenceBound(AbstractLoss):
    """The mean over a batch of −bound(f⁻¹(x)) − log|det Df⁻¹(x)| (Marino et al. 2020).

    The model is a `Pushforward` whose base has estimates in the place of log-densities; the map may be the identity.

    Arguments:
        n_samples: draws of the latent variables for each series; with more than one, the bound is importance weighted.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward.bijections import TemporalAutoregressive
        >>> from pushforward.distributions import Pushforward, SequentialLatent
        >>> from pushforward.objectives import Batch, Rows, SequenceBound
        >>> latent = SequentialLatent.init(jax.random.key(0), (5, 2), latent_dim=3)
        >>> model = Pushforward(latent, TemporalAutoregressive.init(jax.random.key(1), (5, 2)))
        >>> batch = Batch(Rows(jnp.zeros((4, 5, 2))), jnp.ones(4))
        >>> SequenceBound()(model, batch, jax.random.key(2)).shape
        ()
    """

    n_samples: int = eqx.field(static=True, default=1)

    def __call__(self, model: Pushforward, batch: Batch, key: PRNGKeyArray) -> Array:
        bounds = sequence_bounds(model, batch.rows.x, key, self.n_samples)
        return weighted_mean(-bounds, batch.weight)


def sequence_bounds(model: Pushforward, x: Array, key: PRNGKeyArray, n_samples: int = 1) -> Array:
    """A lower bound on the log-density of each series under a map and the latent-variable model behind it.

    Arguments:
        model: a `Pushforward` whose base has estimates in the place of log-densities.
        x: shape (n, T, D).
        key: a JAX random key.
        n_samples: draws of the latent variables for each series.

    Returns:
        Shape (n,), in nats.
    """

    def one(x: Array, key: PRNGKeyArray) -> Array:
        y, log_det = model.bijection.inverse_and_log_det(x)
        weights = jax.vmap(lambda key: model.base.log_weight(y, key))(jax.random.split(key, n_samples))
        return log_mean_exp(weights) + log_det

    return jax.vmap(one)(x, jax.random.split(key, len(x)))
