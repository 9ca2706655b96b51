"""Variational inference: draws of a model against a log-density."""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, PRNGKeyArray

from pushforward.distributions import AbstractDistribution
from pushforward.objectives.batch import Batch

LEAST_SHARE = 0.01  # of log p, where annealing starts


class ReverseKL(eqx.Module):
    """KL(q‖p) up to a constant, estimated on draws of the model q: the negative evidence lower bound.

    With `path`, the gradient goes through the draws alone, which takes the noise of the score out and vanishes where q
    is p (sticking the landing, Roeder et al. 2017); it asks for the inverse of the map. Annealed, log p starts with a
    weight of 0.01 that grows to 1, so that draws find every mode before any of them is deep (Rezende & Mohamed 2015).
    Of the batch only the epoch is looked at.

    Arguments:
        log_density: log p of one draw up to a constant, a scalar; a module's arrays are read at run time, so that like
            modules share one compiled program.
        n_draws: draws of a step.
        path: whether to take path gradients.
        anneal_epochs: epochs until log p counts in full, a scalar; None for from the start.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward.distributions import Normal
        >>> from pushforward.objectives import ReverseKL
        >>> loss = ReverseKL(lambda x: -0.5 * (x**2).sum(), 64)
        >>> round(loss(Normal.standard((2,)), None, jax.random.key(0)).item(), 3)  # −log of the missing constant, 2π
        -1.838
    """

    log_density: Callable[[Array], Array]
    n_draws: int = eqx.field(static=True)
    path: bool = eqx.field(static=True, default=True)
    anneal_epochs: Array | None = None

    def __call__(self, model: AbstractDistribution, batch: Batch | None, key: PRNGKeyArray) -> Array:
        keys = jax.random.split(key, self.n_draws)
        share = self._share(batch)
        if not self.path:
            x, log_q = jax.vmap(model._sample_and_log_prob)(keys)
            return jnp.mean(log_q - share * jax.vmap(self.log_density)(x))
        fixed = jax.tree.map(lambda leaf: lax.stop_gradient(leaf) if eqx.is_inexact_array(leaf) else leaf, model)

        def one(key: PRNGKeyArray) -> Array:
            x = model._sample(key)
            log_q: Array = fixed._log_prob(x)
            return log_q - share * self.log_density(x)

        return jnp.mean(jax.vmap(one)(keys))

    def _share(self, batch: Batch | None) -> Array | float:
        """The weight of log p; 1 where the loss is evaluated."""
        if self.anneal_epochs is None or batch is None:
            return 1.0
        return jnp.minimum(1.0, LEAST_SHARE + batch.epoch / self.anneal_epochs)
