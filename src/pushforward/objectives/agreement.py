"""What pairs of rows that belong together teach: an embedding, and posteriors that agree on them."""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from pushforward.objectives.batch import AbstractLoss, Batch
from pushforward.objectives.likelihood import weighted_mean
from pushforward.objectives.views import ImageViews
from pushforward.trees import AbstractModel


class Embedding(AbstractModel):
    """A network from a point to the unit sphere.

    Arguments:
        network: from a point to a vector.
    """

    network: Callable[[Array], Array]

    def __call__(self, rows: Float[Array, "n d"]) -> Float[Array, "n e"]:
        result = jax.vmap(self.network)(rows)
        return result / jnp.maximum(jnp.linalg.norm(result, axis=1, keepdims=True), 1e-6)


class Contrast(AbstractLoss):
    """How hard it is to tell, in an embedding, a row's partner from all other rows (InfoNCE, van den Oord et al. 2018).

    Partners are near rows, moved a little where they are images (Dwibedi et al. 2021). Neighbours of
    neighbours draw together, which parts clusters that straight distances do not.

    Arguments:
        views: random moves of images; None for rows as they are.
        temperature: what cosines are divided by.
    """

    views: ImageViews | None = None
    temperature: float = eqx.field(static=True, default=0.5)

    def __call__(self, model: Embedding, batch: Batch, key: PRNGKeyArray) -> Array:
        if batch.rows.partner is None:
            raise ValueError("contrast needs rows with a partner each; the batch has none")
        n, rows = len(batch.rows.x), jnp.concatenate([batch.rows.x, batch.rows.partner])
        result = model(rows if self.views is None else self.views(rows, key))
        real = jnp.tile(batch.weight > 0, 2)
        alike = jnp.where(real & ~jnp.eye(2 * n, dtype=bool), result @ result.T / self.temperature, -jnp.inf)
        partner = (jnp.arange(2 * n) + n) % (2 * n)
        picked = jnp.take_along_axis(alike, partner[:, None], axis=1)[:, 0]
        lost = jnp.where(real, jax.nn.logsumexp(alike, axis=1) - jnp.where(real, picked, 0), 0)
        return weighted_mean(lost, jnp.tile(batch.weight, 2))


def agreement(
    logits: Float[Array, "n k"], others: Float[Array, "n k"], weight: Float[Array, " n"], balance: float | Array = 0.5
) -> Float[Array, ""]:
    """How well the component k of a row foretells the component l of its partner: −H(l|k) + balance · H(k), in nats.

    The first term is highest where partners always share a component and each row is certain; alone it would as soon
    have all rows in one. The second is highest where components are equally common. With balance 1 both together are
    the mutual information (Ji et al. 2019), which draws clusters towards equal sizes.

    Arguments:
        logits: of each row.
        others: of each row's partner.
        weight: of each pair, not negative.
        balance: between 0 and 1.

    Example:
        >>> import jax.numpy as jnp
        >>> sure = 50 * jnp.eye(2)
        >>> round(float(agreement(sure, sure, jnp.ones(2), balance=1.0)), 4)
        0.6931
    """
    q, p = jax.nn.softmax(logits), jax.nn.softmax(others)
    joint = jnp.einsum("n,nk,nl->kl", weight / jnp.maximum(weight.sum(), 1e-12), q, p)
    joint = (joint + joint.T) / 2
    return (1 + balance) * _entropy(joint.sum(axis=0)) - _entropy(joint)


def _entropy(shares: Array) -> Array:
    return -(shares * jnp.log(shares + 1e-30)).sum()
