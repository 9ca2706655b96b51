"""The bound of a variational mixture of flows, with and without labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from pushforward.distributions import MixtureOfFlows
from pushforward.distributions.mixture import evidence_bound
from pushforward.objectives.agreement import agreement
from pushforward.objectives.batch import AbstractLoss, Batch, add_noise, with_noise
from pushforward.objectives.likelihood import weighted_mean
from pushforward.objectives.views import ImageViews


class MixtureBound(AbstractLoss):
    """The negative ELBO of unlabelled rows, and the supervised loss of labelled ones.

    `ELBO(x) = Σ_k q(k|x) [log p_k(x) + log π_k − log q(k|x)]` exactly over k, with the posterior's logits
    divided by a temperature that decays exponentially to 1. A labelled row trains its own component by
    its likelihood and the posterior network by cross-entropy. For the first `start_epochs` the rows'
    starting components play the part of labels, and rows without one are left out.

    Arguments:
        temperature: at epoch 0, at least 1.
        anneal_epochs: epochs until the temperature is 1.
        start_epochs: epochs of the start.
        noise: width of uniform noise on each column, shape (D,), or None.
        n_likely: components evaluated at each row, those that the posterior network ranks first: the bound with q
            kept to them, still below log p(x); None for all.
        consistency: weight of the `agreement` of the components of a row and of its partner, where rows have partners;
            None for no such term.
        balance: of the agreement, how much components of equal size are preferred.
        views: random moves of partners that are images; None for partners as they are.
    """

    temperature: Array
    anneal_epochs: Array
    start_epochs: Array
    noise: Array | None = None
    n_likely: int | None = eqx.field(static=True, default=None)
    consistency: Array | None = None
    views: ImageViews | None = None
    balance: float | Array = 0.5

    def __check_init__(self) -> None:
        if self.n_likely is not None and (not isinstance(self.n_likely, int) or self.n_likely < 1):
            raise ValueError(f"n_likely must be a whole number of at least 1, or None; got {self.n_likely!r}")

    def calibrate(self, model: Any, batch: Batch, key: PRNGKeyArray) -> Any:
        """As of every loss, read off rows with noise as in training."""
        return super().calibrate(model, with_noise(batch, self.noise, jax.random.fold_in(key, 1)), key)

    def __call__(self, model: MixtureOfFlows, batch: Batch, key: PRNGKeyArray) -> Array:
        key_x, key_partner = jax.random.split(key)
        x = add_noise(batch.rows.x, self.noise, key_x)
        target = self._target(batch)
        if self.n_likely is None or self.n_likely >= model.n_components:
            key_maps = jax.random.fold_in(key, 2) if model.inexactness else None
            _, joint, logits = model.calibrate_jointly(x, batch.rows.condition, batch.weight, key_maps)
            ranked = logits
        else:
            joint, logits = model.likely_joint_and_logits(x, batch.rows.condition, self.n_likely, target)
            ranked = jnp.where(jnp.isneginf(joint), -jnp.inf, logits)
        left = jnp.clip(1 - (batch.epoch - self.start_epochs) / jnp.maximum(self.anneal_epochs, 1), 0, 1)
        unlabelled = -evidence_bound(joint, ranked / self.temperature**left)
        disagreement = self._disagreement(model, batch, logits, key_partner)
        if target is None:
            return weighted_mean(unlabelled, batch.weight) + disagreement
        chosen = jax.nn.one_hot(target, logits.shape[-1], dtype=bool)
        labelled = -jnp.where(chosen, joint + jax.nn.log_softmax(logits), 0).sum(-1)
        left_out = jnp.where((batch.epoch < self.start_epochs) & (target < 0), 0, batch.weight)
        return weighted_mean(jnp.where(target >= 0, labelled, unlabelled), left_out) + disagreement

    def _disagreement(self, model: MixtureOfFlows, batch: Batch, logits: Array, key: PRNGKeyArray) -> Array | float:
        if self.consistency is None or batch.rows.partner is None:
            return 0.0
        others = nearby_logits(model, batch.rows.partner, batch.rows.condition, self.noise, self.views, key)
        return -self.consistency * agreement(logits, others, batch.weight, self.balance)

    def _target(self, batch: Batch) -> Array | None:
        """The component that each row trains, -1 where the posterior network decides; None if it always does."""
        if batch.rows.label is None and batch.rows.start is None:
            return None
        nobody = jnp.full(batch.rows.x.shape[0], -1)
        starting = batch.epoch < self.start_epochs
        return jnp.where(
            starting,
            nobody if batch.rows.start is None else batch.rows.start,
            nobody if batch.rows.label is None else batch.rows.label,
        )


def nearby_logits(
    model: MixtureOfFlows,
    x: Array,
    condition: Array | None,
    noise: Array | None,
    views: ImageViews | None,
    key: PRNGKeyArray,
) -> Array:
    """The posterior network's logits, shape (n, K), of rows with noise added, moved a little where they are images."""
    key_noise, key_view = jax.random.split(key)
    axis = None if condition is None else 0
    seen = jax.vmap(model.seen, in_axes=(0, axis))(add_noise(x, noise, key_noise), condition)
    if views is not None:
        seen = views(seen, key_view)
    logits: Array = jax.vmap(model.seen_logits, in_axes=(0, axis))(seen, condition)
    return logits


class PosteriorStart(AbstractLoss):
    """The cross-entropy of the posterior network on the components that rows start.

    Arguments:
        noise: width of uniform noise on each column, shape (D,), or None.
        views: random moves of rows that are images; None for rows as they are.
    """

    noise: Array | None = None
    views: ImageViews | None = None

    def __call__(self, model: MixtureOfFlows, batch: Batch, key: PRNGKeyArray) -> Array:
        if batch.rows.start is None:
            raise ValueError("the posterior cannot start: the batch does not say which component each row starts")
        logits = nearby_logits(model, batch.rows.x, batch.rows.condition, self.noise, self.views, key)
        chosen = jax.nn.one_hot(batch.rows.start, logits.shape[-1])  # of -1, for no component, zeros
        return weighted_mean(-(chosen * jax.nn.log_softmax(logits)).sum(-1), batch.weight)


class Posteriors(NamedTuple):
    """Points whose exact posterior over components is known.

    Arguments:
        seen: what the posterior network reads, shape (n, E).
        exact: p(k|x), shape (n, K).
    """

    seen: Any
    exact: Any


class PosteriorFit(AbstractLoss):
    """The cross-entropy from the exact posterior p(k|x) of `Posteriors` to the q(k|x) of a network alone.

    On draws from the mixture itself, which never run out, the network closes the gap that it has learned by
    heart rather than by rule on the rows it was trained on (the sleep phase of Hinton et al. 1995).
    """

    def __call__(self, network: Callable[[Array], Array], batch: Batch, key: PRNGKeyArray) -> Array:
        logits = jax.vmap(network)(batch.data.seen)
        return weighted_mean(-(batch.data.exact * jax.nn.log_softmax(logits)).sum(-1), batch.weight)
