"""Variational inference: draws of a model against a log-density."""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from pushforward import trees
from pushforward.distributions import AbstractDistribution, MixtureOfFlows
from pushforward.objectives.batch import AbstractLoss, Batch, annealed_share


class ReverseKL(AbstractLoss):
    """KL(q‖p) up to a constant, estimated on draws of the model q: the negative evidence lower bound.

    With `path`, the gradient goes through the draws alone, which takes the noise of the score out and vanishes where q
    is p (sticking the landing, Roeder et al. 2017); it asks for the inverse of the map. Annealed, log p starts with a
    weight of 0.01 that grows to 1, so that draws find every mode before any of them is deep (Rezende & Mohamed 2015).
    Of the batch only the epoch is looked at.

    Arguments:
        log_density: log p of one draw up to a constant, a scalar; a module's arrays are read at run time, so that like
            modules share one compiled program.
        n_samples: draws of a step.
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
    n_samples: int = eqx.field(static=True)
    path: bool = eqx.field(static=True, default=True)
    anneal_epochs: Array | None = None

    def __call__(self, model: AbstractDistribution, batch: Batch | None, key: PRNGKeyArray) -> Array:
        share = self._share(batch)
        held = trees.stop_gradient(model)

        def excess(x: Array, log_q: Array | None = None) -> Array:
            """log q − log p of a draw; without its log q, that of the model held fixed."""
            log_q = held.log_weight(x, None) if log_q is None else log_q
            return log_q - share * self.log_density(x)

        if isinstance(model, MixtureOfFlows):
            # every component is drawn from, and its weight stands in front: a choice of one has no gradient
            n = max(1, self.n_samples // model.n_components)
            x = model.draw_each(jax.random.split(key, (model.n_components, n)))
            log_q = None if self.path else jax.vmap(jax.vmap(lambda x: model.log_weight(x, None)))(x)
            each = jax.vmap(jax.vmap(excess))(x, log_q)
            return (jnp.exp(model.log_weights) * each.mean(axis=1)).sum()
        keys = jax.random.split(key, self.n_samples)
        if self.path:
            return jnp.mean(jax.vmap(lambda key: excess(model.sample_and_log_weight(key)[0]))(keys))
        return jnp.mean(jax.vmap(excess)(*jax.vmap(model.sample_and_log_weight)(keys)))

    def _share(self, batch: Batch | None) -> Array | float:
        """The weight of log p; 1 where the loss is evaluated."""
        if self.anneal_epochs is None or batch is None:
            return 1.0
        return annealed_share(batch.epoch / self.anneal_epochs)
